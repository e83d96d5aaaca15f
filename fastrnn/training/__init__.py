"""Training of networks on ragged sequences: batches, the loop, hooks and checkpoints."""

from .batches import batch_indices, pad_batch, sequence_lengths
from .callbacks import Checkpoint, CSVLog, EpochEnd, LearningRateSchedule, ReduceOnPlateau
from .history import History, NonFiniteLossError
from .loop import train
from .paired import PairBatch, Paired

__all__ = [
    "CSVLog",
    "Checkpoint",
    "EpochEnd",
    "History",
    "LearningRateSchedule",
    "NonFiniteLossError",
    "PairBatch",
    "Paired",
    "ReduceOnPlateau",
    "batch_indices",
    "pad_batch",
    "sequence_lengths",
    "train",
]
