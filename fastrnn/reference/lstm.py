r"""Long short-term memory, one direction of one layer, plain and in its variants.

.. math::
    (a_i, a_f, a_g, a_o) &= W_{ih} x_t + b_{ih} + W_{hh} h_{t-1} + b_{hh} \\
    i_t &= \sigma(a_i), \quad f_t = \sigma(a_f), \quad g_t = \tanh(a_g), \quad o_t = \sigma(a_o) \\
    c_t &= f_t \odot c_{t-1} + i_t \odot g_t \\
    m_t &= o_t \odot \tanh(c_t) \\
    h_t &= m_t \quad\text{or, projected,}\quad h_t = W_{hr} m_t

The rows of every weight and bias stand in the order i, f, g, o. What may stand in place of these lines:

peepholes
    :math:`a_i + p_i \odot c_{t-1}`, :math:`a_f + p_f \odot c_{t-1}` and :math:`a_o + p_o \odot \tilde c_t`.
coupled gates
    :math:`f_t = 1 - i_t`; the rows stand in the order i, g, o, and there is no :math:`p_f`.
activations and clip
    :math:`F(\mathrm{clip}(a))` of the gates, :math:`G(\mathrm{clip}(a_g))`, and :math:`H(c)` without a clip.
layer norm
    :math:`\mathrm{LN}(W_{ih} x_t) + b_{ih} + \mathrm{LN}(W_{hh} h_{t-1}) + b_{hh}`, over all gates together, and
    :math:`m_t = o_t \odot H(\mathrm{LN}(\tilde c_t) + \beta_c)`; the cell carried on is not normalised.
recurrent dropout
    :math:`W_{hh} (\mu \odot h_{t-1})`, one mask :math:`\mu` for each sequence.
zoneout
    The third line and the last give :math:`\tilde c_t` and :math:`\tilde h_t`;
    :math:`c_t = c_{t-1} + k^c_t \odot (\tilde c_t - c_{t-1})` and
    :math:`h_t = h_{t-1} + k^h_t \odot (\tilde h_t - h_{t-1})`.

Sources: S. Hochreiter and J. Schmidhuber, "Long Short-Term Memory", Neural Computation 9 (1997), for the memory cell;
F. A. Gers, J. Schmidhuber and F. Cummins, "Learning to Forget", Neural Computation 12 (2000), for the forget gate;
A. Graves, "Generating Sequences With Recurrent Neural Networks", arXiv:1308.0850, equations (7) to (11), for the lines
and their peepholes (F. A. Gers and J. Schmidhuber, "Recurrent Nets that Time and Count", IJCNN 2000); H. Sak, A. Senior
and F. Beaufays, "Long Short-Term Memory Recurrent Neural Network Architectures for Large Scale Acoustic Modeling",
Interspeech 2014, equations (7) to (12), for the projection; K. Greff et al., "LSTM: A Search Space Odyssey", IEEE TNNLS
28 (2017), for coupled gates (CIFG) and, in section III.B, the derivatives; the operator LSTM of ONNX for activations
and clip; J. L. Ba, J. R. Kiros and G. E. Hinton, arXiv:1607.06450, equations (20) to (22), for layer norm; Y. Gal and
Z. Ghahramani, arXiv:1512.05287, section 4, for one mask per sequence; D. Krueger et al., arXiv:1606.01305, equations
(2) to (4), for zoneout.
"""

import numpy as np

from ._step import add_to, d_norm, norm, recurrent_factor, zone_factors
from .activations import Activation

DEFAULT = ("sigmoid", "tanh", "tanh")


