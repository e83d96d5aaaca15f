r"""Attention pooling: a weighted sum over time, row by row.

.. math::
    u_t &= \tanh(W h_t + b) \\
    a_t &= \exp(v^\top u_t) \big/ \sum_s \exp(v^\top u_s) \\
    y &= \sum_t a_t h_t

The sums run over a row's own steps. Parameters: ``weight`` is W, ``bias`` is b, ``context`` is v.

Source: Z. Yang et al., "Hierarchical Attention Networks for Document Classification", NAACL 2016, equations (5) to (7);
its score is the additive one of D. Bahdanau, K. Cho and Y. Bengio, "Neural Machine Translation by Jointly Learning to
Align and Translate", ICLR 2015, section A.1.2, without a decoder's state. The backward pass is the chain rule.
"""

import numpy as np


def forward(params, h, lengths=None):
    """Pool each row as if it were alone.

    Parameters
    ----------
    params : dict of str to ndarray
        ``weight`` (attention_size, input_size), ``bias`` (attention_size,), ``context`` (attention_size,).
    h : ndarray of shape (seq_len, batch_size, input_size)
        Steps past a row's length are never read.
    lengths : array_like of int of shape (batch_size,), optional

    Returns
    -------
    ndarray of shape (batch_size, input_size)
        0 where a row has no steps.
    """
    output = np.zeros(h.shape[1:], h.dtype)
    for n, row in enumerate(_rows(h, lengths)):
        if len(row):
            output[n] = _weights(params, row)[1] @ row
    return output


def backward(params, h, lengths, d_output):
    """Derivatives of one scalar by input and parameters; arguments as in `forward`, `d_output` of its output's shape.

    Returns
    -------
    d_h : ndarray, the shape of ``h``
        0 past a row's length.
    grads : dict of str to ndarray
        The keys and shapes of ``params``.
    """
    d_h, grads = np.zeros_like(h), {name: np.zeros_like(value) for name, value in params.items()}
    for n, row in enumerate(_rows(h, lengths)):
        if not len(row):
            continue
        u, a = _weights(params, row)
        jacobian = np.diag(a) - np.outer(a, a)  # of the softmax, (length, length)
        d_score = jacobian @ (row @ d_output[n])
        grads["context"] += d_score @ u
        d_pre = np.outer(d_score, params["context"]) * (1 - u * u)
        grads["weight"] += d_pre.T @ row
        grads["bias"] += d_pre.sum(0)
        d_h[: len(row), n] = np.outer(a, d_output[n]) + d_pre @ params["weight"]
    return d_h, grads


def _rows(h, lengths):
    lengths = np.full(h.shape[1], len(h)) if lengths is None else lengths
    return [h[:length, n] for n, length in enumerate(lengths)]


def _weights(params, row):
    """The hidden representation (length, attention_size) of a row's steps, and their weights (length,)."""
    u = np.tanh(row @ params["weight"].T + params["bias"])
    score = u @ params["context"]
    e = np.exp(score - score.max())
    return u, e / e.sum()
