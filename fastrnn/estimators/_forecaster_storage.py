"""What a fitted forecaster keeps, and whether what a file holds is that."""

from dataclasses import fields

import numpy as np

from ._forecasting import Plan, Scaling
from ._series import Layout

_PARTS = {"plan": Plan, "layout": Layout, "scaling": Scaling}


def is_settled(value):
    """Whether a dict describes a plan, a layout and a scaling, each with fields of the right types."""
    if not isinstance(value, dict) or set(value) != set(_PARTS):
        return False
    for name, cls in _PARTS.items():
        if not isinstance(value[name], dict) or set(value[name]) != {field.name for field in fields(cls)}:
            return False
    return _is_plan(**value["plan"]) and _is_layout(**value["layout"]) and all(map(_is_real, value["scaling"].values()))


def _is_plan(horizon, strategy, quantiles, lag, season, window, stride, scale):
    sizes = (horizon, window, stride) if season is None else (horizon, window, stride, season)
    spread = quantiles is None or (
        type(quantiles) is tuple and quantiles and all(type(q) is float and 0.0 < q < 1.0 for q in quantiles)
    )
    return (
        all(_is_count(size) and size > 0 for size in sizes)
        and strategy in ("recursive", "direct")
        and spread
        and lag in (0, 1, season)
        and type(lag) is int
        and scale in ("series", "common", None)
    )


def _is_layout(single, flat, n_variables, n_covariates, variable_names, covariate_names):
    names = ((variable_names, n_variables), (covariate_names, n_covariates))
    return (
        type(single) is type(flat) is bool
        and _is_count(n_variables)
        and _is_count(n_covariates)
        and all(own is None or (isinstance(own, list) and len(own) == size) for own, size in names)
    )


def _is_count(value):
    return type(value) is int and value >= 0


def _is_real(value):
    return isinstance(value, np.ndarray) and value.dtype == np.float64


def is_tails(value):
    """Whether these are two lists of arrays with two axes, one of each for every series."""
    return (
        isinstance(value, list)
        and len(value) == 2
        and all(isinstance(parts, list) and all(_is_real(part) and part.ndim == 2 for part in parts) for parts in value)
        and [len(part) for part in value[0]] == [len(part) for part in value[1]]
    )


def is_seen(value):
    """Whether these are triples of counts."""
    return isinstance(value, list) and all(
        type(triple) is tuple and len(triple) == 3 and all(map(_is_count, triple)) for triple in value
    )


def check_forecaster(fitted):
    """Check that what a fitted forecaster keeps fits together; ValueError where it does not."""
    settled, tails = fitted["_settled"], fitted["_tails"]
    plan, layout = Plan(**settled["plan"]), Layout(**settled["layout"])
    series, n_series = (fitted["n_series_"], layout.n_variables), fitted["n_series_"]
    found = {
        "sizes of the network": (fitted["_input_size"], fitted["n_outputs_"]),
        "n_variables_, n_covariates_": (fitted["n_variables_"], fitted["n_covariates_"]),
        "numbers of series": ({i for i, _, _ in fitted["_seen"]}, len(tails[0])),
        "columns of what is remembered": tuple({part.shape[1] for part in parts} for parts in tails),
        "shapes of the scaling": tuple(part.shape for part in settled["scaling"].values()),
    }
    expected = {
        "sizes of the network": plan.sizes(layout),
        "n_variables_, n_covariates_": (layout.n_variables, layout.n_covariates),
        "numbers of series": (set(range(n_series)), n_series),
        "columns of what is remembered": ({layout.n_variables}, {layout.n_covariates}),
        "shapes of the scaling": (series, series, series, (layout.n_covariates,), (layout.n_covariates,)),
    }
    for what, value in expected.items():
        if found[what] != value:
            raise ValueError(f"the {what} of RNNForecaster are {found[what]}, expected {value}")
    if any(len(part) < max(plan.lag + 1, plan.period) for part in tails[0]):
        raise ValueError(
            f"RNNForecaster remembers too few steps of a series, expected {max(plan.lag + 1, plan.period)}"
        )
