r"""Gated recurrent unit, one direction of one layer, in both forms, plain and in its variants.

.. math::
    r_t &= \sigma(W_{ir} x_t + b_{ir} + W_{hr} h_{t-1} + b_{hr}) \\
    z_t &= \sigma(W_{iz} x_t + b_{iz} + W_{hz} h_{t-1} + b_{hz}) \\
    n_t &= \tanh(W_{in} x_t + b_{in} + r_t \odot (W_{hn} h_{t-1} + b_{hn})) \quad\text{(reset after)} \\
    n_t &= \tanh(W_{in} x_t + b_{in} + W_{hn} (r_t \odot h_{t-1}) + b_{hn}) \quad\text{(reset before)} \\
    h_t &= (1 - z_t) \odot n_t + z_t \odot h_{t-1}

The rows of every weight and bias stand in the order r, z, n. What may stand in place of these lines:

activations and clip
    :math:`F(\mathrm{clip}(a))` for both gates and :math:`G(\mathrm{clip}(a))` for n.
layer norm
    LN of each product before its bias is added: over the features of r and z together, and over those of n.
recurrent dropout
    :math:`\mu \odot h_{t-1}` wherever it is multiplied by a matrix, one mask :math:`\mu` for each sequence.
zoneout
    The last line gives :math:`\tilde h_t`; :math:`h_t = h_{t-1} + k_t \odot (\tilde h_t - h_{t-1})`.

Sources: K. Cho et al., "Learning Phrase Representations using RNN Encoder-Decoder for Statistical Machine
Translation", EMNLP 2014, equations (5) to (8), for the form with the reset before the product, its gates named r and z
as here; the form with the reset after the product, which lets one product serve all three gates, is the one of cuDNN
and of the formulas in the documentation of ``torch.nn.GRU``; the operator GRU of ONNX for activations and clip;
J. L. Ba, J. R. Kiros and G. E. Hinton, arXiv:1607.06450, equations (23) and (24), for layer norm; Y. Gal and
Z. Ghahramani, arXiv:1512.05287, section 4, for one mask per sequence; D. Krueger et al., arXiv:1606.01305, equations
(2) to (4), for zoneout. The backward pass is the chain rule applied to these lines.
"""

import numpy as np

from ._step import add_to, d_norm, norm, recurrent_factor, zone_factors
from .activations import Activation

DEFAULT = ("sigmoid", "tanh")


def forward(
    weights, x, state_0, *, reset_after=True, activations=None, clip=None, zoneout=0.0, masks=None
):  # fmt: skip
    """Run the GRU over sequences of one length.

    Parameters
    ----------
    weights : dict
        ``weight_ih`` (3 * hidden_size, input_size), ``weight_hh`` (3 * hidden_size, hidden_size), with biases
        ``bias_ih`` and ``bias_hh``, with layer norm its gains ``norm_ih`` and ``norm_hh``, all (3 * hidden_size,).
    x : ndarray of shape (seq_len, batch_size, input_size)
    state_0 : tuple of one ndarray of shape (batch_size, hidden_size)
        ``(h_0,)``.
    reset_after : bool
        Whether the reset gate acts on W_hn h + b_hn (True) or on h alone (False).
    activations : sequence of two names or tuples, optional
        F of the gates, G of n; see ``activations``.
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
    saved : list of tuple
        ``(u, v, a)`` of each step: the products with the input and with the state, and the arguments of the
        activations, each a tuple (of both gates together, of n).
    """
    gate, candidate = (Activation(f, clip) for f in activations or DEFAULT)
    w_ih, w_hh, b_ih, b_hh, gain_ih, gain_hh = _parameters(weights)
    mask, factors = recurrent_factor(masks), zone_factors(masks, zoneout)
    (h_0,) = state_0
    seq_len = len(x)
    h = np.empty((seq_len + 1, *h_0.shape), dtype=h_0.dtype)
    h[0] = h_0
    saved = []
    for t in range(seq_len):
        u_rz, u_n, v_rz = x[t] @ w_ih[0].T, x[t] @ w_ih[1].T, (mask * h[t]) @ w_hh[0].T
        a_rz = norm(u_rz, gain_ih[0]) + b_ih[0] + norm(v_rz, gain_hh[0]) + b_hh[0]
        r, z = np.split(gate(a_rz), 2, axis=1)
        v_n = ((1.0 if reset_after else r) * mask * h[t]) @ w_hh[1].T
        q = norm(v_n, gain_hh[1]) + b_hh[1]
        a_n = norm(u_n, gain_ih[1]) + b_ih[1] + (r if reset_after else 1.0) * q
        h_new = (1.0 - z) * candidate(a_n) + z * h[t]
        k_h, _ = factors(t)
        h[t + 1] = h[t] + k_h * (h_new - h[t])
        saved.append(((u_rz, u_n), (v_rz, v_n), (a_rz, a_n)))
    return (h,), saved


