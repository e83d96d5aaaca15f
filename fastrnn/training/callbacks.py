"""Ready-made hooks for the ends of epochs, and what a hook is given.

A hook is any callable that takes an `EpochEnd`; returning True stops the training. A hook may have more:

* ``on_start(moment)`` is called once before the first update, also of a resumed run, with an `EpochEnd` that tells
  where the run stands.
* ``on_epoch_start(moment)`` is called before the first update of every epoch, and of the rest of a resumed one.
* ``state_dict()`` and ``load_state_dict(state)``: a dict of numbers and text that checkpoints hold.
"""

import csv
import os
from dataclasses import dataclass, field

from .._validation import check_names, check_size
from ..schedules import Plateau, Progress
from .history import History


@dataclass
class EpochEnd:
    """What a hook is given after every epoch.

    Attributes
    ----------
    history : History
        Of all complete epochs.
    network : Sequential
        With the weights of the end of this epoch.
    optimizer : object
    progress : Progress
        How far training is.
    watched : float
        What schedules that react watch, lower being better: minus the score on the validation data, or the training
        loss where there are none. NaN before the first epoch.
    rate_factor : float
        By which the learning rate of the next epoch is multiplied. It is 1 when the hooks are called, and each hook
        multiplies it by its own.
    checkpoints : list of path
        Where checkpoints will be written after all hooks were called; see `checkpoint`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn.losses import squared_error
    >>> from fastrnn.models import many_to_one
    >>> from fastrnn.optim import Adam
    >>> from fastrnn.training import train
    >>> def stop_when_small(moment):
    ...     return moment.history.n_epochs == 3 or moment.watched < 1e-3
    >>> network = many_to_one(1, 1, hidden_layer_sizes=(3,), random_state=0)
    >>> options = {"loss": squared_error, "optimizer": Adam(), "rng": np.random.default_rng(0)}
    >>> train(network, np.ones((8, 5, 1)), np.ones((8, 1)), on_epoch=stop_when_small, **options).stopped
    'callback'
    """

    history: History
    network: object
    optimizer: object
    progress: Progress
    watched: float
    rate_factor: float = 1.0
    checkpoints: list = field(default_factory=list)

    def checkpoint(self, path):
        """Have a checkpoint written once all hooks of this epoch were called, so that it holds their states."""
        self.checkpoints.append(path)


class Checkpoint:
    """Write a file from which the training goes on (``resume_from``) to the same bits.

    The file is replaced atomically: whenever the process is killed, there is a whole one, the old or the new.

    Parameters
    ----------
    path : str or path-like
    every : int, default=1
        Epochs.
    every_updates : int, optional
        Write also within epochs, after so many updates, as soon as a batch ends.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> from fastrnn.losses import squared_error
    >>> from fastrnn.models import many_to_one
    >>> from fastrnn.optim import Adam
    >>> from fastrnn.training import Checkpoint, train
    >>> path = os.path.join(tempfile.mkdtemp(), "run.checkpoint")
    >>> X, y = np.ones((8, 5, 1)), np.ones((8, 1))
    >>> def fit(**options):
    ...     network = many_to_one(1, 1, hidden_layer_sizes=(3,), random_state=0)
    ...     train(network, X, y, loss=squared_error, optimizer=Adam(), rng=np.random.default_rng(0), **options)
    ...     return network.params["0.weight_hh_l0"].tobytes()
    >>> _ = fit(max_iter=3, on_epoch=Checkpoint(path))
    >>> fit(max_iter=9, resume_from=path) == fit(max_iter=9)
    True
    """

    def __init__(self, path, every=1, every_updates=None):
        self.path = os.fspath(path)
        self.every = check_size("every", every)
        self.every_updates = None if every_updates is None else check_size("every_updates", every_updates)
        self._written_at = 0

    def on_start(self, moment):
        """Count updates from here."""
        self._written_at = moment.history.n_updates

    def __call__(self, moment):
        """Ask for a checkpoint after every so many epochs."""
        if moment.history.n_epochs % self.every == 0:
            self._written_at = moment.history.n_updates
            moment.checkpoint(self.path)

    def is_due(self, n_updates):
        """Whether to write within an epoch, after so many updates in all; if so, count from here."""
        if self.every_updates is None or n_updates - self._written_at < self.every_updates:
            return False
        self._written_at = n_updates
        return True


