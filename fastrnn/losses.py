"""Losses: the value and the gradient with respect to the network's raw output, in one call.

Each function returns ``(value, d_outputs)``: ``value`` is the mean over samples as a Python float,
and ``d_outputs`` is its gradient, in the dtype and shape of the outputs, to be handed to ``backward``
as it is. Reductions run in a fixed order in float64, so a value does not depend on threads.

``sample_weight`` turns the mean into sum(w * loss) / sum(w). A sample of weight 0 is left out
altogether: its outputs may be anything, NaN included (that is how padding is masked).
"""

import numpy as np

from ._validation import check_quantiles

__all__ = [
    "logistic_cross_entropy",
    "quantile_loss",
    "sigmoid",
    "softmax",
    "softmax_cross_entropy",
    "squared_error",
]


def _floating(name, values):
    values = np.asarray(values)
    if values.dtype not in (np.float32, np.float64):
        raise TypeError(f"{name} has dtype {values.dtype}, expected float32 or float64")
    return values


def _same_shape(outputs_name, outputs, target):
    target = np.asarray(target)
    if target.shape != outputs.shape:
        raise ValueError(f"target has shape {target.shape}, expected the shape of {outputs_name}, {outputs.shape}")
    if target.dtype.kind not in "biuf":
        raise TypeError(f"target has dtype {target.dtype}, expected real numbers")
    return target.astype(outputs.dtype, copy=False)


def _weighted_mean(per_sample, d_per_sample, sample_weight):
    """Reduce losses (...) and scale their gradients (..., K), in place, to those of the mean."""
    if sample_weight is None:
        count = per_sample.size
        if count == 0:
            return 0.0, d_per_sample
        d_per_sample /= count
        return float(np.sum(per_sample, dtype=np.float64)) / count, d_per_sample
    weight = np.asarray(sample_weight, dtype=np.float64)
    if weight.shape != per_sample.shape:
        raise ValueError(f"sample_weight has shape {weight.shape}, expected {per_sample.shape}")
    if not (np.isfinite(weight) & (weight >= 0.0)).all():
        raise ValueError("sample_weight holds a negative number, an infinite one or NaN, expected weights >= 0")
    total = float(np.sum(weight))
    if not total > 0.0:
        raise ValueError(f"sample_weight sums to {total}, expected a sum > 0")
    used = weight != 0.0
    value = float(np.sum(np.where(used, per_sample * weight, 0.0))) / total
    d_per_sample *= (weight / total).astype(d_per_sample.dtype)[..., None]
    d_per_sample[~used] = 0.0
    return value, d_per_sample


def softmax(logits):
    """Probabilities exp(z_k) / sum_j exp(z_j) over the last axis, without overflow.

    Parameters
    ----------
    logits : ndarray of shape (..., n_classes), float32 or float64

    Returns
    -------
    probabilities : ndarray of shape (..., n_classes)

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn.losses import softmax
    >>> softmax(np.array([[1000.0, 1000.0], [0.0, np.log(3.0)]]))
    array([[0.5 , 0.5 ],
           [0.25, 0.75]])
    """
    logits = np.ascontiguousarray(_floating("logits", logits))
    shifted = logits - logits.max(axis=-1, keepdims=True)
    np.exp(shifted, out=shifted)
    shifted /= shifted.sum(axis=-1, keepdims=True)
    return shifted


def sigmoid(logits):
    """1 / (1 + exp(-z)) elementwise, by the branch that cannot overflow.

    Parameters
    ----------
    logits : ndarray, float32 or float64

    Returns
    -------
    probabilities : ndarray of the same shape

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn.losses import sigmoid
    >>> sigmoid(np.array([-1000.0, 0.0, 1000.0]))
    array([0. , 0.5, 1. ])
    """
    logits = np.ascontiguousarray(_floating("logits", logits))
    e = np.exp(-np.abs(logits))
    return np.where(logits >= 0, 1.0, e) / (1.0 + e)


def softmax_cross_entropy(logits, target, sample_weight=None):
    """Cross-entropy of a softmax over the last axis: log(sum_j exp(z_j)) - z_target.

    The gradient of one sample is softmax(z) - onehot(target) (Bishop 2006, "Pattern recognition
    and machine learning", equations 4.108 and 4.109).

    Parameters
    ----------
    logits : ndarray of shape (..., n_classes), float32 or float64
    target : ndarray of int of shape (...)
        Class numbers, 0 <= target < n_classes.
    sample_weight : ndarray of shape (...), optional

    Returns
    -------
    value : float
        Mean over samples, in nats.
    d_logits : ndarray of shape (..., n_classes)

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn.losses import softmax_cross_entropy
    >>> value, d_logits = softmax_cross_entropy(np.zeros((1, 2)), np.array([0]))
    >>> round(value, 6), d_logits.tolist()
    (0.693147, [[-0.5, 0.5]])
    """
    logits = np.ascontiguousarray(_floating("logits", logits))
    target = np.asarray(target)
    if target.dtype.kind not in "iu":
        raise TypeError(f"target has dtype {target.dtype}, expected integers (class numbers)")
    if target.shape != logits.shape[:-1]:
        raise ValueError(f"target has shape {target.shape}, expected logits.shape[:-1] = {logits.shape[:-1]}")
    n_classes = logits.shape[-1]
    if target.size and not (0 <= target.min() and target.max() < n_classes):
        raise ValueError(
            f"target holds class numbers from {target.min()} to {target.max()}, expected 0 <= target < {n_classes}"
        )
    shifted = logits - logits.max(axis=-1, keepdims=True)
    picked = np.take_along_axis(shifted, target[..., None], axis=-1)[..., 0]
    exponentials = np.exp(shifted)
    totals = exponentials.sum(axis=-1)
    per_sample = np.log(totals) - picked
    d_logits = exponentials / totals[..., None]
    flat = d_logits.reshape(-1, n_classes)  # a view: d_logits is contiguous
    flat[np.arange(flat.shape[0]), target.ravel()] -= 1.0
    return _weighted_mean(per_sample, d_logits, sample_weight)


