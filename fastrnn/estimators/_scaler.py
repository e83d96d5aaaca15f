"""Standardisation of sequences, step by step counted and padding never."""

from functools import wraps

import numpy as np
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from ._input import is_table, read_sequences


class SequenceScaler(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Bring every feature of sequences to mean 0 and variance 1.

    z = (x - mean) / scale, with the mean and the standard deviation of a feature over all steps of all
    sequences together: a long sequence counts for more than a short one, and there is no padding to
    count. A feature that never changes is only shifted.

    Parameters
    ----------
    with_mean : bool, default=True
        Subtract the mean.
    with_std : bool, default=True
        Divide by the standard deviation.
    dtype : {"auto", "float32", "float64"}, default="auto"
        Type of the results; "auto" is float32 where X of ``fit`` is, else float64. Sums are always float64.

    Attributes
    ----------
    mean_ : ndarray of shape (n_features,)
        Mean of each feature, in its units. 2-D X has one feature a step.
    var_ : ndarray of shape (n_features,)
        Variance (divided by the number of steps).
    scale_ : ndarray of shape (n_features,)
        By what ``transform`` divides: sqrt(var_), or 1 for a constant feature.
    n_steps_seen_ : int
        Steps of all sequences together.
    n_features_in_ : int
        n_features; for 2-D X its number of columns, n_timesteps.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Where X had names for its features (a data frame, or a list of them).

    See Also
    --------
    RNNClassifier : Reads what this returns.

    Notes
    -----
    Sums of squares of parts are joined by the formula of Chan, Golub and LeVeque (1983), "Algorithms for
    computing the sample variance", equation 2.1, so that ``partial_fit`` over parts agrees with ``fit``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn.estimators import SequenceScaler
    >>> X = [np.array([[1.0], [3.0]]), np.array([[5.0]])]
    >>> scaler = SequenceScaler().fit(X)
    >>> scaler.mean_.tolist(), scaler.n_steps_seen_
    ([3.0], 3)
    >>> [z.round(2).tolist() for z in scaler.transform(X)]
    [[[-1.22], [0.0]], [[1.22]]]
    """

    def __init__(self, *, with_mean=True, with_std=True, dtype="auto"):
        self.with_mean = with_mean
        self.with_std = with_std
        self.dtype = dtype

    def fit(self, X, y=None):
        """Learn mean and variance.

        Parameters
        ----------
        X : array_like of shape (n_samples, n_timesteps) or (n_samples, n_timesteps, n_features), or list of \
arrays of shape (n_timesteps_i, n_features)
            Finite numbers; no sequence may be empty.
        y : None
            Not used.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            Where X holds NaN or infinities, a sequence is empty, or numbers of features differ.
        """
        sequences = read_sequences(self, X, reset=True)
        self._learn(sequences, None)
        return self

    def partial_fit(self, X, y=None):
        """Learn from more sequences, in addition to those seen before.

        Parameters
        ----------
        X : array_like or list
            As in ``fit``, with the same features.
        y : None
            Not used.

        Returns
        -------
        self
        """
        seen = hasattr(self, "n_steps_seen_")
        sequences = read_sequences(self, X, reset=not seen)
        self._learn(sequences, (self.n_steps_seen_, self.mean_, self.var_) if seen else None)
        return self

    def _learn(self, sequences, seen):
        count, mean, var = _moments(sequences)
        if seen is not None:
            count, mean, var = _joined(seen, (count, mean, var))
        self.n_steps_seen_, self.mean_, self.var_ = count, mean, var
        rounding = count * np.finfo(np.float64).eps
        constant = var <= rounding * var + np.square(rounding * mean)
        self.scale_ = np.where(constant, 1.0, np.sqrt(var))

    def transform(self, X):
        """Scale sequences.

        Parameters
        ----------
        X : array_like or list
            As in ``fit``.

        Returns
        -------
        Z : ndarray of the shape of X, or list of ndarray where X is a list of sequences
            A data frame where ``set_output`` asked for one and X has two axes; lists and 3-D arrays have no
            form as a table and stay what they are.
        """
        check_is_fitted(self)
        return self._converted(X, self._forward)

    def inverse_transform(self, X):
        """Undo ``transform``.

        Parameters
        ----------
        X : array_like or list
            As ``transform`` returns it.

        Returns
        -------
        X : ndarray or list of ndarray
        """
        check_is_fitted(self)
        return self._converted(X, self._backward)

    def _forward(self, x):
        z = x - self.mean_ if self.with_mean else x
        return z / self.scale_ if self.with_std else z

    def _backward(self, z):
        x = z * self.scale_ if self.with_std else z
        return x + self.mean_ if self.with_mean else x

    def _converted(self, X, function):
        sequences = read_sequences(self, X, reset=False)
        if isinstance(sequences, list):
            return [function(x).astype(self._dtype) for x in sequences]
        result = function(sequences).astype(self._dtype)
        return result[:, :, 0] if is_table(X) else result

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def _moments(sequences):
    """Number of steps, mean and variance of each feature, float64."""
    is_list = isinstance(sequences, list)
    steps = np.concatenate(sequences) if is_list else sequences.reshape(-1, sequences.shape[2])
    mean = steps.mean(axis=0, dtype=np.float64)
    return len(steps), mean, np.square(steps - mean).mean(axis=0)


def _joined(a, b):
    """Moments of two sets of steps taken together."""
    (n_a, mean_a, var_a), (n_b, mean_b, var_b) = a, b
    count = n_a + n_b
    share = n_b / count
    difference = mean_b - mean_a
    var = (1.0 - share) * var_a + share * var_b + share * (1.0 - share) * np.square(difference)
    return count, mean_a + share * difference, var


def _tables_only(wrapped):
    """Apply scikit-learn's ``set_output`` wrapper to X of two axes alone: nothing else is a table."""
    plain = wrapped.__wrapped__

    @wraps(plain)
    def method(self, X, *args, **kwargs):
        return (wrapped if is_table(X) else plain)(self, X, *args, **kwargs)

    return method


SequenceScaler.transform = _tables_only(SequenceScaler.transform)  # type: ignore[method-assign]
SequenceScaler.fit_transform = _tables_only(SequenceScaler.fit_transform)  # type: ignore[method-assign]
