"""Signals over many steps: a chaotic series, and pulses to be timed."""

import numpy as np

from .._validation import check_size
from ..init import as_generator

PARTS = 10  # Euler steps in a step of the series
EDGE_STEPS, EDGE_FRACTION = 10, 0.05
HEIGHT = 0.5


def mackey_glass(seq_len=4000, *, tau=17, washout=1000, random_state=None):
    """The Mackey-Glass series, chaotic from tau = 17 on.

    y' = 0.2 y(t - tau) / (1 + y(t - tau)^10) - 0.1 y(t) by Euler steps of 0.1, every tenth of which is kept, as
    tanh(y - 1). Mackey and Glass (1977), "Oscillation and chaos in physiological control systems"; scheme and scale of
    Jaeger (2001), "The echo state approach to analysing and training recurrent neural networks", section 6.

    Parameters
    ----------
    seq_len : int
    tau : int
        The delay in steps of the series.
    washout : int
        Steps of the series that are left out at its beginning, whose past is 1.2 plus noise uniform in ±0.1.
    random_state : None, int, Generator or RandomState
        Of that noise.

    Returns
    -------
    series : ndarray of shape (seq_len,), float64

    Examples
    --------
    >>> from fastrnn.datasets import mackey_glass
    >>> series = mackey_glass(2000, tau=17, random_state=0)
    >>> series.shape, bool((abs(series) < 0.7).all())
    ((2000,), True)
    """
    seq_len, tau = check_size("seq_len", seq_len), check_size("tau", tau)
    washout = check_size("washout", washout, 0)
    delay, n_parts = tau * PARTS, (washout + seq_len) * PARTS
    y = [*(1.2 + as_generator(random_state).uniform(-0.1, 0.1, size=delay + 1)).tolist()]  # y(-tau) to y(0)
    for k in range(n_parts):
        late, now = y[k], y[k + delay]
        y.append(now + (0.2 * late / (1.0 + late**10) - 0.1 * now) / PARTS)
    kept = np.array(y[delay + PARTS :: PARTS])
    return np.tanh(kept[washout:] - 1.0)


def timer(n_samples=20, seq_len=5000, *, longest=1000, random_state=None):
    """The timer: hold the output up for as long as the second input asks, counted from a pulse on the first.

    The first input is 1 for one step at random times, else 0. The second is one of 0.1, 0.2, ..., 1.0, drawn anew at
    each pulse and held. The target is 0.5 for the next ``longest`` times the second input steps, else 0. No pulse
    comes before the one before it has ended. Jaeger (2002), "A tutorial on training recurrent neural networks", the
    timer example.

    Parameters
    ----------
    n_samples, seq_len : int
    longest : int
        A multiple of 10.
    random_state : None, int, Generator or RandomState

    Returns
    -------
    X : ndarray of shape (n_samples, seq_len, 2), float32
    y : ndarray of shape (n_samples, seq_len), float32
    counted : ndarray of bool of shape (n_samples, seq_len)
        False within max(10, 5 % of the on-time) steps of an edge of the target, where no answer is wrong.

    Notes
    -----
    The time from the end of the target to the next pulse is uniform in 1 to half of ``longest``, as is the time to
    the first pulse. An edge lies between two steps: 10 steps before it and 10 after it are not counted.

    Examples
    --------
    >>> from fastrnn.datasets import timer
    >>> X, y, counted = timer(2, 300, longest=100, random_state=0)
    >>> pulse = int(X[0, :, 0].argmax())
    >>> round(float(X[0, pulse, 1]), 1), y[0, [pulse, pulse + 1, pulse + 60, pulse + 61]].tolist()
    (0.6, [0.0, 0.5, 0.5, 0.0])
    """
    check_size("n_samples", n_samples, 0)
    check_size("seq_len", seq_len)
    if check_size("longest", longest, 10) % 10:
        raise ValueError(f"longest is {longest}, expected a multiple of 10")
    rng = as_generator(random_state)
    X = np.zeros((n_samples, seq_len, 2), dtype=np.float32)
    y = np.zeros((n_samples, seq_len), dtype=np.float32)
    counted = np.ones((n_samples, seq_len), dtype=bool)
    for row in range(n_samples):
        _draw_pulses(rng, longest, X[row], y[row], counted[row])
    return X, y, counted


def _draw_pulses(rng, longest, x, y, counted):
    """Fill one sequence, its target and its mask."""
    x[:, 1] = rng.integers(1, 11) / 10.0
    pulse = int(rng.integers(1, longest // 2, endpoint=True)) - 1
    while pulse < len(x):
        level = int(rng.integers(1, 11))
        on_time = longest // 10 * level
        x[pulse, 0], x[pulse:, 1] = 1.0, level / 10.0
        start, stop = pulse + 1, pulse + 1 + on_time
        y[start:stop] = HEIGHT
        margin = max(EDGE_STEPS, int(EDGE_FRACTION * on_time))
        for edge in (start, stop):
            counted[max(edge - margin, 0) : edge + margin] = False
        pulse = stop - 1 + int(rng.integers(1, longest // 2, endpoint=True))
