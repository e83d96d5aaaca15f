"""Initial values of weights, and the one reading of ``random_state``.

Every function takes a :class:`numpy.random.Generator` first, returns float64 arrays (callers convert
them to their own dtype), and draws a number of values that depends on the shape alone, so that one
``random_state`` gives one network.
"""

import math

import numpy as np

__all__ = [
    "as_generator",
    "forget_bias",
    "glorot_uniform",
    "identity",
    "initialise",
    "orthogonal",
    "uniform",
]

SCHEMES = ("default", "glorot", "orthogonal", "identity")


def as_generator(random_state=None):
    """Turn any common seed into a NumPy generator.

    Parameters
    ----------
    random_state : None, int, SeedSequence, numpy.random.Generator or numpy.random.RandomState
        None asks the operating system for entropy. A generator is returned as it is, and so shares
        its stream with the caller. A RandomState is read (and moved on) by four draws.

    Returns
    -------
    rng : numpy.random.Generator

    Examples
    --------
    >>> from fastrnn.init import as_generator
    >>> a, b = as_generator(7), as_generator(7)
    >>> bool(a.random() == b.random())
    True
    """
    if isinstance(random_state, np.random.Generator):
        return random_state
    if isinstance(random_state, np.random.RandomState) or random_state is np.random:
        return np.random.default_rng(random_state.randint(0, 2**32, size=4, dtype=np.uint32))
    if isinstance(random_state, (bool, np.bool_)):
        raise TypeError(f"random_state is {random_state!r}, expected None, an integer, a Generator or a RandomState")
    if random_state is None or isinstance(random_state, np.random.SeedSequence):
        return np.random.default_rng(random_state)
    if isinstance(random_state, (int, np.integer)):
        if random_state < 0:
            raise ValueError(f"random_state is {random_state}, expected an integer >= 0")
        return np.random.default_rng(int(random_state))
    raise TypeError(
        f"random_state is of type {type(random_state).__name__}, "
        "expected None, an integer, a Generator or a RandomState"
    )


def uniform(rng, shape, bound):
    """Values evenly spread over [-bound, bound), as torch does for its layers.

    Parameters
    ----------
    rng : numpy.random.Generator
    shape : int or tuple of int
    bound : float
        torch's choice is 1 / sqrt(hidden_size) for recurrent layers, 1 / sqrt(input_size) for Dense.

    Returns
    -------
    values : ndarray of the shape asked for, float64

    Examples
    --------
    >>> from fastrnn.init import as_generator, uniform
    >>> w = uniform(as_generator(0), (64, 12), 0.25)
    >>> w.shape, bool(abs(w).max() <= 0.25)
    ((64, 12), True)
    """
    return rng.uniform(-bound, bound, size=shape)


def glorot_uniform(rng, shape):
    """Uniform values whose variance is 2 / (fan_in + fan_out).

    Source: Glorot and Bengio (2010), "Understanding the difficulty of training deep feedforward
    neural networks", equation 16.

    Parameters
    ----------
    rng : numpy.random.Generator
    shape : (int, int)
        (output_size, input_size) of the matrix; a stack of gates is drawn one gate at a time
        (see :func:`initialise`).

    Returns
    -------
    values : ndarray of shape (output_size, input_size), float64

    Examples
    --------
    >>> from fastrnn.init import as_generator, glorot_uniform
    >>> w = glorot_uniform(as_generator(0), (30, 20))
    >>> bool(abs(w).max() <= (6 / 50) ** 0.5)
    True
    """
    fan_out, fan_in = shape
    return uniform(rng, shape, math.sqrt(6.0 / max(fan_in + fan_out, 1)))


