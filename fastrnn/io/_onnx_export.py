"""Layers, networks and fitted estimators as ONNX files."""

from __future__ import annotations

import json
import os

import numpy as np

import fastrnn

from ..layers import Embedding, Sequential
from ..layers._base import Layer
from ..models import Network
from ..storage import _write_atomically
from ._onnx_file import import_onnx
from ._onnx_write import EMITTERS, OPSET, Writer

IR_VERSION = 8


def to_onnx(obj, path=None, *, ragged=None, states=False):
    """Write a layer, a network or a fitted estimator as an ONNX model, in float32.

    Parameters
    ----------
    obj : layer, Sequential, Network, or fitted RNNClassifier or RNNRegressor
    path : path, optional
        Where to write it.
    ragged : bool, optional
        Whether the model has an input ``lengths`` (batch_size,) of int32, the steps of each row, at least 1. By default
        that of an estimator has, and no other.
    states : bool, default=False
        Whether initial states come in and last ones go out, as ``h_0_0``, ``c_0_0``, ``h_n_0``, ``c_n_0`` of the
        recurrent layer at place 0, in torch's shapes.

    Returns
    -------
    onnx.ModelProto
        Input ``x``, with the axes of `obj`, the number of rows and steps open; tokens are int64. Output ``y``; of a
        classifier ``probabilities`` in the order of ``classes_``. The metadata hold ``classes`` and, in the order of
        their indices from 1 on, the tokens of ``vocabulary_``, as JSON; 0 is the index of any other token.

    Raises
    ------
    TypeError
        Where `obj` is something else.
    ValueError
        Where ONNX cannot hold it: a projection, layer normalisation within a cell, zoneout, or a weight beyond
        float32. The message names the layer.

    Examples
    --------
    ::

        fastrnn.to_onnx(classifier, "classifier.onnx")
        session = onnxruntime.InferenceSession("classifier.onnx")
        (probabilities,) = session.run(None, {"x": x, "lengths": lengths})
    """
    onnx = import_onnx()
    chain, batch_first, head = _parts(obj)
    lengths = "lengths" if (head is not None if ragged is None else ragged) else None
    leaves = chain._leaves
    of_tokens = isinstance(leaves[0][1], Embedding)
    table = head is not None and obj._fitted_on_2d and not of_tokens
    w = Writer("x", lengths, bool(states))
    _turn_in(w, batch_first, table, of_tokens)
    for place, layer in leaves:
        EMITTERS[_known(layer, place)](w, layer, place)
        if not layer.is_recurrent and type(layer).__name__ != "Dropout":
            w.last_states = None
    name, features, metadata = "y", _width(leaves), {}
    if head is not None:
        name, features, metadata = head(w, obj, features)
    elif w.per_step:
        if w.lengths:
            w.value = w.masked(0.0)
        if batch_first:
            w.value = w.node("Transpose", w.value, perm=[1, 0, 2])
    axes = ("batch_size", "seq_len") if batch_first else ("seq_len", "batch_size")
    rest = [] if of_tokens or table else [_reads(leaves)]
    y_axes = (*(axes if w.per_step else ("batch_size",)), *([features] if features is not None else []))
    return _finished(onnx, w, (*axes, *rest), of_tokens, (name, y_axes), metadata, path)


def _parts(obj):
    """Return the chain of layers, whether the batch comes first, and what stands behind an estimator's network."""
    if isinstance(obj, Network):
        return obj._chain, obj.batch_first, None
    if isinstance(obj, Layer):
        chain = obj if isinstance(obj, Sequential) else Sequential(_time_major(obj))
        return chain, getattr(obj, "batch_first", False), None
    head = next((_HEADS[base.__name__] for base in type(obj).__mro__ if base.__name__ in _HEADS), None)
    if head is None or fastrnn._HOME_OF_NAME.get(type(obj).__name__) != "estimators":
        raise TypeError(
            f"obj is an object of type {type(obj).__name__}, expected a layer, a Sequential, a Network, or a fitted "
            f"{' or '.join(_HEADS)}"
        )
    if not hasattr(obj, "network_"):
        raise ValueError(f"obj is a {type(obj).__name__} that is not fitted yet: call fit first")
    return obj.network_._chain, True, head


def _time_major(layer):
    """Return the layer itself, or of one that is batch first a time-major one of the same weights."""
    return Network(layer).layers[0] if getattr(layer, "batch_first", False) else layer


def _known(layer, place):
    kind = type(layer).__name__
    if kind not in EMITTERS or not type(layer).__module__.startswith("fastrnn.layers."):
        raise ValueError(f"layer {place} is a {kind}, which cannot be written to ONNX; expected {', '.join(EMITTERS)}")
    return kind


def _turn_in(w, batch_first, table, of_tokens):
    """Make of the input a time-major sequence."""
    if w.lengths:
        w.inputs.append((w.lengths, ("batch_size",)))
    if table:
        w.value = w.node("Unsqueeze", w.value, w.integers(2))
    if batch_first:
        w.value = w.node("Transpose", w.value, perm=[1, 0] if of_tokens else [1, 0, 2])


def _width(leaves):
    return next((layer.output_size for _, layer in reversed(leaves) if hasattr(layer, "output_size")), "features")


def _reads(leaves):
    return next((layer.input_size for _, layer in leaves if hasattr(layer, "input_size")), "features")


# what stands behind the network of an estimator: (name of the output, its last axis or None, metadata)


def _classifier(w, model, features):
    if model._has_scores_per_class():
        w.value = w.node("Softmax", w.value, axis=-1)
    else:
        w.value = w.node("Sigmoid", w.value)
        if not model._multilabel:
            other = w.node("Sub", w.constant(np.float32(1), "one"), w.value)
            w.value = w.node("Concat", other, w.value, axis=-1)
    classes = json.dumps(model.classes_.tolist(), default=str)
    return "probabilities", len(model.classes_), _metadata(model) | {"classes": classes}


def _regressor(w, model, features):
    if model._flat_target:
        w.value = w.node("Squeeze", w.value, w.integers(1))
    return "y", None if model._flat_target else features, _metadata(model)


def _metadata(model):
    found = {"estimator": type(model).__name__}
    if hasattr(model, "vocabulary_"):
        found["vocabulary"] = json.dumps(list(model.vocabulary_), default=str)
    return found


_HEADS = {"RNNClassifier": _classifier, "RNNRegressor": _regressor}


# the model


def _finished(onnx, w, x_axes, of_tokens, output, metadata, path):
    helper, kinds = onnx.helper, onnx.TensorProto
    inputs = [helper.make_tensor_value_info("x", kinds.INT64 if of_tokens else kinds.FLOAT, x_axes)]
    inputs += [
        helper.make_tensor_value_info(name, kinds.INT32 if name == "lengths" else kinds.FLOAT, axes)
        for name, axes in w.inputs
    ]
    outputs = []
    for name, value, axes in [(output[0], w.value, output[1]), *w.outputs]:
        w.nodes.append(helper.make_node("Identity", [value], [name], name=f"output_{name}"))
        outputs.append(helper.make_tensor_value_info(name, kinds.FLOAT, axes))
    graph = helper.make_graph(w.nodes, "fastrnn", inputs, outputs, w.weights)
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="fastrnn",
        producer_version=fastrnn.__version__,
    )  # fmt: skip
    helper.set_model_props(model, metadata)
    onnx.checker.check_model(model)
    if path is not None:
        _write_atomically(os.path.realpath(os.fsdecode(path)), [model.SerializeToString()])
    return model
