"""Figures of merit on plain arrays, for where scikit-learn is not wanted."""

import numpy as np

__all__ = ["accuracy", "mean_squared_error"]


def accuracy(target, predicted):
    """Share of equal elements.

    Parameters
    ----------
    target, predicted : array_like of the same shape

    Returns
    -------
    share : float
        In [0, 1]; NaN where there are no elements.

    Examples
    --------
    >>> from fastrnn.metrics import accuracy
    >>> accuracy([0, 1, 2, 2], [0, 1, 2, 0])
    0.75
    """
    target, predicted = _same_shape(target, predicted)
    return float(np.mean(target == predicted)) if target.size else float("nan")


def mean_squared_error(target, predicted):
    """Mean of squared differences over all elements, in float64.

    Parameters
    ----------
    target, predicted : array_like of the same shape

    Returns
    -------
    error : float
        NaN where there are no elements.

    Examples
    --------
    >>> from fastrnn.metrics import mean_squared_error
    >>> mean_squared_error([0.0, 2.0], [0.0, 4.0])
    2.0
    """
    target, predicted = _same_shape(target, predicted)
    if not target.size:
        return float("nan")
    return float(np.mean(np.square(np.subtract(target, predicted, dtype=np.float64))))


def _same_shape(target, predicted):
    target, predicted = np.asarray(target), np.asarray(predicted)
    if target.shape != predicted.shape:
        raise ValueError(f"predicted has shape {predicted.shape}, expected the shape of target, {target.shape}")
    return target, predicted