def logistic_cross_entropy(logits, target, sample_weight=None):
    """Cross-entropy of independent yes/no outputs, summed over the last axis.

    With p = sigmoid(z), one output's loss is -y log p - (1 - y) log(1 - p), computed as
    max(z, 0) - y z + log(1 + exp(-abs(z))); its gradient is p - y (Bishop 2006, equations 4.90
    and 4.91).

    Parameters
    ----------
    logits : ndarray of shape (..., n_outputs), float32 or float64
    target : ndarray of shape (..., n_outputs)
        In [0, 1].
    sample_weight : ndarray of shape (...), optional

    Returns
    -------
    value : float
    d_logits : ndarray of shape (..., n_outputs)

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn.losses import logistic_cross_entropy
    >>> value, d_logits = logistic_cross_entropy(np.array([[0.0]]), np.array([[1]]))
    >>> round(value, 6), d_logits.tolist()
    (0.693147, [[-0.5]])
    """
    logits = np.ascontiguousarray(_floating("logits", logits))
    target = _same_shape("logits", logits, target)
    losses = np.maximum(logits, 0.0) - target * logits + np.log1p(np.exp(-np.abs(logits)))
    return _weighted_mean(losses.sum(axis=-1), sigmoid(logits) - target, sample_weight)


def squared_error(outputs, target, sample_weight=None):
    """Half the squared difference, averaged over samples and over the last axis.

    The factor 1/2 is MLPRegressor's, whose ``loss_curve_`` it makes comparable: the mean squared
    error is twice the value.

    Parameters
    ----------
    outputs : ndarray of shape (..., n_outputs), float32 or float64
    target : ndarray of shape (..., n_outputs)
    sample_weight : ndarray of shape (...), optional

    Returns
    -------
    value : float
    d_outputs : ndarray of shape (..., n_outputs)

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn.losses import squared_error
    >>> squared_error(np.array([[3.0]]), np.array([[1.0]]))
    (2.0, array([[2.]]))
    """
    outputs = np.ascontiguousarray(_floating("outputs", outputs))
    difference = outputs - _same_shape("outputs", outputs, target)
    n_outputs = max(outputs.shape[-1], 1)
    per_sample = 0.5 * np.sum(np.square(difference), axis=-1) / n_outputs
    return _weighted_mean(per_sample, difference / n_outputs, sample_weight)


def quantile_loss(outputs, target, quantiles, sample_weight=None):
    """Pinball loss of several quantiles, averaged over samples, over numbers to be forecast and over quantiles.

    With the error e = y - z of a quantile q it is max(q e, (q - 1) e) (Koenker and Bassett 1978, "Regression
    quantiles", equation 3.1, as a function of the error), whose expectation is smallest where z is that quantile of y.
    Its gradient is -q where z lies below y, 1 - q where it lies above, and 0 where they are equal.

    Parameters
    ----------
    outputs : ndarray of shape (..., n_outputs, n_quantiles), float32 or float64
    target : ndarray of shape (..., n_outputs)
    quantiles : sequence of float of shape (n_quantiles,)
        In (0, 1).
    sample_weight : ndarray of shape (...), optional

    Returns
    -------
    value : float
    d_outputs : ndarray of shape (..., n_outputs, n_quantiles)

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn.losses import quantile_loss
    >>> value, d_outputs = quantile_loss(np.array([[[1.0, 5.0]]]), np.array([[3.0]]), (0.25, 0.75))
    >>> value, d_outputs.tolist()
    (0.5, [[[-0.125, 0.125]]])
    """
    outputs = np.ascontiguousarray(_floating("outputs", outputs))
    quantiles = check_quantiles(quantiles).astype(outputs.dtype)
    if outputs.ndim < 2 or outputs.shape[-1] != len(quantiles):
        raise ValueError(
            f"outputs has shape {outputs.shape}, expected (..., n_outputs, n_quantiles) = (..., {len(quantiles)})"
        )
    error = _same_shape("outputs without its last axis", outputs[..., 0], target)[..., None] - outputs
    d_outputs = np.where(error > 0.0, -quantiles, np.where(error < 0.0, 1.0 - quantiles, 0.0 * error))
    size = max(outputs.shape[-2] * outputs.shape[-1], 1)
    flat = (d_outputs / size).astype(outputs.dtype, copy=False).reshape(*outputs.shape[:-2], size)
    per_sample = np.sum(np.maximum(quantiles * error, (quantiles - 1.0) * error), axis=(-2, -1)) / size
    value, flat = _weighted_mean(per_sample, flat, sample_weight)
    return value, flat.reshape(outputs.shape)
