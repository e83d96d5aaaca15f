"""How the loss fell while a network was trained."""

import numpy as np

from ._matplotlib import axes_or_new

BEST = {"color": "0.4", "linestyle": ":", "linewidth": 1.2}


def plot_learning_curve(estimator, ax=None):
    """Draw the training loss of every epoch, and the loss and score on validation data where there are some.

    A dotted line marks the best epoch: that of the highest validation score with ``early_stopping``, else that of the
    smallest training loss; the first of several. The weights that one ``fit`` leaves stood at its end. Where training
    went on in several calls (``warm_start``, ``partial_fit``), the training losses are those of all, and the validation
    curves stand at the epochs of the last one.

    Parameters
    ----------
    estimator : fitted estimator
        Anything with ``loss_curve_``; ``validation_loss_curve_`` and ``validation_scores_`` may be missing or None. Of
        a pipeline pass the last step, of a search ``best_estimator_``.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    ax : matplotlib.axes.Axes
        Of the losses. Scores have an axis of their own on its right, the next one of ``ax.figure.axes``.

    Raises
    ------
    TypeError
        Where the estimator has no ``loss_curve_``.
    ValueError
        Where it has not completed an epoch.
    ImportError
        Where matplotlib is missing.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from fastrnn import RNNRegressor
    >>> from fastrnn.datasets import adding
    >>> from fastrnn.inspection import plot_learning_curve
    >>> X, y = adding(120, 6, random_state=0)
    >>> model = RNNRegressor((8,), tol=1.0, n_iter_no_change=2, random_state=0)  # stops after three epochs
    >>> model = model.fit(X[:100], y[:100], X_val=X[100:], y_val=y[100:])
    >>> ax = plot_learning_curve(model, ax=Figure().subplots())
    >>> [line.get_label() for line in ax.get_lines()]
    ['training loss', 'validation loss', 'best epoch (3)']
    """
    loss = _curve(estimator, "loss_curve_")
    if loss is None:
        raise TypeError(
            f"estimator is {type(estimator).__name__}, which has no loss_curve_, expected a fitted fastrnn estimator "
            "(of a pipeline its last step, of a search its best_estimator_)"
        )
    if not len(loss):
        raise ValueError(
            f"the loss_curve_ of {type(estimator).__name__} is empty, expected at least one complete epoch"
        )
    validation_loss, scores = (_curve(estimator, name) for name in ("validation_loss_curve_", "validation_scores_"))
    ax = axes_or_new(ax)
    lines = ax.plot(_epochs(loss, loss), loss, label="training loss", color="C0")
    if validation_loss is not None:
        lines += ax.plot(_epochs(validation_loss, loss), validation_loss, label="validation loss", color="C1")
    front = ax
    if scores is not None:
        front = right = ax.twinx()
        lines += right.plot(_epochs(scores, loss), scores, label="validation score (right)", color="C2", linestyle="--")
        right.set_ylabel("validation score")
    best = _best_epoch(estimator, loss, scores)
    lines.append(ax.axvline(best, label=f"best epoch ({best})", **BEST))
    ax.set(xlabel="epoch", ylabel="loss")
    ax.xaxis.get_major_locator().set_params(integer=True)
    front.legend(handles=lines, loc="best" if front is ax else "center right")  # the axes drawn last
    return ax


def _curve(estimator, name):
    """An attribute as an array; None where it is missing or None."""
    values = getattr(estimator, name, None)
    return None if values is None else np.asarray(values, dtype=np.float64)


def _epochs(curve, loss):
    """The epochs, from 1, of a curve that ends where the training losses do."""
    return np.arange(len(loss) - len(curve), len(loss)) + 1


def _best_epoch(estimator, loss, scores):
    if getattr(estimator, "early_stopping", False) and scores is not None and len(scores):
        return int(_epochs(scores, loss)[np.argmax(scores)])
    return int(np.argmin(loss)) + 1
