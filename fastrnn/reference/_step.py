r"""What the cells share: a product of which each group of features may be normalised, and zoneout.

.. math::
    \mathrm{LN}(v; \gamma) &= \gamma \odot \frac{v - \mu}{\sqrt{\sigma^2 + 10^{-5}}} \\
    \mathrm{zoneout}(s_{t-1}, \tilde s_t; k) &= s_{t-1} + k \odot (\tilde s_t - s_{t-1})

Sources: J. L. Ba, J. R. Kiros and G. E. Hinton, "Layer Normalization", arXiv:1607.06450, equation (4), with epsilon
inside the root; D. Krueger et al., "Zoneout: Regularizing RNNs by Randomly Preserving Hidden Activations",
arXiv:1606.01305, equations (2) to (4), where k is 0 for a unit that keeps its value.
"""

import numpy as np

EPSILON = 1e-5


def norm(v, gain):
    """LN(v; gain) over the last axis; v itself where `gain` is None."""
    return v if gain is None else gain * _normalised(v)[0]


def d_norm(v, gain, d_y):
    """The derivatives (d_v, d_gain) of `norm`, where `d_y` is the one by its result, (batch_size, size)."""
    if gain is None:
        return d_y, None
    unit, deviation = _normalised(v)
    d_unit = d_y * gain
    through_mean = d_unit.mean(-1, keepdims=True)
    through_variance = unit * (d_unit * unit).mean(-1, keepdims=True)
    return (d_unit - through_mean - through_variance) / deviation, (d_y * unit).sum(axis=0)


def _normalised(v):
    centred = v - v.mean(-1, keepdims=True)
    deviation = np.sqrt((centred * centred).mean(-1, keepdims=True) + EPSILON)
    return centred / deviation, deviation


def zone_factors(masks, zoneout):
    """For each step the factors (k_h, k_c): of the masks, 1 where these have none, and 1 - zoneout without masks."""
    if masks is None:
        return lambda t: (1.0 - zoneout, 1.0 - zoneout)
    return lambda t: tuple(1.0 if zone is None else zone[t] for zone in (masks.zone_h, masks.zone_c))


def recurrent_factor(masks):
    """What h_{t-1} is multiplied by before the recurrent weights: the mask of recurrent dropout, or 1."""
    return 1.0 if masks is None or masks.recurrent is None else masks.recurrent


def add_to(d_weights, **gradients):
    """Add the gradients of those parameters that there are."""
    for name, value in gradients.items():
        if name in d_weights:
            d_weights[name] += value
