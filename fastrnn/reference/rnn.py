r"""Elman's recurrent network, one direction of one layer.

.. math:: h_t = \phi(W_{ih} x_t + b_{ih} + W_{hh} h_{t-1} + b_{hh}), \quad \phi \in \{\tanh, \mathrm{relu}\}

Sources: J. L. Elman, "Finding Structure in Time", Cognitive Science 14 (1990), figure 2, for the network; A. Graves,
A. Mohamed and G. Hinton, "Speech Recognition with Deep Recurrent Neural Networks", ICASSP 2013, equation (1), for the
formula; Q. V. Le, N. Jaitly and G. Hinton, "A Simple Way to Initialize Recurrent Networks of Rectified Linear Units",
arXiv:1504.00941, section 2, for relu. The backward pass is the chain rule applied to the formula, step by step from
the end (P. J. Werbos, "Backpropagation Through Time: What It Does and How to Do It", Proc. IEEE 78 (1990)).
"""

import numpy as np

from ._math import d_relu, d_tanh, relu

PHI = {"tanh": (np.tanh, d_tanh), "relu": (relu, d_relu)}


def forward(weights, x, state_0, *, nonlinearity="tanh"):
    """Run the network over sequences of one length.

    Parameters
    ----------
    weights : dict
        ``weight_ih`` (hidden_size, input_size), ``weight_hh`` (hidden_size, hidden_size) and, with biases,
        ``bias_ih`` and ``bias_hh`` (hidden_size,).
    x : ndarray of shape (seq_len, batch_size, input_size)
    state_0 : tuple of one ndarray of shape (batch_size, hidden_size)
        ``(h_0,)``.
    nonlinearity : {"tanh", "relu"}

    Returns
    -------
    states : tuple of one ndarray of shape (seq_len + 1, batch_size, hidden_size)
        ``(h,)``, with h_0 in slot 0.
    saved : tuple
        Empty: the derivative of either nonlinearity follows from its output.
    """
    phi, _ = PHI[nonlinearity]
    w_ih, w_hh = weights["weight_ih"], weights["weight_hh"]
    b_ih, b_hh = weights.get("bias_ih", 0.0), weights.get("bias_hh", 0.0)
    (h_0,) = state_0
    seq_len = len(x)
    h = np.empty((seq_len + 1, *h_0.shape), dtype=h_0.dtype)
    h[0] = h_0
    for t in range(seq_len):
        h[t + 1] = phi(x[t] @ w_ih.T + b_ih + h[t] @ w_hh.T + b_hh)
    return (h,), ()


def backward(weights, x, states, saved, d_output, d_state_n, *, nonlinearity="tanh"):
    """Derivatives of one scalar by everything that `forward` took.

    Parameters
    ----------
    weights, x, nonlinearity
        As given to `forward`.
    states, saved
        As returned by `forward`.
    d_output : ndarray of shape (seq_len, batch_size, hidden_size)
    d_state_n : tuple of one ndarray of shape (batch_size, hidden_size)

    Returns
    -------
    d_weights : dict
        The keys and shapes of `weights`.
    d_x : ndarray of shape (seq_len, batch_size, input_size)
    d_state_0 : tuple of one ndarray of shape (batch_size, hidden_size)
    """
    _, d_phi = PHI[nonlinearity]
    (h,) = states
    d_weights = {name: np.zeros_like(w) for name, w in weights.items()}
    d_x = np.empty_like(x)
    (d_h,) = d_state_n
    for t in reversed(range(len(x))):
        d_h = d_h + d_output[t]
        d_a = d_h * d_phi(h[t + 1])
        d_weights["weight_ih"] += d_a.T @ x[t]
        d_weights["weight_hh"] += d_a.T @ h[t]
        if "bias_ih" in weights:
            d_weights["bias_ih"] += d_a.sum(axis=0)
            d_weights["bias_hh"] += d_a.sum(axis=0)
        d_x[t] = d_a @ weights["weight_ih"]
        d_h = d_a @ weights["weight_hh"]
    return d_weights, d_x, (d_h,)
