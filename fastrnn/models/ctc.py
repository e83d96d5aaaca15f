"""Label sequences out of a network trained with `fastrnn.layers.ctc`: best path and prefix beam search."""

import numpy as np

from .._validation import as_array, check_lengths, check_shape, check_size
from ..layers.ctc import check_blank


def greedy_decode(logits, lengths=None, blank=0):
    """Labels of the likeliest alignment: the best class of each step, runs merged, then blanks dropped.

    The best alignment need not belong to the best labels (Graves et al. 2006, section 3.2).

    Parameters
    ----------
    logits : array_like of shape (seq_len, batch_size, n_classes)
        Or log probabilities: only their order within a step counts.
    lengths : array_like of int of shape (batch_size,), optional
    blank : int, default=0

    Returns
    -------
    list of ndarray of int64 of shape (n_labels_i,)
        One for each row of the batch.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn.models.ctc import greedy_decode
    >>> greedy_decode(np.eye(3)[[1, 1, 0, 1, 2, 2, 0], None])
    [array([1, 1, 2])]
    """
    logits = as_array("logits", logits)
    check_shape("logits", logits, ("seq_len", "batch_size", "n_classes"), (None, None, None))
    seq_len, batch_size, n_classes = logits.shape
    blank = check_blank(blank, n_classes)
    lengths = check_lengths(lengths, seq_len, batch_size)
    best = logits.argmax(axis=2)
    new = np.ones(best.shape, bool)
    new[1:] = best[1:] != best[:-1]
    new &= best != blank
    if lengths is not None:
        new &= np.arange(seq_len)[:, None] < lengths
    return [best[new[:, n], n] for n in range(batch_size)]


def prefix_beam_search(logits, beam_width=16, blank=0, language_model=None, alpha=1.0, beta=0.0, n_best=None):
    """Likeliest labels of one sequence, each by the sum over its alignments, step by step within a beam of prefixes.

    Prefixes are held by two sums, over alignments that end with the blank and with a label (Graves 2006; Hannun, Maas,
    Jurafsky & Ng 2014, "First-pass large vocabulary continuous speech recognition using bi-directional recurrent
    DNNs", algorithm 1), and ranked by

        score = log p(labels | logits) + alpha log p(labels) + beta n_labels

    with p(labels) of the language model. A beam that holds all prefixes makes the search exact.

    Parameters
    ----------
    logits : array_like of shape (seq_len, n_classes)
        Or log probabilities, which a softmax leaves as they are.
    beam_width : int, default=16
        Prefixes that are kept after each step.
    blank : int, default=0
    language_model : callable, optional
        ``language_model(prefix)`` returns the natural logarithms of p(next | prefix), of shape (n_classes,), for a
        prefix given as a tuple of int; its entry of the blank is not read. Called once for each prefix.
    alpha : float, default=1.0
        Weight of the language model, which is not asked where it is 0.
    beta : float, default=0.0
        Added for each label: a language model favours few of them.
    n_best : int, optional
        How many are returned at most. Default: all of the beam.

    Returns
    -------
    list of (tuple of int, float)
        Labels and scores, best first; of equal scores, those found earlier.

    Examples
    --------
    The likeliest alignment is two blanks (0.36), and the likeliest labels are [1] (0.16 + 0.24 + 0.24).

    >>> import numpy as np
    >>> from fastrnn.models.ctc import greedy_decode, prefix_beam_search
    >>> logits = np.log([[0.6, 0.4], [0.6, 0.4]])
    >>> greedy_decode(logits[:, None])[0].tolist()
    []
    >>> labels, score = prefix_beam_search(logits)[0]
    >>> labels, round(float(np.exp(score)), 3)
    ((1,), 0.64)
    """
    logits = as_array("logits", logits, np.float64)
    check_shape("logits", logits, ("seq_len", "n_classes"), (None, None))
    blank = check_blank(blank, logits.shape[1])
    beam_width = check_size("beam_width", beam_width)
    n_best = beam_width if n_best is None else check_size("n_best", n_best)
    check_logits(logits)
    tree = _Prefixes(logits.shape[1], blank, language_model, alpha, beta)
    beam = _Beam(np.array([0]), np.array([0.0]), np.array([-np.inf]))
    with np.errstate(divide="ignore", invalid="ignore"):
        for log_y in log_softmax(logits):
            beam = _advance(tree, beam, log_y, beam_width)
    score = np.logaddexp(beam.ends_blank, beam.ends_label) + tree.bonus_of(beam.nodes)
    order = np.argsort(-score, kind="stable")[:n_best]
    return [(tree.labels(int(beam.nodes[k])), float(score[k])) for k in order]