def orthogonal(rng, shape, gain=1.0):
    """A random matrix with orthonormal rows or columns (whichever are fewer), times ``gain``.

    Source: Saxe, McClelland and Ganguli (2014), "Exact solutions to the nonlinear dynamics of
    learning in deep linear neural networks". The signs of R's diagonal are moved into Q, which
    makes the result uniform over all such matrices (Mezzadri 2007).

    Parameters
    ----------
    rng : numpy.random.Generator
    shape : (int, int)
        (output_size, input_size)
    gain : float

    Returns
    -------
    values : ndarray of shape (output_size, input_size), float64

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn.init import as_generator, orthogonal
    >>> q = orthogonal(as_generator(0), (5, 5))
    >>> bool(np.allclose(q @ q.T, np.eye(5)))
    True
    """
    rows, columns = shape
    normal = rng.standard_normal((max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(normal)
    q = q * np.where(np.diagonal(r) < 0, -1.0, 1.0)
    return np.ascontiguousarray(gain * (q if rows >= columns else q.T))


def identity(shape, scale=1.0):
    """``scale`` on the diagonal, zero elsewhere: how a relu RNN keeps its state at the start.

    Source: Le, Jaitly and Hinton (2015), "A simple way to initialize recurrent networks of
    rectified linear units", section 3.

    Parameters
    ----------
    shape : (int, int)
    scale : float

    Returns
    -------
    values : ndarray of the shape asked for, float64

    Examples
    --------
    >>> from fastrnn.init import identity
    >>> identity((2, 2), scale=0.5)
    array([[0.5, 0. ],
           [0. , 0.5]])
    """
    return scale * np.eye(*shape)


def forget_bias(bias, value=1.0):
    """Set the forget-gate part of an LSTM bias in place, and return the bias.

    Source: Gers, Schmidhuber and Cummins (2000), "Learning to forget", section 4; Jozefowicz,
    Zaremba and Sutskever (2015) advise the value 1. A layer with two biases adds them up, so set one
    of them and leave 0 in the other.

    Parameters
    ----------
    bias : ndarray of shape (4 * hidden_size,), gates in the order i, f, g, o
        Changed in place.
    value : float

    Returns
    -------
    bias : ndarray
        The array that came in.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn.init import forget_bias
    >>> forget_bias(np.zeros(8), 1.0)
    array([0., 0., 1., 1., 0., 0., 0., 0.])
    """
    if bias.ndim != 1 or bias.shape[0] % 4:
        raise ValueError(f"bias has shape {bias.shape}, expected (4 * hidden_size,)")
    hidden_size = bias.shape[0] // 4
    bias[hidden_size : 2 * hidden_size] = value
    return bias


def _per_gate(values, gates, draw):
    """Fill a stack of gate matrices (gates * rows, columns), each drawn on its own."""
    rows = values.shape[0] // gates
    for gate in range(gates):
        block = values[gate * rows : (gate + 1) * rows]
        block[...] = draw(block.shape)


def initialise(params, scheme, rng, *, gates, forget=1.0):
    """Fill the parameters of one recurrent layer, in place, by the name of a scheme.

    Parameters
    ----------
    params : dict of str to writable ndarray
        Names as in torch: ``weight_ih_l0`` (gates * hidden_size, input_size), ``weight_hh_l0``
        (gates * hidden_size, hidden_size), ``bias_ih_l0``, ``bias_hh_l0``, ``weight_hr_l0``
        (proj_size, hidden_size); suffix ``_reverse`` for the second direction. Filled in the order
        of the dict.
    scheme : {"default", "glorot", "orthogonal", "identity"} or None
        "default" (and None) is torch's: all uniform in ±1 / sqrt(hidden_size). The others draw the
        input weights by Glorot's rule one gate at a time and set biases to 0; the recurrent
        weights are by Glorot's rule, orthogonal, or the identity. "identity" draws the input
        weights normal with deviation 0.001 (Le, Jaitly and Hinton 2015) and is for one gate only.
    rng : numpy.random.Generator
    gates : int
        1 for RNN, 3 for GRU, 4 for LSTM.
    forget : float
        Forget-gate bias of an LSTM under "glorot" and "orthogonal".

    Returns
    -------
    params : dict
        The dict that came in.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn.init import as_generator, initialise
    >>> params = {"weight_ih_l0": np.empty((8, 3)), "weight_hh_l0": np.empty((8, 2)), "bias_ih_l0": np.empty(8)}
    >>> initialise(params, "glorot", as_generator(0), gates=4)["bias_ih_l0"]
    array([0., 0., 1., 1., 0., 0., 0., 0.])
    """
    scheme = "default" if scheme is None else scheme
    if scheme not in SCHEMES:
        raise ValueError(f"init is {scheme!r}, expected one of {', '.join(map(repr, SCHEMES))}")
    if scheme == "identity" and gates != 1:
        raise ValueError("init is 'identity', which is for the plain RNN only (cell 'rnn', best with relu)")
    for name, values in params.items():
        if scheme == "default":
            # (G*H, ...) of the gates; weight_hr is (P, H)
            hidden_size = values.shape[1] if name.startswith("weight_hr") else values.shape[0] // gates
            values[...] = uniform(rng, values.shape, 1.0 / math.sqrt(max(hidden_size, 1)))
        elif name.startswith("bias"):
            values[...] = 0.0
            if gates == 4 and name.startswith("bias_ih"):
                forget_bias(values, forget)
        elif name.startswith("weight_hh"):
            _per_gate(values, gates, _recurrent_draw(scheme, rng))
        elif scheme == "identity":
            values[...] = 0.001 * rng.standard_normal(values.shape)
        else:
            n_blocks = 1 if name.startswith("weight_hr") else gates
            _per_gate(values, n_blocks, lambda shape: glorot_uniform(rng, shape))
    return params


def _recurrent_draw(scheme, rng):
    """The function shape -> values for one gate's recurrent matrix."""
    if scheme == "identity":
        return identity
    draw = orthogonal if scheme == "orthogonal" else glorot_uniform
    return lambda shape: draw(rng, shape)
