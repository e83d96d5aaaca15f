"""A sequence of labels for a sequence of steps that nobody has aligned with it."""

import numpy as np
from sklearn.callback import with_callbacks
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from .._validation import check_size
from ..layers import CTC, ctc_loss, ctc_targets
from ..losses import softmax
from ..metrics import edit_distance
from ..models import greedy_decode, prefix_beam_search
from ..training import sequence_lengths
from ..training.samples import output_lengths
from ._base import BaseRNN
from ._classifier import checked_classes
from ._doc import with_parameters
from ._fitting import Labelled
from ._input import is_text, read_weights
from ._parameters import check_number, derived_init
from ._steps import joined, split_like
from ._written import check_form, in_form, numbered, read_row, read_written, vocabulary_of

BLANK = 0  # the network's output that stands for no label; that of classes_[k] is k + 1


@with_parameters
class RNNTranscriber(BaseRNN):
    """Recurrent network that writes down what it reads: fewer labels than steps, and nobody says where they belong.

    Recurrent layers read the sequence, and a dense layer gives at each step a score for every label and for the blank,
    which is none. The loss is that of connectionist temporal classification (Graves, Fernandez, Gomez and Schmidhuber
    2006): minus the logarithm of the probability of a sequence's labels, summed over all ways to align them with the
    steps.

    Parameters
    ----------
    {parameters}
    beam_width : int, default=1
        Beginnings of an answer that are kept from step to step (:func:`fastrnn.models.prefix_beam_search`). 1 takes the
        likeliest alignment instead, which is fast, and need not belong to the likeliest labels. Scores of validation
        data are always of that kind.
    language_model : callable or None, default=None
        ``language_model(prefix)`` returns natural logarithms of the probabilities of what comes next, one for each of
        ``classes_``. ``prefix`` is what stands already, in the form of y: a str, or a tuple of labels. For a
        ``beam_width`` above 1; a file cannot hold it.
    lm_weight : float, default=1.0
        By what the language model's logarithms are multiplied before they are added to the network's.
    length_bonus : float, default=0.0
        Added for each label, in nats: a language model favours few of them. For a ``beam_width`` above 1.
    network : Sequential or None, default=None
        A network to train instead of the one that the parameters above describe, which then must have their defaults.
        It maps (seq_len, batch_size, n_features) to (steps, batch_size, 1 + n_classes), where a ``Conv1d`` may give
        fewer steps; where it begins with an ``Embedding``, X is integers, the rows of its table. ``fit`` starts from a
        copy of its weights and leaves the given one as it is.
    early_stopping : bool, default=False
        Stop by the score on validation data, and keep the weights of the best. The data are ``X_val, y_val`` of
        ``fit``, else some of the sequences, which are not trained on.
    validation_fraction : float, default=0.1
        Share of these sequences, in (0, 1).

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Labels, sorted. The network's outputs are one more: the blank comes first.
    {attributes}

    See Also
    --------
    RNNTagger : A label for every step, where it is known which.
    fastrnn.models.HMMDecoder : Labels of steps in the light of which follow each other.

    Notes
    -----
    ``loss_``, ``loss_curve_`` and ``validation_loss_curve_`` are in nats a sequence, however many steps it has.

    Examples
    --------
    Letters are held for two to four steps each, with a pause after each:

    >>> import warnings
    >>> import numpy as np
    >>> from fastrnn import RNNTranscriber
    >>> rng = np.random.default_rng(0)
    >>> y = ["".join(rng.choice(list("abc"), rng.integers(1, 6))) for _ in range(60)]
    >>> held = [np.concatenate([["abc".index(a)] * rng.integers(2, 5) + [3] for a in word]) for word in y]
    >>> X = [np.eye(4)[steps] + 0.2 * rng.standard_normal((len(steps), 4)) for steps in held]
    >>> model = RNNTranscriber((12,), cell="gru", learning_rate_init=0.03, max_iter=30, random_state=0)
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")  # 30 epochs are few
    ...     model = model.fit(X[:50], y[:50])
    >>> model.predict(X[50:53]) == y[50:53]
    True
    >>> model.score(X[50:], y[50:])
    1.0
    """

    __init__ = derived_init(
        BaseRNN,
        added={"beam_width": 1, "language_model": None, "lm_weight": 1.0, "length_bonus": 0.0},
        removed=("pooling", "bptt_window"),
    )

    pooling = bptt_window = None
    _per_step = True
    _outputs_are = "one score a label, and that of the blank before them"

    @with_callbacks
    def fit(self, X, y, sample_weight=None, *, X_val=None, y_val=None, sample_weight_val=None, resume_from=None):
        """Train on sequences and the labels in them.

        Parameters
        ----------
        X : array_like of shape (n_samples, n_timesteps) or (n_samples, n_timesteps, n_features), or list of \
arrays of shape (n_timesteps_i, n_features)
            As in `RNNClassifier.fit`; tokens with ``embedding_dim``.
        y : list of str, or list of sequences of str or of int >= 0
            The labels of each sequence, in order; a str is the sequence of its characters. There may be none. A
            sequence needs a step for each label, and one more between two equal ones; where ``network`` shortens
            sequences, its outputs count.
        sample_weight : array_like of shape (n_samples,), optional
            Weights >= 0. The loss of a batch is the weighted mean of its sequences' losses.
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
            As in `RNNClassifier.fit`, and where a sequence has more labels than room for them.
        NonFiniteLossError
            Where the loss or a gradient stops being finite.
        """
        self._check_decoding()
        return self._fit(X, y, sample_weight, X_val, y_val, sample_weight_val, resume_from)

    def partial_fit(self, X, y, sample_weight=None, classes=None):
        """Train for one epoch on some sequences, going on from the call before.

        Parameters
        ----------
        X, y, sample_weight
            As in ``fit``.
        classes : str, or array_like of shape (n_classes,), optional
            All labels that will ever come; needed in the first call.

        Returns
        -------
        self
        """
        self._check_decoding()
        classes = checked_classes(self, None if classes is None else _labels_of(classes))
        return self._fit_part(X, y, sample_weight, classes)

    def _check_decoding(self):
        """Check how answers are found."""
        check_size("beam_width", self.beam_width)
        check_number("lm_weight", self.lm_weight, least=0.0)
        check_number("length_bonus", self.length_bonus)
        if not (self.language_model is None or callable(self.language_model)):
            kind = type(self.language_model).__name__
            raise TypeError(f"language_model is an object of type {kind}, expected a callable or None")
        for name, without in (("language_model", None), ("length_bonus", 0.0)):
            if self.beam_width == 1 and getattr(self, name) != without:
                raise ValueError(
                    f"beam_width is 1, expected more with {name}: the likeliest alignment is found without it"
                )

    # what BaseRNN asks for

    def _read(self, X, y, sample_weight, weight_name, reset, classes=None):
        sequences = self._read_x(X, reset, sample_weight, weight_name)
        labels = self._read_target(y, reset, classes)
        check_consistent_length(sequences, labels)
        network = self.network if reset else self._trained
        steps = sequence_lengths(sequences)
        if network is not None:
            steps = output_lengths(network, steps)
        _check_room(labels, steps)
        weight = read_weights(weight_name, sample_weight, len(labels))
        shares = np.ones(len(labels)) if weight is None else weight
        # the steps of a sequence share its weight, so that sequences count alike, and not steps
        weights = [np.full(n, share / max(n, 1)) for n, share in zip(steps.tolist(), shares.tolist())]
        return Labelled(sequences, ctc_targets(labels, steps), weights).used()

    def _read_target(self, y, reset, classes=None):
        rows, form = read_written(y)
        if reset:
            self.classes_ = np.array(list(vocabulary_of(rows))) if classes is None else classes
            self._form = form or ("integers" if self.classes_.dtype.kind in "iu" else "strings")
            self.n_outputs_ = len(self.classes_) + 1
        else:
            check_form(form, self._form)
        return numbered(rows, {label: k for k, label in enumerate(self.classes_.tolist(), BLANK + 1)})

    @property
    def _loss(self):
        return CTC(BLANK, n_threads=self.n_threads, mean_over="sequences")

    def _score_outputs(self, output, target, sample_weight):
        labels = [row[row > BLANK] for row in target]
        weight = [float(np.sum(row)) for row in sample_weight]
        return 1.0 - _error_rate(labels, [_greedy(scores) for scores in output], weight)

    # answers

    def predict(self, X):
        """The labels in each sequence.

        Parameters
        ----------
        X : array_like or list
            As in ``fit``. A sequence's answer does not depend on the others.

        Returns
        -------
        y : list of str, of list of str, or of ndarray of int64 of shape (n_labels_i,)
            As y of ``fit``.
        """
        check_is_fitted(self)
        self._check_decoding()
        labels = self.classes_.tolist()
        return [in_form(self._decode(scores), labels, self._form) for scores in self._run(X)]

    def _decode(self, scores):
        """The numbers of labels, from 1 on, for scores (n_steps, n_classes + 1)."""
        if self.beam_width == 1:
            return _greedy(scores)
        model = None if self.language_model is None else self._ask
        options = {"language_model": model, "alpha": self.lm_weight, "beta": self.length_bonus}
        return prefix_beam_search(scores, self.beam_width, BLANK, **options, n_best=1)[0][0]

    def _ask(self, numbers):
        """What the language model says after the labels of these numbers, with a place for the blank."""
        prefix = in_form(numbers, self.classes_.tolist(), "text" if self._form == "text" else "strings")
        answer = np.asarray(self.language_model(prefix if is_text(prefix) else tuple(prefix)), dtype=np.float64)
        if answer.shape != self.classes_.shape:
            raise ValueError(
                f"language_model(prefix) has shape {answer.shape}, expected (n_classes,) = ({len(self.classes_)},)"
            )
        return np.concatenate([[0.0], answer])

    def predict_proba(self, X):
        """Probability of the blank and of every label at every step of the network's output.

        Parameters
        ----------
        X : array_like or list
            As in ``fit``.

        Returns
        -------
        probabilities : list of ndarray of shape (n_timesteps_i, n_classes + 1), or ndarray where X is one
            The blank comes first, then labels in the order of ``classes_``. Rows add up to 1.
        """
        scores = self._run(X)
        return split_like(softmax(joined(scores)), scores)

    def score(self, X, y, sample_weight=None):
        """1 - label error rate: edit distances in sum over labels in sum.

        Parameters
        ----------
        X, y, sample_weight
            As in ``fit``; y may hold labels that ``fit`` has not met.

        Returns
        -------
        score : float
            1 where all is right; below 0 where more is wrong than there are labels.
        """
        found = self.predict(X)
        rows, _ = read_written(y)
        check_consistent_length(found, rows)
        weight = read_weights("sample_weight", sample_weight, len(rows))
        return 1.0 - _error_rate(rows, found, weight)

    def log_loss(self, X, y, sample_weight=None):
        """Minus the logarithm of the probability of the right labels, mean over sequences, in nats.

        Parameters
        ----------
        X, y, sample_weight
            As in ``fit``.

        Returns
        -------
        loss : float
        """
        scores = self._run(X)
        labels = self._read_target(y, False)
        check_consistent_length(scores, labels)
        _check_room(labels, sequence_lengths(scores))
        weight = read_weights("sample_weight", sample_weight, len(labels))
        rows = zip(scores, labels)
        losses = [ctc_loss(steps[:, None], [row], blank=BLANK, n_threads=self.n_threads)[0][0] for steps, row in rows]
        return float(np.average(losses, weights=weight))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.target_tags.one_d_labels = tags.target_tags.two_d_labels = False
        return tags


