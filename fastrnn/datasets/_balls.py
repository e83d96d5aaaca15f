"""Balls in a box, by exact times of their collisions."""

from itertools import combinations

import numpy as np

from .._validation import check_choice, check_size
from ..init import as_generator

SIDE, RADIUS, SPEED, PIXELS = 10.0, 1.2, 0.5, 15


def bouncing_balls(n_samples=100, seq_len=100, *, n_balls=2, output="positions", random_state=None):
    """Balls that fly in a box and bounce off its walls and each other.

    One to three balls of radius 1.2 and equal mass in a box of side 10; the velocities of all balls together are a
    vector of norm 0.5 a frame, which elastic collisions do not change. Without friction, and without any error of a
    step: from one collision to the next all move in straight lines. After Sutskever, Hinton and Taylor (2008), "The
    recurrent temporal restricted Boltzmann machine", section 5.

    Parameters
    ----------
    n_samples, seq_len : int
    n_balls : int
        1 to 3.
    output : {"positions", "frames"}
    random_state : None, int, Generator or RandomState

    Returns
    -------
    ndarray, float32
        "positions", shape (n_samples, seq_len, 2 n_balls): x and y of the first ball, of the second, ...
        "frames", shape (n_samples, seq_len, 15, 15), in [0, 1]: rows are y, columns x; a ball at distance d is seen
        as exp(-(d / 1.2)^8) at the middle of a pixel.

    Examples
    --------
    >>> from fastrnn.datasets import bouncing_balls
    >>> positions = bouncing_balls(2, 50, n_balls=3, random_state=0)
    >>> positions.shape, bool(positions.min() >= 1.2 - 1e-6), bool(positions.max() <= 8.8 + 1e-6)
    ((2, 50, 6), True, True)
    >>> bouncing_balls(2, 50, output="frames", random_state=0).shape
    (2, 50, 15, 15)
    """
    check_size("n_samples", n_samples, 0)
    check_size("seq_len", seq_len)
    if check_size("n_balls", n_balls) > 3:
        raise ValueError(f"n_balls is {n_balls}, expected 1 <= n_balls <= 3")
    check_choice("output", output, ("positions", "frames"))
    rng = as_generator(random_state)
    positions = np.zeros((n_samples, seq_len, n_balls, 2))
    for sample in positions:
        fly(*_first_state(rng, n_balls), sample)
    if output == "frames":
        return _draw(positions)
    return positions.reshape(n_samples, seq_len, 2 * n_balls).astype(np.float32)


def _first_state(rng, n_balls):
    """Draw positions (n_balls, 2) of balls that do not touch, and velocities (n_balls, 2)."""
    while True:
        x = rng.uniform(RADIUS, SIDE - RADIUS, size=(n_balls, 2))
        if all(np.hypot(*(x[i] - x[j])) > 2.0 * RADIUS for i, j in combinations(range(n_balls), 2)):
            break
    v = rng.standard_normal((n_balls, 2))
    return x, v * (SPEED / np.sqrt(np.sum(v**2)))


def fly(x, v, positions):
    """Fill ``positions`` (seq_len, n_balls, 2), the first being x, and leave the end in x and v (n_balls, 2)."""
    positions[0] = x
    now, frame, last = 0.0, 1, len(positions) - 1
    while frame <= last:
        wait, bounce = _next_collision(x, v)
        while frame <= last and frame <= now + wait:
            positions[frame] = x + v * (frame - now)
            frame += 1
        if frame > last:
            x += v * (last - now)
            return
        x += v * wait
        now += wait
        bounce(v)


def _next_collision(x, v):
    """Return the time until the next collision, and a function that changes the velocities by it."""
    with np.errstate(divide="ignore", invalid="ignore"):
        to_wall = np.where(v > 0, (SIDE - RADIUS - x) / v, np.where(v < 0, (RADIUS - x) / v, np.inf))
    ball, axis = np.unravel_index(int(to_wall.argmin()), to_wall.shape)
    wait, pair = max(float(to_wall[ball, axis]), 0.0), None
    for i, j in combinations(range(len(x)), 2):
        until = _until_touch(x[i] - x[j], v[i] - v[j])
        if until < wait:
            wait, pair = until, (i, j)
    if pair is not None:
        return wait, _pair_bounce(*pair, x + v * wait)

    def bounce(v):
        v[ball, axis] *= -1.0

    return wait, bounce


def _until_touch(dx, dv):
    """The first t >= 0 with |dx + t dv| = 2 radii of balls that come nearer, or inf."""
    closing, speed = float(dx @ dv), float(dv @ dv)
    gap = float(dx @ dx) - 4.0 * RADIUS**2
    under_root = closing * closing - speed * gap
    if closing >= 0.0 or under_root < 0.0:
        return np.inf
    return max(gap, 0.0) / (-closing + np.sqrt(under_root))


def _pair_bounce(i, j, x):
    """Balls of equal mass swap their velocities along the line between them, x being where they touch."""
    normal = x[i] - x[j]
    normal = normal / np.hypot(*normal)

    def bounce(v):
        swap = float((v[i] - v[j]) @ normal) * normal
        v[i] -= swap
        v[j] += swap

    return bounce


def _draw(positions):
    middles = (np.arange(PIXELS) + 0.5) * (SIDE / PIXELS)
    frames = np.zeros((*positions.shape[:2], PIXELS, PIXELS), dtype=np.float32)
    for ball in range(positions.shape[2]):
        squared = (middles - positions[:, :, ball, :1]) ** 2  # (n_samples, seq_len, columns)
        squared = squared[:, :, None, :] + ((middles - positions[:, :, ball, 1:]) ** 2)[..., None]
        frames += np.exp(-((squared / RADIUS**2) ** 4))
    return np.minimum(frames, 1.0)
