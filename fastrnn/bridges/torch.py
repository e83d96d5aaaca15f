"""torch's recurrent layers on our kernels: `nn.LSTM`, `nn.GRU` and `nn.RNN` whose `forward` is ours."""

from __future__ import annotations

import sys
import warnings

import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence

from .._validation import check_pair
from ._torch_checks import check_shape, check_tensor, check_weights, refuse_graphs
from ._torch_sequence import Padding, run
from ._torch_weights import Weights


class Accelerated:
    """What the accelerated layers share: torch's calls, with everything in between on a fastrnn layer."""

    def forward(self, input, hx=None):
        """Apply the layer; arguments and results as in the class of torch."""
        if "torch._dynamo" in sys.modules:  # torch.compile may be at work
            return _uncompiled_forward()(self, input, hx)
        return self._forward(input, hx)

    def _forward(self, input, hx):
        refuse_graphs(self)
        weights = [getattr(self, name) for name in self._flat_weights_names]
        check_weights(type(self).__name__, self._flat_weights_names, weights)
        if isinstance(input, PackedSequence):
            return self._forward_packed(input, hx, weights)
        x = check_tensor("input", input, weights[0].dtype)
        unbatched = x.dim() == 2
        if unbatched:
            check_shape("input", x, ("seq_len", "input_size"), (None, self.input_size))
            x = x.unsqueeze(1)
        else:
            axes = ("batch_size", "seq_len") if self.batch_first else ("seq_len", "batch_size")
            check_shape("input", x, (*axes, "input_size"), (None, None, self.input_size))
            x = x.transpose(0, 1) if self.batch_first else x
        states = self._states(hx, x, x.shape[1], unbatched)
        output, *states_n = run(self._layer(weights), x, states, weights, self.training)
        if unbatched:
            return output.squeeze(1), self._hidden([state.squeeze(1) for state in states_n])
        return output.transpose(0, 1) if self.batch_first else output, self._hidden(states_n)

    def _forward_packed(self, sequence, hx, weights):
        x, batch_sizes, sorted_indices, unsorted_indices = sequence
        check_tensor("input.data", x, weights[0].dtype)
        check_shape("input.data", x, ("steps", "input_size"), (None, self.input_size))
        states = self._states(hx, x, int(batch_sizes[0]))
        if sorted_indices is not None:
            states = [state.index_select(1, sorted_indices) for state in states]
        padding = Padding(batch_sizes.numpy())
        output, *states_n = run(self._layer(weights), x, states, weights, self.training, padding)
        if unsorted_indices is not None:
            states_n = [state.index_select(1, unsorted_indices) for state in states_n]
        return PackedSequence(output, batch_sizes, sorted_indices, unsorted_indices), self._hidden(states_n)

    def _states(self, hx, x, batch_size, unbatched=False):
        """Return h_0, or h_0 and c_0, as checked tensors with an axis of the batch; none where hx is None."""
        if hx is None:
            return []
        has_cell = self.mode == "LSTM"
        parts = check_pair("hx", hx, ("h_0", "c_0")) if has_cell else (hx,)
        names = ("hx[0]", "hx[1]") if has_cell else ("hx",)
        symbols, numbers = ["num_layers"], [self.num_layers]
        if self.bidirectional:
            symbols, numbers = ["num_layers * 2"], [self.num_layers * 2]
        if not unbatched:
            symbols, numbers = [*symbols, "batch_size"], [*numbers, batch_size]
        last = ("hidden_size", self.hidden_size)
        axes = (("proj_size", self.proj_size) if self.proj_size else last, last)
        states = []
        for name, part, (symbol, size) in zip(names, parts, axes):
            state = check_tensor(name, part, x.dtype)
            check_shape(name, state, (*symbols, symbol), (*numbers, size))
            states.append(state.unsqueeze(1) if unbatched else state)
        return states

    def _hidden(self, states):
        return tuple(states) if self.mode == "LSTM" else states[0]

    def _layer(self, weights):
        """Return a fastrnn layer with these weights, for one call."""
        holder = self.__dict__.get("_fastrnn")
        if holder is None:
            holder = self.__dict__["_fastrnn"] = Weights(self)
        return holder.layer(weights)

    def __getstate__(self):  # copies and pickles make packed weights anew
        state = dict(super().__getstate__())
        state.pop("_fastrnn", None)
        return state

    def __prepare_scriptable__(self):
        raise TypeError(
            f"torch.jit.script cannot hold an {type(self).__name__}, which runs outside TorchScript; "
            "call fastrnn.accelerate(model, undo=True) first"
        )


