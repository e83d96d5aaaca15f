"""What a classifier of whole sequences would answer if a sequence ended earlier."""

from dataclasses import dataclass

import numpy as np

from .._validation import check_size
from ._matplotlib import axes_or_new


@dataclass(frozen=True)
class ConfusionOverTime:
    """A confusion matrix for each of several time steps; what :func:`confusion_over_time` returns.

    Attributes
    ----------
    steps : ndarray of int of shape (n_steps,)
        How many time steps had been read, rising.
    labels : ndarray of shape (n_classes,)
        The classes, in the order of ``classes_``.
    counts : ndarray of int of shape (n_steps, n_classes, n_classes)
        ``counts[k, i, j]`` sequences are of class ``labels[i]`` and were taken for ``labels[j]`` after ``steps[k]``.
    n_running : ndarray of int of shape (n_steps,)
        Sequences of at least so many steps; the others had ended before.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn.inspection import ConfusionOverTime
    >>> counts = np.array([[[1, 1], [2, 0]], [[2, 0], [1, 1]]])
    >>> found = ConfusionOverTime(np.array([1, 2]), np.array(["no", "yes"]), counts, np.array([4, 3]))
    >>> found.accuracy.tolist(), found.predicted_shares.tolist()
    ([0.25, 0.75], [[0.75, 0.25], [0.75, 0.25]])
    """

    steps: np.ndarray
    labels: np.ndarray
    counts: np.ndarray
    n_running: np.ndarray

    @property
    def accuracy(self):
        """Share of right answers: ndarray of shape (n_steps,)."""
        return np.trace(self.counts, axis1=1, axis2=2) / self._n_sequences

    @property
    def predicted_shares(self):
        """Share of the sequences that were taken for each class: ndarray of shape (n_steps, n_classes)."""
        return self.counts.sum(axis=1) / self._n_sequences

    @property
    def recall(self):
        """Share of each class that was recognised: ndarray of shape (n_steps, n_classes), NaN where there are none."""
        with np.errstate(invalid="ignore"):
            return np.diagonal(self.counts, axis1=1, axis2=2) / self.counts.sum(axis=2)

    @property
    def _n_sequences(self):
        return self.counts[0].sum()


def confusion_over_time(estimator, X, y, *, steps=32):
    """Compare classes with what a classifier would answer after each of several time steps.

    After step t the answer for a sequence x is ``predict`` of its first t steps, ``x[:t]``; a sequence that has ended
    by then keeps its last answer. So all sequences count at every step, the curves of different steps are comparable,
    and the last one is the confusion matrix of ``predict(X)``. The network is the one that was trained on whole
    sequences: how soon it could know is another question, which training on prefixes would answer.

    Each step is one ``predict`` of the prefixes of those sequences that go on. That is right for every pooling, for
    pipelines, and for two directions, whose answers cannot be read off one pass; it takes about n_steps / 2 times as
    long as ``predict(X)``, and no more memory.

    Parameters
    ----------
    estimator : fitted classifier
        With ``classes_`` and a ``predict`` that takes a list of sequences: a fastrnn classifier, or a pipeline or
        search of one. One class a sequence: classifiers of several labels at once are refused.
    X : array_like of shape (n_samples, n_timesteps) or (n_samples, n_timesteps, n_features), or list of sequences
        As in ``predict``; sequences, whose first axis is time, are cut by ``x[:t]``.
    y : array_like of shape (n_samples,)
        The true classes.
    steps : int or array_like of int, default=32
        The time steps, counted from 1: an array of them in any order, or how many at most, spread evenly from the first
        step to the end of the longest sequence (1: the end alone).

    Returns
    -------
    found : ConfusionOverTime

    Raises
    ------
    TypeError
        Where the estimator has no ``classes_``, or steps are not integers.
    ValueError
        Where X and y differ in length, y has a label that is not in ``classes_``, a step lies outside
        [1, longest sequence], or ``predict`` gives more than one label a sequence.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn import RNNClassifier
    >>> from fastrnn.inspection import confusion_over_time
    >>> rng = np.random.default_rng(0)
    >>> y = np.arange(60) % 2
    >>> X = 0.1 * rng.standard_normal((60, 8, 1))
    >>> X[:, 4:, 0] += y[:, None]  # the classes differ from the fifth step on
    >>> model = RNNClassifier((8,), cell="gru", learning_rate_init=0.03, tol=0.01, random_state=0).fit(X, y)
    >>> found = confusion_over_time(model, X, y, steps=[4, 8])
    >>> found.accuracy
    array([0.5, 1. ])
    >>> found.counts[1]
    array([[30,  0],
           [ 0, 30]])
    """
    labels = getattr(estimator, "classes_", None)
    if labels is None:
        raise TypeError(f"estimator is {type(estimator).__name__}, which has no classes_, expected a fitted classifier")
    labels = np.asarray(labels)
    at_end = _codes("predict(X)", estimator.predict(X), labels)
    true = _codes("y", y, labels)
    if len(true) != len(at_end):
        raise ValueError(f"y has {len(true)} labels, expected one a sequence = {len(at_end)}")
    sequences = list(np.asarray(X) if hasattr(X, "ndim") else X)
    lengths = np.array([len(x) for x in sequences])
    steps = _checked_steps(steps, int(lengths.max()))
    counts = np.zeros((len(steps), len(labels), len(labels)), dtype=np.int64)
    for k, step in enumerate(steps):
        predicted, longer = at_end.copy(), np.flatnonzero(lengths > step)
        if longer.size:
            prefixes = [sequences[n][:step] for n in longer]
            predicted[longer] = _codes("predict(X)", estimator.predict(prefixes), labels)
        np.add.at(counts[k], (true, predicted), 1)
    return ConfusionOverTime(steps, labels, counts, (lengths[:, None] >= steps).sum(axis=0))


