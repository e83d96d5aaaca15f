"""A label, several labels or numbers for every step of a sequence."""

import numpy as np
from sklearn.callback import with_callbacks
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils.validation import check_is_fitted

from .._validation import check_choice, check_size
from ..init import as_generator
from ..losses import logistic_cross_entropy, sigmoid, softmax, softmax_cross_entropy, squared_error
from ._base import BaseRNN
from ._classifier import checked_classes, class_factors
from ._doc import with_parameters
from ._parameters import check_number, derived_init
from ._steps import (
    TARGETS,
    check_steps,
    codes_of,
    indicator,
    is_per_step,
    joined,
    per_step,
    read_rows,
    read_step_weights,
    rows_of,
    settle_target,
    split_like,
)

_LOSSES = {"labels": softmax_cross_entropy, "multilabel": logistic_cross_entropy, "values": squared_error}


@with_parameters
class RNNTagger(BaseRNN):
    """Recurrent network that says something about every step of a sequence: synced many-to-many.

    Recurrent layers read the sequence, and a dense layer turns their output at each step into scores or numbers. What
    is said is a label (cross-entropy of a softmax), a set of labels (an indicator of 0 and 1 for each; sum of the
    labels' logistic cross-entropies), or numbers (squared error). The loss is a mean over the steps there are: padding
    counts nowhere.

    Parameters
    ----------
    {parameters}
    target : {"auto", "labels", "multilabel", "values"}, default="auto"
        What y is. "auto": floating-point y are values; integers, booleans and strings are labels; rows of y with two
        axes of integers or booleans are indicators of several labels.
    class_weight : dict of label to float, "balanced" or None, default=None
        By what the weight of a step is multiplied, for the sake of its label; "balanced" gives all labels the same
        weight in sum. Of labels alone.
    network : Sequential or None, default=None
        A network to train instead of the one that the parameters above describe, which then must have their defaults.
        It maps (seq_len, batch_size, n_features) to (seq_len, batch_size, n_outputs), with one output a label or a
        number; where it begins with an ``Embedding``, X is integers, the rows of its table. ``fit`` starts from a copy
        of its weights and leaves the given one as it is.
    early_stopping : bool, default=False
        Stop by the score on validation data (of several labels by minus the loss), and keep the weights of the best.
        The data are ``X_val, y_val`` of ``fit``, else some of the sequences, which are not trained on.
    validation_fraction : float, default=0.1
        Share of these sequences, in (0, 1).
    bptt_window : int or None, default=None
        Sequences are read by windows of so many steps, each an update of its own; the state goes from one to the next,
        gradients do not (truncated back-propagation). For networks of one direction, without convolutions and without
        ``learn_initial_state``.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Labels, sorted; the numbers of the columns of indicators; absent where y are values.
    {attributes}

    See Also
    --------
    RNNClassifier : One answer for a whole sequence.

    Examples
    --------
    Which letters have been there before?

    >>> import warnings
    >>> import numpy as np
    >>> from fastrnn import RNNTagger
    >>> words = ["".join(np.random.default_rng(seed).choice(list("abc"), 6)) for seed in range(60)]
    >>> seen = [["old" if letter in word[:k] else "new" for k, letter in enumerate(word)] for word in words]
    >>> model = RNNTagger((16,), embedding_dim=4, cell="gru", learning_rate_init=0.03, max_iter=60, random_state=0)
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")  # 60 epochs are few
    ...     model = model.fit(words[:50], seen[:50])
    >>> model.predict(["aabca"])[0].tolist()
    ['new', 'old', 'new', 'new', 'old']
    >>> bool(model.score(words[50:], seen[50:]) > 0.9)
    True
    """

    __init__ = derived_init(BaseRNN, added={"target": "auto", "class_weight": None}, removed=("pooling",))

    pooling = None
    _per_step = True
    _outputs_are = "one score a label, or one number a column of y"

    @property
    def _scores_outputs(self):
        """Rare labels are told apart by their probabilities: early stopping watches the loss of several of them."""
        return self._target != "multilabel"

    @with_callbacks
    def fit(self, X, y, sample_weight=None, *, X_val=None, y_val=None, sample_weight_val=None, resume_from=None):
        """Train on sequences with a target for every step.

        Parameters
        ----------
        X : array_like of shape (n_samples, n_timesteps) or (n_samples, n_timesteps, n_features), or list of \
arrays of shape (n_timesteps_i, n_features)
            As in `RNNClassifier.fit`; tokens with ``embedding_dim``.
        y : array_like of shape (n_samples, n_timesteps) or (n_samples, n_timesteps, n_outputs), or list of \
(n_timesteps_i,) or (n_timesteps_i, n_outputs)
            A row for each sequence, with an entry for each of its steps: labels (a str is the row of its
            characters), n_outputs indicators of 0 and 1, or numbers.
        sample_weight : array_like of shape (n_samples,) or (n_samples, n_timesteps), or list of \
(n_timesteps_i,), optional
            Weights >= 0 of sequences or of steps. The loss of a batch is the weighted mean over its steps.
        X_val, y_val, sample_weight_val : as X, y and sample_weight, optional
            Validation data, never trained on. Without them ``early_stopping`` splits off a part of the sequences.
        resume_from : path, optional
            As in `RNNClassifier.fit`.

        Returns
        -------
        self
            Fitted.

        Raises
        ------
        ValueError
            As in `RNNClassifier.fit`, and where a row of y has other than one entry a step.
        NonFiniteLossError
            Where the loss or a gradient stops being finite.
        """
        return self._fit(X, y, sample_weight, X_val, y_val, sample_weight_val, resume_from)

    def partial_fit(self, X, y, sample_weight=None, classes=None):
        """Train for one epoch on some sequences, going on from the call before.

        Parameters
        ----------
        X, y, sample_weight
            As in ``fit``.
        classes : array_like of shape (n_classes,), optional
            All labels that will ever come; needed in the first call where y are labels, and None where they are not.

        Returns
        -------
        self
        """
        if isinstance(self.class_weight, str):
            raise ValueError(
                f"class_weight is {self.class_weight!r}, expected a dict or None for partial_fit, which does not "
                "see all labels at once"
            )
        check_choice("target", self.target, TARGETS)
        target = getattr(self, "_target", None) or settle_target(self.target, read_rows(y))
        if target == "labels":
            classes = checked_classes(self, classes)
        elif classes is not None:
            raise ValueError(f"classes is {classes!r}, expected None: y are {target}, not labels")
        return self._fit_part(X, y, sample_weight, classes)

    # what BaseRNN asks for

    def _read(self, X, y, sample_weight, weight_name, reset, classes=None):
        if not reset and self.target not in ("auto", self._target):
            raise ValueError(f"target is {self.target!r}, expected 'auto' or {self._target!r} as in the fit before")
        return super()._read(X, y, sample_weight, weight_name, reset, classes)

    def _read_target(self, y, reset, classes=None, unknown=None):
        check_choice("target", self.target, TARGETS)
        rows = read_rows(y)
        if reset:
            self._learn_target(rows, classes)
        elif rows[0].shape[1:] != self._target_shape():
            raise ValueError(
                f"y[0] has shape {rows[0].shape}, expected (n_timesteps, *{self._target_shape()}) as in fit"
            )
        if self._target == "labels":
            return codes_of(rows, self.classes_, unknown)
        if self._target == "multilabel":
            return indicator(rows, self.n_outputs_, self._dtype)
        return [np.ascontiguousarray(row.reshape(len(row), -1), dtype=self._dtype) for row in rows]

    def _learn_target(self, rows, classes):
        self._target = settle_target(self.target, rows)
        self._flat_target = rows[0].ndim == 1
        vars(self).pop("classes_", None)
        if self._target == "labels":
            found = np.unique(np.concatenate(rows)) if classes is None else classes
            self.classes_, self.n_outputs_ = found, len(found)
        else:
            self.n_outputs_ = 1 if self._flat_target else rows[0].shape[1]
            if self._target == "multilabel":
                self.classes_ = np.arange(self.n_outputs_)

    def _target_shape(self):
        return () if self._flat_target else (self.n_outputs_,)

    def _check_fit(self, sequences, target):
        check_steps(sequences, target)

    def _read_weights(self, name, weight, sequences):
        return read_step_weights(name, weight, sequences)

    def _weight_of_sequences(self, weight):
        return [float(np.sum(row)) for row in rows_of(weight)] if is_per_step(weight) else weight

    def _weigh_classes(self, target, weight):
        if self.class_weight is None:
            return weight
        if self._target != "labels":
            raise ValueError(f"class_weight is {self.class_weight!r}, expected None: y are {self._target}, not labels")
        codes = joined(target)
        weights = per_step(weight, target)
        factors = class_factors(self.class_weight, self.classes_, codes, weights)[codes]
        return split_like(factors if weights is None else factors * weights, target)

    @property
    def _loss(self):
        return _LOSSES[self._target]

    def _score_outputs(self, output, target, sample_weight):
        output, weight = joined(output), per_step(sample_weight, target)
        target = joined(target)
        if self._target == "labels":
            return accuracy_score(target, output.argmax(axis=1), sample_weight=weight)
        if self._target == "values":
            return r2_score(target, output, sample_weight=weight)
        return float(np.average(((output > 0) == target).mean(axis=1), weights=weight))

    # answers

    def _with_steps(self, X, function):
        """Apply a function of scores (n_steps, n_outputs) to those of all steps, and cut the result into sequences."""
        scores = self._run(X)
        return split_like(function(joined(scores)), scores)

    def predict(self, X):
        """The likeliest label, the labels that are more probable than not, or the numbers, of every step.

        Parameters
        ----------
        X : array_like or list
            As in ``fit``. A sequence's answer does not depend on the others.

        Returns
        -------
        y : list of ndarray of shape (n_timesteps_i,) or (n_timesteps_i, n_outputs)
            One array for each sequence, as y of ``fit``; one array with a leading axis where X is an array.
        """
        return self._with_steps(X, self._answers)

    def _answers(self, scores):
        if self._target == "labels":
            return self.classes_[scores.argmax(axis=1)]
        if self._target == "multilabel":
            return (scores > 0).astype(np.int64)
        return scores[:, 0] if self._flat_target else scores

    def decision_function(self, X):
        """Score of every label at every step, before it becomes a probability.

        Parameters
        ----------
        X : array_like or list
            As in ``fit``.

        Returns
        -------
        scores : list of ndarray of shape (n_timesteps_i, n_classes), or ndarray where X is one
        """
        self._refuse_values("decision_function")
        return self._run(X)

    def predict_proba(self, X):
        """Probability of every label at every step.

        Parameters
        ----------
        X : array_like or list
            As in ``fit``.

        Returns
        -------
        probabilities : list of ndarray of shape (n_timesteps_i, n_classes), or ndarray where X is one
            In the order of ``classes_``. Rows add up to 1, except where there are several labels, each of which has
            a probability of its own.
        """
        self._refuse_values("predict_proba")
        return self._with_steps(X, softmax if self._target == "labels" else sigmoid)

    def _refuse_values(self, name):
        check_is_fitted(self)
        if self._target == "values":
            raise AttributeError(f"{name} is for labels, but the y of fit were values")

    def score(self, X, y, sample_weight=None):
        """How good the answers are, over all steps there are.

        Parameters
        ----------
        X, y, sample_weight
            As in ``fit``.

        Returns
        -------
        score : float
            Share of steps with the right label, which none is where ``fit`` has not met the label of y; of several
            labels, share of right indicators; R^2 of numbers.
        """
        output, target, weight = self._measured(X, y, sample_weight, unknown=-1)
        return self._score_outputs(output, target, weight)

    def log_loss(self, X, y, sample_weight=None):
        """Cross-entropy of the answers in nats, mean over all steps there are.

        Parameters
        ----------
        X, y, sample_weight
            As in ``fit``.

        Returns
        -------
        loss : float
            Of several labels, summed over these: frame-wise cross-entropy, as polyphonic music is measured with
            (Boulanger-Lewandowski, Bengio and Vincent 2012).
        """
        self._refuse_values("log_loss")
        output, target, weight = self._measured(X, y, sample_weight)
        steps = joined(output).astype(np.float64)
        return self._loss(steps, joined(target), *(() if weight is None else (per_step(weight, target),)))[0]

    def _measured(self, X, y, sample_weight, unknown=None):
        output = self._run(X)
        target = self._read_target(y, False, unknown=unknown)
        check_steps(output, target)
        return output, target, self._read_weights("sample_weight", sample_weight, output)

    def generate(self, n_steps, prefix=None, *, temperature=1.0, random_state=None):
        """Go on with a sequence: the labels drawn, or the numbers, of a step are the features of the next.

        For a model of what comes next: fitted on ``X[:-1]`` and ``X[1:]`` of sequences of indicators or numbers.

        Parameters
        ----------
        n_steps : int
        prefix : array_like of shape (n_timesteps, n_features), optional
            What is read first; one step of zeros if not given.
        temperature : float, default=1.0
            By which scores are divided before labels are drawn; 0 takes those that are more probable than not.
            Without effect on numbers.
        random_state : None, int, Generator or RandomState
            Of the labels drawn.

        Returns
        -------
        sequence : ndarray of shape (n_steps, n_features)
            Of int64 where y of ``fit`` were indicators.

        Raises
        ------
        ValueError
            Where an output is no input: other targets, or other than n_features of them; or the network reads
            sequences from both ends.
        """
        check_is_fitted(self)
        n_steps, rng = check_size("n_steps", n_steps, 0), as_generator(random_state)
        check_number("temperature", temperature, least=0.0)
        if self._target == "labels" or hasattr(self, "vocabulary_") or self.n_outputs_ != self._input_size:
            raise ValueError(
                f"generate feeds outputs back as inputs, but the model reads {self._input_size} features and gives "
                f"{self.n_outputs_} {self._target}, expected as many indicators or values as features"
            )
        prefix = np.zeros((1, self._input_size)) if prefix is None else prefix
        stream, made = self.network_.stream(1), np.empty((n_steps, self._input_size), self._dtype)
        scores = stream.process(self._read_x([prefix], False)[0][None])[:, -1]
        for row in made:
            row[:] = self._next(scores, temperature, rng)
            scores = stream.step(row[None])
        return made.astype(np.int64) if self._target == "multilabel" else made

    def _next(self, scores, temperature, rng):
        if self._target == "values":
            return scores[0]
        if temperature == 0.0:
            return scores[0] > 0
        return rng.random(self._input_size) < sigmoid(scores[0].astype(np.float64) / temperature)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.target_tags.one_d_labels = tags.target_tags.two_d_labels = False
        return tags
