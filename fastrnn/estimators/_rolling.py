"""Forecasts from rolling origins, and what they are worth."""

import zlib

import numpy as np
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

from .._validation import check_size
from ._backtest import join, report, roll
from ._forecasting import learn_scaling
from ._parameters import check_parameters
from ._series import check_lengths, check_like, read_panel


class RollingOrigins:
    """The part of a forecaster that looks back."""

    def evaluate(self, y, X=None, *, step=1, horizon=None):
        """Errors of forecasts from rolling origins in what comes after the series of ``fit``, beside naive forecasts.

        The first forecast is made at the end of what the model knows, the next ones after every ``step`` steps of y,
        each from all that had come until then, as far as all its steps are in y. The model stays as it is.

        Parameters
        ----------
        y, X
            How each series of ``fit`` went on, in the form of ``fit``.
        step : int, default=1
        horizon : int, optional
            By default that of ``fit``.

        Returns
        -------
        report : Backtest
            Its ``origins`` count from the start of y.
        """
        whole = self._continued(y, X)
        step, n_steps = check_size("step", step), self._steps(horizon)
        known = [len(tail) for tail in self._tails[0]]
        rows = self._plan.rows(n_steps)
        check_lengths("y", whole, rows, known=known)
        origins = [np.arange(k, n - rows + 1, step) for k, n in zip(known, whole.lengths)]
        rolled = roll(self, whole.y, whole.x, origins, self._scaling, n_steps)
        for part, k in zip(rolled, known):
            part.origins = part.origins - k
        return report(rolled, whole.layout, self._plan.quantiles)

    def score(self, y, X=None):
        """R^2 of forecasts from rolling origins: ``evaluate(y, X).figures["R2"]["model"]``.

        ``fit`` on the first part of a series and ``score`` on the rest is what scikit-learn's searches do with
        ``cv=TimeSeriesSplit()``, covariates as their y.

        Parameters
        ----------
        y, X
            How each series of ``fit`` went on, in the form of ``fit``.

        Returns
        -------
        score : float
            Over all origins and leads, mean over series and variables; of the quantile next to 0.5 where there are
            several. 1 is the best, 0 is the score of the mean of y. Those of the naive forecasts stand in the report
            that ``evaluate`` gives.
        """
        return self.evaluate(y, X).figures["R2"]["model"]

    def backtest(self, y, X=None, *, initial, step=1, horizon=None, refit=False):
        """Errors of forecasts from rolling origins within whole series, beside naive forecasts.

        Forecasts are made after the first ``initial`` steps of each series and then after every ``step`` more, as far
        as all their steps are in y.

        Parameters
        ----------
        y, X
            Series in the form of ``fit``: those of ``fit``, longer, or others with the same variables and covariates.
        initial : int
            Steps that are known at the first origin.
        step : int, default=1
            Steps from one origin to the next.
        horizon : int, optional
            By default that of ``fit``.
        refit : bool, default=False
            Train a clone anew at each origin, on all steps before it; this object need not be fitted, and stays as it
            is. Without it this fitted model makes all forecasts. Series other than those of ``fit`` are then scaled by
            their first ``initial`` steps.

        Returns
        -------
        report : Backtest

        Raises
        ------
        ValueError
            Where ``fit`` has seen more than the first ``initial`` steps of one of the series (without ``refit``), or a
            series has no origin.
        """
        if not refit:
            check_is_fitted(self)
        panel = read_panel(y, X)
        initial, step = check_size("initial", initial), check_size("step", step)
        if refit:
            check_parameters(self)
            plan = self._settle()
            n_steps = plan.horizon if horizon is None else check_size("horizon", horizon)
        else:
            check_like(panel, self._layout)
            plan, n_steps = self._plan, self._steps(horizon)
        if initial <= plan.period:
            raise ValueError(f"initial is {initial}, expected more than the {plan.period} of a naive forecast")
        check_lengths("y", panel, initial + plan.rows(n_steps))
        origins = [np.arange(initial, n - plan.rows(n_steps) + 1, step) for n in panel.lengths]
        if refit:
            rolled = self._roll_refitted(y, X, panel, origins, n_steps)
        else:
            rolled = roll(self, panel.y, panel.x, origins, self._scaling_of(panel, initial), n_steps)
        return report(rolled, panel.layout, plan.quantiles)

    def _scaling_of(self, panel, initial):
        """That of ``fit`` for its series, and that of the first steps for others."""
        scaling = learn_scaling(panel.cut([initial] * len(panel)), self._plan, self._scaling)
        numbers = {(n, checksum): j for j, n, checksum in self._seen}
        lengths = sorted({n for n, _ in numbers}, reverse=True)
        for i, y in enumerate(panel.y):
            found = [(n, numbers.get((n, zlib.crc32(y[:n].tobytes())))) for n in lengths if n <= len(y)]
            n, j = next(((n, j) for n, j in found if j is not None), (0, None))
            if n > initial:
                raise ValueError(
                    f"initial is {initial}, expected at least {n}: so many steps of series {i} have been seen by "
                    "fit; refit=True trains anew at each origin"
                )
            if j is not None:
                scaling.mean[i], scaling.scale[i] = self._scaling.mean[j], self._scaling.scale[j]
        return scaling

    def _roll_refitted(self, y, X, panel, origins, n_steps):
        parts = [[] for _ in panel.y]
        for origin in max(origins, key=len):
            stops = [min(int(origin), n) for n in panel.lengths]
            model = clone(self).fit(_cut(y, panel, stops), _cut(X, panel, stops))
            own = [at[at == origin] for at in origins]
            for part, rolled in zip(parts, roll(model, panel.y, panel.x, own, model._scaling, n_steps)):
                part.append(rolled)
        return list(map(join, parts))


def _cut(given, panel, stops):
    """What was given as y or X, up to these steps of each series."""
    if given is None or panel.layout.single:
        return None if given is None else np.asarray(given)[: stops[0]]
    return [np.asarray(part)[:stop] for part, stop in zip(given, stops)]
