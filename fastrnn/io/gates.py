"""The orders of gates in weights, by who wrote them, and the permutations between them. Nothing else."""

from __future__ import annotations

import numpy as np

from .._validation import check_choice

# Blocks of rows of a kernel, one letter a gate: i f g o of an LSTM (g is Keras's and ONNX's c), r z n of a GRU (n is
# their h). "peephole" are the gates that see the cell.
ORDERS = {
    "torch": {"lstm": "ifgo", "gru": "rzn", "rnn": "h", "peephole": "ifo"},
    "keras": {"lstm": "ifgo", "gru": "zrn", "rnn": "h"},
    "onnx": {"lstm": "iofg", "gru": "zrn", "rnn": "h", "peephole": "iof"},
    "cudnn": {"lstm": "ifgo", "gru": "rzn", "rnn": "h"},
}


def reorder(w, source, cell, target="torch", axis=0):
    """Return weights with their gates in another order.

    Parameters
    ----------
    w : ndarray
        Weights or a bias, its gates in blocks of equal size along `axis`.
    source, target : {"torch", "keras", "onnx", "cudnn"}
        Who wrote them, and for whom. fastrnn's own order is torch's.
    cell : {"lstm", "gru", "rnn", "peephole"}
        "peephole" for the weights of an LSTM's peepholes.
    axis : int, default=0

    Returns
    -------
    ndarray
        `w` itself where the orders are the same, else a copy.

    References
    ----------
    torch.nn.LSTM and GRU, "Variables"; keras.src.layers.rnn.lstm and gru, ``LSTMCell.call`` and ``GRUCell.call``; ONNX
    operators LSTM (iofc, peepholes iof) and GRU (zrh); cuDNN developer guide, ``cudnnGetRNNWeightParams``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn.io.gates import reorder
    >>> reorder(np.array([10, 40, 20, 30]), source="onnx", cell="lstm").tolist()  # i o f c -> i f g o
    [10, 20, 30, 40]
    >>> reorder(np.array([2, 1, 3]), source="keras", cell="gru").tolist()  # z r h -> r z n
    [1, 2, 3]
    """
    orders = [_order(name, value, cell) for name, value in (("source", source), ("target", target))]
    if orders[0] == orders[1]:
        return w
    if w.shape[axis] % len(orders[0]):
        raise ValueError(f"w has shape {w.shape}, expected a multiple of {len(orders[0])} gates along axis {axis}")
    blocks = np.split(w, len(orders[0]), axis=axis)
    return np.concatenate([blocks[orders[0].index(gate)] for gate in orders[1]], axis=axis)


def _order(argument, name, cell):
    check_choice(argument, name, tuple(ORDERS))
    return ORDERS[name][check_choice("cell", cell, tuple(ORDERS[name]))]
