"""Keras 3's LSTM, GRU and SimpleRNN on our kernels: layers whose `inner_loop` is ours."""

from __future__ import annotations

import sys
import warnings

import keras
import numpy as np

from ..io._keras_config import leaves_of
from ..io._keras_recurrent import options_of, single
from ..io.gates import reorder
from ._keras_calls import call_numpy
from ._keras_masks import Steps
from ._torch_weights import Snapshot

_KINDS = {keras.layers.LSTM: "lstm", keras.layers.GRU: "gru", keras.layers.SimpleRNN: "rnn"}
_DTYPES = ("float32", "float64")
_BACKENDS = ("torch", "numpy", "jax", "tensorflow")


class Loop:
    """What an accelerated layer calls in place of its own loop over steps.

    Everything around it stays Keras's: states between batches, casts, masks and what is returned.

    Parameters
    ----------
    layer : keras.layers.LSTM, GRU or SimpleRNN
    """

    def __init__(self, layer):
        self.layer = layer
        self._cell = _KINDS[type(layer)]
        (leaf,) = leaves_of(keras.saving.serialize_keras_object(layer))
        self._settings = single(leaf.kind, leaf.config, 3)
        self._kind, self._options = options_of(self._settings)
        n_gates = {"lstm": 4, "gru": 3, "rnn": 1}[self._cell]
        self.order = reorder(np.arange(n_gates * self._settings.units), source="keras", cell=self._cell)
        self._present = None

    def __call__(self, sequences, initial_state, mask, training=False):
        """Run the loop; arguments and results as those of `keras.layers.RNN.inner_loop`."""
        if keras.backend.backend() != "torch":
            if training:
                raise NotImplementedError(
                    f"{_title(self.layer)} is accelerated, and can be trained on Keras's torch backend only, not on "
                    f"{keras.backend.backend()}; call fastrnn.accelerate(model, undo=True) first"
                )
            return self._run_anywhere(sequences, initial_state, mask)
        if sequences.device.type == "meta":  # Keras asks for shapes
            return type(self.layer).inner_loop(self.layer, sequences, initial_state, mask, training=training)
        if "torch._dynamo" in sys.modules:  # torch.compile may be at work
            import torch

            return torch.compiler.disable(self._run_torch)(sequences, initial_state, mask, training)
        return self._run_torch(sequences, initial_state, mask, training)

    # torch

    def _run_torch(self, sequences, initial_state, mask, training):
        from ._keras_torch import run

        if training:
            sequences = self._dropped(sequences)
        if sequences.device.type != "cpu":
            raise ValueError(f"{_title(self.layer)} got sequences on {sequences.device}, expected cpu")
        states = [state.to(sequences.dtype) for state in _states(initial_state)]
        if self.layer.stateful:  # Keras then writes the new states over these
            states = [state.clone() for state in states]
        return run(self, sequences, states, self._steps(mask))

    def _dropped(self, sequences):
        """Return the sequences as Keras's dropout leaves them in training."""
        cell = self.layer.cell
        if 0.0 < cell.recurrent_dropout < 1.0:
            raise NotImplementedError(
                f"{_title(self.layer)} has recurrent_dropout={cell.recurrent_dropout}, which is not accelerated in "
                "training: call fastrnn.accelerate(model, undo=True) to train it"
            )
        if not 0.0 < cell.dropout < 1.0:
            return sequences
        drawn = cell.get_dropout_mask(sequences[:, 0, :])
        if isinstance(drawn, list | tuple):
            raise NotImplementedError(
                f"{_title(self.layer)} has implementation=1 and dropout={cell.dropout}, which is not accelerated in "
                "training: call fastrnn.accelerate(model, undo=True) to train it"
            )
        return sequences * keras.ops.expand_dims(drawn, 1)

    # any backend, without gradients

    def _run_anywhere(self, sequences, initial_state, mask):
        states, cell = _states(initial_state), self.layer.cell
        mask = mask[0] if isinstance(mask, list | tuple) else mask
        weights = [cell.kernel, cell.recurrent_kernel] + ([cell.bias] if self._settings.bias else [])
        given = [sequences, *states, *map(keras.ops.convert_to_tensor, weights), *([] if mask is None else [mask])]
        n_states, n_weights = len(states), len(weights)
        batch_size, seq_len = sequences.shape[:2]
        units = self._settings.units
        shapes = [(batch_size, seq_len, units) if self.layer.return_sequences else (batch_size, 1, units)]
        shapes += [(batch_size, units)] * (1 + n_states)

        def compute(x, *arrays):
            own, arrays = arrays[:n_states], arrays[n_states:]
            weights, masks = arrays[:n_weights], arrays[n_weights:]
            return self._computed(x, own, weights, self._steps(masks[0] if masks else None))

        outputs, last, *states_n = call_numpy(compute, given, shapes, self.layer.compute_dtype)
        return last, outputs, states_n

    def _computed(self, x, states, weights, steps):
        """Return outputs, the last one, and the states, as arrays."""
        x = np.ascontiguousarray(x.swapaxes(0, 1))
        x = x[::-1] if self.layer.go_backwards else x
        state = [np.ascontiguousarray(state)[None] for state in states]
        layer, lengths = self.fastrnn_layer(self.converted(weights)), None
        if steps is not None:
            x, lengths = steps.together(x, np.take_along_axis), steps.lengths
        y, state_n = layer(x, tuple(state) if self._cell == "lstm" else state[0], lengths)
        states_n = [part[0] for part in (state_n if self._cell == "lstm" else (state_n,))]
        if not self.layer.return_sequences:
            last = states_n[0] if steps is None else steps.last(states_n[0], np.where)
            return last[:, None], last, *states_n
        y = y if steps is None else steps.in_place(y, np.take_along_axis, np.where)
        return np.ascontiguousarray(y.swapaxes(0, 1)), np.array(y[-1]), *states_n

    # shared

    def _steps(self, mask):
        """Return which steps count, in the order in which they are read; None where all do."""
        if mask is None:
            return None
        valid = keras.ops.convert_to_numpy(mask[0] if isinstance(mask, list | tuple) else mask).astype(bool).T
        if valid.all():
            return None
        return Steps(valid[::-1] if self.layer.go_backwards else valid, self.layer.zero_output_for_mask)

    def converted(self, weights):
        """Return arrays of Keras's weights as those of our layer, in its order."""
        kernel, recurrent, *bias = weights
        found = [np.ascontiguousarray(array[:, self.order].T) for array in (kernel, recurrent)]
        for array in bias:
            rows = np.atleast_2d(array)[:, self.order]
            found += [rows[0], rows[1] if len(rows) == 2 else np.zeros_like(rows[0])]
        return found

    def fastrnn_layer(self, arrays):
        """Return our layer with the values of `arrays`, whose gradients belong to the caller alone.

        Safe in concurrent calls: a snapshot of the weights is immutable and published by one assignment.
        """
        present = self._present
        if present is None or not present.holds(arrays):
            sizes = arrays[0].shape[1], self._settings.units
            template = self._kind(*sizes, dtype=arrays[0].dtype.name, random_state=0, **self._options)
            present = self._present = Snapshot(template, arrays)
        return present.layer.twin()