def forward(
    weights, x, state_0, *, activations=None, clip=None, coupled_gates=False, zoneout=0.0, masks=None
):  # fmt: skip
    """Run the LSTM over sequences of one length.

    Parameters
    ----------
    weights : dict
        With n_gates = 4, or 3 coupled: ``weight_ih`` (n_gates * hidden_size, input_size), ``weight_hh`` (n_gates *
        hidden_size, output_size), with biases ``bias_ih`` and ``bias_hh`` (n_gates * hidden_size,), with a projection
        ``weight_hr`` (proj_size, hidden_size), with peepholes ``peephole`` ((n_gates - 1) * hidden_size,), with layer
        norm ``norm_ih`` and ``norm_hh`` (n_gates * hidden_size,), ``norm_c`` and ``norm_c_bias`` (hidden_size,);
        output_size is proj_size or hidden_size.
    x : ndarray of shape (seq_len, batch_size, input_size)
    state_0 : tuple of ndarrays of shapes (batch_size, output_size) and (batch_size, hidden_size)
        ``(h_0, c_0)``.
    activations : sequence of three names or tuples, optional
        F of the gates, G of the candidate, H of the cell; see ``activations``.
    clip : float, optional
        Of the arguments of F and G.
    coupled_gates : bool
    zoneout : float
        Probability of zoneout; used without `masks` only.
    masks : object with attributes ``recurrent`` (batch_size, output_size), ``zone_h`` (seq_len, batch_size, \
output_size) and ``zone_c`` (seq_len, batch_size, hidden_size), optional
        The factors drawn in training; None, as a whole or for one of them, where none are.

    Returns
    -------
    states : tuple of ndarrays (seq_len + 1, batch_size, output_size) and (seq_len + 1, batch_size, hidden_size)
        ``(h, c)``, with the initial state in slot 0.
    saved : list of tuple
        ``(u, v, arguments, c_new)`` of each step: W_ih x, W_hh h, the arguments of the activations by gate, and the
        cell before zoneout.
    """
    gate, candidate, squash = _functions(activations, clip)
    b_ih, b_hh = weights.get("bias_ih", 0.0), weights.get("bias_hh", 0.0)
    peephole = _peepholes(weights, coupled_gates)
    mask, factors = recurrent_factor(masks), zone_factors(masks, zoneout)
    h_0, c_0 = state_0
    seq_len = len(x)
    h = np.empty((seq_len + 1, *h_0.shape), dtype=h_0.dtype)
    c = np.empty((seq_len + 1, *c_0.shape), dtype=c_0.dtype)
    h[0], c[0] = h_0, c_0
    saved = []
    for t in range(seq_len):
        u, v = x[t] @ weights["weight_ih"].T, (mask * h[t]) @ weights["weight_hh"].T
        a = _split(norm(u, weights.get("norm_ih")) + b_ih + norm(v, weights.get("norm_hh")) + b_hh, coupled_gates)
        for name in a.keys() & {"i", "f"}:
            a[name] = a[name] + peephole[name] * c[t]
        i, g = gate(a["i"]), candidate(a["g"])
        f = 1.0 - i if coupled_gates else gate(a["f"])
        c_new = f * c[t] + i * g
        a["o"] = a["o"] + peephole["o"] * c_new
        m = gate(a["o"]) * squash(norm(c_new, weights.get("norm_c")) + weights.get("norm_c_bias", 0.0))
        h_new = m @ weights["weight_hr"].T if "weight_hr" in weights else m
        k_h, k_c = factors(t)
        h[t + 1], c[t + 1] = h[t] + k_h * (h_new - h[t]), c[t] + k_c * (c_new - c[t])
        saved.append((u, v, a, c_new))
    return (h, c), saved


