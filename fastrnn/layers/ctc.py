"""Connectionist temporal classification: the loss of a label sequence that nobody has aligned with the steps.

It stands with the layers and not with `fastrnn.losses` because it runs on the kernels, which losses do not know.
"""

import numpy as np

from .. import _threads
from .._core.ctc import ctc
from .._validation import as_array, as_tokens, check_choice, check_lengths, check_shape, check_size

# Multiply-adds that a step takes for each class and for each label, by time.
_WORK_CLASS, _WORK_LABEL = 10, 50
_NO_LABEL = -1


def ctc_loss(logits, targets, lengths=None, target_lengths=None, blank=0, n_threads=None):
    """Negative log probability of label sequences under a softmax a step, summed over all alignments.

    An alignment gives every step a label or the blank; it stands for the labels that are left when runs of equal ones
    are merged and then blanks dropped (Graves, Fernández, Gomez & Schmidhuber 2006, "Connectionist temporal
    classification", equations 1 to 8; the gradient is equation 16). Computed in logarithms.

    Parameters
    ----------
    logits : array_like of shape (seq_len, batch_size, n_classes)
        Before the softmax. float32 and float64 are kept.
    targets : list of array_like of int of shape (target_length,), or array_like of int of shape (batch_size, n)
        A sequence of labels for each row of the batch, 0 <= label < n_classes, none the blank; empty ones too.
    lengths : array_like of int of shape (batch_size,), optional
        Steps of each row; what follows is not read, and its gradient is 0. Default: seq_len.
    target_lengths : array_like of int of shape (batch_size,), optional
        Labels of each row of an array `targets`. Default: n.
    blank : int, default=0
    n_threads : int, optional

    Returns
    -------
    loss : ndarray of float64 of shape (batch_size,)
        In nats. inf where no alignment fits: a target needs a step a label, and one more between equal neighbours.
    d_logits : ndarray of the shape and dtype of logits
        Gradient of each row's own loss; 0 in rows whose loss is inf, for no small change of logits helps them. The bits
        of a row depend neither on the other rows nor on the number of threads.

    Raises
    ------
    TypeError, ValueError
        Where an argument has another type, shape or range.

    Examples
    --------
    Of the nine alignments of two steps over three equally likely classes, three give "1": 11, 1-, -1.

    >>> import numpy as np
    >>> from fastrnn.layers.ctc import ctc_loss
    >>> loss, d_logits = ctc_loss(np.zeros((2, 1, 3)), [[1]])
    >>> round(float(np.exp(-loss[0])), 6), d_logits[:, 0].round(3).tolist()
    (0.333333, [[0.0, -0.333, 0.333], [0.0, -0.333, 0.333]])
    """
    logits = as_array("logits", logits)
    check_shape("logits", logits, ("seq_len", "batch_size", "n_classes"), (None, None, None))
    seq_len, batch_size, n_classes = logits.shape
    blank = check_blank(blank, n_classes)
    lengths = check_lengths(lengths, seq_len, batch_size)
    if lengths is None:
        lengths = np.full(batch_size, seq_len, np.int64)
    labels, starts = _joined(_rows_of(targets, target_lengths, batch_size))
    _check_labels(labels, starts, n_classes, blank)
    work = (lengths * (_WORK_CLASS * n_classes + _WORK_LABEL * (1 + np.diff(starts)))).sum()
    return ctc(logits, labels, starts, lengths, blank, _threads.resolve(n_threads, work, batch_size))


class CTC:
    """`ctc_loss` as the ``loss`` of `fastrnn.training.train`, for a network with an output a step.

    The loop pairs a target with each step, so the labels of a row come as `ctc_targets` lays them out.

    Parameters
    ----------
    blank : int, default=0
    zero_infinity : bool, default=False
        Count rows whose labels no alignment fits as 0, and so leave them out. Otherwise the value is inf, and `train`
        stops with `NonFiniteLossError`.
    n_threads : int, optional
    mean_over : {"steps", "sequences"}, default="steps"
        What the value is a mean over: nats a step, as of every loss of such a network, or nats a sequence.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn.layers import Dense, Sequential
    >>> from fastrnn.layers.ctc import CTC, ctc_targets
    >>> from fastrnn.optim import Adam
    >>> from fastrnn.training import train
    >>> X = [np.eye(3)[[0, 1, 1, 0]], np.eye(3)[[2, 0, 1]]]
    >>> targets = ctc_targets([[1], [2, 1]], [len(x) for x in X])
    >>> network = Sequential(Dense(3, 3, random_state=0))
    >>> options = {"loss": CTC(), "optimizer": Adam(0.1), "rng": np.random.default_rng(0)}
    >>> train(network, X, targets, max_iter=50, **options).loss_curve[-1] < 0.1
    True
    """

    needs_whole_sequences = True

    def __init__(self, blank=0, zero_infinity=False, n_threads=None, mean_over="steps"):
        self.blank = check_size("blank", blank, minimum=0)
        self.zero_infinity = bool(zero_infinity)
        self.n_threads = None if n_threads is None else check_size("n_threads", n_threads)
        self.mean_over = check_choice("mean_over", mean_over, ("steps", "sequences"))

    def __call__(self, logits, target, sample_weight=None):
        """Return the mean and its gradient.

        Parameters
        ----------
        logits : ndarray of shape (seq_len, batch_size, n_classes)
        target : ndarray of int of shape (seq_len, batch_size)
            The labels of a row from its first step on, then -1 up to its last.
        sample_weight : ndarray of shape (seq_len, batch_size), optional
            The weight of a row at each of its steps, then 0: so it tells the lengths of rows too.

        Returns
        -------
        value : float
            sum of weight * loss / sum of weight * length over rows. Of sequences: sum of weight * length * loss / sum
            of weight * length, the mean of rows whose steps have weights that add up to 1.
        d_logits : ndarray of shape (seq_len, batch_size, n_classes)
        """
        target = as_tokens("target", target)
        check_shape("target", target, ("seq_len", "batch_size"), np.shape(logits)[:2])
        lengths, weight = _lengths_and_weights(sample_weight, target.shape)
        rows = [_labels_of(target[:length, n]) for n, length in enumerate(lengths.tolist())]
        loss, d_logits = ctc_loss(logits, rows, lengths, blank=self.blank, n_threads=self.n_threads)
        if self.zero_infinity:
            loss[np.isinf(loss)] = 0.0
        total = float(weight @ lengths)
        if total == 0.0:
            return 0.0, d_logits
        if self.mean_over == "sequences":
            weight = weight * lengths
        d_logits *= (weight / total).astype(d_logits.dtype)[:, None]
        return float(weight @ loss) / total, d_logits


