"""Recurrent networks under scikit-learn's contract: fit, predict, score."""

from ._backtest import Backtest
from ._classifier import GRUClassifier, LSTMClassifier, RNNClassifier
from ._forecaster import RNNForecaster
from ._generator import RNNGenerator
from ._language_model import RNNLanguageModel
from ._regressor import GRURegressor, LSTMRegressor, RNNRegressor
from ._scaler import SequenceScaler
from ._seq2seq import RNNSeq2Seq
from ._tagger import RNNTagger
from ._transcriber import RNNTranscriber

__all__ = [
    "Backtest",
    "GRUClassifier",
    "GRURegressor",
    "LSTMClassifier",
    "LSTMRegressor",
    "RNNClassifier",
    "RNNForecaster",
    "RNNGenerator",
    "RNNLanguageModel",
    "RNNRegressor",
    "RNNSeq2Seq",
    "RNNTagger",
    "RNNTranscriber",
    "SequenceScaler",
]
