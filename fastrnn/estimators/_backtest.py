"""Forecasts from many origins, and their errors beside those of naive forecasts."""

from dataclasses import dataclass

import numpy as np

from ..metrics import pinball_loss
from ._forecasting import context_at, forecasts, naive

NAMES = ("model", "persistence", "seasonal_naive")


@dataclass(frozen=True)
class Backtest:
    """Forecasts from rolling origins, with what came and what naive forecasts would have said.

    What ``RNNForecaster.backtest`` and ``RNNForecaster.evaluate`` return. Where the series came as a list, every array
    is a list of arrays, one for each series; where a series has one axis, the last axis n_variables is absent. Printed,
    it is the table of the figures.

    Attributes
    ----------
    origins : ndarray of int of shape (n_origins,)
        Steps that were known, counted from the start of y; of ``evaluate`` 0 is the end of what the model knew.
    truths : ndarray of shape (n_origins, horizon, n_variables)
    forecasts : ndarray of shape (n_origins, horizon, n_variables), or with quantiles (..., n_quantiles)
    persistence : ndarray of shape (n_origins, horizon, n_variables)
        The last known value.
    seasonal_naive : ndarray of shape (n_origins, horizon, n_variables) or None
        The values of the last season; None without ``season``.
    figures : dict of str to dict of str to float
        ``figures["MAE"]["model"]`` and so on: "MAE" and "RMSE" over all origins, leads and series in the units of y,
        "MASE" (mean over series of the mean absolute error, divided by that of the naive forecast of one step within
        the training part, a season or one step back; infinite or NaN where that is 0) and "R2" (mean over series; 1 or
        0 of a constant, as in scikit-learn); with quantiles "pinball". Of "model", "persistence" and, with ``season``,
        "seasonal_naive"; means over variables. With quantiles all but "pinball" are of the quantile next to 0.5.
    by_variable : dict of str to dict of str to ndarray of shape (n_variables,)
        The same for each variable.
    coverage : dict of float to float or None
        Of quantiles: the share of truths that is not above the forecast of this quantile.
    variable_names : list of str
        The columns of data frames, else "variable 0" and so on.

    Examples
    --------
    >>> import warnings
    >>> import numpy as np
    >>> from fastrnn import RNNForecaster
    >>> y = np.sin(0.3 * np.arange(120))
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")  # three epochs are few
    ...     model = RNNForecaster((8,), window=20, max_iter=3, horizon=2, random_state=0).fit(y[:100])
    >>> report = model.backtest(y, initial=100, step=5)
    >>> report.origins.tolist(), report.forecasts.shape
    ([100, 105, 110, 115], (4, 2))
    >>> sorted(report.figures), sorted(report.figures["MAE"])
    (['MAE', 'MASE', 'R2', 'RMSE'], ['model', 'persistence'])
    """

    origins: object
    truths: object
    forecasts: object
    persistence: object
    seasonal_naive: object
    figures: dict
    by_variable: dict
    coverage: dict | None
    variable_names: list

    def __str__(self):
        columns = list(self.figures["MAE"])
        names = self.variable_names if len(self.variable_names) > 1 else [""]
        width = max(map(len, names)) + 10
        lines = [" " * width + "".join(f"{column:>16}" for column in columns)]
        for metric, values in self.by_variable.items():
            for k, name in enumerate(names):
                row = "".join(f"{values[column][k]:16.4g}" for column in columns)
                lines.append(f"{metric:<8}  {name}".ljust(width) + row)
        return "\n".join(lines)


@dataclass
class Rolled:
    """What was forecast of one series, and what came: arrays (n_origins, horizon, n_variables, ...)."""

    origins: np.ndarray
    truths: np.ndarray
    said: dict
    naive_error: np.ndarray


def roll(estimator, y, x, origins, scaling, n_steps):
    """Forecast several series from several origins each.

    Parameters
    ----------
    estimator : RNNForecaster
    y, x : list of ndarray of shape (n_timesteps_i, ...)
    origins : list of ndarray of int
        Steps that are known.
    scaling : Scaling
        Of these series.
    n_steps : int

    Returns
    -------
    rolled : list of Rolled
    """
    plan = estimator._plan
    rows = plan.rows(n_steps)
    contexts = [
        context_at(y[i], x[i], int(origin), rows, scaling.mean[i], scaling.scale[i], plan)
        for i, own in enumerate(origins)
        for origin in own
    ]
    said = np.split(forecasts(estimator, contexts, scaling, n_steps), np.cumsum([len(own) for own in origins])[:-1])
    return [_beside_naive(y[i], own, said[i], scaling.naive_error[i], plan, n_steps) for i, own in enumerate(origins)]


