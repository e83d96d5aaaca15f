"""Where a decoder looked while it wrote."""

import numpy as np

from .._validation import check_shape
from ._matplotlib import axes_or_new


def plot_attention(weights, source, written, *, ax=None):
    """Draw the weights of an attention: a row for each token that was written, a column for each that was read.

    Parameters
    ----------
    weights : array_like of shape (n_written, n_source)
        As ``RNNSeq2Seq.attention_weights`` gives them for one sequence.
    source, written : str or sequence
        The tokens, of which the labels are made. Of a source of features the numbers of its steps, or what they are.
    ax : matplotlib Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    ax : matplotlib Axes

    Raises
    ------
    ValueError
        Where weights and tokens do not fit each other.
    ImportError
        Where matplotlib is missing.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from fastrnn.inspection import plot_attention
    >>> ax = plot_attention([[0.9, 0.1], [0.2, 0.8], [0.0, 1.0]], "ax", ["AE", "K", "S"], ax=Figure().subplots())
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['AE', 'K', 'S']
    """
    weights, source, written = np.asarray(weights, dtype=np.float64), list(source), list(written)
    check_shape("weights", weights, ("len(written)", "len(source)"), (len(written), len(source)))
    ax = axes_or_new(ax)
    image = ax.imshow(weights, cmap="Greys", vmin=0.0, vmax=1.0, aspect="auto")
    ax.set_xticks(range(len(source)), [str(token) for token in source])
    ax.set_yticks(range(len(written)), [str(token) for token in written])
    ax.set(xlabel="read", ylabel="written")
    ax.figure.colorbar(image, ax=ax, label="weight")
    return ax
