"""How the forecaster reads series and their covariates: one array, or a list of them."""

from dataclasses import dataclass, replace

import numpy as np

from ._input import is_text


@dataclass(frozen=True)
class Layout:
    """What all series of a forecaster have in common, and in what form they came.

    Attributes
    ----------
    single : bool
        Whether there is one series, which came without a list around it.
    flat : bool
        Whether a series has one axis.
    n_variables, n_covariates : int
    variable_names, covariate_names : list of str or None
        The columns of data frames.
    """

    single: bool
    flat: bool
    n_variables: int
    n_covariates: int
    variable_names: list | None
    covariate_names: list | None


@dataclass(frozen=True)
class Panel:
    """Series and covariates in their units.

    Attributes
    ----------
    y : list of ndarray of shape (n_timesteps_i, n_variables), float64
    x : list of ndarray of shape (n_timesteps_i, n_covariates), float64
        Without covariates n_covariates is 0.
    layout : Layout
    is_float32 : bool
        Whether all came as float32.
    """

    y: list
    x: list
    layout: Layout
    is_float32: bool

    def __len__(self):
        return len(self.y)

    @property
    def lengths(self):
        """List of int."""
        return [len(y) for y in self.y]

    def cut(self, stops):
        """The series up to these steps."""
        y, x = ([part[:stop] for part, stop in zip(parts, stops)] for parts in (self.y, self.x))
        return replace(self, y=y, x=x)

    def joined(self, other):
        """These series, and after the end of each that of the same number of another panel."""
        y, x = (list(map(np.concatenate, zip(*pair))) for pair in ((self.y, other.y), (self.x, other.x)))
        return replace(self, y=y, x=x)


def read_panel(y, X, y_name="y", x_name="X"):
    """Read series and what is known beside them.

    Parameters
    ----------
    y : array_like of shape (n_timesteps,) or (n_timesteps, n_variables), or a list of such series
        Data frames and series of pandas too. An array of three axes is as the list of its rows.
    X : the same with n_covariates in place of n_variables, or None
    y_name, x_name : str
        In errors.

    Returns
    -------
    panel : Panel
    """
    series, single, names = _read(y_name, y)
    flat = series[0].ndim == 1
    read = [_two_axes(values) for values in series]
    covariates, x_names = [np.zeros((len(values), 0)) for values in read], None
    dtypes = {values.dtype for values in series}
    if X is not None:
        found, x_single, x_names = _read(x_name, X)
        _check_count(x_name, len(found), x_single, y_name, len(series), single)
        dtypes |= {values.dtype for values in found}
        covariates = [_two_axes(values) for values in found]
        for i, (one, other) in enumerate(zip(covariates, read)):
            if len(one) != len(other):
                raise ValueError(
                    f"{_at(x_name, i, single)} has {len(one)} steps, expected those of {_at(y_name, i, single)}, "
                    f"{len(other)}"
                )
    layout = Layout(single, flat, read[0].shape[1], covariates[0].shape[1], names, x_names)
    return Panel(read, covariates, layout, dtypes == {np.dtype(np.float32)})


def read_future(X, layout, n_series, n_rows):
    """Known covariates of what is to be forecast.

    Parameters
    ----------
    X : array_like of shape (n_rows, n_covariates), list of such, or None
    layout : Layout
        Of ``fit``.
    n_series, n_rows : int

    Returns
    -------
    future : list of ndarray of shape (n_rows, n_covariates), float64
    """
    expected = f"(n_rows, n_covariates) = ({n_rows}, {layout.n_covariates})"
    if layout.n_covariates == 0:
        if X is not None:
            raise ValueError("X is given, expected None: fit had no covariates")
        return [np.zeros((n_rows, 0))] * n_series
    if X is None:
        raise ValueError(f"X is None, expected the covariates of the horizon, of shape {expected}, as fit had some")
    found, single, names = _read("X", X)
    _check_count("X", len(found), single, "y of fit", n_series, layout.single)
    _check_names("X", names, layout.covariate_names)
    future = [_two_axes(values) for values in found]
    for i, values in enumerate(future):
        if values.shape != (n_rows, layout.n_covariates):
            raise ValueError(f"{_at('X', i, single)} has shape {found[i].shape}, expected {expected}")
    return future


