"""scikit-learn's callbacks and the hooks of training, around the epochs of an estimator's fit."""

import copy

from sklearn.callback import FitCallback


class TrainingHook:
    """A hook of :mod:`fastrnn.training` among an estimator's callbacks: ``fit`` hands it to the training loop.

    It has the methods of scikit-learn's protocol, which do nothing.

    Parameters
    ----------
    hook : callable
        Takes an `EpochEnd`; see :mod:`fastrnn.training`.
    """

    def __init__(self, hook):
        self.hook = hook

    def __repr__(self):
        return f"TrainingHook({self.hook!r})"

    def setup(self, estimator, context):
        """Do nothing."""

    def on_fit_task_begin(self, estimator, context):
        """Do nothing."""

    def on_fit_task_end(self, estimator, context):
        """Do nothing."""

    def teardown(self, estimator, context):
        """Do nothing."""


def as_callbacks(callbacks):
    """Callbacks of scikit-learn's protocol as they are, hooks of training as `TrainingHook`."""
    found = []
    for k, callback in enumerate(callbacks):
        if isinstance(callback, type) or not (isinstance(callback, FitCallback) or callable(callback)):
            what = f"the class {callback.__name__}" if isinstance(callback, type) else f"{callback!r:.80}"
            raise TypeError(
                f"callbacks[{k}] is {what}, expected an object of scikit-learn's callback protocol or a hook of "
                "fastrnn.training, which is called with an EpochEnd"
            )
        found.append(callback if isinstance(callback, FitCallback) else TrainingHook(callback))
    return found


class FitTasks:
    """The tasks of one fit, as scikit-learn's callbacks are told of them: the fit, and within it the epochs.

    A hook of `train`, which stops where a callback answers True.

    Parameters
    ----------
    estimator : RNNClassifier or RNNRegressor
    X, y, sample_weight
        As ``fit`` got them; callbacks are given them.
    """

    def __init__(self, estimator, X, y, sample_weight):
        self._task = {"estimator": estimator, "X": X, "y": y}
        self._task["metadata"] = {} if sample_weight is None else {"sample_weight": sample_weight}
        self._own_hooks = [c.hook for c in getattr(estimator, "_skl_callbacks", ()) if isinstance(c, TrainingHook)]
        self._fit = estimator._init_callback_context(max_subtasks=estimator.max_iter)
        self._epoch = self._learned = None
        self._fit.call_on_fit_task_begin(**self._task)

    def hooks(self, learned):
        """The hooks for `train`: those of training that are among the callbacks, and this.

        Parameters
        ----------
        learned : callable
            ``learned(history)`` is a dict of the attributes that a fit with this history leaves, but the network.
        """
        self._learned = learned
        return [*self._own_hooks, self]

    def on_epoch_start(self, moment):
        """Begin the task of an epoch."""
        self._epoch = self._fit.subcontext(task_name="epoch")
        self._epoch.call_on_fit_task_begin(**self._task)

    def __call__(self, moment):
        """End it; return whether a callback stops the fit."""
        return self._epoch.call_on_fit_task_end(
            **self._task,
            reconstruction_attributes=lambda: {
                "_trained": copy.deepcopy(moment.network),
                **self._learned(moment.history),
            },
        )

    def end(self):
        """End the task of the fit."""
        self._fit.call_on_fit_task_end(**self._task, reconstruction_attributes={})