def _beside_naive(y, origins, model, naive_error, plan, n_steps):
    truths = y[origins[:, None] + np.arange(n_steps)]
    said = {"model": model}
    for name, lag in zip(NAMES[1:], (1, plan.season)):
        if lag:
            made = [naive(y[:origin], lag, n_steps) for origin in origins]
            said[name] = np.stack(made) if made else truths
    return Rolled(origins, truths, said, naive_error)


def join(parts):
    """The `Rolled` of one series from those of some of its origins."""
    said = {name: np.concatenate([part.said[name] for part in parts]) for name in parts[0].said}
    origins, truths = (np.concatenate([getattr(part, name) for part in parts]) for name in ("origins", "truths"))
    return Rolled(origins, truths, said, parts[0].naive_error)


def report(rolled, layout, quantiles):
    """The `Backtest` of some series."""
    by_variable = _figures(rolled, quantiles)
    coverage = None
    if quantiles:
        below = [(r.truths[..., None] <= r.said["model"]).reshape(-1, len(quantiles)) for r in rolled]
        coverage = {q: float(share) for q, share in zip(quantiles, np.concatenate(below).mean(axis=0))}

    def given(arrays):
        arrays = [array[:, :, 0] for array in arrays] if layout.flat else arrays
        return arrays[0] if layout.single else arrays

    seasonal = given([r.said[NAMES[2]] for r in rolled]) if NAMES[2] in rolled[0].said else None
    return Backtest(
        origins=rolled[0].origins if layout.single else [r.origins for r in rolled],
        truths=given([r.truths for r in rolled]),
        forecasts=given([r.said["model"] for r in rolled]),
        persistence=given([r.said[NAMES[1]] for r in rolled]),
        seasonal_naive=seasonal,
        figures={m: {n: float(np.mean(v)) for n, v in values.items()} for m, values in by_variable.items()},
        by_variable=by_variable,
        coverage=coverage,
        variable_names=layout.variable_names or [f"variable {v}" for v in range(layout.n_variables)],
    )


def _figures(rolled, quantiles):
    """{metric: {name: ndarray of shape (n_variables,)}}"""
    found = {"MAE": {}, "RMSE": {}, "MASE": {}, "R2": {}} | ({"pinball": {}} if quantiles else {})
    for name in rolled[0].said:
        said = [r.said[name] for r in rolled]
        if quantiles:
            spread = said if name == "model" else [np.repeat(s[..., None], len(quantiles), axis=-1) for s in said]
            found["pinball"][name] = _pinball(rolled, spread, quantiles)
            middle = int(np.argmin(np.abs(np.subtract(quantiles, 0.5))))
            said = [s[..., middle] for s in spread]
        errors = [(r.truths - s).reshape(-1, s.shape[-1]) for r, s in zip(rolled, said)]
        every = np.concatenate(errors)
        found["MAE"][name] = np.abs(every).mean(axis=0)
        found["RMSE"][name] = np.sqrt(np.square(every).mean(axis=0))
        found["MASE"][name] = np.mean([_scaled(e, r.naive_error) for e, r in zip(errors, rolled) if len(e)], axis=0)
        found["R2"][name] = np.mean([_r2(r.truths, s) for r, s in zip(rolled, said) if len(s)], axis=0)
    return found


def _scaled(errors, naive_error):
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.abs(errors).mean(axis=0) / naive_error


def _r2(truths, said):
    """R^2 of each variable; where the truth is constant 1 for what is right and 0 for all else, as in scikit-learn."""
    truths, said = (values.reshape(-1, truths.shape[-1]) for values in (truths, said))
    left, spread = np.square(truths - said).sum(axis=0), np.square(truths - truths.mean(axis=0)).sum(axis=0)
    return np.where(spread > 0.0, 1.0 - left / np.where(spread > 0.0, spread, 1.0), left == 0.0)


def _pinball(rolled, spread, quantiles):
    truths = np.concatenate([r.truths.reshape(-1, r.truths.shape[-1]) for r in rolled])
    said = np.concatenate([s.reshape(-1, *s.shape[-2:]) for s in spread])
    return np.array([pinball_loss(truths[:, v], said[:, v], quantiles) for v in range(truths.shape[1])])