class _Beam:
    """The prefixes kept after a step: nodes of the tree, and log sums over alignments by what they end with."""

    def __init__(self, nodes, ends_blank, ends_label):
        self.nodes, self.ends_blank, self.ends_label = nodes, ends_blank, ends_label


class _Prefixes:
    """All prefixes met, as a tree, with their bonus alpha log p(prefix) + beta n_labels. Node 0 is the empty one."""

    def __init__(self, n_classes, blank, language_model, alpha, beta):
        self._n_classes, self.blank = n_classes, blank
        self._model, self._alpha, self._beta = language_model, float(alpha), float(beta)
        self.parent, self.last = [-1], [blank]
        self._bonus, self._next_bonus, self._children = [0.0], {}, {}

    def child(self, node, label):
        """Return the node of a prefix with one more label."""
        key = (node, label)
        if key not in self._children:
            self._children[key] = len(self.parent)
            self._bonus.append(float(self.next_bonus(node)[label]))
            self.parent.append(node)
            self.last.append(label)
        return self._children[key]

    def labels(self, node):
        """Return the prefix as a tuple."""
        found = []
        while node:
            found.append(self.last[node])
            node = self.parent[node]
        return tuple(reversed(found))

    def bonus_of(self, nodes):
        """Return the bonus of each node."""
        return np.array([self._bonus[node] for node in nodes])

    def next_bonus(self, node):
        """Return the bonus of each child of a node, of shape (n_classes,)."""
        if node not in self._next_bonus:
            base = self._bonus[node] + self._beta
            gain = 0.0 if self._model is None or self._alpha == 0.0 else self._alpha * self._ask(node)
            self._next_bonus[node] = np.broadcast_to(base + gain, (self._n_classes,))
        return self._next_bonus[node]

    def _ask(self, node):
        answer = as_array("language_model(prefix)", self._model(self.labels(node)), np.float64)
        check_shape("language_model(prefix)", answer, ("n_classes",), (self._n_classes,))
        others = np.delete(answer, self.blank)
        if np.isnan(others).any() or (others > 1e-6).any():
            raise ValueError("language_model(prefix) holds NaN or numbers > 0, expected logarithms of probabilities")
        return answer


def _advance(tree, beam, log_y, beam_width):
    """Return the beam after one more step, of log probabilities log_y (n_classes,)."""
    nodes, n = beam.nodes, len(beam.nodes)
    last = np.array([tree.last[node] for node in nodes])
    total = np.logaddexp(beam.ends_blank, beam.ends_label)
    grown = total[:, None] + log_y
    # A label after itself is another label only behind a blank; else the run goes on.
    grown[np.arange(n), last] = beam.ends_blank + log_y[last]
    grown[:, tree.blank] = -np.inf
    ends_blank = total + log_y[tree.blank]
    ends_label = np.where(nodes == 0, -np.inf, beam.ends_label + log_y[last])
    place = {int(node): k for k, node in enumerate(nodes)}
    for k, node in enumerate(nodes):
        parent = place.get(tree.parent[node])
        if parent is not None:  # this prefix also grows out of one in the beam
            ends_label[k] = np.logaddexp(ends_label[k], grown[parent, last[k]])
            grown[parent, last[k]] = -np.inf
    score = np.concatenate(
        [
            np.logaddexp(ends_blank, ends_label) + tree.bonus_of(nodes),
            (grown + np.array([tree.next_bonus(int(node)) for node in nodes])).ravel(),
        ]
    )
    score[np.isnan(score)] = -np.inf
    best = np.argsort(-score, kind="stable")[:beam_width]
    best = best[: max(1, np.count_nonzero(score[best] > -np.inf))]
    kept, new = best[best < n], best[best >= n] - n
    parents, labels = np.divmod(new, len(log_y))
    children = [tree.child(int(nodes[k]), int(label)) for k, label in zip(parents, labels)]
    return _Beam(
        np.concatenate([nodes[kept], np.array(children, dtype=nodes.dtype)]),
        np.concatenate([ends_blank[kept], np.full(len(new), -np.inf)]),
        np.concatenate([ends_label[kept], grown[parents, labels]]),
    )


def check_logits(logits):
    """Check that each step of `logits` (seq_len, n_classes) has a softmax."""
    wrong = np.flatnonzero(~np.isfinite(logits.max(axis=1)))  # NaN too: max hands it on
    if wrong.size:
        raise ValueError(
            f"logits[{wrong[0]}] has the largest value {logits[wrong[0]].max()}, expected a finite one, and no NaN"
        )


def log_softmax(logits):
    """Return the logarithms of the softmax over the last axis of `logits` (seq_len, n_classes)."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
