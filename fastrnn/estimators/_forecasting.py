"""From series to what a network reads and says, and back to forecasts in the units of the series."""

from dataclasses import dataclass

import numpy as np

from ..losses import quantile_loss
from ..training import pad_batch
from ._fitting import Labelled

ROWS = 256  # forecasts that are made at once
GOLDEN_RATIO = (5.0**0.5 - 1.0) / 2.0


@dataclass(frozen=True)
class Plan:
    """How a fitted forecaster looks at series.

    Attributes
    ----------
    horizon : int
        Of ``fit``.
    strategy : {"recursive", "direct"}
    quantiles : tuple of float or None
    lag : int
        Steps between the values whose difference is read and forecast; 0 for the values themselves.
    season : int or None
    window, stride : int
        Steps that are read before a forecast; steps from one training window to the next.
    scale : {"series", "common", None}
    """

    horizon: int
    strategy: str
    quantiles: tuple | None
    lag: int
    season: int | None
    window: int
    stride: int
    scale: str | None

    @property
    def leads(self):
        """Steps that the network forecasts at once."""
        return self.horizon if self.strategy == "direct" else 1

    @property
    def memory(self):
        """Steps of a series that a forecast may look at."""
        return max(self.window + self.lag, self.period)

    @property
    def period(self):
        """Steps back of the naive forecast of one step: a season, or 1."""
        return self.season or 1

    @property
    def shortest(self):
        """Steps of the shortest series from which there is something to learn."""
        return max(self.lag + self.leads, self.period) + 1

    def sizes(self, layout):
        """Inputs and outputs a step of a network for series of this layout."""
        outputs = self.leads * layout.n_variables * len(self.quantiles or (0,))
        return layout.n_variables + self.leads * layout.n_covariates, outputs

    def rows(self, n_steps):
        """Steps of the horizon whose covariates a forecast of so many steps reads."""
        return self.horizon if self.strategy == "direct" else n_steps


@dataclass(frozen=True)
class Pinball:
    """The loss of a network that says several quantiles of each target.

    Attributes
    ----------
    quantiles : tuple of float
    """

    quantiles: tuple

    def __call__(self, output, target, *weight):
        """Return the value and the gradient of outputs (..., n_targets * n_quantiles), targets (..., n_targets)."""
        spread = output.reshape(*target.shape, len(self.quantiles))
        value, d_output = quantile_loss(spread, target, self.quantiles, *weight)
        return value, d_output.reshape(output.shape)


@dataclass(frozen=True)
class Scaling:
    """What the training part says about levels.

    Attributes
    ----------
    mean, scale, naive_error : ndarray of shape (n_series, n_variables)
        Of the values or the differences that the network reads; mean absolute error of the naive forecast of a step.
    x_mean, x_scale : ndarray of shape (n_covariates,)
        Of the covariates of all series together.
    """

    mean: np.ndarray
    scale: np.ndarray
    naive_error: np.ndarray
    x_mean: np.ndarray
    x_scale: np.ndarray


def learn_scaling(panel, plan, known=None):
    """Means and deviations, of each series or of all together as the plan says.

    Parameters
    ----------
    panel : Panel
        The training part.
    plan : Plan
    known : Scaling, optional
        Where training goes on: that of covariates, and of all series together, stays.
    """
    steps = [_differences(y, plan.lag) for y in panel.y]
    shape = (len(panel), panel.layout.n_variables)
    x_mean, x_scale = np.zeros(panel.layout.n_covariates), np.ones(panel.layout.n_covariates)
    mean, scale = np.zeros(shape), np.ones(shape)
    if plan.scale is not None:
        x_mean, x_scale = (known.x_mean, known.x_scale) if known else _moments(np.concatenate(panel.x))
    if plan.scale == "series":
        mean, scale = (np.stack(part) for part in zip(*map(_moments, steps)))
    elif plan.scale == "common":
        common = (known.mean[0], known.scale[0]) if known else _moments(np.concatenate(steps))
        mean, scale = (np.broadcast_to(part, shape).copy() for part in common)
    naive_error = np.stack([np.abs(_differences(y, plan.period)).mean(axis=0) for y in panel.y])
    return Scaling(mean, scale, naive_error, x_mean, x_scale)


def _differences(y, lag):
    return y[lag:] - y[:-lag] if lag else y


def _moments(steps):
    """Mean and deviation of each column; 1 for the deviation of a constant, up to rounding."""
    mean = steps.mean(axis=0)
    var = np.square(steps - mean).mean(axis=0)
    rounding = len(steps) * np.finfo(np.float64).eps
    return mean, np.where(var <= rounding * var + np.square(rounding * mean), 1.0, np.sqrt(var))


def naive(y, lag, n_steps):
    """The values of the last `lag` steps, again and again: ndarray of shape (n_steps, n_variables)."""
    return y[len(y) - lag + np.arange(n_steps) % lag]


def _inputs(y, x, mean, scale, scaling, plan):
    """What the network reads at the steps of y, from the first that has a difference on.

    Parameters
    ----------
    y : ndarray of shape (n_timesteps, n_variables)
    x : ndarray of shape (>= n_timesteps + leads, n_covariates)
    """
    z = (_differences(y, plan.lag) - mean) / scale
    following = np.arange(plan.lag, len(y))[:, None] + np.arange(1, plan.leads + 1)
    known = ((x - scaling.x_mean) / scaling.x_scale)[following].reshape(len(z), -1)
    return np.concatenate([z, known], axis=1)


