r"""Convolution over time, row by row and tap by tap.

.. math::
    y_t = f\Big(b + \sum_{j=0}^{k-1} W_{:,:,j}\, x_{t s - p + j d}\Big)

with stride s, dilation d and p zeros before the row; what lies outside a row is zero.

Source: the formula in the documentation of ``torch.nn.Conv1d`` (a cross-correlation: the kernel is not flipped). The
backward pass is the chain rule applied to this line.
"""

import numpy as np

from ._math import d_relu, d_sigmoid, d_tanh, relu, sigmoid

FUNCTIONS = {
    None: (lambda a: a, np.ones_like),
    "relu": (relu, d_relu),
    "tanh": (np.tanh, d_tanh),
    "sigmoid": (sigmoid, d_sigmoid),
}


def forward(params, x, lengths=None, *, stride=1, padding="same", dilation=1, activation=None):
    """Convolve each row as if it were alone.

    Parameters
    ----------
    params : dict of str to ndarray
        ``weight`` (output_size, input_size, kernel_size) and, with a bias, ``bias`` (output_size,).
    x : ndarray of shape (seq_len, batch_size, input_size)
        Steps past a row's length are never read.
    lengths : array_like of int of shape (batch_size,), optional
    stride, dilation : int
    padding : {"same", "valid", "causal"} or int
    activation : {None, "relu", "tanh", "sigmoid"}

    Returns
    -------
    output : ndarray of shape (output_seq_len, batch_size, output_size)
        0 past the end of a row's output.
    output_lengths : ndarray of int of shape (batch_size,)
    """
    weight, function = params["weight"], FUNCTIONS[activation][0]
    seq_len, batch_size, _ = x.shape
    lengths = np.full(batch_size, seq_len) if lengths is None else np.asarray(lengths)
    rows = []
    for n, length in enumerate(lengths):
        row = _padded(x[:length, n], weight, padding, dilation)
        outputs = []
        for t in _starts(length, row, weight, stride, dilation):
            a = params["bias"].copy() if "bias" in params else np.zeros(len(weight), x.dtype)
            for j in range(weight.shape[2]):
                a += weight[:, :, j] @ row[t + j * dilation]
            outputs.append(function(a))
        rows.append(outputs)
    longest = _padded(np.zeros((seq_len, 1)), weight, padding, dilation)
    output = np.zeros((len(_starts(seq_len, longest, weight, stride, dilation)), batch_size, len(weight)), x.dtype)
    for n, outputs in enumerate(rows):
        for t, y in enumerate(outputs):
            output[t, n] = y
    return output, np.array([len(outputs) for outputs in rows], dtype=int)


def backward(params, x, lengths, d_output, *, stride=1, padding="same", dilation=1, activation=None):
    """Derivatives of one scalar by input and parameters; arguments as in `forward`, `d_output` of its output's shape.

    Returns
    -------
    d_x : ndarray, the shape of ``x``
        0 past a row's length.
    grads : dict of str to ndarray
        The keys and shapes of ``params``.
    """
    options = {"stride": stride, "padding": padding, "dilation": dilation, "activation": activation}
    weight, d_function = params["weight"], FUNCTIONS[activation][1]
    output, _ = forward(params, x, lengths, **options)
    lengths = np.full(x.shape[1], len(x)) if lengths is None else np.asarray(lengths)
    d_x, grads = np.zeros_like(x), {name: np.zeros_like(value) for name, value in params.items()}
    for n, length in enumerate(lengths):
        row = _padded(x[:length, n], weight, padding, dilation)
        d_row = np.zeros_like(row)
        for k, t in enumerate(_starts(length, row, weight, stride, dilation)):
            d_a = d_output[k, n] * d_function(output[k, n])
            if "bias" in params:
                grads["bias"] += d_a
            for j in range(weight.shape[2]):
                grads["weight"][:, :, j] += np.outer(d_a, row[t + j * dilation])
                d_row[t + j * dilation] += d_a @ weight[:, :, j]
        before = _zeros_around(weight, padding, dilation)[0]
        d_x[:length, n] = d_row[before : before + length]
    return d_x, grads


def _zeros_around(weight, padding, dilation):
    """How many steps of zeros stand before and after a row."""
    missing = dilation * (weight.shape[2] - 1)
    named = {"valid": (0, 0), "causal": (missing, 0), "same": (missing // 2, missing - missing // 2)}
    return named[padding] if padding in named else (padding, padding)


def _padded(row, weight, padding, dilation):
    before, after = _zeros_around(weight, padding, dilation)
    zeros = np.zeros((1, row.shape[1]), row.dtype)
    return np.concatenate([zeros.repeat(before, 0), row, zeros.repeat(after, 0)])


def _starts(length, row, weight, stride, dilation):
    """Where the kernel's first tap stands in the padded row, output by output; an empty row has no outputs."""
    last = len(row) - dilation * (weight.shape[2] - 1)
    return range(0, last, stride) if length and last > 0 else range(0)
