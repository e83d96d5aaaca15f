"""Training of networks on ragged sequences: batches and the loop."""

from .batches import batch_indices, pad_batch, sequence_lengths
from .loop import History, NonFiniteLossError, train

__all__ = ["History", "NonFiniteLossError", "batch_indices", "pad_batch", "sequence_lengths", "train"]
