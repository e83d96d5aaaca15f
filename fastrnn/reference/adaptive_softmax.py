r"""Log probabilities of classes in clusters.

.. math::
    \log p(y) = \begin{cases}
        \log \mathrm{softmax}(W_h x + b_h)_y & y < c_0 \\
        \log \mathrm{softmax}(W_h x + b_h)_{c_0 + k} + \log \mathrm{softmax}(B_k A_k x)_{y - c_k}
            & c_k \le y < c_{k+1}
    \end{cases}

Source: E. Grave, A. Joulin, M. Cissé, D. Grangier and H. Jégou, "Efficient softmax approximation for GPUs", 2017,
section 4; parameters as in ``torch.nn.AdaptiveLogSoftmaxWithLoss``. The
backward pass writes out the Jacobian of a log softmax.
"""

import numpy as np


def forward(params, x, cutoffs):
    """Log probabilities of all classes.

    Parameters
    ----------
    params : dict of str to ndarray
        ``head.weight`` (cutoffs[0] + clusters, input_size), ``head.bias`` or none, and of cluster k ``tail.k.0.weight``
        (features, input_size) and ``tail.k.1.weight`` (its classes, features).
    x : ndarray of shape (rows, input_size)
    cutoffs : sequence of int
        Where the clusters begin.

    Returns
    -------
    ndarray of shape (rows, classes)
    """
    return np.array([_row(params, row, cutoffs)[0] for row in x])


def backward(params, x, cutoffs, d_log_p):
    """Derivatives of one scalar by input and parameters.

    Parameters
    ----------
    params, x, cutoffs
        As in `forward`.
    d_log_p : ndarray of shape (rows, classes)

    Returns
    -------
    d_x : ndarray of shape (rows, input_size)
    grads : dict of str to ndarray
        The keys and shapes of ``params``.
    """
    d_x, grads = np.zeros_like(x), {name: np.zeros_like(value) for name, value in params.items()}
    for n, row in enumerate(x):
        _, head, tails = _row(params, row, cutoffs)
        d_head = np.concatenate([d_log_p[n, : cutoffs[0]], np.zeros(len(tails))])
        begin = cutoffs[0]
        for k, (hidden, own) in enumerate(tails):
            inner, outer = f"tail.{k}.0.weight", f"tail.{k}.1.weight"
            d_own = d_log_p[n, begin : begin + len(own)]
            begin += len(own)
            d_head[cutoffs[0] + k] = d_own.sum()
            d_scores = d_own @ _jacobian(own)
            d_hidden = d_scores @ params[outer]
            grads[outer] += np.outer(d_scores, hidden)
            grads[inner] += np.outer(d_hidden, row)
            d_x[n] += d_hidden @ params[inner]
        d_scores = d_head @ _jacobian(head)
        grads["head.weight"] += np.outer(d_scores, row)
        if "head.bias" in params:
            grads["head.bias"] += d_scores
        d_x[n] += d_scores @ params["head.weight"]
    return d_x, grads


def loss(params, x, cutoffs, target, weight):
    """Weighted mean of -log p(target), and its derivative by the log probabilities.

    Parameters
    ----------
    params, x, cutoffs
        As in `forward`.
    target : ndarray of int of shape (rows,)
    weight : ndarray of shape (rows,)

    Returns
    -------
    value : float
    d_log_p : ndarray of shape (rows, classes)
    """
    log_p = forward(params, x, cutoffs)
    d_log_p, value = np.zeros_like(log_p), 0.0
    for n, y in enumerate(target):
        share = weight[n] / weight.sum()
        value -= share * log_p[n, y]
        d_log_p[n, y] = -share
    return value, d_log_p


def _row(params, row, cutoffs):
    """Return log p of one row, the log softmax of its head, and of each cluster (projection, log softmax)."""
    head = _log_softmax(params["head.weight"] @ row + params.get("head.bias", 0.0))
    log_p, tails = [head[: cutoffs[0]]], []
    for k in range(len(cutoffs)):
        hidden = params[f"tail.{k}.0.weight"] @ row
        own = _log_softmax(params[f"tail.{k}.1.weight"] @ hidden)
        log_p.append(head[cutoffs[0] + k] + own)
        tails.append((hidden, own))
    return np.concatenate(log_p), head, tails


def _log_softmax(scores):
    highest = scores.max()
    return scores - highest - np.log(np.exp(scores - highest).sum())


def _jacobian(log_p):
    """Derivatives of log softmax i (rows) by score j (columns): 1 where i is j, less p_j."""
    return np.eye(len(log_p)) - np.exp(log_p)
