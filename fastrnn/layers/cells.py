"""The table of cells, and the packs of weights that their kernels read.

A cell is a line of `CELLS`: which kernels make a step forward and backward, and how its gates stand in a row of the
kernels (`csrc/fr_kernels.h`) against the order of the state dict.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .._core import native
from .variants import VariantPack

# enum fr_forward and enum fr_backward
RNN_TANH, RNN_RELU, LSTM, GRU, GRU_RESET, GRU_CANDIDATE, PROJECT, LSTM_COUPLED, LSTM_OUTPUT = range(9)
D_RNN_TANH, D_RNN_RELU, D_LSTM, D_GRU, D_GRU_CANDIDATE, D_GRU_RESET, D_PROJECT, D_LSTM_COUPLED, D_LSTM_OUTPUT = range(9)


class Forward(NamedTuple):
    """A kernel, and the rows of weight_hh and weight_ih (gates in state-dict order) whose products it consumes."""

    kernel: int
    gates: tuple
    input_gates: tuple
    from_mid: bool = False


class Backward(NamedTuple):
    """A kernel, and the product of its gradients with rows `gates` of weight_hh.

    The gradients of these gates stand in a row of the kernels from block `block` on.
    """

    kernel: int
    gates: tuple
    block: int = 0
    into_mid: bool = False


@dataclass(frozen=True)
class Cell:
    """How one cell runs. `order` lists the gates, by their state-dict index, as they stand in a row of the kernels."""

    n_gates: int
    order: tuple
    forward: tuple
    backward: tuple
    has_cell: bool = False  # a state (h, c)
    kept_blocks: int = 0  # blocks of a row in training, where more than the gates
    separate_bias: bool = False  # the last gate's recurrent bias stands inside the reset product
    mid_gates: tuple = ()  # gates whose recurrent operand is mid instead of h_prev
    hidden_block: int = 0  # first block of the gradients that belong to weight_hh
    activations: tuple = ("sigmoid", "tanh")  # of gates, candidate and cell; of the one gate

    @property
    def blocks(self):
        """Blocks of a row in training."""
        return self.kept_blocks or self.n_gates

    @property
    def hidden_order(self):
        """The gates whose gradients belong to weight_hh, from `hidden_block` on."""
        return tuple(range(self.n_gates)) if self.hidden_block else self.order


CELLS = {
    "rnn_tanh": Cell(1, (0,), (Forward(RNN_TANH, (0,), (0,)),), (Backward(D_RNN_TANH, (0,)),), activations=("tanh",)),
    "rnn_relu": Cell(1, (0,), (Forward(RNN_RELU, (0,), (0,)),), (Backward(D_RNN_RELU, (0,)),), activations=("relu",)),
    "lstm": Cell(
        4,
        (0, 1, 2, 3),
        (Forward(LSTM, (0, 1, 2, 3), (0, 1, 2, 3)),),
        (Backward(D_LSTM, (0, 1, 2, 3)),),
        has_cell=True,
        activations=("sigmoid", "tanh", "tanh"),
    ),
    "lstm_coupled": Cell(
        3,
        (0, 1, 2),
        (Forward(LSTM_COUPLED, (0, 1, 2), (0, 1, 2)),),
        (Backward(D_LSTM_COUPLED, (0, 1, 2)),),
        has_cell=True,
        activations=("sigmoid", "tanh", "tanh"),
    ),
    "gru": Cell(
        3,
        (2, 0, 1),
        (Forward(GRU, (0, 1, 2), (2, 0, 1)),),
        (Backward(D_GRU, (0, 1, 2), block=1),),
        kept_blocks=4,
        separate_bias=True,
        hidden_block=1,
    ),
    "gru_reset_before": Cell(
        3,
        (2, 0, 1),
        (Forward(GRU_RESET, (0, 1), (0, 1)), Forward(GRU_CANDIDATE, (2,), (2,), from_mid=True)),
        (Backward(D_GRU_CANDIDATE, (2,), into_mid=True), Backward(D_GRU_RESET, (0, 1), block=1)),
        mid_gates=(2,),
    ),
}


class Operator(NamedTuple):
    """One kernel of a step with its packed weights, or None where it multiplies nothing, as `_core.loops` reads it."""

    kernel: int
    weights: object
    units: int
    padded_units: int
    input_weights: object = None
    from_mid: bool = False
    column: int = 0
    into_mid: bool = False


def padded(size, dtype):
    """Return `size` rounded up to whole vectors of `dtype`."""
    lanes = native.lanes(dtype)
    return -(-size // lanes) * lanes


def blocks(weights, order, n_gates):
    """Return the gates `order` of weights (n_gates * H, ...), one padded block after the other; a view if it can."""
    parts = weights.reshape(n_gates, -1, *weights.shape[1:])
    H, width = parts.shape[1], padded(parts.shape[1], weights.dtype)
    if H == width and order == tuple(range(order[0], order[0] + len(order))):
        return weights[order[0] * H : (order[-1] + 1) * H]
    out = np.empty((len(order), width, *weights.shape[1:]), weights.dtype)
    out[:, H:] = 0
    for block, gate in enumerate(order):
        out[block, :H] = parts[gate]
    return out.reshape(-1, *weights.shape[1:])


def _pairs(gates, first=0):
    return tuple((gate, first + i) for i, gate in enumerate(gates))


def _strips(weights, gates, n_gates):
    """Return (K, columns): the columns of a forward kernel, unit vector by unit vector, its gates side by side."""
    lanes = native.lanes(weights.dtype)
    stacked = blocks(weights, gates, n_gates).reshape(len(gates), -1, lanes, weights.shape[1])
    return stacked.transpose(1, 0, 2, 3).reshape(-1, weights.shape[1]).T


class DirectionPack:
    """The weights of one direction of one layer, in the form that an engine reads.

    Parameters
    ----------
    cell : Cell
    engine : module
        `_core.native` or `_core._blas`.
    w_ih, w_hh : ndarray of shape (n_gates * H, I), (n_gates * H, R)
    b_ih, b_hh : ndarray of shape (n_gates * H,) or None
    w_hr : ndarray of shape (R, H) or None
    variant : Variant or None
        None for the plain cell.
    **arrays : ndarray
        The variant's parameters by plain name.
    """

    def __init__(self, cell, engine, w_ih, w_hh, b_ih=None, b_hh=None, w_hr=None, variant=None, **arrays):
        self.cell, self.engine = cell, engine
        self.dtype = w_ih.dtype
        self.H, self.R = w_ih.shape[0] // cell.n_gates, w_hh.shape[1]
        self.I = w_ih.shape[1]
        self.Hp, self.Rp = padded(self.H, self.dtype), padded(self.R, self.dtype)
        self.projects = w_hr is not None
        self.variant = None if variant is None else VariantPack(variant, cell, self.dtype, self.Hp, arrays, blocks)
        self.has_norm = variant is not None and variant.layer_norm
        self.is_fused = engine is native and not self.has_norm  # the kernels multiply for themselves
        self.w_ih = None if self.is_fused else engine.pack(blocks(w_ih, cell.order, cell.n_gates).T)
        self.bias = self._biases(b_ih, b_hh)
        self.input_bias = None if self.has_norm else self.bias[: cell.n_gates * self.Hp]
        self.forward = [self._forward(step, w_ih, w_hh) for step in cell.forward]
        if self.has_norm and cell.has_cell:
            self.forward.append(Operator(LSTM_OUTPUT, None, self.H, self.Hp))
        if self.projects:
            weights = engine.pack(_strips(w_hr, (0,), 1))
            self.forward.append(Operator(PROJECT, weights, self.R, self.Rp, from_mid=True))
        self._source = (w_ih.copy(), w_hh.copy(), None if w_hr is None else w_hr.copy())
        self._backward = None

    def _biases(self, b_ih, b_hh):
        """Return the biases of a row of the kernels: the input's blocks, then one that is the state's alone."""
        cell = self.cell
        if b_ih is None:
            return np.zeros(cell.blocks * self.Hp, self.dtype)
        if not cell.separate_bias:
            return blocks(b_ih + b_hh, cell.order, cell.n_gates)
        joint = b_ih + b_hh
        last = (cell.n_gates - 1) * self.H
        joint[last:] = b_ih[last:]
        own = blocks(b_hh, (cell.n_gates - 1,), cell.n_gates)
        return np.concatenate([blocks(joint, cell.order, cell.n_gates), own])

    def _forward(self, step, w_ih, w_hh):
        units, x_columns, h_columns = native.panel(self.dtype, step.kernel)
        strips, input_weights = _strips(w_hh, step.gates, self.cell.n_gates), None
        weights = self.engine.pack(strips, units * h_columns) if self.is_fused else self.engine.pack(strips)
        if self.is_fused:
            input_weights = native.pack(_strips(w_ih, step.input_gates, self.cell.n_gates), units * x_columns)
        return Operator(step.kernel, weights, self.H, self.Hp, input_weights, from_mid=step.from_mid)

    @property
    def weight_gradients(self):
        """(name, ((gate of the state dict, block of a row), ...), operand) of each product that sums a gradient."""
        cell = self.cell
        found = [("weight_ih", _pairs(cell.order), "x")]
        if cell.mid_gates:  # these come first in a row
            rest = cell.order[len(cell.mid_gates) :]
            found += [("weight_hh", _pairs(cell.mid_gates), "mid")]
            found += [("weight_hh", _pairs(rest, len(cell.mid_gates)), "previous")]
        else:
            found += [("weight_hh", _pairs(cell.hidden_order, cell.hidden_block), "previous")]
        return found + [("weight_hr", ((0, 0),), "inner")] * self.projects

    def add_bias_gradient(self, sums, grads):
        """Add the sums (blocks * Hp,) over the rows of the kernels' gradients to "bias_ih" and "bias_hh"."""
        cell, H = self.cell, self.H
        rows = sums.reshape(-1, self.Hp)[:, :H]
        for name, pairs in (
            ("bias_ih", _pairs(cell.order)),
            ("bias_hh", _pairs(cell.hidden_order, cell.hidden_block)),
        ):
            for gate, block in pairs:
                grads[name][gate * H : (gate + 1) * H] += rows[block]

    def add_variant_gradients(self, sums, grads):
        """Add the sums over the rows of what `fr_variant` says of `extra`."""
        cell, H = self.cell, self.H
        rows = sums.reshape(-1, self.Hp)[:, :H]
        if self.variant.peephole is not None:
            grads["peephole"] += rows[: cell.n_gates - 1].ravel()
            rows = rows[cell.n_gates - 1 :]
        if not self.has_norm:
            return
        for name, pairs in (
            ("norm_ih", _pairs(cell.order)),
            ("norm_hh", _pairs(cell.hidden_order, cell.blocks + cell.hidden_block)),
        ):
            for gate, block in pairs:
                grads[name][gate * H : (gate + 1) * H] += rows[block]
        if cell.has_cell:
            grads["norm_c"] += rows[2 * cell.blocks]
            grads["norm_c_bias"] += rows[2 * cell.blocks + 1]

    @property
    def backward(self):
        """(operators, packed weight_ih) of the steps backward; made when first asked for."""
        made = self._backward
        if made is None:
            made = self._backward = self._make_backward(*self._source)
        return made

    def _make_backward(self, w_ih, w_hh, w_hr):
        cell, operators = self.cell, []
        if self.projects:
            weights = np.zeros((self.Rp, self.H), self.dtype)
            weights[: self.R] = w_hr
            packed = self.engine.pack(weights)
            operators.append(Operator(D_PROJECT, packed, self.R, self.Rp, from_mid=True, into_mid=True))
        if self.has_norm and cell.has_cell:
            operators.append(Operator(D_LSTM_OUTPUT, None, self.H, self.Hp))
        for step in cell.backward:
            packed = self.engine.pack(blocks(w_hh, step.gates, cell.n_gates))
            column = step.block * self.Hp
            operators.append(Operator(step.kernel, packed, self.H, self.Hp, column=column, into_mid=step.into_mid))
        return operators, self.engine.pack(blocks(w_ih, cell.order, cell.n_gates))