def _states(initial_state):
    return list(initial_state) if isinstance(initial_state, list | tuple) else [initial_state]


def accelerate(model, undo):
    """Swap the loops of the layers of a Keras model, or swap them back; see `fastrnn.accelerate`."""
    if not isinstance(model, keras.layers.Layer):
        raise TypeError(f"model is an object of type {type(model).__name__}, expected a model or a layer of Keras 3")
    layers = [part for part in model._flatten_layers() if isinstance(part, tuple(_KINDS))]
    if undo:
        for layer in layers:
            layer.__dict__.pop("inner_loop", None)
    else:
        _swap(model, layers)
    for name in ("train_function", "test_function", "predict_function"):  # compiled with the loops of before
        if getattr(model, name, None) is not None:
            setattr(model, name, None)
    return model


def _swap(model, layers):
    if keras.backend.backend() not in _BACKENDS:
        raise ValueError(f"Keras's backend is {keras.backend.backend()!r}, expected one of {', '.join(_BACKENDS)}")
    found = [layer for layer in layers if type(layer) in _KINDS]
    left = [layer for layer in layers if type(layer) not in _KINDS]
    if not found:
        raise ValueError(
            f"model is {type(model).__name__} without a layer to swap, expected an LSTM, GRU or SimpleRNN in it"
            + (f"; left alone: {', '.join(map(_title, left))}" if left else "")
        )
    for layer in found:
        if layer.compute_dtype not in _DTYPES or layer.variable_dtype != layer.compute_dtype:
            raise TypeError(f"{_title(layer)} computes in {layer.compute_dtype}, expected float32 or float64")
    loops = [Loop(layer) for layer in found]  # all, before any is swapped
    if left:
        warnings.warn(
            "left alone, because their classes are derived from Keras's and may do more: "
            f"{', '.join(map(_title, left))}",
            stacklevel=4,
        )
    for layer, loop in zip(found, loops, strict=True):
        if "inner_loop" not in layer.__dict__:
            layer.__dict__["inner_loop"] = loop


def _title(layer):
    return f"{layer.name} ({type(layer).__name__})"
