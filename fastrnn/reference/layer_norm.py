r"""Layer normalisation over the last axis.

.. math::
    y = w \odot \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} + b

with the mean and the (biased) variance of each step's own features.

Source: J. L. Ba, J. R. Kiros and G. E. Hinton, "Layer Normalization", 2016, equation (4) (gain and bias as in the text
below it), with epsilon inside the root as in ``torch.nn.LayerNorm``. The backward pass is the chain rule through mean
and variance, written out as the Jacobian of one step.
"""

import numpy as np


def forward(params, x, *, eps=1e-5):
    """Normalise.

    Parameters
    ----------
    params : dict of str to ndarray
        ``weight`` and ``bias`` of shape (size,).
    x : ndarray of shape (..., size)
    eps : float

    Returns
    -------
    ndarray of shape (..., size)
    """
    mean = x.mean(-1, keepdims=True)
    variance = ((x - mean) ** 2).mean(-1, keepdims=True)
    return params["weight"] * (x - mean) / np.sqrt(variance + eps) + params["bias"]


def backward(params, x, d_output, *, eps=1e-5):
    """Derivatives of one scalar by input and parameters.

    Parameters
    ----------
    params, x, eps
        As in `forward`.
    d_output : ndarray of shape (..., size)

    Returns
    -------
    d_x : ndarray of shape (..., size)
    grads : dict of str to ndarray
        The keys and shapes of ``params``.
    """
    size = x.shape[-1]
    d_x, grads = np.empty_like(x), {name: np.zeros_like(value) for name, value in params.items()}
    for index in np.ndindex(x.shape[:-1]):
        centred = x[index] - x[index].mean()
        deviation = np.sqrt((centred**2).mean() + eps)
        # d y_i / d x_j of the normalised step, (size, size)
        jacobian = (np.eye(size) - 1 / size) / deviation - np.outer(centred, centred) / (size * deviation**3)
        d_x[index] = (d_output[index] * params["weight"]) @ jacobian
        grads["weight"] += d_output[index] * centred / deviation
        grads["bias"] += d_output[index]
    return d_x, grads
