"""One recurrent node."""

from __future__ import annotations

import numpy as np

from ..io._onnx_node import apply, build, is_recurrent, read_cell


class Runner:
    """A recurrent node, with the layers of its weights.

    Parameters
    ----------
    node : onnx.NodeProto
    constants : dict of str to ndarray, default={}
        Inputs that never change, by the operator's name (such as "W"). Where these are all of its weights, layers are
        made once; else whenever the weights differ from those of the call before.
    """

    def __init__(self, node, constants=None):
        self.node, self.cell = node, read_cell(node)
        if len(node.input) > len(self.cell.inputs) or len(node.output) > len(self.cell.outputs):
            raise ValueError(
                f"{self.cell.where} has {len(node.input)} inputs and {len(node.output)} outputs, expected at most "
                f"{len(self.cell.inputs)} and {len(self.cell.outputs)}"
            )
        self.inputs, self.outputs = tuple(node.input), tuple(node.output)
        self._names = self.cell.inputs[: len(self.inputs)]
        self._constants = dict(constants or {})
        self._given = [name for name, value in zip(self.cell.inputs, node.input) if value]
        weights = ("W", "R", "B", "P", *self.cell.inputs[8:])
        self._weights = [name for name in self._given if name in weights]
        missing = [n for n in ("X", "W", "R", *self.cell.inputs[8:]) if n not in self._given]
        if missing:
            raise ValueError(f"{self.cell.where} lacks the input {', '.join(missing)}")
        self._built: tuple | None = None
        if all(name in self._constants for name in self._weights):
            self._built = None, build(self.cell, {name: self._constants[name] for name in self._weights})

    @property
    def asks_for(self):
        """Names of the values that a run needs."""
        return [v for n, v in zip(self.cell.inputs, self.node.input) if v and n not in self._constants]

    @property
    def described(self):
        """What it is, in a line."""
        constant = self._built is not None and self._built[0] is None
        what = ", ".join(map(repr, self._built[1])) if constant else "weights are inputs"
        return f"{self.cell.where}, {self.cell.direction}: {what}"

    def run(self, inputs, n_threads=None):
        """Return the outputs for a list of inputs in the order of the node, None where one is not given."""
        given = dict(zip(self._names, inputs)) | self._constants
        lengths, h_0, c_0 = given.get("sequence_lens"), given.get("initial_h"), given.get("initial_c")
        found = apply(self.cell, self._layers(given), given["X"], lengths, h_0, c_0, n_threads)
        return list(found[: len(self.outputs)])

    def _layers(self, given):
        built = self._built
        if built is None or built[0] is not None:
            weights = {name: np.array(given[name]) for name in self._weights}
            if built is None or not all(_same(weights[name], built[0][name]) for name in weights):
                built = self._built = weights, build(self.cell, weights)
        return built[1]


def _same(a, b):
    return a.dtype == b.dtype and a.shape == b.shape and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")


def run_node(node, inputs, *, n_threads=None):
    """Run one recurrent node on our kernels.

    Parameters
    ----------
    node : onnx.NodeProto
        LSTM, GRU or RNN of ONNX's operators (versions 7 to 22), with any of their attributes and optional inputs and
        outputs; or DynamicQuantizeLSTM of com.microsoft, which is computed in float32 with its weights dequantised.
    inputs : sequence of array_like
        In the order of the node, None for one that is not given. float16 is computed in float32, and comes back in
        float16; float64 is computed in float64.
    n_threads : int, optional
        At most so many; by default what the work is worth.

    Returns
    -------
    list of ndarray
        The outputs that the node names, an unnamed one included.

    Raises
    ------
    ValueError
        Where the node is another one, or an attribute or a shape does not fit.

    Notes
    -----
    Alphas and betas go, in order, to the activations that have one, and what is left over is not used: as in ONNX
    Runtime. A row of length 0 has the initial states as its last ones, where ONNX Runtime gives 0.

    Examples
    --------
    ::

        node = onnx.helper.make_node("GRU", ["X", "W", "R"], ["Y", "Y_h"], hidden_size=4)
        y, y_h = fastrnn.onnx.run_node(node, [x, w, r])
    """
    if not is_recurrent(node):
        raise ValueError(f"node is a {node.op_type!r} of {node.domain!r}, expected LSTM, GRU or RNN")
    if len(inputs) != len(node.input):
        raise ValueError(f"inputs has {len(inputs)} entries, expected those of the node, {len(node.input)}")
    arrays = [None if value is None else np.asarray(value) for value in inputs]
    own = type(node)()
    own.CopyFrom(node)
    for k, array in enumerate(arrays):
        if array is None:
            own.input[k] = ""
    return Runner(own).run(arrays, n_threads)
