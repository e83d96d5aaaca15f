"""Classification of whole sequences."""

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.metrics import accuracy_score
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import column_or_1d

from ..losses import logistic_cross_entropy, sigmoid, softmax, softmax_cross_entropy
from ._base import BaseRNN, with_default_cell
from ._doc import with_parameters
from ._input import read_y
from ._parameters import check_number, derived_init


@with_parameters
class RNNClassifier(ClassifierMixin, BaseRNN):
    """Recurrent network that says of which class a sequence is, or which labels it has.

    Recurrent layers read the sequence, their outputs are pooled over time, and a dense layer gives one
    score a class (a single score for two classes). Cross-entropy is minimised. Where y is an indicator
    matrix (n_samples, n_labels) of 0 and 1, every label has a score of its own, and the sum of the labels'
    logistic losses is minimised.

    Parameters
    ----------
    {parameters}
    class_weight : dict of label to float, "balanced" or None, default=None
        By what the weight of a sequence is multiplied, for the sake of its class; "balanced" gives all
        classes the same weight in sum. With an indicator matrix: a list of such dicts, one a label, or
        "balanced"; the factors of a sequence's labels are multiplied.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Labels, sorted; the numbers of the columns of an indicator matrix.
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

    __init__ = derived_init(BaseRNN, added={"class_weight": None})

    _outputs_are = "one score a class, a single one for two classes, one a label of an indicator matrix"

    def partial_fit(self, X, y, sample_weight=None, classes=None):
        """Train for one epoch on some sequences, going on from the call before.

        The optimiser's moments go on too, from the first ``partial_fit`` on; ``fit`` starts anew.

        Parameters
        ----------
        X, y, sample_weight : array_like
            As in ``fit``.
        classes : array_like of shape (n_classes,), optional
            All labels that will ever come; needed in the first call. With an indicator matrix, the numbers
            of its columns.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            Where classes are missing in the first call or others than before, or y has a label that is not
            among them; and as in ``fit``.
        """
        if isinstance(self.class_weight, str):
            raise ValueError(
                f"class_weight is {self.class_weight!r}, expected a dict or None for partial_fit, which does not "
                "see all labels at once"
            )
        return self._fit_part(X, y, sample_weight, checked_classes(self, classes))

    def _read_target(self, y, reset, classes=None):
        y = self._checked(y)
        is_indicator = y.ndim == 2
        if reset:
            found = np.arange(y.shape[1]) if is_indicator else np.unique(y)
            self.classes_ = found if classes is None else classes
            self._multilabel = is_indicator
            single = len(self.classes_) == 2 and not is_indicator
            self.n_outputs_ = 1 if single else len(self.classes_)
        if is_indicator != self._multilabel or (is_indicator and y.shape[1] != len(self.classes_)):
            labels = f"(n_samples, {len(self.classes_)})" if self._multilabel else "(n_samples,)"
            raise ValueError(f"y has shape {y.shape}, expected {labels}, for the labels are {self.classes_}")
        if is_indicator:
            return y.astype(self._dtype)
        codes = np.searchsorted(self.classes_, y).clip(max=len(self.classes_) - 1)
        strange = self.classes_[codes] != y
        if strange.any():
            raise ValueError(f"y has the label {y[strange].tolist()[0]!r}, expected one of the classes {self.classes_}")
        return codes[:, None].astype(self._dtype) if self.n_outputs_ == 1 and len(self.classes_) == 2 else codes

    def _checked(self, y):
        """Labels (n_samples,), or an indicator matrix (n_samples, n_labels)."""
        if hasattr(y, "toarray"):
            y = y.toarray()
        y = read_y(self, y)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        check_classification_targets(y)
        if y.ndim == 2 and type_of_target(y) != "multilabel-indicator":
            raise ValueError(
                f"y has shape {y.shape} and is {type_of_target(y)}, expected (n_samples,) or an indicator matrix "
                "(n_samples, n_labels) of 0 and 1"
            )
        return y

    @property
    def _loss(self):
        return softmax_cross_entropy if self._has_scores_per_class() else logistic_cross_entropy

    def _has_scores_per_class(self):
        return len(self.classes_) != 2 and not self._multilabel

    def _score_outputs(self, output, target, sample_weight):
        if self._has_scores_per_class():
            return accuracy_score(target, output.argmax(axis=1), sample_weight=sample_weight)
        return accuracy_score(target.astype(int), (output > 0).astype(int), sample_weight=sample_weight)

    def _labels_to_stratify(self, target):
        return None if self._multilabel else target.ravel()

    def _weigh_classes(self, target, weight):
        if self.class_weight is None:
            return weight
        if self._multilabel:
            factors = compute_sample_weight(self.class_weight, target.astype(int))
        else:
            codes = target.ravel().astype(np.intp)
            factors = class_factors(self.class_weight, self.classes_, codes, weight)[codes]
        return factors if weight is None else factors * weight

    def decision_function(self, X):
        """Score of every class or label, before it becomes a probability.

        Parameters
        ----------
        X : array_like or list
            As in ``fit``. A sequence's answer does not depend on the others.

        Returns
        -------
        scores : ndarray of shape (n_samples,) for two classes, else (n_samples, n_classes)
            For two classes log(p / (1 - p)) of ``classes_[1]``, which is predicted where it is above 0.
        """
        scores = self._run(X)
        return scores if self._multilabel or len(self.classes_) != 2 else scores[:, 0]

    def predict_proba(self, X):
        """Probability of every class or label.

        Parameters
        ----------
        X : array_like or list
            As in ``fit``. A sequence's answer does not depend on the others.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_classes)
            In the order of ``classes_``. Rows add up to 1, except with an indicator matrix, where each is
            the probability of that label.
        """
        scores = self._run(X)
        if self._has_scores_per_class():
            return softmax(scores)
        yes = sigmoid(scores)
        return yes if self._multilabel else np.concatenate([1.0 - yes, yes], axis=1)

    def predict_log_proba(self, X):
        """Logarithm of the probabilities, finite also where a probability is rounded to 0.

        Parameters
        ----------
        X : array_like or list
            As in ``fit``.

        Returns
        -------
        log_probabilities : ndarray of shape (n_samples, n_classes)
        """
        scores = self._run(X)
        if self._has_scores_per_class():
            shifted = scores - scores.max(axis=1, keepdims=True)
            return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        yes = -np.logaddexp(0, -scores)
        return yes if self._multilabel else np.concatenate([-np.logaddexp(0, scores), yes], axis=1)

    def predict(self, X):
        """Most probable class, or the labels that are more probable than not.

        Parameters
        ----------
        X : array_like or list
            As in ``fit``.

        Returns
        -------
        labels : ndarray of shape (n_samples,), or of int64 (0 or 1) of shape (n_samples, n_labels)
        """
        scores = self._run(X)
        if self._has_scores_per_class():
            return self.classes_[scores.argmax(axis=1)]
        yes = (scores > 0).astype(np.int64)
        return yes if self._multilabel else self.classes_[yes[:, 0]]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        tags.classifier_tags.multi_label = True
        return tags


def checked_classes(estimator, classes):
    """The labels that ``partial_fit`` was given, sorted; None where those of the first call go on."""
    if classes is None:
        if not hasattr(estimator, "classes_"):
            raise ValueError("classes is None, expected all class labels in the first call of partial_fit")
        return None
    classes = np.unique(np.asarray(classes))
    if hasattr(estimator, "classes_") and not np.array_equal(classes, estimator.classes_):
        raise ValueError(f"classes is {classes}, expected those of the first fit, {estimator.classes_}")
    return classes


def class_factors(class_weight, classes, codes, weight):
    """The factor of every class on the weights of its samples.

    Parameters
    ----------
    class_weight : dict or "balanced"
    classes : ndarray of shape (n_classes,)
    codes : ndarray of int of shape (n_samples,)
        The class of each sample.
    weight : ndarray of shape (n_samples,) or None

    Returns
    -------
    factors : ndarray of shape (n_classes,)
    """
    if isinstance(class_weight, dict):
        labels = classes.tolist()
        unknown = [label for label in class_weight if label not in labels]
        if unknown and not all(label in class_weight for label in labels):
            raise ValueError(f"class_weight has the label {unknown[0]!r}, expected labels of {labels}")
        factors = [class_weight.get(label, 1.0) for label in labels]
        for label, factor in zip(labels, factors):
            check_number(f"class_weight[{label!r}]", factor, least=0.0)
        return np.array(factors, dtype=np.float64)
    if not (isinstance(class_weight, str) and class_weight == "balanced"):
        raise ValueError(f"class_weight is {class_weight!r}, expected a dict, 'balanced' or None")
    totals = np.bincount(codes, weights=weight, minlength=len(classes))
    present = totals > 0
    return np.divide(totals.sum(), present.sum() * totals, out=np.ones(len(classes)), where=present)


class LSTMClassifier(RNNClassifier):
    """:class:`RNNClassifier` under the name that people look for; ``cell="lstm"``."""

    __init__ = with_default_cell(RNNClassifier, "lstm")


class GRUClassifier(RNNClassifier):
    """:class:`RNNClassifier` with ``cell="gru"`` by default."""

    __init__ = with_default_cell(RNNClassifier, "gru")