def backward(
    weights, x, states, saved, d_output, d_state_n, *,
    reset_after=True, activations=None, clip=None, zoneout=0.0, masks=None,
):  # fmt: skip
    """Derivatives of one scalar by everything that `forward` took.

    Parameters
    ----------
    weights, x, reset_after, activations, clip, zoneout, masks
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
    gate, candidate = (Activation(f, clip) for f in activations or DEFAULT)
    _, w_hh, _, b_hh, gain_ih, gain_hh = _parameters(weights)
    mask, factors = recurrent_factor(masks), zone_factors(masks, zoneout)
    (h,) = states
    d_weights = {name: np.zeros_like(w) for name, w in weights.items()}
    d_x = np.empty_like(x)
    (d_h,) = d_state_n
    for t in reversed(range(len(x))):
        (u_rz, u_n), (v_rz, v_n), (a_rz, a_n) = saved[t]
        (r, z), n, masked = np.split(gate(a_rz), 2, axis=1), candidate(a_n), mask * h[t]
        k_h, _ = factors(t)
        d_h = d_h + d_output[t]
        d_h_new = k_h * d_h
        d_z = d_h_new * (h[t] - n)
        d_a_n = d_h_new * (1.0 - z) * candidate.derivative(a_n)
        d_q = d_a_n * r if reset_after else d_a_n  # by the recurrent part LN(v_n) + b_hn
        d_v_n, d_gain_hn = d_norm(v_n, gain_hh[1], d_q)
        d_by_n = d_v_n @ w_hh[1]  # by what the matrix was multiplied with
        if reset_after:
            d_r, d_masked = d_a_n * (norm(v_n, gain_hh[1]) + b_hh[1]), d_by_n
        else:
            d_r, d_masked = d_by_n * masked, d_by_n * r
        d_a_rz = np.concatenate([d_r, d_z], axis=1) * gate.derivative(a_rz)
        d_v_rz, d_gain_hrz = d_norm(v_rz, gain_hh[0], d_a_rz)
        d_masked = d_masked + d_v_rz @ w_hh[0]
        d_u_rz, d_gain_irz = d_norm(u_rz, gain_ih[0], d_a_rz)
        d_u_n, d_gain_in = d_norm(u_n, gain_ih[1], d_a_n)
        d_u = np.concatenate([d_u_rz, d_u_n], axis=1)
        add_to(
            d_weights,
            weight_ih=d_u.T @ x[t],
            weight_hh=np.concatenate([d_v_rz.T @ masked, d_v_n.T @ (masked if reset_after else r * masked)]),
            bias_ih=np.concatenate([d_a_rz, d_a_n], axis=1).sum(axis=0),
            bias_hh=np.concatenate([d_a_rz, d_q], axis=1).sum(axis=0),
            norm_ih=_together(d_gain_irz, d_gain_in),
            norm_hh=_together(d_gain_hrz, d_gain_hn),
        )
        d_x[t] = d_u @ weights["weight_ih"]
        d_h = (1.0 - k_h) * d_h + d_h_new * z + mask * d_masked
    return d_weights, d_x, (d_h,)


def _together(of_rz, of_n):
    """Both parts of a gradient as one; None stays None."""
    return None if of_rz is None else np.concatenate([of_rz, of_n])


def _parameters(weights):
    """Each parameter as (rows of r and z, rows of n); biases are 0 and gains None where there are none."""
    hidden_size = weights["weight_hh"].shape[1]

    def halves(name, absent=None):
        values = weights.get(name)
        return (absent, absent) if values is None else (values[: 2 * hidden_size], values[2 * hidden_size :])

    return (
        halves("weight_ih"), halves("weight_hh"), halves("bias_ih", 0.0), halves("bias_hh", 0.0),
        halves("norm_ih"), halves("norm_hh"),
    )  # fmt: skip
