"""Schedules of the learning rate.

A schedule maps how far training is to a factor, by which the optimiser's ``learning_rate`` is multiplied for one
update. It is an immutable description. One that reacts to the loss keeps what it has seen in a plain dict, made by
``init`` and changed in place by ``observe``, so that it can be stored and restored as it is::

    schedule = Cosine()
    factor = schedule(Progress(epoch=0, update=10, total=100))

    schedule = Plateau(patience=2)
    state = schedule.init()
    schedule.observe(state, loss)  # once after every epoch
    factor = schedule(Progress(epoch=1, update=10, total=100, state=state))
"""

import math
from dataclasses import dataclass

__all__ = [
    *["Constant", "Cosine", "Exponential", "InverseScaling", "InverseSigmoid", "Linear", "OneCycle", "Plateau"],
    *["Progress", "Step"],
]


@dataclass(frozen=True)
class Progress:
    """How far training is, before an update.

    Parameters
    ----------
    epoch : int
        Complete epochs.
    update : int
        Updates made so far, in all epochs.
    total : int
        Updates that all epochs will make, if training does not stop early.
    state : dict or None
        What a schedule with ``init`` and ``observe`` has kept; None for the others.

    Examples
    --------
    >>> from fastrnn.schedules import Progress
    >>> Progress(epoch=1, update=50, total=200).fraction
    0.25
    """

    epoch: int
    update: int
    total: int
    state: dict | None = None

    @property
    def fraction(self):
        """Updates made out of all, in [0, 1]."""
        return min(self.update / max(self.total, 1), 1.0)


@dataclass(frozen=True)
class Constant:
    """The same factor always.

    Parameters
    ----------
    value : float

    Examples
    --------
    >>> from fastrnn.schedules import Constant, Progress
    >>> Constant()(Progress(epoch=3, update=30, total=40))
    1.0
    """

    value: float = 1.0

    def __post_init__(self):
        _check("value", self.value, 0.0 <= self.value < math.inf, "0 <= value")

    def __call__(self, progress):
        """Return the factor for this `Progress`."""
        return self.value