def _labels_of(classes):
    """Labels as ``classes_`` has them: strings, or integers of 64 bits."""
    labels, _ = read_row("classes", classes)
    if not labels:
        raise ValueError("classes is empty, expected at least one label")
    return np.array(labels)


def _check_room(labels, steps):
    """Check that each sequence has a step for each label, and one more between equal ones."""
    for i, (row, n_steps) in enumerate(zip(labels, steps.tolist())):
        repeats = int(np.count_nonzero(row[1:] == row[:-1]))
        if len(row) + repeats > n_steps:
            again = f" and {repeats} of them like the one before" if repeats else ""
            raise ValueError(
                f"y[{i}] has {len(row)} labels{again}, expected n_labels + n_repeats <= {n_steps}, the steps of the "
                f"network's output for X[{i}]"
            )


def _greedy(scores):
    return greedy_decode(scores[:, None], blank=BLANK)[0]


def _error_rate(target, found, weight):
    """As `fastrnn.metrics.label_error_rate`, with a weight for each sequence."""
    weight = np.ones(len(target)) if weight is None else np.asarray(weight)
    distance = [edit_distance(*pair) for pair in zip(target, found)]
    n_labels = float(weight @ [len(row) for row in target])
    return float(weight @ distance) / n_labels if n_labels else float("nan")
