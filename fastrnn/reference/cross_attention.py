r"""Attention of a decoder over an encoder's outputs, row by row and query by query.

.. math::
    a_t &= \exp(e_t) \big/ \sum_s \exp(e_s) \\
    c &= \sum_t a_t s_t \\
    y &= \tanh(W_o [c; h])

with the score :math:`e_t = h^\top W s_t` or :math:`e_t = v^\top \tanh(W_q h + W_m s_t)`. Sums run over a row's own
steps. Parameters: ``weight_output`` is W_o, ``weight_score`` is W; ``weight_query``, ``weight_memory`` and ``context``
are W_q, W_m and v.

Source: M.-T. Luong, H. Pham and C. D. Manning, "Effective Approaches to Attention-based Neural Machine Translation",
EMNLP 2015, section 3; the second score is that of D. Bahdanau, K. Cho and Y. Bengio, "Neural Machine Translation by
Jointly Learning to Align and Translate", ICLR 2015, section A.1.2. The backward pass is the chain rule.
"""

import numpy as np


def forward(params, queries, memory, memory_lengths=None, lengths=None):
    """Attend as if each query of each row were alone.

    Parameters
    ----------
    params : dict of str to ndarray
    queries : ndarray of shape (seq_len, batch_size, query_size)
    memory : ndarray of shape (memory_len, batch_size, memory_size)
    memory_lengths, lengths : array_like of int of shape (batch_size,), optional

    Returns
    -------
    output : ndarray of shape (seq_len, batch_size, output_size)
    weights : ndarray of shape (seq_len, batch_size, memory_len)
    """
    output = np.zeros((*queries.shape[:2], len(params["weight_output"])))
    weights = np.zeros((*queries.shape[:2], len(memory)))
    for u, n, s in _pairs(queries, memory, memory_lengths, lengths):
        a = _weights(params, queries[u, n], s)
        weights[u, n, : len(s)] = a
        output[u, n] = np.tanh(params["weight_output"] @ np.concatenate([a @ s, queries[u, n]]))
    return output, weights


def backward(params, queries, memory, memory_lengths, lengths, d_output):
    """Derivatives of one scalar by both inputs and the parameters; `d_output` has the shape of the output.

    Returns
    -------
    d_queries, d_memory : ndarray
    grads : dict of str to ndarray
    """
    d_queries, d_memory = np.zeros_like(queries), np.zeros_like(memory)
    grads = {name: np.zeros_like(value) for name, value in params.items()}
    for u, n, s in _pairs(queries, memory, memory_lengths, lengths):
        h, d_s, d_h = queries[u, n], d_memory[: len(s), n], d_queries[u, n]
        a = _weights(params, h, s)
        joined = np.concatenate([a @ s, h])
        d_pre = d_output[u, n] * (1 - np.tanh(params["weight_output"] @ joined) ** 2)
        grads["weight_output"] += np.outer(d_pre, joined)
        d_c, d_direct = np.split(params["weight_output"].T @ d_pre, [memory.shape[2]])
        d_h += d_direct
        d_s += np.outer(a, d_c)
        d_score = (np.diag(a) - np.outer(a, a)) @ (s @ d_c)
        if "context" not in params:
            grads["weight_score"] += np.outer(h, d_score @ s)
            d_h += params["weight_score"] @ (d_score @ s)
            d_s += np.outer(d_score, params["weight_score"].T @ h)
            continue
        hidden = np.tanh(params["weight_query"] @ h + s @ params["weight_memory"].T)
        grads["context"] += d_score @ hidden
        d_hidden = np.outer(d_score, params["context"]) * (1 - hidden**2)
        grads["weight_query"] += np.outer(d_hidden.sum(0), h)
        grads["weight_memory"] += d_hidden.T @ s
        d_h += params["weight_query"].T @ d_hidden.sum(0)
        d_s += d_hidden @ params["weight_memory"]
    return d_queries, d_memory, grads


def _pairs(queries, memory, memory_lengths, lengths):
    """Each query's step, its row and the steps of the row's memory, (memory_len_n, memory_size)."""
    memory_lengths = np.full(memory.shape[1], len(memory)) if memory_lengths is None else memory_lengths
    lengths = np.full(queries.shape[1], len(queries)) if lengths is None else lengths
    return [(u, n, memory[: memory_lengths[n], n]) for n in range(queries.shape[1]) for u in range(lengths[n])]


def _weights(params, h, s):
    """The weights (memory_len_n,) of one query."""
    if not len(s):
        return np.zeros(0)
    if "context" in params:
        score = np.tanh(params["weight_query"] @ h + s @ params["weight_memory"].T) @ params["context"]
    else:
        score = s @ (params["weight_score"].T @ h)
    e = np.exp(score - score.max())
    return e / e.sum()
