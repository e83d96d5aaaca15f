"""From parameters to the objects that training takes, and training that goes on where it was."""

from .. import schedules
from ..optim import SGD, Adam, AdamW, RMSprop


def make_optimizer(estimator):
    """The optimiser that ``solver`` and its parameters describe."""
    rate = estimator.learning_rate_init
    if estimator.solver == "sgd":
        return SGD(rate, estimator.momentum, bool(estimator.nesterovs_momentum and estimator.momentum))
    if estimator.solver == "rmsprop":
        return RMSprop(rate, epsilon=estimator.epsilon)
    moments = (estimator.beta_1, estimator.beta_2, estimator.epsilon)
    if estimator.solver == "adam":
        return Adam(rate, *moments)
    return AdamW(rate, *moments, weight_decay=estimator.alpha, decay_vectors=False)


def make_schedule(estimator):
    """The schedule that ``learning_rate`` names or is; None for a constant rate."""
    setting, tol = estimator.learning_rate, max(float(estimator.tol), 0.0)
    named = {
        "constant": lambda: None,
        "invscaling": lambda: schedules.InverseScaling(estimator.power_t),
        "adaptive": lambda: schedules.Plateau(decay=0.2, patience=1, tol=tol),
        "step": schedules.Step,
        "exponential": schedules.Exponential,
        "cosine": schedules.Cosine,
        "onecycle": schedules.OneCycle,
        "plateau": lambda: schedules.Plateau(tol=tol),
    }
    return named[setting]() if isinstance(setting, str) else setting


def settle_batch_size(setting, n_samples):
    """The batch size: for "auto" sixteen updates an epoch where batches of 16 to 200 allow it."""
    if setting != "auto":
        return min(n_samples, setting)
    if n_samples < 32:  # not enough for two batches of 16
        return n_samples
    return min(200, max(16, n_samples // 16))


def continuation_of(estimator):
    """What ``partial_fit`` goes on from, and changes in place: a plain dict, so that it can be stored.

    ``moments`` of the optimiser and ``schedule_state`` (None before the first call), ``epochs`` and ``updates`` made so
    far, and the ``solver`` whose moments they are: another one starts anew.
    """
    known = getattr(estimator, "_continuation", None)
    if known is not None and known["solver"] == estimator.solver:
        return known
    return {"solver": estimator.solver, "moments": None, "schedule_state": None, "epochs": 0, "updates": 0}


class ContinuedOptimizer:
    """An optimiser whose moments outlast a run of ``train``."""

    def __init__(self, optimizer, continuation):
        self._optimizer, self._continuation = optimizer, continuation
        self.learning_rate = optimizer.learning_rate

    def init(self, params):
        """The moments of the run before, or new ones."""
        if self._continuation["moments"] is None:
            self._continuation["moments"] = self._optimizer.init(params)
        return self._continuation["moments"]

    def update(self, params, grads, state, learning_rate=None):
        """As the optimiser's own."""
        self._optimizer.update(params, grads, state, learning_rate)


def check_endless(estimator):
    """Refuse a schedule that is spread over a number of epochs, which ``partial_fit`` does not know."""
    if isinstance(make_schedule(estimator), (schedules.Cosine, schedules.OneCycle)):
        raise ValueError(
            f"learning_rate is {estimator.learning_rate!r}, which is spread over the epochs of fit, expected another "
            "one for partial_fit, which may be called any number of times"
        )


def continued_schedule(schedule, continuation):
    """The schedule, at the epoch and the update to which runs of one epoch have come."""
    if schedule is None:
        return None
    return (_Observing if hasattr(schedule, "observe") else _Shifted)(schedule, continuation)


class _Shifted:
    """A schedule whose counts go on."""

    def __init__(self, schedule, continuation):
        self._schedule, self._continuation = schedule, continuation

    def __call__(self, progress):
        """The factor for this `Progress`."""
        done = self._continuation
        epoch, update = done["epochs"] + progress.epoch, done["updates"] + progress.update
        return self._schedule(schedules.Progress(epoch, update, done["updates"] + progress.total, progress.state))


class _Observing(_Shifted):
    """The same of a schedule that keeps a state."""

    def init(self):
        """The state of the run before, or a new one."""
        state = self._continuation["schedule_state"]
        if state is None or state.keys() != self._schedule.init().keys():  # none, or that of another schedule
            state = self._continuation["schedule_state"] = self._schedule.init()
        return state

    def observe(self, state, loss):
        """Take note of the loss of an epoch."""
        self._schedule.observe(state, loss)
