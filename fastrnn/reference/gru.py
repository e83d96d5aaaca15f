r"""Gated recurrent unit, one direction of one layer, in both forms.

.. math::
    r_t &= \sigma(W_{ir} x_t + b_{ir} + W_{hr} h_{t-1} + b_{hr}) \\
    z_t &= \sigma(W_{iz} x_t + b_{iz} + W_{hz} h_{t-1} + b_{hz}) \\
    n_t &= \tanh(W_{in} x_t + b_{in} + r_t \odot (W_{hn} h_{t-1} + b_{hn})) \quad\text{(reset after)} \\
    n_t &= \tanh(W_{in} x_t + b_{in} + W_{hn} (r_t \odot h_{t-1}) + b_{hn}) \quad\text{(reset before)} \\
    h_t &= (1 - z_t) \odot n_t + z_t \odot h_{t-1}

The rows of every weight and bias stand in the order r, z, n.

Sources: K. Cho et al., "Learning Phrase Representations using RNN Encoder-Decoder for Statistical Machine
Translation", EMNLP 2014, equations (5) to (8), for the form with the reset before the product, its gates named r and z
as here; the form with the reset after the product, which lets one product serve all three gates, is the one of cuDNN
and of the formulas in the documentation of ``torch.nn.GRU``. The backward pass is the chain rule applied to these
lines.
"""

import numpy as np

from ._math import d_sigmoid, d_tanh, sigmoid


def forward(weights, x, state_0, *, reset_after=True):
    """Run the GRU over sequences of one length.

    Parameters
    ----------
    weights : dict
        ``weight_ih`` (3 * hidden_size, input_size), ``weight_hh`` (3 * hidden_size, hidden_size) and, with biases,
        ``bias_ih`` and ``bias_hh`` (3 * hidden_size,).
    x : ndarray of shape (seq_len, batch_size, input_size)
    state_0 : tuple of one ndarray of shape (batch_size, hidden_size)
        ``(h_0,)``.
    reset_after : bool
        Whether the reset gate acts on W_hn h + b_hn (True) or on h alone (False).

    Returns
    -------
    states : tuple of one ndarray of shape (seq_len + 1, batch_size, hidden_size)
        ``(h,)``, with h_0 in slot 0.
    saved : list of tuple
        ``(r, z, n)`` of each step.
    """
    hidden_size = weights["weight_hh"].shape[1]
    zero = np.zeros(3 * hidden_size, dtype=x.dtype)
    w_ir, w_iz, w_in = np.split(weights["weight_ih"], 3)
    w_hr, w_hz, w_hn = np.split(weights["weight_hh"], 3)
    b_ir, b_iz, b_in = np.split(weights.get("bias_ih", zero), 3)
    b_hr, b_hz, b_hn = np.split(weights.get("bias_hh", zero), 3)
    (h_0,) = state_0
    seq_len = len(x)
    h = np.empty((seq_len + 1, *h_0.shape), dtype=h_0.dtype)
    h[0] = h_0
    saved = []
    for t in range(seq_len):
        r = sigmoid(x[t] @ w_ir.T + b_ir + h[t] @ w_hr.T + b_hr)
        z = sigmoid(x[t] @ w_iz.T + b_iz + h[t] @ w_hz.T + b_hz)
        if reset_after:
            n = np.tanh(x[t] @ w_in.T + b_in + r * (h[t] @ w_hn.T + b_hn))
        else:
            n = np.tanh(x[t] @ w_in.T + b_in + (r * h[t]) @ w_hn.T + b_hn)
        h[t + 1] = (1.0 - z) * n + z * h[t]
        saved.append((r, z, n))
    return (h,), saved


def backward(weights, x, states, saved, d_output, d_state_n, *, reset_after=True):
    """Derivatives of one scalar by everything that `forward` took.

    Parameters
    ----------
    weights, x, reset_after
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
    (h,) = states
    hidden_size = h.shape[2]
    w_hr, w_hz, w_hn = np.split(weights["weight_hh"], 3)
    b_hn = weights["bias_hh"][2 * hidden_size :] if "bias_hh" in weights else 0.0
    d_weights = {name: np.zeros_like(w) for name, w in weights.items()}
    d_w_hr, d_w_hz, d_w_hn = np.split(d_weights["weight_hh"], 3)  # views: adding to them fills d_weights
    d_x = np.empty_like(x)
    (d_h,) = d_state_n
    for t in reversed(range(len(x))):
        r, z, n = saved[t]
        d_h = d_h + d_output[t]
        d_a_z = d_h * (h[t] - n) * d_sigmoid(z)
        d_a_n = d_h * (1.0 - z) * d_tanh(n)  # by the argument of the tanh
        if reset_after:
            d_r = d_a_n * (h[t] @ w_hn.T + b_hn)
            d_u_n = d_a_n * r  # by the recurrent part W_hn h + b_hn
            d_w_hn += d_u_n.T @ h[t]
            d_h_by_n = d_u_n @ w_hn
        else:
            d_r_h = d_a_n @ w_hn  # by the product r * h
            d_r = d_r_h * h[t]
            d_u_n = d_a_n
            d_w_hn += d_u_n.T @ (r * h[t])
            d_h_by_n = d_r_h * r
        d_a_r = d_r * d_sigmoid(r)
        d_w_hr += d_a_r.T @ h[t]
        d_w_hz += d_a_z.T @ h[t]
        d_a_ih = np.concatenate([d_a_r, d_a_z, d_a_n], axis=1)
        d_a_hh = np.concatenate([d_a_r, d_a_z, d_u_n], axis=1)
        d_weights["weight_ih"] += d_a_ih.T @ x[t]
        if "bias_ih" in weights:
            d_weights["bias_ih"] += d_a_ih.sum(axis=0)
            d_weights["bias_hh"] += d_a_hh.sum(axis=0)
        d_x[t] = d_a_ih @ weights["weight_ih"]
        d_h = d_h * z + d_a_r @ w_hr + d_a_z @ w_hz + d_h_by_n
    return d_weights, d_x, (d_h,)
