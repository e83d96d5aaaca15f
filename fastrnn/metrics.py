"""Figures of merit on plain arrays, for where scikit-learn is not wanted."""

import numpy as np

from ._validation import check_quantiles

__all__ = [
    "accuracy",
    "edit_distance",
    "label_error_rate",
    "mean_absolute_error",
    "mean_absolute_scaled_error",
    "mean_squared_error",
    "pinball_loss",
    "root_mean_squared_error",
]


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


def root_mean_squared_error(target, predicted):
    """Square root of the mean of squared differences over all elements, in float64 and in the units of the target.

    Parameters
    ----------
    target, predicted : array_like of the same shape

    Returns
    -------
    error : float
        NaN where there are no elements.

    Examples
    --------
    >>> from fastrnn.metrics import root_mean_squared_error
    >>> root_mean_squared_error([0.0, 0.0], [1.0, 7.0])
    5.0
    """
    return float(np.sqrt(mean_squared_error(target, predicted)))


def mean_absolute_error(target, predicted):
    """Mean of absolute differences over all elements, in float64.

    Parameters
    ----------
    target, predicted : array_like of the same shape

    Returns
    -------
    error : float
        NaN where there are no elements.

    Examples
    --------
    >>> from fastrnn.metrics import mean_absolute_error
    >>> mean_absolute_error([0.0, 2.0], [0.0, 4.0])
    1.0
    """
    target, predicted = _same_shape(target, predicted)
    if not target.size:
        return float("nan")
    return float(np.mean(np.abs(np.subtract(target, predicted, dtype=np.float64))))


def mean_absolute_scaled_error(target, predicted, training, season=1):
    """Mean absolute error of a forecast, divided by that of the naive forecast within the training part.

    The naive forecast of a step is the value ``season`` steps before it (Hyndman and Koehler 2006, "Another look at
    measures of forecast accuracy", section 3), so that series of any units and levels can be compared; below 1 is
    better than the naive forecast of one step was.

    Parameters
    ----------
    target, predicted : array_like of the same shape
        One series.
    training : array_like of shape (n_timesteps,)
        The series before the forecast, more than ``season`` steps.
    season : int, default=1

    Returns
    -------
    error : float
        NaN where there are no elements; infinite, or NaN for a forecast without error, where the naive forecast is
        right throughout the training part.

    Examples
    --------
    >>> from fastrnn.metrics import mean_absolute_scaled_error
    >>> mean_absolute_scaled_error([5.0, 7.0], [5.0, 6.0], training=[1.0, 2.0, 3.0, 4.0])
    0.5
    """
    training = np.asarray(training, dtype=np.float64)
    if training.ndim != 1 or len(training) <= season:
        raise ValueError(
            f"training has shape {training.shape}, expected (n_timesteps,) with n_timesteps > season = {season}"
        )
    naive = mean_absolute_error(training[season:], training[:-season])
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.float64(mean_absolute_error(target, predicted)) / naive)


def pinball_loss(target, predicted, quantiles):
    """Mean pinball loss of forecast quantiles, in float64 and in the units of the target.

    max(q e, (q - 1) e) of the error e = target - predicted (Koenker and Bassett 1978, "Regression quantiles"); for the
    quantile 0.5 half the absolute error.

    Parameters
    ----------
    target : array_like of shape (...)
    predicted : array_like of shape (..., n_quantiles)
    quantiles : sequence of float of shape (n_quantiles,)
        In (0, 1).

    Returns
    -------
    loss : float
        Mean over elements and quantiles; NaN where there are none.

    Examples
    --------
    >>> from fastrnn.metrics import pinball_loss
    >>> pinball_loss([3.0], [[1.0, 5.0]], (0.25, 0.75))
    0.5
    """
    quantiles = check_quantiles(quantiles)
    target = np.asarray(target, dtype=np.float64)
    target, predicted = _same_shape(np.repeat(target[..., None], len(quantiles), axis=-1), predicted)
    if not target.size:
        return float("nan")
    error = np.subtract(target, predicted, dtype=np.float64)
    return float(np.mean(np.maximum(quantiles * error, (quantiles - 1.0) * error)))


def edit_distance(target, predicted):
    """Least number of labels to put in, take out or exchange that makes one sequence another.

    Levenshtein's distance, by the table of Wagner and Fischer 1974, "The string-to-string correction problem".

    Parameters
    ----------
    target, predicted : sequence of hashable
        A str is the sequence of its characters.

    Returns
    -------
    distance : int

    Examples
    --------
    >>> from fastrnn.metrics import edit_distance
    >>> edit_distance("kitten", "sitting"), edit_distance(["a", "cat"], [])
    (3, 2)
    """
    numbers = {}
    target = [numbers.setdefault(label, len(numbers)) for label in target]
    predicted = np.array([numbers.setdefault(label, len(numbers)) for label in predicted], dtype=np.int64)
    places = np.arange(len(predicted) + 1)
    row = places.copy()
    for label in target:
        kept = row[:-1] + (predicted != label)
        row += 1
        np.minimum(row[1:], kept, out=row[1:])
        row = np.minimum.accumulate(row - places) + places  # put in as many as it takes from any place before
    return int(row[-1])


def label_error_rate(target, predicted):
    """Edit distances of sequences, in sum, over the lengths of those that should have come, in sum.

    Of characters it is known as character error rate, of words as word error rate.

    Parameters
    ----------
    target, predicted : sequences of the same number of sequences of hashable

    Returns
    -------
    rate : float
        0 where all is right; above 1 where more is wrong than there are labels. NaN where target has no label.

    Examples
    --------
    >>> from fastrnn.metrics import label_error_rate
    >>> label_error_rate(["seven", "one"], ["seen", "one"])
    0.125
    """
    if len(target) != len(predicted):
        raise ValueError(f"predicted has {len(predicted)} sequences, expected those of target, {len(target)}")
    n_labels = sum(map(len, target))
    distance = sum(edit_distance(*pair) for pair in zip(target, predicted))
    return distance / n_labels if n_labels else float("nan")


def _same_shape(target, predicted):
    target, predicted = np.asarray(target), np.asarray(predicted)
    if target.shape != predicted.shape:
        raise ValueError(f"predicted has shape {predicted.shape}, expected the shape of target, {target.shape}")
    return target, predicted
