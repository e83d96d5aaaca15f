"""Layers: parameters and gradients as NumPy arrays, time-major sequences of any lengths."""

from .activation import Activation
from .attention import AttentionPool
from .conv1d import Conv1d
from .ctc import CTC, ctc_loss, ctc_targets
from .dense import Dense
from .dropout import Dropout
from .embedding import Embedding
from .layer_norm import LayerNorm
from .masking import Masking, Unmask
from .pool import Pool
from .recurrent import GRU, LSTM, RNN
from .reverse import Reverse
from .sequential import Sequential

__all__ = [
    "CTC",
    "GRU",
    "LSTM",
    "RNN",
    "Activation",
    "AttentionPool",
    "Conv1d",
    "Dense",
    "Dropout",
    "Embedding",
    "LayerNorm",
    "Masking",
    "Pool",
    "Reverse",
    "Sequential",
    "Unmask",
    "ctc_loss",
    "ctc_targets",
]
