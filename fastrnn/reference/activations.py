r"""The functions that gates and candidates are made of, each above its derivative, and the clip before them.

================  ===========================================  ===============================
name              :math:`\phi(a)`                              default :math:`\alpha, \beta`
================  ===========================================  ===============================
sigmoid           1 / (1 + exp(-a))
tanh              tanh(a)
relu              max(a, 0)
identity          a
affine            alpha a + beta                               1, 0
leaky_relu        a where a >= 0, else alpha a                 0.01
thresholded_relu  a where a >= alpha, else 0                   1
scaled_tanh       alpha tanh(beta a)                           1, 1
hard_sigmoid      min(max(alpha a + beta, 0), 1)               0.2, 0.5
elu               a where a >= 0, else alpha (exp(a) - 1)      1
softsign          a / (1 + abs(a))
softplus          log(1 + exp(a))
================  ===========================================  ===============================

Source: the list of activations of the operators RNN, GRU and LSTM of ONNX (opset 22). The derivatives are taken line by
line; at a kink they are 0 for relu, of the right-hand piece where a piece is said to hold at ``a >= ...``, and 0 at the
ends of hard_sigmoid.
"""

import numpy as np

from ._math import relu, sigmoid


def d_sigmoid(a):
    s = sigmoid(a)
    return s * (1.0 - s)


def d_tanh(a):
    y = np.tanh(a)
    return 1.0 - y * y


def d_relu(a):
    return np.where(a > 0, 1.0, 0.0)


def identity(a):
    return a


def d_identity(a):
    return np.ones_like(a)


def affine(a, alpha=1.0, beta=0.0):
    return alpha * a + beta


def d_affine(a, alpha=1.0, beta=0.0):
    return np.full_like(a, alpha)


def leaky_relu(a, alpha=0.01):
    return np.where(a >= 0, a, alpha * a)


def d_leaky_relu(a, alpha=0.01):
    return np.where(a >= 0, 1.0, alpha)


def thresholded_relu(a, alpha=1.0):
    return np.where(a >= alpha, a, 0.0)


def d_thresholded_relu(a, alpha=1.0):
    return np.where(a >= alpha, 1.0, 0.0)


def scaled_tanh(a, alpha=1.0, beta=1.0):
    return alpha * np.tanh(beta * a)


def d_scaled_tanh(a, alpha=1.0, beta=1.0):
    return alpha * beta * d_tanh(beta * a)


def hard_sigmoid(a, alpha=0.2, beta=0.5):
    return np.clip(alpha * a + beta, 0.0, 1.0)


def d_hard_sigmoid(a, alpha=0.2, beta=0.5):
    line = alpha * a + beta
    return np.where((line > 0) & (line < 1), alpha, 0.0)


def elu(a, alpha=1.0):
    return np.where(a >= 0, a, alpha * np.expm1(np.minimum(a, 0.0)))


def d_elu(a, alpha=1.0):
    return np.where(a >= 0, 1.0, alpha * np.exp(np.minimum(a, 0.0)))


def softsign(a):
    return a / (1.0 + np.abs(a))


def d_softsign(a):
    return 1.0 / (1.0 + np.abs(a)) ** 2


def softplus(a):
    return np.logaddexp(0.0, a)


def d_softplus(a):
    return sigmoid(a)


FUNCTIONS = {
    "sigmoid": (sigmoid, d_sigmoid),
    "tanh": (np.tanh, d_tanh),
    "relu": (relu, d_relu),
    "identity": (identity, d_identity),
    "affine": (affine, d_affine),
    "leaky_relu": (leaky_relu, d_leaky_relu),
    "thresholded_relu": (thresholded_relu, d_thresholded_relu),
    "scaled_tanh": (scaled_tanh, d_scaled_tanh),
    "hard_sigmoid": (hard_sigmoid, d_hard_sigmoid),
    "elu": (elu, d_elu),
    "softsign": (softsign, d_softsign),
    "softplus": (softplus, d_softplus),
}


class Activation:
    r"""One function, its parameters, and the clip of its argument.

    .. math:: y = \phi(\min(\max(a, -c), c)), \quad
              dy/da = \phi'(\min(\max(a, -c), c)) \text{ where } |a| < c \text{, else } 0

    Parameters
    ----------
    name : str or tuple
        A key of `FUNCTIONS`, or ``(name, alpha)`` or ``(name, alpha, beta)``.
    clip : float or None
        c.

    Examples
    --------
    >>> import numpy as np
    >>> phi = Activation(("leaky_relu", 0.5), clip=2.0)
    >>> a = np.array([-3.0, -1.0, 1.0, 3.0])
    >>> phi(a)
    array([-1. , -0.5,  1. ,  2. ])
    >>> phi.derivative(a)
    array([0. , 0.5, 1. , 0. ])
    """

    def __init__(self, name, clip=None):
        name, *self.parameters = (name,) if isinstance(name, str) else name
        self.phi, self.d_phi = FUNCTIONS[name]
        self.clip = clip

    def __call__(self, a):
        return self.phi(self._clipped(a), *self.parameters)

    def derivative(self, a):
        slope = self.d_phi(self._clipped(a), *self.parameters)
        return slope if self.clip is None else np.where(np.abs(a) > self.clip, 0.0, slope)

    def _clipped(self, a):
        return a if self.clip is None else np.clip(a, -self.clip, self.clip)
