"""Networks from Keras: live models of Keras 3, ``.keras`` files, and ``.h5`` files of Keras 2 and 3."""

from __future__ import annotations

import os
import sys

import numpy as np

from ..models import Network
from . import _keras_weights
from ._keras_config import leaves_of
from ._keras_file import naming, read_source
from ._keras_layers import Chain, check_known
from ._weights import chained

_FLOAT64 = np.dtype(np.float64)


def from_keras(source, *, batch_first=True):
    """Make a network of a model that Keras trained.

    Parameters
    ----------
    source : keras.Model, keras.layers.Layer, or path of a ``.keras`` or ``.h5`` file
        A Sequential, or a functional model whose layers simply follow each other; models may hold such models. A live
        one is of Keras 3, on any backend; files are those of whole models, of Keras 3 and 2 and with the layers of
        CuDNN of old. Files are read without Keras and without h5py, and nothing in them is executed.
    batch_first : bool, default=True
        Axes of the network; Keras's are batch first.

    Returns
    -------
    Network
        In float64 where a weight is, else in float32.

    Raises
    ------
    ValueError
        Where a weight is missing or not used, a shape does not fit, or a layer or an option cannot be carried over
        exactly; the message names it. `fastrnn.storage.FileFormatError`, which is one, where a file is damaged.
    TypeError
        Where `source` is something else.
    OSError
        Where there is no such file, or it may not be read.

    Notes
    -----
    Layers: Embedding, Masking, SimpleRNN, LSTM, GRU, CuDNNLSTM, CuDNNGRU, RNN of one of their cells, Bidirectional
    (concat, sum, ave), Dense, Conv1D, LayerNormalization, TimeDistributed of what works on steps, activations,
    GlobalMaxPooling1D, GlobalAveragePooling1D, and what is at work in training only. Masks are Keras's: those that the
    model makes itself, and ``run(mask=...)``. A layer without return_sequences is followed by ``Pool("last")``; states
    are given back by `Network.run` whether or not the layer has return_state. What is stateful in Keras starts with
    zeros in `Network.run`, and goes on in a `Stream`.

    Examples
    --------
    ::

        net = fastrnn.from_keras("model.keras")
        y = net.predict(x)                         # x (batch_size, seq_len, input_size), or tokens
    """
    if isinstance(source, str | os.PathLike):
        return naming(source, lambda: _of_source(read_source(source), batch_first))
    keras = sys.modules.get("keras")  # who holds a model has imported keras
    if keras is not None and hasattr(keras, "saving") and isinstance(source, keras.layers.Layer):
        return _of_live(source, keras, batch_first)
    raise TypeError(
        f"source is an object of type {type(source).__module__}.{type(source).__name__}, expected a model of Keras 3 "
        "or the path of a .keras or .h5 file"
    )


def read(path):
    """Return the network of a file; `from_keras`."""
    return from_keras(path)


def outline(path):
    """Return lines about a file: which Keras wrote it, and its network."""
    version = naming(path, lambda: read_source(path)).version
    return [f"a model of Keras {version}", *from_keras(path).summary().split("\n")]


def _of_source(source, batch_first):
    leaves = leaves_of(source.model)
    check_known(leaves, source.version)
    take = _keras_weights.of_archive if source.is_archive else _keras_weights.of_groups
    return _network(leaves, take(source.root, leaves), source.version, batch_first)


def _of_live(model, keras, batch_first):
    kinds = (keras.Sequential, keras.src.models.Functional)
    if isinstance(model, keras.Model) and not isinstance(model, kinds):
        raise ValueError(
            f"source is a {type(model).__module__}.{type(model).__qualname__}, whose call is its own and cannot be "
            "read: expected a Sequential, a functional model or a layer, or fastrnn.accelerate, which runs its "
            "recurrent layers in place"
        )
    leaves = leaves_of(keras.saving.serialize_keras_object(model))
    check_known(leaves, 3)

    def to_numpy(variable):
        half = str(variable.dtype) in ("float16", "bfloat16")
        return keras.ops.convert_to_numpy(keras.ops.cast(variable, "float32") if half else variable)

    return _network(leaves, _keras_weights.of_live(model, leaves, to_numpy), 3, batch_first)


def _network(leaves, taken, version, batch_first):
    entries = [entry for own in taken.values() for entry in own.entries]
    wide = any(entry.dtype == "float64" for entry in entries)
    chain = Chain(version, _FLOAT64 if wide else np.dtype(np.float32))
    for leaf in leaves:
        chain.add(leaf, taken.get(leaf.path) or _keras_weights.Taken(leaf.where, []))
    if not chain.layers:
        raise ValueError("the model has no layers that do anything")
    small = sorted({entry.dtype for entry in entries} & {"float16", "bfloat16"})
    notes = [*chain.notes, *(f"weights were stored as {name}, and are held exactly" for name in small)]
    return Network._of(chained(chain.layers), bool(batch_first), dict.fromkeys(notes))
