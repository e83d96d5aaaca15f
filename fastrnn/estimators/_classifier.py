"""Classification of whole sequences."""

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import validate_data

from ..losses import logistic_cross_entropy, sigmoid, softmax, softmax_cross_entropy
from ._base import BaseRNN, with_default_cell
from ._doc import with_parameters


@with_parameters
class RNNClassifier(ClassifierMixin, BaseRNN):
    """Recurrent network that says of which class a sequence is.

    Recurrent layers read the sequence, their outputs are pooled over time, and a dense layer gives one
    score a class (a single score for two classes). Cross-entropy is minimised.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Labels, sorted.
    {attributes}

    See Also
    --------
    RNNRegressor : The same for numbers.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn import RNNClassifier
    >>> rng = np.random.default_rng(0)
    >>> X = [rng.standard_normal((length, 1)) + (length % 2) for length in rng.integers(5, 15, size=60)]
    >>> y = np.array(["even" if len(x) % 2 == 0 else "odd" for x in X])
    >>> model = RNNClassifier(cell="gru", pooling="mean", max_iter=30, n_iter_no_change=30, random_state=0)
    >>> import warnings
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")  # 30 epochs are few
    ...     model = model.fit(X, y)
    >>> bool(model.score(X, y) > 0.9)
    True
    >>> model.predict_proba(X[:2]).shape
    (2, 2)
    """

    def _read_target(self, y):
        y = validate_data(self, X="no_validation", y=y)
        check_classification_targets(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) == 2:
            return codes[:, None].astype(self._dtype), 1, logistic_cross_entropy
        return codes, len(self.classes_), softmax_cross_entropy

    def predict_proba(self, X):
        """Probability of every class.

        Parameters
        ----------
        X : array_like or list
            As in ``fit``. A sequence's answer does not depend on the others.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_classes)
            In the order of ``classes_``.
        """
        scores = self._run(X)
        if len(self.classes_) == 2:
            yes = sigmoid(scores)
            return np.concatenate([1.0 - yes, yes], axis=1)
        return softmax(scores)

    def predict(self, X):
        """Most probable class.

        Parameters
        ----------
        X : array_like or list
            As in ``fit``.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
        """
        scores = self._run(X)
        codes = (scores[:, 0] > 0).astype(np.intp) if len(self.classes_) == 2 else scores.argmax(axis=1)
        return self.classes_[codes]


class LSTMClassifier(RNNClassifier):
    """:class:`RNNClassifier` under the name that people look for; ``cell="lstm"``."""

    __init__ = with_default_cell(RNNClassifier, "lstm")


class GRUClassifier(RNNClassifier):
    """:class:`RNNClassifier` with ``cell="gru"`` by default."""

    __init__ = with_default_cell(RNNClassifier, "gru")
