"""Recurrent neural networks on a CPU, with NumPy arrays in and NumPy arrays out.

Public names are loaded on first use: `import fastrnn` reads this file only and changes no global state.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0.dev0"

_HOME_OF_NAME = {
    "RNN": "layers",
    "LSTM": "layers",
    "GRU": "layers",
    "Activation": "layers",
    "AttentionPool": "layers",
    "Conv1d": "layers",
    "Dense": "layers",
    "Embedding": "layers",
    "Dropout": "layers",
    "LayerNorm": "layers",
    **dict.fromkeys(("AdaptiveSoftmax", "Conv2d", "CrossAttention", "TiedDense"), "layers"),
    **dict.fromkeys(("Masking", "Reverse", "Unmask"), "layers"),
    "Pool": "layers",
    "Sequential": "layers",
    **dict.fromkeys(("RNNClassifier", "LSTMClassifier", "GRUClassifier"), "estimators"),
    **dict.fromkeys(("RNNRegressor", "LSTMRegressor", "GRURegressor"), "estimators"),
    "RNNForecaster": "estimators",
    **dict.fromkeys(("RNNLanguageModel", "RNNTagger", "SequenceScaler"), "estimators"),
    **dict.fromkeys(("EncoderDecoder", "HMMDecoder", "Network"), "models"),
    **dict.fromkeys(("RNNGenerator", "RNNSeq2Seq", "RNNTranscriber"), "estimators"),
    "accelerate": "bridges",
    **dict.fromkeys(("from_keras", "from_onnx", "from_torch", "state_dict", "to_onnx"), "io"),
    "load": "_objects",
    "save": "_objects",
    "show_versions": "_show_versions",
    "get_num_threads": "_threads",
    "set_num_threads": "_threads",
}
_SUBMODULES = (
    *("datasets", "estimators", "init", "inspection", "io", "layers", "losses", "metrics", "models", "onnx", "optim"),
    *("reference", "schedules", "storage", "training"),
)

__all__ = [  # noqa: F822  (the names come from __getattr__)
    *["GRU", "LSTM", "RNN", "Activation", "AttentionPool", "Conv1d", "Dense", "Dropout", "Embedding", "LayerNorm"],
    *["AdaptiveSoftmax", "Conv2d", "CrossAttention", "TiedDense"],
    *["Masking", "Reverse", "Unmask"],
    "Pool",
    "Sequential",
    *["RNNClassifier", "LSTMClassifier", "GRUClassifier", "RNNRegressor", "LSTMRegressor", "GRURegressor"],
    *[
        "RNNForecaster",
        "RNNLanguageModel",
        "RNNTagger",
        "SequenceScaler",
        *("RNNGenerator", "RNNSeq2Seq", "RNNTranscriber"),
        *("EncoderDecoder", "HMMDecoder"),
        "Network",
        "accelerate",
        "from_keras",
        "from_onnx",
        "from_torch",
        "state_dict",
        "to_onnx",
    ],
    *["datasets", "init", "inspection", "losses", "metrics", "onnx", "optim", "schedules", "storage"],
    *["get_num_threads", "load", "save", "set_num_threads", "show_versions", "__version__"],
]

if TYPE_CHECKING:
    from fastrnn import datasets as datasets
    from fastrnn import init as init
    from fastrnn import inspection as inspection
    from fastrnn import losses as losses
    from fastrnn import metrics as metrics
    from fastrnn import onnx as onnx
    from fastrnn import optim as optim
    from fastrnn import schedules as schedules
    from fastrnn import storage as storage
    from fastrnn._objects import load as load
    from fastrnn._objects import save as save
    from fastrnn._show_versions import show_versions as show_versions
    from fastrnn._threads import get_num_threads as get_num_threads
    from fastrnn._threads import set_num_threads as set_num_threads
    from fastrnn.bridges import accelerate as accelerate
    from fastrnn.estimators import GRUClassifier as GRUClassifier
    from fastrnn.estimators import GRURegressor as GRURegressor
    from fastrnn.estimators import LSTMClassifier as LSTMClassifier
    from fastrnn.estimators import LSTMRegressor as LSTMRegressor
    from fastrnn.estimators import RNNClassifier as RNNClassifier
    from fastrnn.estimators import RNNForecaster as RNNForecaster
    from fastrnn.estimators import RNNGenerator as RNNGenerator
    from fastrnn.estimators import RNNLanguageModel as RNNLanguageModel
    from fastrnn.estimators import RNNRegressor as RNNRegressor
    from fastrnn.estimators import RNNSeq2Seq as RNNSeq2Seq
    from fastrnn.estimators import RNNTagger as RNNTagger
    from fastrnn.estimators import RNNTranscriber as RNNTranscriber
    from fastrnn.estimators import SequenceScaler as SequenceScaler
    from fastrnn.io import from_keras as from_keras
    from fastrnn.io import from_onnx as from_onnx
    from fastrnn.io import from_torch as from_torch
    from fastrnn.io import state_dict as state_dict
    from fastrnn.io import to_onnx as to_onnx
    from fastrnn.layers import GRU as GRU
    from fastrnn.layers import LSTM as LSTM
    from fastrnn.layers import RNN as RNN
    from fastrnn.layers import Activation as Activation
    from fastrnn.layers import AdaptiveSoftmax as AdaptiveSoftmax
    from fastrnn.layers import AttentionPool as AttentionPool
    from fastrnn.layers import Conv1d as Conv1d
    from fastrnn.layers import Conv2d as Conv2d
    from fastrnn.layers import CrossAttention as CrossAttention
    from fastrnn.layers import Dense as Dense
    from fastrnn.layers import Dropout as Dropout
    from fastrnn.layers import Embedding as Embedding
    from fastrnn.layers import LayerNorm as LayerNorm
    from fastrnn.layers import Masking as Masking
    from fastrnn.layers import Pool as Pool
    from fastrnn.layers import Reverse as Reverse
    from fastrnn.layers import Sequential as Sequential
    from fastrnn.layers import TiedDense as TiedDense
    from fastrnn.layers import Unmask as Unmask
    from fastrnn.models import EncoderDecoder as EncoderDecoder
    from fastrnn.models import HMMDecoder as HMMDecoder
    from fastrnn.models import Network as Network


def __getattr__(name: str) -> Any:
    if name in _SUBMODULES:
        return import_module(f"fastrnn.{name}")
    if name not in _HOME_OF_NAME:
        raise AttributeError(f"module 'fastrnn' has no attribute {name!r}")
    value = getattr(import_module(f"fastrnn.{_HOME_OF_NAME[name]}"), name)
    globals()[name] = value  # the next access does not come here
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME_OF_NAME, *_SUBMODULES})
