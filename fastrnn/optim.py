"""Optimisers and gradient clipping on dicts of arrays.

An optimiser is an immutable description; what it remembers between steps is a plain dict, made by
``init`` and changed in place by ``update``, so that it can be stored and restored as it is::

    optimizer = Adam(learning_rate=0.003)
    with layer.updating() as params:
        state = optimizer.init(params)
    ...
    with layer.updating() as params:
        optimizer.update(params, layer.grads, state)

Everything is elementwise NumPy in the dtype of the parameters: the same gradients give the same bits,
on any number of threads.
"""

import math
from dataclasses import dataclass

import numpy as np

__all__ = ["SGD", "Adam", "AdamW", "RMSprop", "add_l2", "clip_by_global_norm", "clip_by_value", "global_norm"]


def global_norm(grads):
    """Euclidean norm of all gradients taken as one vector, summed in float64 in the order of the dict.

    Parameters
    ----------
    grads : dict of str to ndarray

    Returns
    -------
    norm : float
        NaN or inf where a gradient is.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn.optim import global_norm
    >>> global_norm({"w": np.array([3.0]), "b": np.array([4.0])})
    5.0
    """
    return math.sqrt(sum(float(np.sum(np.square(g, dtype=np.float64))) for g in grads.values()))


def clip_by_global_norm(grads, max_norm):
    """Scale all gradients by max_norm / norm where their common norm exceeds ``max_norm``.

    Source: Pascanu, Mikolov and Bengio (2013), "On the difficulty of training recurrent neural
    networks", algorithm 1.

    Parameters
    ----------
    grads : dict of str to ndarray
        Changed in place.
    max_norm : float

    Returns
    -------
    norm : float
        The norm before clipping. Where it is not finite, nothing is changed.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn.optim import clip_by_global_norm
    >>> grads = {"w": np.array([3.0, 4.0])}
    >>> clip_by_global_norm(grads, 1.0), grads["w"].round(12).tolist()
    (5.0, [0.6, 0.8])
    """
    norm = global_norm(grads)
    if math.isfinite(norm) and norm > max_norm:
        for g in grads.values():
            g *= max_norm / norm
    return norm


def clip_by_value(grads, max_value):
    """Limit every element of every gradient to [-max_value, max_value].

    Source: Mikolov (2012), "Statistical language models based on neural networks", section 3.2.2.

    Parameters
    ----------
    grads : dict of str to ndarray
        Changed in place.
    max_value : float

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn.optim import clip_by_value
    >>> grads = {"w": np.array([-3.0, 0.5])}
    >>> clip_by_value(grads, 1.0)
    >>> grads["w"].tolist()
    [-1.0, 0.5]
    """
    for g in grads.values():
        np.clip(g, -max_value, max_value, out=g)


def add_l2(params, grads, alpha):
    """Add the gradient of alpha / 2 * sum(w ** 2) over all weight matrices, and return its value.

    Vectors (biases) are left out, as in scikit-learn's MLP.

    Parameters
    ----------
    params : dict of str to ndarray
    grads : dict of str to ndarray
        Changed in place.
    alpha : float

    Returns
    -------
    value : float

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn.optim import add_l2
    >>> grads = {"w": np.zeros((1, 2)), "b": np.zeros(1)}
    >>> add_l2({"w": np.array([[1.0, 2.0]]), "b": np.array([9.0])}, grads, 0.5), grads["w"].tolist()
    (1.25, [[0.5, 1.0]])
    """
    value = 0.0
    for name, w in params.items():
        if w.ndim >= 2:
            grads[name] += alpha * w
            value += 0.5 * alpha * float(np.sum(np.square(w, dtype=np.float64)))
    return value


def _zeros_like(params):
    return {name: np.zeros_like(p) for name, p in params.items()}


@dataclass(frozen=True)
class SGD:
    """Stochastic gradient descent with momentum.

    v <- momentum * v - learning_rate * g; w <- w + v, or with ``nesterov``
    w <- w + momentum * v - learning_rate * g, v being the new one (Sutskever, Martens, Dahl and
    Hinton 2013, "On the importance of initialization and momentum in deep learning", equations 1
    to 4, in the form that keeps the looked-ahead weights; scikit-learn's form).

    Parameters
    ----------
    learning_rate : float
    momentum : float
    nesterov : bool

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn.optim import SGD
    >>> params = {"w": np.array([1.0])}
    >>> sgd = SGD(learning_rate=0.5, momentum=0.0)
    >>> sgd.update(params, {"w": np.array([1.0])}, sgd.init(params))
    >>> params["w"].tolist()
    [0.5]
    """

    learning_rate: float = 0.003
    momentum: float = 0.9
    nesterov: bool = True

    def init(self, params):
        """State before the first step: the velocities."""
        return {"velocity": _zeros_like(params)}

    def update(self, params, grads, state, learning_rate=None):
        """Move ``params`` in place by one step; ``learning_rate`` overrides this step's rate."""
        lr = self.learning_rate if learning_rate is None else learning_rate
        for name, p in params.items():
            v, g = state["velocity"][name], grads[name]
            v *= self.momentum
            v -= lr * g
            if self.nesterov:
                p += self.momentum * v
                p -= lr * g
            else:
                p += v


