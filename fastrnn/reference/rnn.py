r"""Elman's recurrent network, one direction of one layer.

.. math::
    \tilde h_t &= \phi(\mathrm{clip}(
        \mathrm{LN}(W_{ih} x_t) + b_{ih} + \mathrm{LN}(W_{hh} (\mu \odot h_{t-1})) + b_{hh})) \\
    h_t &= h_{t-1} + k_t \odot (\tilde h_t - h_{t-1})

The plain network has neither LN nor clip, :math:`\mu = k_t = 1` and :math:`\phi \in \{\tanh, \mathrm{relu}\}`. LN
normalises where there are gains, :math:`\mu` is the mask of recurrent dropout and :math:`k_t` the factor of zoneout.

Sources: J. L. Elman, "Finding Structure in Time", Cognitive Science 14 (1990), figure 2, for the network; A. Graves,
A. Mohamed and G. Hinton, "Speech Recognition with Deep Recurrent Neural Networks", ICASSP 2013, equation (1), for the
formula; Q. V. Le, N. Jaitly and G. Hinton, "A Simple Way to Initialize Recurrent Networks of Rectified Linear Units",
arXiv:1504.00941, section 2, for relu; Y. Gal and Z. Ghahramani, "A Theoretically Grounded Application of Dropout in
Recurrent Neural Networks", arXiv:1512.05287, section 4, for one mask per sequence; ``_step`` for LN and zoneout. The
backward pass is the chain rule applied to the formula, step by step from the end (P. J. Werbos, "Backpropagation
Through Time: What It Does and How to Do It", Proc. IEEE 78 (1990)).
"""

import numpy as np

from ._step import add_to, d_norm, norm, recurrent_factor, zone_factors
from .activations import Activation


def forward(weights, x, state_0, *, nonlinearity="tanh", activations=None, clip=None, zoneout=0.0, masks=None):
    """Run the network over sequences of one length.

    Parameters
    ----------
    weights : dict
        ``weight_ih`` (hidden_size, input_size), ``weight_hh`` (hidden_size, hidden_size), with biases ``bias_ih`` and
        ``bias_hh`` (hidden_size,), with layer norm its gains ``norm_ih`` and ``norm_hh`` (hidden_size,).
    x : ndarray of shape (seq_len, batch_size, input_size)
    state_0 : tuple of one ndarray of shape (batch_size, hidden_size)
        ``(h_0,)``.
    nonlinearity : {"tanh", "relu"}
    activations : sequence of one name or tuple, optional
        In place of `nonlinearity`; see ``activations``.
    clip : float, optional
    zoneout : float
        Probability of zoneout; used without `masks` only.
    masks : object with attributes ``recurrent`` (batch_size, hidden_size) and ``zone_h`` (seq_len, batch_size, \
hidden_size), optional
        The factors drawn in training; None, as a whole or for one of them, where none are.

    Returns
    -------
    states : tuple of one ndarray of shape (seq_len + 1, batch_size, hidden_size)
        ``(h,)``, with h_0 in slot 0.
    saved : list of ndarray
        The argument of the activation of each step.
    """
    (phi,) = (Activation(f, clip) for f in activations or (nonlinearity,))
    w_ih, w_hh = weights["weight_ih"], weights["weight_hh"]
    b_ih, b_hh = weights.get("bias_ih", 0.0), weights.get("bias_hh", 0.0)
    mask, factors = recurrent_factor(masks), zone_factors(masks, zoneout)
    (h_0,) = state_0
    seq_len = len(x)
    h = np.empty((seq_len + 1, *h_0.shape), dtype=h_0.dtype)
    h[0] = h_0
    saved = []
    for t in range(seq_len):
        k_h, _ = factors(t)
        u, v = x[t] @ w_ih.T, (mask * h[t]) @ w_hh.T
        a = norm(u, weights.get("norm_ih")) + b_ih + norm(v, weights.get("norm_hh")) + b_hh
        h[t + 1] = h[t] + k_h * (phi(a) - h[t])
        saved.append(a)
    return (h,), saved


def backward(
    weights, x, states, saved, d_output, d_state_n, *,
    nonlinearity="tanh", activations=None, clip=None, zoneout=0.0, masks=None,
):  # fmt: skip
    """Derivatives of one scalar by everything that `forward` took.

    Parameters
    ----------
    weights, x, nonlinearity, activations, clip, zoneout, masks
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
    (phi,) = (Activation(f, clip) for f in activations or (nonlinearity,))
    w_ih, w_hh = weights["weight_ih"], weights["weight_hh"]
    mask, factors = recurrent_factor(masks), zone_factors(masks, zoneout)
    (h,) = states
    d_weights = {name: np.zeros_like(w) for name, w in weights.items()}
    d_x = np.empty_like(x)
    (d_h,) = d_state_n
    for t in reversed(range(len(x))):
        k_h, _ = factors(t)
        u, v = x[t] @ w_ih.T, (mask * h[t]) @ w_hh.T
        d_h = d_h + d_output[t]
        d_a = k_h * d_h * phi.derivative(saved[t])
        d_u, d_norm_ih = d_norm(u, weights.get("norm_ih"), d_a)
        d_v, d_norm_hh = d_norm(v, weights.get("norm_hh"), d_a)
        add_to(d_weights, weight_ih=d_u.T @ x[t], bias_ih=d_a.sum(axis=0), norm_ih=d_norm_ih)
        add_to(d_weights, weight_hh=d_v.T @ (mask * h[t]), bias_hh=d_a.sum(axis=0), norm_hh=d_norm_hh)
        d_x[t] = d_u @ w_ih
        d_h = (1.0 - k_h) * d_h + mask * (d_v @ w_hh)
    return d_weights, d_x, (d_h,)
