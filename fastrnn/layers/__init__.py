"""Layers: parameters and gradients as NumPy arrays, time-major sequences of any lengths."""

from .activation import Activation
from .adaptive_softmax import AdaptiveSoftmax
from .attention import AttentionPool
from .conv1d import Conv1d
from .conv2d import Conv2d
from .cross_attention import CrossAttention
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
from .tied_dense import TiedDense

__all__ = [
    "CTC",
    "GRU",
    "LSTM",
    "RNN",
    "Activation",
    "AdaptiveSoftmax",
    "AttentionPool",
    "Conv1d",
    "Conv2d",
    "CrossAttention",
    "Dense",
    "Dropout",
    "Embedding",
    "LayerNorm",
    "Masking",
    "Pool",
    "Reverse",
    "Sequential",
    "TiedDense",
    "Unmask",
    "ctc_loss",
    "ctc_targets",
]
