"""All that moves while a network is trained."""

import math
from dataclasses import dataclass, field

from ..schedules import Progress
from .history import History
from .keeper import Keeper


@dataclass
class Epoch:
    """How far the present epoch is.

    Attributes
    ----------
    n_updates : int
        Updates made in it.
    total, weight : float
        Sum of the losses, each times its weight, and of the weights.
    largest_norm : float
    factor : float
        On the learning rate, of the last update.
    rng_state : dict or None
        Of the generator before the batches of the epoch were drawn.
    """

    n_updates: int = 0
    total: float = 0.0
    weight: float = 0
    largest_norm: float = 0.0
    factor: float = 1.0
    rng_state: dict | None = None

    @property
    def loss(self):
        """Mean loss."""
        return self.total / self.weight if self.weight else 0.0


@dataclass
class Run:
    """A training run: what it works on, and all that a checkpoint has to hold.

    Attributes
    ----------
    network, optimizer, rng, settings, samples, schedule, hooks, early_stopping
        As they were given; `hooks` is a list.
    optimizer_state, schedule_state : dict, dict or None
    history : History
    keeper : Keeper
    epoch : Epoch
    waited : int
        Epochs since what is watched has got better.
    rate_factor : float
        What the hooks make of the learning rate in this epoch.
    updates_per_epoch : int
    """

    network: object
    optimizer: object
    rng: object
    settings: object
    samples: object
    schedule: object = None
    hooks: list = field(default_factory=list)
    early_stopping: bool = False

    def __post_init__(self):
        with self.network.updating() as params:
            self.optimizer_state = self.optimizer.init(params)
        self.schedule_state = self.schedule.init() if hasattr(self.schedule, "init") else None
        self.history = History()
        self.keeper = Keeper(self.network)
        self.epoch = Epoch()
        self.waited = 0
        self.rate_factor = 1.0
        self.updates_per_epoch = 0

    def progress(self, max_iter):
        """Return the `Progress` of now."""
        total = max_iter * self.updates_per_epoch
        return Progress(self.history.n_epochs, self.history.n_updates, total, self.schedule_state)

    def factor(self, max_iter):
        """Return the factor on the learning rate of the next update."""
        factor = self.rate_factor
        if self.schedule is not None:
            factor *= self.schedule(self.progress(max_iter))
        if not 0.0 <= factor < math.inf:
            raise ValueError(f"schedule and on_epoch give the learning rate the factor {factor}, expected one >= 0")
        return factor

    def update(self, max_iter):
        """Move the weights by one step of the optimiser."""
        factor = self.epoch.factor = self.factor(max_iter)
        options = {} if factor == 1.0 else {"learning_rate": self.optimizer.learning_rate * factor}
        with self.network.updating() as params:
            self.optimizer.update(params, self.network.grads, self.optimizer_state, **options)
        self.history.n_updates += 1
        self.epoch.n_updates += 1

    def settle(self, watched, tol):
        """At the end of an epoch: take note of what is watched, lower being better, and keep the best weights."""
        self.waited = 0 if watched <= self.keeper.value - tol else self.waited + 1
        self.keeper.offer(watched, self.history.n_epochs)
        self.epoch = Epoch()
