"""Regression on whole sequences."""

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score

from ..losses import squared_error
from ._base import BaseRNN, with_default_cell
from ._doc import with_parameters
from ._input import read_y


@with_parameters
class RNNRegressor(RegressorMixin, BaseRNN):
    """Recurrent network that gives one or more numbers for a sequence.

    Recurrent layers read the sequence, their outputs are pooled over time, and a dense layer gives the
    numbers. Half the mean squared error is minimised. Targets far from the order of 1 are learned faster
    when they are scaled (``sklearn.compose.TransformedTargetRegressor``).

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    {attributes}

    See Also
    --------
    RNNClassifier : The same for labels.

    Examples
    --------
    >>> import warnings
    >>> from fastrnn import RNNRegressor
    >>> from fastrnn.datasets import adding
    >>> X, y = adding(200, 10, random_state=0)
    >>> model = RNNRegressor(hidden_layer_sizes=(16,), cell="gru", learning_rate_init=0.01, random_state=0)
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")  # 100 epochs are few
    ...     model = model.fit(X, y)
    >>> bool(model.score(X, y) > 0.9)
    True
    """

    _outputs_are = "one number a column of y"

    def partial_fit(self, X, y, sample_weight=None):
        """Train for one epoch on some sequences, going on from the call before.

        The optimiser's moments go on too, from the first ``partial_fit`` on; ``fit`` starts anew.

        Parameters
        ----------
        X, y, sample_weight : array_like
            As in ``fit``.

        Returns
        -------
        self
        """
        return self._fit_part(X, y, sample_weight)

    def _read_target(self, y, reset, classes=None):
        y = read_y(self, y, y_numeric=True)
        if y.dtype.kind == "c":
            raise ValueError(f"Complex data not supported: y has dtype {y.dtype}")
        if y.ndim > 2:
            raise ValueError(f"y has shape {y.shape}, expected (n_samples,) or (n_samples, n_outputs)")
        target = np.ascontiguousarray(y.reshape(len(y), -1), dtype=self._dtype)
        if reset:
            self._flat_target, self.n_outputs_ = y.ndim == 1, target.shape[1]
        elif target.shape[1] != self.n_outputs_:
            raise ValueError(f"y has shape {y.shape}, expected n_outputs = {self.n_outputs_}, as in the first fit")
        return target

    @property
    def _loss(self):
        return squared_error

    def _score_outputs(self, output, target, sample_weight):
        return r2_score(target, output, sample_weight=sample_weight)

    def predict(self, X):
        """Numbers for every sequence.

        Parameters
        ----------
        X : array_like or list
            As in ``fit``. A sequence's answer does not depend on the others.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs), as in ``fit``
        """
        output = self._run(X)
        return output[:, 0] if self._flat_target else output

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


class LSTMRegressor(RNNRegressor):
    """:class:`RNNRegressor` under the name that people look for; ``cell="lstm"``."""

    __init__ = with_default_cell(RNNRegressor, "lstm")


class GRURegressor(RNNRegressor):
    """:class:`RNNRegressor` with ``cell="gru"`` by default."""

    __init__ = with_default_cell(RNNRegressor, "gru")