def _targets(y, mean, scale, plan):
    """What it ought to say there: (n_timesteps - lag - leads, leads * n_variables)."""
    origins, leads = np.arange(plan.lag, len(y) - plan.leads)[:, None], np.arange(1, plan.leads + 1)
    found = y[origins + leads]
    if plan.lag:
        found = found - y[origins + leads - plan.lag * -(-leads // plan.lag)]
    return ((found - mean) / scale).reshape(len(found), -1)


def training_windows(panel, scaling, plan, dtype, starts=None):
    """Cut series into sequences of at most ``window`` steps with a target each.

    Parameters
    ----------
    panel : Panel
    scaling : Scaling
    plan : Plan
    dtype : dtype
    starts : sequence of int, optional
        Of validation: the first step of each series that is to be forecast. Each forecast then counts once, in a
        window in which it has the most steps before it; by default every step of every window counts.

    Returns
    -------
    windows : Labelled
    """
    sequences, targets, weights = [], [], []
    for i, (y, x) in enumerate(zip(panel.y, panel.x)):
        mean, scale = scaling.mean[i], scaling.scale[i]
        inputs = _inputs(y[: len(y) - plan.leads], x, mean, scale, scaling, plan).astype(dtype)
        outputs = _targets(y, mean, scale, plan).astype(dtype)
        if starts is None:
            spans = [(begin, begin, stop) for begin, stop in _training_spans(len(inputs), plan)]
        else:
            spans = _validation_spans(max(0, starts[i] - 1 - plan.lag), len(inputs), plan)
        for begin, counted, stop in spans:
            sequences.append(inputs[begin:stop])
            targets.append(outputs[begin:stop])
            if starts is not None:
                weights.append((np.arange(begin, stop) >= counted).astype(np.float64))
    return Labelled(sequences, targets, None if starts is None else weights)


def _training_spans(n_steps, plan):
    """Yield (begin, stop) of windows that are a stride apart on average, the last step and the first one included.

    Their places within the strides follow the golden ratio, which has no common factor with any season: windows that
    all began in the same phase would let a network count steps instead of looking at the series.
    """
    k, stop = 0, n_steps
    while stop > plan.window:
        yield stop - plan.window, stop
        k += 1
        stop = n_steps - k * plan.stride - int(plan.stride * (k * GOLDEN_RATIO % 1.0))
    yield 0, min(n_steps, plan.window)


def _validation_spans(first, n_steps, plan):
    """Yield (begin, first that counts, stop) of windows, in one of which each step from `first` on counts."""
    for stop in range(n_steps, first, -plan.stride):
        yield max(0, stop - plan.window), max(first, stop - plan.stride), stop


@dataclass(frozen=True)
class Context:
    """What a forecast starts from.

    Attributes
    ----------
    y : ndarray of shape (n_timesteps, n_variables)
    x : ndarray of shape (n_timesteps + plan.rows(n_steps), n_covariates)
    mean, scale : ndarray of shape (n_variables,)
    """

    y: np.ndarray
    x: np.ndarray
    mean: np.ndarray
    scale: np.ndarray


def context_at(y, x, origin, rows, mean, scale, plan):
    """The `Context` of the forecast after the first `origin` steps of a series."""
    begin = max(0, origin - plan.memory)
    return Context(y[begin:origin], x[begin : origin + rows], mean, scale)


def forecasts(estimator, contexts, scaling, n_steps):
    """Forecasts from several contexts, each as if it were alone.

    Returns
    -------
    y : ndarray of shape (n_contexts, n_steps, n_variables), or with quantiles (..., n_quantiles)
        In the compute type of the estimator.
    """
    ahead = _direct if estimator._plan.strategy == "direct" else _recursive
    parts = [
        ahead(estimator, contexts[start : start + ROWS], scaling, n_steps) for start in range(0, len(contexts), ROWS)
    ]
    return np.concatenate(parts).astype(estimator._dtype)


def _read_contexts(estimator, contexts, scaling):
    """What the network says at the end of each context, and its states there."""
    plan = estimator._plan
    read = [
        _inputs(c.y, c.x, c.mean, c.scale, scaling, plan)[-plan.window :].astype(estimator._dtype) for c in contexts
    ]
    x, lengths = pad_batch(read, np.arange(len(read)), estimator._dtype)
    output, states = estimator._trained(x, lengths=lengths, n_threads=estimator.n_threads)
    last = np.array([len(sequence) - 1 for sequence in read])
    return output[last, np.arange(len(read))], states


def _direct(estimator, contexts, scaling, n_steps):
    plan = estimator._plan
    said, _ = _read_contexts(estimator, contexts, scaling)
    n_variables = contexts[0].y.shape[1]
    said = said.astype(np.float64).reshape(len(said), plan.leads, n_variables, -1)[:, :n_steps]
    found = np.empty_like(said)
    for row, values, c in zip(found, said, contexts):
        base = naive(c.y, plan.lag, n_steps) if plan.lag else 0.0
        row[:] = (base + c.mean)[..., None] + c.scale[:, None] * values
    return np.sort(found, axis=-1) if plan.quantiles else found[..., 0]


def _recursive(estimator, contexts, scaling, n_steps):
    plan = estimator._plan
    said, states = _read_contexts(estimator, contexts, scaling)
    path = [said]  # scaled
    if n_steps > 1:
        stream = estimator.network_.stream(len(contexts))
        stream.state = states
        known = np.stack([c.x[len(c.y) :] for c in contexts])
        known = ((known - scaling.x_mean) / scaling.x_scale).astype(estimator._dtype)
        for k in range(1, n_steps):
            path.append(stream.step(np.concatenate([path[-1], known[:, k]], axis=1)))
    found = np.stack(path, axis=1).astype(np.float64)
    for row, c in zip(found, contexts):
        row[:] = c.mean + c.scale * row
        if plan.lag:
            for k in range(n_steps):
                row[k] += c.y[k - plan.lag] if k < plan.lag else row[k - plan.lag]
    return found