def ctc_targets(targets, lengths):
    """Lay label sequences out over the steps of their rows, for `CTC`.

    Parameters
    ----------
    targets : sequence of array_like of int of shape (target_length_i,)
    lengths : array_like of int of shape (n_samples,)
        Steps of the network's output for each; at least as many as labels.

    Returns
    -------
    list of ndarray of int64 of shape (length_i,)
        The labels, then -1.

    Raises
    ------
    ValueError
        Where a label is negative, or a sequence has more labels than steps: its loss would be inf.

    Examples
    --------
    >>> from fastrnn.layers.ctc import ctc_targets
    >>> ctc_targets([[5, 2], []], [4, 1])
    [array([ 5,  2, -1, -1]), array([-1])]
    """
    if len(targets) != len(lengths):
        raise ValueError(f"targets has {len(targets)} rows, expected one for each of the {len(lengths)} lengths")
    rows = []
    for n, (labels, length) in enumerate(zip(targets, lengths)):
        labels = check_shape(f"targets[{n}]", as_tokens(f"targets[{n}]", labels), ("target_length",), (None,))
        if len(labels) and labels.min() < 0:
            raise ValueError(f"targets[{n}] holds the label {labels.min()}, expected labels >= 0")
        if len(labels) > length:
            raise ValueError(
                f"targets[{n}] has {len(labels)} labels, expected target_length <= lengths[{n}] = {length}"
            )
        row = np.full(length, _NO_LABEL, np.int64)
        row[: len(labels)] = labels
        rows.append(row)
    return rows


def check_blank(blank, n_classes):
    """Return the class number `blank` as an int."""
    blank = check_size("blank", blank, minimum=0)
    if blank >= n_classes:
        raise ValueError(f"blank is {blank}, expected 0 <= blank < n_classes = {n_classes}")
    return blank


def _rows_of(targets, target_lengths, batch_size):
    """Return a list with the labels of each row."""
    if target_lengths is None and not isinstance(targets, np.ndarray):
        if len(targets) != batch_size:
            raise ValueError(f"targets has {len(targets)} rows, expected batch_size = {batch_size}")
        rows = [as_tokens(f"targets[{n}]", row) for n, row in enumerate(targets)]
        return [check_shape(f"targets[{n}]", row, ("target_length",), (None,)) for n, row in enumerate(rows)]
    table = as_tokens("targets", targets)
    check_shape("targets", table, ("batch_size", "target_length"), (batch_size, None))
    if target_lengths is None:
        return list(table)
    counts = check_shape("target_lengths", as_tokens("target_lengths", target_lengths), ("batch_size",), (batch_size,))
    wrong = np.flatnonzero((counts < 0) | (counts > table.shape[1]))
    if wrong.size:
        n = int(wrong[0])
        raise ValueError(
            f"target_lengths[{n}] is {counts[n]}, expected 0 <= target_length <= targets.shape[1] = {table.shape[1]}"
        )
    return [row[:count] for row, count in zip(table, counts.tolist())]


def _joined(rows):
    """Return the labels of all rows, one after the other, and where each row begins."""
    starts = np.zeros(len(rows) + 1, np.int64)
    np.cumsum([len(row) for row in rows], out=starts[1:])
    return np.concatenate([np.zeros(0, np.int64), *rows]), starts


def _check_labels(labels, starts, n_classes, blank):
    wrong = np.flatnonzero((labels < 0) | (labels >= n_classes) | (labels == blank))
    if wrong.size:
        n = int(np.searchsorted(starts, wrong[0], side="right")) - 1
        raise ValueError(
            f"targets[{n}][{wrong[0] - starts[n]}] is {labels[wrong[0]]}, "
            f"expected 0 <= label < n_classes = {n_classes} and not the blank, {blank}"
        )


def _lengths_and_weights(sample_weight, shape):
    """Return the length and the weight of each row."""
    if sample_weight is None:
        return np.full(shape[1], shape[0], np.int64), np.ones(shape[1])
    weight = as_array("sample_weight", sample_weight, np.float64)
    check_shape("sample_weight", weight, ("seq_len", "batch_size"), shape)
    lengths = np.count_nonzero(weight, axis=0)
    first = weight[0] if shape[0] else np.zeros(shape[1])
    if not (np.isfinite(first) & (first >= 0.0)).all():
        raise ValueError("sample_weight holds a negative number, an infinite one or NaN, expected weights >= 0")
    if not np.array_equal(weight, np.where(np.arange(shape[0])[:, None] < lengths, first, 0.0)):
        raise ValueError("sample_weight changes within a row, expected one weight for its steps, then 0")
    return lengths, first


def _labels_of(steps):
    end = np.flatnonzero(steps == _NO_LABEL)
    return steps[: end[0]] if end.size else steps