class CSVLog:
    """Write the history as a table of comma-separated values, a row an epoch.

    The columns are epoch (from 1), loss, grad_norm, learning_rate and, with validation data, validation_loss and
    validation_score. A resumed run writes the rows of its earlier epochs anew.

    Parameters
    ----------
    path : str or path-like

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> from fastrnn.losses import squared_error
    >>> from fastrnn.models import many_to_one
    >>> from fastrnn.optim import Adam
    >>> from fastrnn.training import CSVLog, train
    >>> path = os.path.join(tempfile.mkdtemp(), "log.csv")
    >>> network = many_to_one(1, 1, hidden_layer_sizes=(3,), random_state=0)
    >>> options = {"loss": squared_error, "optimizer": Adam(), "max_iter": 2, "rng": np.random.default_rng(0)}
    >>> _ = train(network, np.ones((8, 5, 1)), np.ones((8, 1)), on_epoch=CSVLog(path), **options)
    >>> with open(path) as file:
    ...     print(file.readline().strip(), len(file.readlines()))
    epoch,loss,grad_norm,learning_rate 2
    """

    COLUMNS = {
        "loss": "loss_curve",
        "grad_norm": "grad_norm_curve",
        "learning_rate": "learning_rate_curve",
        "validation_loss": "validation_loss_curve",
        "validation_score": "validation_curve",
    }

    def __init__(self, path):
        self.path = os.fspath(path)
        self._rows = 0  # written so far; 0: not even the header

    def on_start(self, moment):
        """Begin a new table."""
        self._rows = 0

    def __call__(self, moment):
        """Append the rows that the table lacks."""
        curves = {name: getattr(moment.history, curve) for name, curve in self.COLUMNS.items()}
        curves = {name: curve for name, curve in curves.items() if curve}
        with open(self.path, "a" if self._rows else "w", newline="", encoding="utf-8") as file:
            table = csv.writer(file)
            if not self._rows:
                table.writerow(["epoch", *curves])
            for k in range(self._rows, moment.history.n_epochs):
                table.writerow([k + 1, *(curve[k] for curve in curves.values())])
        self._rows = moment.history.n_epochs


class LearningRateSchedule:
    """Let a schedule move the learning rate from epoch to epoch (``schedule=`` of `train`: from update to update).

    Parameters
    ----------
    schedule : object of fastrnn.schedules

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn.losses import squared_error
    >>> from fastrnn.models import many_to_one
    >>> from fastrnn.optim import SGD
    >>> from fastrnn.schedules import Exponential
    >>> from fastrnn.training import LearningRateSchedule, train
    >>> network = many_to_one(1, 1, hidden_layer_sizes=(3,), random_state=0)
    >>> options = {"loss": squared_error, "optimizer": SGD(0.5), "max_iter": 3, "rng": np.random.default_rng(0)}
    >>> hook = LearningRateSchedule(Exponential(0.5))
    >>> train(network, np.ones((8, 5, 1)), np.ones((8, 1)), on_epoch=hook, **options).learning_rate_curve
    [0.5, 0.25, 0.125]
    """

    def __init__(self, schedule):
        if not callable(schedule):
            raise TypeError(f"schedule is {schedule!r}, expected an object of fastrnn.schedules")
        self.schedule = schedule
        self._state = None

    def on_start(self, moment):
        """Set the factor of the first epoch."""
        if hasattr(self.schedule, "init") and (self._state is None or not moment.history.n_epochs):
            self._state = self.schedule.init()
        self._set(moment)

    def __call__(self, moment):
        """Set the factor of the next epoch."""
        if self._state is not None:
            self.schedule.observe(self._state, moment.watched)
        self._set(moment)

    def _set(self, moment):
        now = moment.progress
        moment.rate_factor *= self.schedule(Progress(now.epoch, now.update, now.total, self._state))

    def state_dict(self):
        """Return what the schedule has kept."""
        return {} if self._state is None else dict(self._state)

    def load_state_dict(self, state):
        """Take over what `state_dict` returned."""
        expected = self.schedule.init() if hasattr(self.schedule, "init") else {}
        check_names("state", state, expected)
        self._state = dict(state) or None


class ReduceOnPlateau(LearningRateSchedule):
    """Multiply the learning rate by ``decay`` when what is watched no longer gets better; see `schedules.Plateau`.

    Parameters
    ----------
    decay, patience, tol, floor
        Of `fastrnn.schedules.Plateau`.

    Examples
    --------
    >>> from fastrnn.training import ReduceOnPlateau
    >>> ReduceOnPlateau(decay=0.5, patience=3).schedule
    Plateau(decay=0.5, patience=3, tol=0.0001, floor=0.0)
    """

    def __init__(self, decay=0.1, patience=5, tol=1e-4, floor=0.0):
        super().__init__(Plateau(decay, patience, tol, floor))