@dataclass(frozen=True)
class RMSprop:
    """Steps divided by a running root mean square of the gradient.

    s <- decay * s + (1 - decay) * g^2; w <- w - learning_rate * g / (sqrt(s) + epsilon)
    (Tieleman and Hinton 2012, lecture 6.5 of "Neural networks for machine learning"; decay and the place
    of epsilon as in torch.optim.RMSprop).

    Parameters
    ----------
    learning_rate : float
    decay : float
    epsilon : float

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn.optim import RMSprop
    >>> params = {"w": np.array([1.0])}
    >>> rmsprop = RMSprop(learning_rate=0.1)
    >>> rmsprop.update(params, {"w": np.array([4.0])}, rmsprop.init(params))
    >>> params["w"].round(6).tolist()
    [0.0]
    """

    learning_rate: float = 0.003
    decay: float = 0.99
    epsilon: float = 1e-8

    def init(self, params):
        """State before the first step: the mean squares."""
        return {"mean_square": _zeros_like(params)}

    def update(self, params, grads, state, learning_rate=None):
        """Move ``params`` in place by one step; ``learning_rate`` overrides this step's rate."""
        lr = self.learning_rate if learning_rate is None else learning_rate
        for name, p in params.items():
            s, g = state["mean_square"][name], grads[name]
            s *= self.decay
            s += (1.0 - self.decay) * np.square(g)
            step = np.sqrt(s)
            step += self.epsilon
            np.divide(g, step, out=step)
            step *= lr
            p -= step


@dataclass(frozen=True)
class Adam:
    """Adaptive moments.

    m <- beta_1 * m + (1 - beta_1) * g; v <- beta_2 * v + (1 - beta_2) * g^2;
    w <- w - learning_rate * m_hat / (sqrt(v_hat) + epsilon), with m_hat = m / (1 - beta_1^t) and
    v_hat = v / (1 - beta_2^t) (Kingma and Ba 2015, "Adam: a method for stochastic optimization",
    algorithm 1).

    Parameters
    ----------
    learning_rate : float
    beta_1, beta_2 : float
        In [0, 1).
    epsilon : float

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn.optim import Adam
    >>> params = {"w": np.array([1.0])}
    >>> adam = Adam(learning_rate=0.25)
    >>> adam.update(params, {"w": np.array([4.0])}, adam.init(params))
    >>> params["w"].round(6).tolist()
    [0.75]
    """

    learning_rate: float = 0.003
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8

    def init(self, params):
        """State before the first step: both moments and the step count."""
        return {"first": _zeros_like(params), "second": _zeros_like(params), "step": 0}

    def update(self, params, grads, state, learning_rate=None):
        """Move ``params`` in place by one step; ``learning_rate`` overrides this step's rate."""
        lr = self.learning_rate if learning_rate is None else learning_rate
        state["step"] += 1
        t = state["step"]
        step_size = lr / (1.0 - self.beta_1**t)
        root_correction = math.sqrt(1.0 - self.beta_2**t)
        for name, p in params.items():
            m, v, g = state["first"][name], state["second"][name], grads[name]
            m *= self.beta_1
            m += (1.0 - self.beta_1) * g
            v *= self.beta_2
            squared = np.square(g)
            squared *= 1.0 - self.beta_2
            v += squared
            denominator = np.sqrt(v, out=squared)
            denominator /= root_correction
            denominator += self.epsilon
            np.divide(m, denominator, out=denominator)
            denominator *= step_size
            p -= denominator


@dataclass(frozen=True)
class AdamW(Adam):
    """Adam with weight decay kept apart from the gradient.

    w <- w - learning_rate * weight_decay * w, then Adam's step (Loshchilov and Hutter 2019,
    "Decoupled weight decay regularization", algorithm 2, with torch's scaling of the decay by the
    learning rate).

    Parameters
    ----------
    learning_rate : float
    beta_1, beta_2 : float
    epsilon : float
    weight_decay : float
    decay_vectors : bool
        Whether biases decay too, as they do in torch.optim.AdamW.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn.optim import AdamW
    >>> params = {"w": np.array([1.0])}
    >>> adamw = AdamW(learning_rate=0.5, weight_decay=0.5)
    >>> adamw.update(params, {"w": np.array([0.0])}, adamw.init(params))
    >>> params["w"].tolist()
    [0.75]
    """

    weight_decay: float = 0.01
    decay_vectors: bool = True

    def update(self, params, grads, state, learning_rate=None):
        """Move ``params`` in place by one step; ``learning_rate`` overrides this step's rate."""
        lr = self.learning_rate if learning_rate is None else learning_rate
        for p in params.values():
            if self.decay_vectors or p.ndim >= 2:
                p *= 1.0 - lr * self.weight_decay
        super().update(params, grads, state, lr)