_uncompiled = None


def _uncompiled_forward():
    """Return `Accelerated._forward` such that torch.compile leaves it and all that it calls alone."""
    global _uncompiled
    if _uncompiled is None:
        _uncompiled = torch.compiler.disable(Accelerated._forward)
    return _uncompiled


class AcceleratedLSTM(Accelerated, nn.LSTM):
    """`torch.nn.LSTM` on our kernels."""


class AcceleratedGRU(Accelerated, nn.GRU):
    """`torch.nn.GRU` on our kernels."""


class AcceleratedRNN(Accelerated, nn.RNN):
    """`torch.nn.RNN` on our kernels."""


_SWAPS = {nn.LSTM: AcceleratedLSTM, nn.GRU: AcceleratedGRU, nn.RNN: AcceleratedRNN}
_BACK = {ours: theirs for theirs, ours in _SWAPS.items()}


def accelerate(model, undo):
    """Swap the layers of a `torch.nn.Module`, or swap them back; see `fastrnn.accelerate`."""
    if not isinstance(model, nn.Module) or isinstance(model, torch.jit.ScriptModule):
        raise TypeError(f"model is an object of type {type(model).__name__}, expected a torch.nn.Module in Python code")
    layers = {name: module for name, module in model.named_modules() if isinstance(module, nn.RNNBase)}
    (_swap_back if undo else _swap)(model, layers)
    return model


def _swap(model, layers):
    found = {name: layer for name, layer in layers.items() if type(layer) in _SWAPS}
    left = {name: layer for name, layer in layers.items() if not isinstance(layer, Accelerated) and name not in found}
    if len(left) == len(layers):
        named = _named(left) or _cells(model)
        raise ValueError(
            f"model is {type(model).__name__} without a layer to swap, expected an nn.LSTM, nn.GRU or nn.RNN in it"
            + (f"; left alone: {named}" if named else "")
        )
    for name, layer in found.items():
        names = layer._flat_weights_names
        check_weights(_title(name, layer), names, [getattr(layer, weight) for weight in names])
    if left:
        warnings.warn(
            f"left alone, because their classes are derived from torch's and may do more: {_named(left)}", stacklevel=4
        )
    for layer in found.values():
        layer.__class__ = _SWAPS[type(layer)]


def _swap_back(model, layers):
    ours = {name: layer for name, layer in layers.items() if isinstance(layer, Accelerated)}
    derived = {name: layer for name, layer in ours.items() if type(layer) not in _BACK}
    if derived:
        raise ValueError(
            f"undo is True, but {_named(derived)} got another class since (by torch.nn.utils.parametrize?), "
            f"expected {', '.join(kind.__name__ for kind in _BACK)}"
        )
    for layer in ours.values():
        layer.__dict__.pop("_fastrnn", None)
        layer.__class__ = _BACK[type(layer)]


def _title(name, layer):
    return f"{name} ({type(layer).__name__})" if name else type(layer).__name__


def _named(layers):
    return ", ".join(_title(name, layer) for name, layer in layers.items())


def _cells(model):
    """The cells that a model steps through itself."""
    return _named({name: cell for name, cell in model.named_modules() if isinstance(cell, nn.RNNCellBase)})
