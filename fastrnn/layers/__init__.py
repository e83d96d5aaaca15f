"""Layers: parameters and gradients as NumPy arrays, time-major sequences of any lengths."""

from .dense import Dense
from .dropout import Dropout
from .embedding import Embedding
from .pool import Pool
from .recurrent import GRU, LSTM, RNN
from .sequential import Sequential

__all__ = ["GRU", "LSTM", "RNN", "Dense", "Dropout", "Embedding", "Pool", "Sequential"]
