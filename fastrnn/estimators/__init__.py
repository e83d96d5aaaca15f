"""Recurrent networks under scikit-learn's contract: fit, predict, score."""

from ._classifier import GRUClassifier, LSTMClassifier, RNNClassifier
from ._regressor import GRURegressor, LSTMRegressor, RNNRegressor
from ._scaler import SequenceScaler
from ._tagger import RNNTagger

__all__ = [
    "GRUClassifier",
    "GRURegressor",
    "LSTMClassifier",
    "LSTMRegressor",
    "RNNClassifier",
    "RNNRegressor",
    "RNNTagger",
    "SequenceScaler",
]
