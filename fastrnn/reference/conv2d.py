r"""Convolution of one frame after another, pixel by pixel.

.. math::
    y_{o,r,c} = f\Big(b_o + \sum_{i,j} W_{o,:,i,j} \cdot x_{:,\, r s_h - p_h + i,\, c s_w - p_w + j}\Big)

with strides s and paddings p along height and width; what lies outside a frame is zero.

Source: the formula in the documentation of ``torch.nn.Conv2d`` (a cross-correlation: the kernel is not flipped). The
backward pass is the chain rule applied to this line.
"""

import numpy as np

from .conv1d import FUNCTIONS


def forward(params, frames, *, stride=(1, 1), padding=(0, 0), activation=None):
    """Convolve each frame.

    Parameters
    ----------
    params : dict of str to ndarray
        ``weight`` (output_channels, channels, kernel height, kernel width) and, with a bias, ``bias``
        (output_channels,).
    frames : ndarray of shape (steps, channels, height, width)
    stride, padding : (int, int)
    activation : {None, "relu", "tanh", "sigmoid"}

    Returns
    -------
    ndarray of shape (steps, output_channels, output height, output width)
    """
    weight, function = params["weight"], FUNCTIONS[activation][0]
    height, width = weight.shape[2:]
    padded = _padded(frames, padding)
    rows, columns = _starts(padded, weight, stride)
    output = np.empty((len(frames), len(weight), len(rows), len(columns)), frames.dtype)
    for n, o in np.ndindex(output.shape[:2]):
        for r, top in enumerate(rows):
            for c, left in enumerate(columns):
                output[n, o, r, c] = np.sum(weight[o] * padded[n, :, top : top + height, left : left + width])
    if "bias" in params:
        output += params["bias"][:, None, None]
    return function(output)


def backward(params, frames, d_output, *, stride=(1, 1), padding=(0, 0), activation=None):
    """Derivatives of one scalar by frames and parameters; arguments as in `forward`, `d_output` of its output's shape.

    Returns
    -------
    d_frames : ndarray, the shape of ``frames``
    grads : dict of str to ndarray
        The keys and shapes of ``params``.
    """
    weight, d_function = params["weight"], FUNCTIONS[activation][1]
    height, width = weight.shape[2:]
    output = forward(params, frames, stride=stride, padding=padding, activation=activation)
    padded = _padded(frames, padding)
    d_padded, grads = np.zeros_like(padded), {name: np.zeros_like(value) for name, value in params.items()}
    rows, columns = _starts(padded, weight, stride)
    d_sums = d_output * d_function(output)
    for n, o in np.ndindex(output.shape[:2]):
        for r, top in enumerate(rows):
            for c, left in enumerate(columns):
                patch = n, slice(None), slice(top, top + height), slice(left, left + width)
                grads["weight"][o] += d_sums[n, o, r, c] * padded[patch]
                d_padded[patch] += d_sums[n, o, r, c] * weight[o]
    if "bias" in params:
        grads["bias"] = d_sums.sum((0, 2, 3))
    bottom, right = (size - zeros for size, zeros in zip(padded.shape[2:], padding, strict=True))
    return d_padded[:, :, padding[0] : bottom, padding[1] : right], grads


def _padded(frames, padding):
    return np.pad(frames, ((0, 0), (0, 0), *((zeros, zeros) for zeros in padding)))


def _starts(padded, weight, stride):
    """Where the kernel's first row and first column stand in the padded frame, output by output."""
    sides = zip(padded.shape[2:], weight.shape[2:], stride, strict=True)
    return tuple(range(0, side - kernel + 1, step) for side, kernel, step in sides)
