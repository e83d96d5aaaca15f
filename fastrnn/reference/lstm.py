r"""Long short-term memory, one direction of one layer, with or without a projection.

.. math::
    i_t &= \sigma(W_{ii} x_t + b_{ii} + W_{hi} h_{t-1} + b_{hi}) \\
    f_t &= \sigma(W_{if} x_t + b_{if} + W_{hf} h_{t-1} + b_{hf}) \\
    g_t &= \tanh(W_{ig} x_t + b_{ig} + W_{hg} h_{t-1} + b_{hg}) \\
    o_t &= \sigma(W_{io} x_t + b_{io} + W_{ho} h_{t-1} + b_{ho}) \\
    c_t &= f_t \odot c_{t-1} + i_t \odot g_t \\
    m_t &= o_t \odot \tanh(c_t) \\
    h_t &= m_t \quad\text{or, projected,}\quad h_t = W_{hr} m_t

The rows of every weight and bias stand in the order i, f, g, o.

Sources: S. Hochreiter and J. Schmidhuber, "Long Short-Term Memory", Neural Computation 9 (1997), for the memory cell;
F. A. Gers, J. Schmidhuber and F. Cummins, "Learning to Forget", Neural Computation 12 (2000), for the forget gate;
A. Graves, "Generating Sequences With Recurrent Neural Networks", arXiv:1308.0850, equations (7) to (11) without their
peepholes, for the six lines; H. Sak, A. Senior and F. Beaufays, "Long Short-Term Memory Recurrent Neural Network
Architectures for Large Scale Acoustic Modeling", Interspeech 2014, equations (7) to (12), for the projection.
K. Greff et al., "LSTM: A Search Space Odyssey", IEEE TNNLS 28 (2017), section III.B, lists the derivatives.
"""

import numpy as np

from ._math import d_sigmoid, d_tanh, sigmoid


def forward(weights, x, state_0):
    """Run the LSTM over sequences of one length.

    Parameters
    ----------
    weights : dict
        ``weight_ih`` (4 * hidden_size, input_size), ``weight_hh`` (4 * hidden_size, output_size), with biases
        ``bias_ih`` and ``bias_hh`` (4 * hidden_size,), with a projection ``weight_hr`` (proj_size, hidden_size);
        output_size is proj_size then and hidden_size otherwise.
    x : ndarray of shape (seq_len, batch_size, input_size)
    state_0 : tuple of ndarrays of shapes (batch_size, output_size) and (batch_size, hidden_size)
        ``(h_0, c_0)``.

    Returns
    -------
    states : tuple of ndarrays (seq_len + 1, batch_size, output_size) and (seq_len + 1, batch_size, hidden_size)
        ``(h, c)``, with the initial state in slot 0.
    saved : list of tuple
        ``(i, f, g, o)`` of each step.
    """
    w_ih, w_hh = weights["weight_ih"], weights["weight_hh"]
    b_ih, b_hh = weights.get("bias_ih", 0.0), weights.get("bias_hh", 0.0)
    h_0, c_0 = state_0
    seq_len = len(x)
    h = np.empty((seq_len + 1, *h_0.shape), dtype=h_0.dtype)
    c = np.empty((seq_len + 1, *c_0.shape), dtype=c_0.dtype)
    h[0], c[0] = h_0, c_0
    saved = []
    for t in range(seq_len):
        a_i, a_f, a_g, a_o = np.split(x[t] @ w_ih.T + b_ih + h[t] @ w_hh.T + b_hh, 4, axis=1)
        i, f, g, o = sigmoid(a_i), sigmoid(a_f), np.tanh(a_g), sigmoid(a_o)
        c[t + 1] = f * c[t] + i * g
        m = o * np.tanh(c[t + 1])
        h[t + 1] = m @ weights["weight_hr"].T if "weight_hr" in weights else m
        saved.append((i, f, g, o))
    return (h, c), saved


def backward(weights, x, states, saved, d_output, d_state_n):
    """Derivatives of one scalar by everything that `forward` took.

    Parameters
    ----------
    weights, x
        As given to `forward`.
    states, saved
        As returned by `forward`.
    d_output : ndarray of shape (seq_len, batch_size, output_size)
    d_state_n : tuple of ndarrays of shapes (batch_size, output_size) and (batch_size, hidden_size)

    Returns
    -------
    d_weights : dict
        The keys and shapes of `weights`.
    d_x : ndarray of shape (seq_len, batch_size, input_size)
    d_state_0 : tuple of ndarrays of shapes (batch_size, output_size) and (batch_size, hidden_size)
    """
    h, c = states
    d_weights = {name: np.zeros_like(w) for name, w in weights.items()}
    d_x = np.empty_like(x)
    d_h, d_c = d_state_n
    for t in reversed(range(len(x))):
        i, f, g, o = saved[t]
        tanh_c = np.tanh(c[t + 1])
        d_h = d_h + d_output[t]
        d_m = d_h
        if "weight_hr" in weights:
            d_m = d_h @ weights["weight_hr"]
            d_weights["weight_hr"] += d_h.T @ (o * tanh_c)
        d_c = d_c + d_m * o * d_tanh(tanh_c)
        d_a_i = d_c * g * d_sigmoid(i)
        d_a_f = d_c * c[t] * d_sigmoid(f)
        d_a_g = d_c * i * d_tanh(g)
        d_a_o = d_m * tanh_c * d_sigmoid(o)
        d_a = np.concatenate([d_a_i, d_a_f, d_a_g, d_a_o], axis=1)
        d_weights["weight_ih"] += d_a.T @ x[t]
        d_weights["weight_hh"] += d_a.T @ h[t]
        if "bias_ih" in weights:
            d_weights["bias_ih"] += d_a.sum(axis=0)
            d_weights["bias_hh"] += d_a.sum(axis=0)
        d_x[t] = d_a @ weights["weight_ih"]
        d_h = d_a @ weights["weight_hh"]
        d_c = d_c * f
    return d_weights, d_x, (d_h, d_c)