def check_like(panel, layout, n_series=None, y_name="y", x_name="X"):
    """Check that series have the variables and covariates of those of ``fit``, and that there are as many."""
    if n_series is not None:
        _check_count(y_name, len(panel), panel.layout.single, "y of fit", n_series, layout.single)
    found = panel.layout
    if found.n_variables != layout.n_variables:
        raise ValueError(f"{y_name} has {found.n_variables} variables, expected {layout.n_variables} as in fit")
    if found.n_covariates != layout.n_covariates:
        given = f"has {found.n_covariates} covariates" if found.n_covariates else "is None"
        known = f"{layout.n_covariates} covariates" if layout.n_covariates else "None"
        raise ValueError(f"{x_name} {given}, expected {known} as in fit")
    _check_names(y_name, found.variable_names, layout.variable_names)
    _check_names(x_name, found.covariate_names, layout.covariate_names)


def check_lengths(name, panel, least, known=None, what=""):
    """Check that every series has at least so many steps, not counting those that were known before."""
    for i, n in enumerate(panel.lengths):
        n -= known[i] if known else 0
        if n < least:
            raise ValueError(f"{_at(name, i, panel.layout.single)} has {n} steps{what}, expected at least {least}")


def check_range(panel, dtype):
    """Check that what is said of series in their units can be said in a type of computation."""
    for i, y in enumerate(panel.y):
        largest = np.abs(y).max(initial=0.0)
        if largest > np.finfo(dtype).max:
            raise ValueError(f"{_at('y', i, panel.layout.single)} holds {largest:.4g}, too large for {dtype}")


def _read(name, values):
    """Arrays as they came, whether there is one alone, and the names of their columns."""
    many = _is_many(values)
    parts = list(values) if many else [values]
    if many and not parts:
        raise ValueError(f"{name} is empty, expected at least one series")
    arrays = [_array(_at(name, i, not many), part) for i, part in enumerate(parts)]
    for i, array in enumerate(arrays):
        if array.ndim != arrays[0].ndim or array.shape[1:] != arrays[0].shape[1:]:
            raise ValueError(
                f"{name}[{i}] has shape {array.shape}, expected (n_timesteps, *{arrays[0].shape[1:]}) as {name}[0] has"
            )
    names = _columns(parts[0])
    for i, part in enumerate(parts):
        if _columns(part) != names:
            raise ValueError(f"{name}[{i}] has the columns {_columns(part)}, expected those of {name}[0], {names}")
    return arrays, not many, names


def _is_many(values):
    if isinstance(values, np.ndarray):
        return values.ndim == 3 or (values.dtype == object and values.ndim == 1 and any(map(np.ndim, values)))
    return isinstance(values, list | tuple) and (not values or any(np.ndim(part) for part in values))


def _array(name, values):
    if values is None or is_text(values):
        raise TypeError(f"{name} is {values!r:.80}, expected an array of numbers (n_timesteps, ...)")
    array = np.asarray(values)
    if array.dtype.kind == "O":
        try:
            array = array.astype(np.float64)
        except (TypeError, ValueError):
            raise TypeError(f"{name} has dtype {array.dtype}, expected real numbers") from None
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name} has dtype {array.dtype}, expected real numbers")
    if array.ndim not in (1, 2) or (array.ndim == 2 and not array.shape[1]):
        raise ValueError(
            f"{name} has shape {array.shape}, expected (n_timesteps,) or (n_timesteps, n_columns) with n_columns >= 1"
        )
    wrong = np.argwhere(~np.isfinite(array))
    if len(wrong):
        place = tuple(int(k) for k in wrong[0])
        kind = "NaN" if np.isnan(array[place]) else "inf"
        column = f", column {place[1]}" if array.ndim == 2 else ""
        raise ValueError(f"{name} contains {kind} at step {place[0]}{column} ({len(wrong)} in all)")
    return array


def _two_axes(array):
    array = array[:, None] if array.ndim == 1 else array
    return np.ascontiguousarray(array, dtype=np.float64)


def _columns(part):
    names = getattr(part, "columns", None)
    names = None if names is None else list(names)
    return names if names and all(map(is_text, names)) else None


def _check_names(name, found, known):
    if found is not None and known is not None and found != known:
        raise ValueError(f"{name} has the columns {found}, expected those of fit, {known}")


def _check_count(name, count, single, like, like_count, like_single):
    if single and not like_single:
        raise ValueError(f"{name} is one array, expected a list of {like_count}, one for each series of {like}")
    if like_single and not single:
        raise ValueError(f"{name} is a list of {count}, expected one array, as {like} is one series")
    if count != like_count:
        raise ValueError(f"{name} has {count} series, expected {like_count}, those of {like}")


def _at(name, i, single):
    return name if single else f"{name}[{i}]"