def backward(
    weights, x, states, saved, d_output, d_state_n, *,
    activations=None, clip=None, coupled_gates=False, zoneout=0.0, masks=None,
):  # fmt: skip
    """Derivatives of one scalar by everything that `forward` took.

    Parameters
    ----------
    weights, x, activations, clip, coupled_gates, zoneout, masks
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
    functions, peephole = _functions(activations, clip), _peepholes(weights, coupled_gates)
    mask, factors = recurrent_factor(masks), zone_factors(masks, zoneout)
    h, c = states
    d_weights = {name: np.zeros_like(w) for name, w in weights.items()}
    d_peephole = _peepholes(d_weights, coupled_gates)  # views: adding to them fills d_weights
    d_x = np.empty_like(x)
    d_h, d_c = d_state_n
    for t in reversed(range(len(x))):
        u, v, a, c_new = saved[t]
        k_h, k_c = factors(t)
        d_h = d_h + d_output[t]
        d_o, d_c_new = _backward_output(weights, d_weights, functions, a, c_new, k_h * d_h)
        d_a, d_c_new, d_c_prev = _backward_cell(
            functions, peephole, a, c[t], d_o, d_c_new + k_c * d_c, coupled_gates
        )  # fmt: skip
        if "peephole" in weights:
            for name, d_p in d_peephole.items():
                d_p += (d_a[name] * (c_new if name == "o" else c[t])).sum(axis=0)
        d_all = np.concatenate(list(d_a.values()), axis=1)
        d_u, d_norm_ih = d_norm(u, weights.get("norm_ih"), d_all)
        d_v, d_norm_hh = d_norm(v, weights.get("norm_hh"), d_all)
        add_to(d_weights, weight_ih=d_u.T @ x[t], bias_ih=d_all.sum(axis=0), norm_ih=d_norm_ih)
        add_to(d_weights, weight_hh=d_v.T @ (mask * h[t]), bias_hh=d_all.sum(axis=0), norm_hh=d_norm_hh)
        d_x[t] = d_u @ weights["weight_ih"]
        d_h = (1.0 - k_h) * d_h + mask * (d_v @ weights["weight_hh"])
        d_c = (1.0 - k_c) * d_c + d_c_prev
    return d_weights, d_x, (d_h, d_c)


def _backward_output(weights, d_weights, functions, a, c_new, d_h_new):
    """Back from h before zoneout: return (d_o, d_c_new) and add the gradients of projection and norm."""
    gate, _, squash = functions
    o, normed = gate(a["o"]), norm(c_new, weights.get("norm_c")) + weights.get("norm_c_bias", 0.0)
    d_m = d_h_new
    if "weight_hr" in weights:
        d_m = d_h_new @ weights["weight_hr"]
        add_to(d_weights, weight_hr=d_h_new.T @ (o * squash(normed)))
    d_normed = d_m * o * squash.derivative(normed)
    d_c_new, d_gain = d_norm(c_new, weights.get("norm_c"), d_normed)
    add_to(d_weights, norm_c=d_gain, norm_c_bias=d_normed.sum(axis=0))
    return d_m * squash(normed), d_c_new


def _backward_cell(functions, peephole, a, c_prev, d_o, d_c_new, coupled_gates):
    """Back from o and the cell before zoneout: return the derivatives (by the arguments a, c_new, c_prev)."""
    gate, candidate, _ = functions
    i, g = gate(a["i"]), candidate(a["g"])
    f = 1.0 - i if coupled_gates else gate(a["f"])
    d_a_o = d_o * gate.derivative(a["o"])
    d_c_new = d_c_new + d_a_o * peephole["o"]
    d_i, d_f, d_g = d_c_new * g, d_c_new * c_prev, d_c_new * i
    if coupled_gates:
        d_a = {"i": (d_i - d_f) * gate.derivative(a["i"])}
    else:
        d_a = {"i": d_i * gate.derivative(a["i"]), "f": d_f * gate.derivative(a["f"])}
    d_c_prev = d_c_new * f + sum(d * peephole[name] for name, d in d_a.items())
    return d_a | {"g": d_g * candidate.derivative(a["g"]), "o": d_a_o}, d_c_new, d_c_prev


def _functions(activations, clip):
    """F, G and H; H is of the cell and never clipped."""
    gate, candidate, squash = activations or DEFAULT
    return Activation(gate, clip), Activation(candidate, clip), Activation(squash)


def _split(a, coupled_gates):
    """The columns of `a` by gate."""
    gates = "igo" if coupled_gates else "ifgo"
    return dict(zip(gates, np.split(a, len(gates), axis=1), strict=True))


def _peepholes(weights, coupled_gates):
    """The peephole weights by gate, as views; 0 where there are none."""
    gates = "io" if coupled_gates else "ifo"
    if "peephole" not in weights:
        return dict.fromkeys(gates, 0.0)
    return dict(zip(gates, np.split(weights["peephole"], len(gates)), strict=True))