@dataclass(frozen=True)
class Step:
    """Multiplied by ``decay`` after every so many epochs: decay^floor(epoch / every).

    Parameters
    ----------
    every : int
        Epochs.
    decay : float

    Examples
    --------
    >>> from fastrnn.schedules import Progress, Step
    >>> [Step(every=2, decay=0.5)(Progress(epoch, 0, 0)) for epoch in range(5)]
    [1.0, 1.0, 0.5, 0.5, 0.25]
    """

    every: int = 10
    decay: float = 0.5

    def __post_init__(self):
        _check("every", self.every, self.every >= 1 and self.every == int(self.every), "an integer >= 1")
        _check("decay", self.decay, 0.0 < self.decay <= 1.0, "0 < decay <= 1")

    def __call__(self, progress):
        """Return the factor for this `Progress`."""
        return self.decay ** (progress.epoch // self.every)


@dataclass(frozen=True)
class Exponential:
    """Multiplied by ``decay`` after every epoch: decay^epoch.

    Parameters
    ----------
    decay : float

    Examples
    --------
    >>> from fastrnn.schedules import Exponential, Progress
    >>> [Exponential(0.5)(Progress(epoch, 0, 0)) for epoch in range(3)]
    [1.0, 0.5, 0.25]
    """

    decay: float = 0.95

    def __post_init__(self):
        _check("decay", self.decay, 0.0 < self.decay <= 1.0, "0 < decay <= 1")

    def __call__(self, progress):
        """Return the factor for this `Progress`."""
        return self.decay**progress.epoch


@dataclass(frozen=True)
class Linear:
    """Falls by ``slope`` an epoch, and stays at ``floor``: max(floor, 1 - slope * epoch).

    With `Exponential` and `InverseSigmoid` one of the three schedules of teacher forcing in Bengio et al. (2015),
    "Scheduled sampling for sequence prediction with recurrent neural networks", section 2.4.

    Parameters
    ----------
    slope : float
    floor : float

    Examples
    --------
    >>> from fastrnn.schedules import Linear, Progress
    >>> [Linear(slope=0.25, floor=0.5)(Progress(epoch, 0, 0)) for epoch in range(4)]
    [1.0, 0.75, 0.5, 0.5]
    """

    slope: float = 0.05
    floor: float = 0.0

    def __post_init__(self):
        _check("slope", self.slope, 0.0 <= self.slope <= 1.0, "0 <= slope <= 1")
        _check("floor", self.floor, 0.0 <= self.floor <= 1.0, "0 <= floor <= 1")

    def __call__(self, progress):
        """Return the factor for this `Progress`."""
        return max(self.floor, 1.0 - self.slope * progress.epoch)


@dataclass(frozen=True)
class InverseSigmoid:
    """Falls slowly, then fast, then slowly: k / (k + exp(epoch / k)).

    Bengio et al. (2015), "Scheduled sampling for sequence prediction with recurrent neural networks", section 2.4. It
    is one half at epoch k log k.

    Parameters
    ----------
    k : float

    Examples
    --------
    >>> from fastrnn.schedules import InverseSigmoid, Progress
    >>> [round(InverseSigmoid(4.0)(Progress(epoch, 0, 0)), 3) for epoch in (0, 5, 10)]
    [0.8, 0.534, 0.247]
    """

    k: float = 10.0

    def __post_init__(self):
        _check("k", self.k, 1.0 <= self.k < math.inf, "1 <= k")

    def __call__(self, progress):
        """Return the factor for this `Progress`."""
        return self.k / (self.k + math.exp(min(progress.epoch / self.k, 700.0)))


@dataclass(frozen=True)
class InverseScaling:
    """Falls with a power of the number of updates: (update + 1)^-power.

    The "invscaling" of scikit-learn's SGDRegressor and MLPClassifier (Robbins and Monro 1951, "A stochastic
    approximation method", whose conditions hold for 1/2 < power <= 1).

    Parameters
    ----------
    power : float

    Examples
    --------
    >>> from fastrnn.schedules import InverseScaling, Progress
    >>> [InverseScaling()(Progress(0, update, 0)) for update in (0, 3, 99)]
    [1.0, 0.5, 0.1]
    """

    power: float = 0.5

    def __post_init__(self):
        _check("power", self.power, 0.0 <= self.power < math.inf, "0 <= power")

    def __call__(self, progress):
        """Return the factor for this `Progress`."""
        return 1.0 / (progress.update + 1) ** self.power


@dataclass(frozen=True)
class Cosine:
    """Half a cosine from 1 to ``floor``, once or with warm restarts.

    floor + (1 - floor) / 2 * (1 + cos(pi * t)), where t runs from 0 to 1 in each of ``cycles`` equal parts of the
    training (Loshchilov and Hutter 2017, "SGDR: stochastic gradient descent with warm restarts", equation 5).

    Parameters
    ----------
    floor : float
    cycles : int

    Examples
    --------
    >>> from fastrnn.schedules import Cosine, Progress
    >>> [round(Cosine()(Progress(0, update, 8)), 3) for update in (0, 2, 4, 8)]
    [1.0, 0.854, 0.5, 0.0]
    >>> [round(Cosine(cycles=2)(Progress(0, update, 8)), 3) for update in (0, 2, 4, 8)]
    [1.0, 0.5, 1.0, 0.0]
    """

    floor: float = 0.0
    cycles: int = 1

    def __post_init__(self):
        _check("floor", self.floor, 0.0 <= self.floor <= 1.0, "0 <= floor <= 1")
        _check("cycles", self.cycles, self.cycles >= 1 and self.cycles == int(self.cycles), "an integer >= 1")

    def __call__(self, progress):
        """Return the factor for this `Progress`."""
        place = progress.fraction * self.cycles
        return _cosine(1.0, self.floor, place - min(math.floor(place), self.cycles - 1))


@dataclass(frozen=True)
class OneCycle:
    """Up to the full rate and down to almost nothing, by two halves of a cosine.

    From 1 / ``start_division`` up to 1 within the part ``warm_up`` of the training, then down to
    1 / (start_division * end_division) at the last update (Smith and Topin 2019, "Super-convergence: very fast
    training of neural networks using large learning rates", section 3; shapes and defaults are torch.optim's
    OneCycleLR). The optimiser's ``learning_rate`` is the largest one, and its momentum stays as it is.

    Parameters
    ----------
    warm_up : float
        In (0, 1).
    start_division, end_division : float

    Examples
    --------
    >>> from fastrnn.schedules import OneCycle, Progress
    >>> [round(OneCycle()(Progress(0, update, 101)), 3) for update in (0, 15, 29, 65, 100)]
    [0.04, 0.538, 1.0, 0.492, 0.0]
    """

    warm_up: float = 0.3
    start_division: float = 25.0
    end_division: float = 1e4

    def __post_init__(self):
        _check("warm_up", self.warm_up, 0.0 < self.warm_up < 1.0, "0 < warm_up < 1")
        for name in ("start_division", "end_division"):
            value = getattr(self, name)
            _check(name, value, 1.0 <= value < math.inf, f"1 <= {name}")

    def __call__(self, progress):
        """Return the factor for this `Progress`."""
        start = 1.0 / self.start_division
        peak = self.warm_up * progress.total - 1.0  # the update that has the full rate
        last = progress.total - 1.0
        if progress.update < peak:
            return _cosine(start, 1.0, progress.update / peak)
        down = (progress.update - peak) / (last - peak) if progress.update < last else 1.0
        return _cosine(1.0, start / self.end_division, down)


@dataclass(frozen=True)
class Plateau:
    """Multiplied by ``decay`` whenever the loss has not fallen for more than ``patience`` epochs.

    The loss has fallen where it is below the smallest so far by more than ``tol``. (torch.optim's ReduceLROnPlateau,
    with its threshold_mode="abs".)

    Parameters
    ----------
    decay : float
    patience : int
        Epochs that may pass without a fall.
    tol : float
    floor : float
        The smallest factor.

    Examples
    --------
    >>> from fastrnn.schedules import Plateau, Progress
    >>> plateau = Plateau(decay=0.5, patience=1)
    >>> state = plateau.init()
    >>> for loss in (3.0, 2.0, 2.0, 2.0):
    ...     plateau.observe(state, loss)
    ...     print(plateau(Progress(0, 0, 0, state)), end=" ")
    1.0 1.0 1.0 0.5
    """

    decay: float = 0.1
    patience: int = 5
    tol: float = 1e-4
    floor: float = 0.0

    def __post_init__(self):
        _check("decay", self.decay, 0.0 < self.decay < 1.0, "0 < decay < 1")
        _check("patience", self.patience, self.patience >= 0 and self.patience == int(self.patience), "an integer >= 0")
        _check("tol", self.tol, 0.0 <= self.tol < math.inf, "0 <= tol")
        _check("floor", self.floor, 0.0 <= self.floor <= 1.0, "0 <= floor <= 1")

    def init(self):
        """State before the first epoch: the factor, the smallest loss, and epochs since it fell."""
        return {"factor": 1.0, "best": math.inf, "waited": 0}

    def observe(self, state, loss):
        """Take note of the loss of an epoch, in place."""
        if loss < state["best"] - self.tol:
            state["best"], state["waited"] = float(loss), 0
        else:
            state["waited"] += 1
        if state["waited"] > self.patience:
            state["factor"], state["waited"] = max(state["factor"] * self.decay, self.floor), 0

    def __call__(self, progress):
        """Return the factor for this `Progress`, whose ``state`` is what ``init`` made."""
        return progress.state["factor"]


def _cosine(start, stop, t):
    """From `start` at t = 0 to `stop` at t = 1 along half a cosine."""
    return stop + 0.5 * (start - stop) * (1.0 + math.cos(math.pi * t))


def _check(name, value, holds, expected):
    if not holds:
        raise ValueError(f"{name} is {value!r}, expected {expected}")