def _codes(name, values, labels):
    """The number of each value among the labels."""
    values = np.asarray(values)
    if values.ndim != 1:
        raise ValueError(f"{name} has shape {values.shape}, expected (n_samples,), one class a sequence")
    number = {label: k for k, label in enumerate(labels.tolist())}
    codes = [number.get(value, -1) for value in values.tolist()]
    if -1 in codes:
        strange = values.tolist()[codes.index(-1)]
        raise ValueError(f"{name} has the label {strange!r}, expected one of the classes {labels.tolist()}")
    return np.array(codes, dtype=np.intp)


def _checked_steps(steps, longest):
    if np.ndim(steps) == 0:
        count = min(check_size("steps", steps), longest)
        return np.unique(np.linspace(1, longest, count).round().astype(np.intp)) if count > 1 else np.array([longest])
    steps = np.asarray(steps)
    if steps.ndim != 1 or not steps.size:
        raise ValueError(f"steps has shape {steps.shape}, expected (n_steps,) with n_steps >= 1")
    if steps.dtype.kind not in "iu":
        raise TypeError(f"steps has dtype {steps.dtype}, expected integers")
    outside = (steps < 1) | (steps > longest)
    if outside.any():
        raise ValueError(f"steps holds {steps[outside][0]}, expected 1 <= step <= longest sequence = {longest}")
    return np.unique(steps).astype(np.intp)


def plot_confusion_over_time(estimator, X, y, *, steps=32, ax=None):
    """Draw what a classifier would answer after each of several time steps; see :func:`confusion_over_time`.

    Every band is the share of the sequences that are taken for one class: in full colour, at the bottom, those rightly
    taken for it, and pale, above, those wrongly. The black line between them is the accuracy. A dashed line shows the
    share of sequences that have not ended, where they are not equally long.

    Parameters
    ----------
    estimator, X, y, steps
        As in :func:`confusion_over_time`.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    ax : matplotlib.axes.Axes

    Raises
    ------
    TypeError, ValueError
        As :func:`confusion_over_time`.
    ImportError
        Where matplotlib is missing.

    Examples
    --------
    >>> import numpy as np
    >>> from matplotlib.figure import Figure
    >>> from fastrnn import RNNClassifier
    >>> from fastrnn.inspection import plot_confusion_over_time
    >>> X, y = np.tile([[1.0], [-1.0]], (20, 8)), np.tile(["up", "down"], 20)
    >>> model = RNNClassifier((4,), learning_rate_init=0.03, tol=0.1, random_state=0).fit(X, y)
    >>> ax = plot_confusion_over_time(model, X, y, ax=Figure().subplots())
    >>> float(ax.get_lines()[0].get_ydata()[-1])  # accuracy at the end
    1.0
    """
    found = confusion_over_time(estimator, X, y, steps=steps)
    ax = axes_or_new(ax)
    n_classes, n_sequences = len(found.labels), int(found.counts[0].sum())
    right = np.diagonal(found.counts, axis1=1, axis2=2) / n_sequences
    wrong = found.predicted_shares - right
    bands = ax.stackplot(found.steps, *right.T, *wrong.T, colors=_colors(n_classes) * 2, linewidth=0.0)
    for band, label in zip(bands, found.labels):
        band.set_label(str(label))
    for band in bands[n_classes:]:
        band.set_alpha(0.35)
    ax.plot(found.steps, found.accuracy, color="black", linewidth=2.0, label="accuracy")
    if found.n_running[-1] < n_sequences:
        share = found.n_running / n_sequences
        ax.plot(found.steps, share, color="black", linestyle="--", linewidth=1.0, label="not ended")
    ax.set(xlabel="time steps read", ylabel="share of sequences", ylim=(0.0, 1.0))
    ax.margins(x=0.0)
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), ncols=1 + n_classes // 20, reverse=True)
    return ax


def _colors(n_classes):
    """A colour for each class, told apart as well as so many can be."""
    from matplotlib import colormaps

    if n_classes <= 10:
        return [f"C{k}" for k in range(n_classes)]
    return [colormaps["turbo"](k / (n_classes - 1)) for k in range(n_classes)]
