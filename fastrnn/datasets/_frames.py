"""From data frames in long form, one row a step, to sequences and back; from other packages' axes."""

from importlib import import_module

import numpy as np

from ._bunch import Bunch


def from_frame(frame, sequence, time=None, *, features=None, target=None):
    """Turn a data frame in long form into a list of sequences.

    Parameters
    ----------
    frame : pandas.DataFrame, polars.DataFrame or dict of str to array_like of shape (n_rows,)
        One row a step of one sequence, rows in any order. An index is not read (``frame.reset_index()``
        makes columns of it).
    sequence : str
        Column that says to which sequence a row belongs; no value may be missing.
    time : str, optional
        Column by which the steps of a sequence are sorted: numbers, dates or text. A sequence may not have
        the same time twice. Without it the order of the rows counts.
    features : list of str, optional
        Columns of numbers or booleans; all that are not named otherwise by default. A missing value becomes
        NaN.
    target : str or list of str, optional
        Columns of what is to be learned, constant within a sequence.

    Returns
    -------
    data : Bunch
        ``X``: list of ndarray of shape (n_timesteps_i, n_features), in the order in which sequences appear
        first, float32 if all features are, else float64;
        ``y``: ndarray of shape (n_sequences,) or, for a list, (n_sequences, n_targets); only with ``target``;
        ``ids``: ndarray of shape (n_sequences,); ``times``: list of ndarray of shape (n_timesteps_i,), only
        with ``time``; ``feature_names``: list of str.

    Raises
    ------
    ValueError
        Where a column is missing or is not of numbers, an id is missing, a time is there twice, or a target
        changes within a sequence.

    See Also
    --------
    to_frame : The way back.

    Examples
    --------
    >>> from fastrnn.datasets import from_frame
    >>> frame = {"run": ["a", "b", "a"], "t": [1, 0, 0], "speed": [2.0, 5.0, 1.0], "ok": [True, False, True]}
    >>> data = from_frame(frame, "run", "t", target="ok")
    >>> [x.tolist() for x in data.X], data.y.tolist()
    ([[[1.0], [2.0]], [[5.0]]], [True, False])
    """
    columns = _columns(frame)
    targets = [] if target is None else [target] if isinstance(target, str) else list(target)
    named = [sequence, *([] if time is None else [time]), *targets]
    if features is None:
        features = [name for name in columns if name not in named]
    for name in (*named, *features):
        if name not in columns:
            raise ValueError(f"frame has no column {name!r}, only {', '.join(map(repr, columns))}")
    if not features:
        raise ValueError(f"frame has no columns beside {', '.join(map(repr, named))}, expected at least one feature")
    ids, codes = _numbered(sequence, _values(frame, sequence))
    order, ends = _order(codes, _ranks(time, _values(frame, time)) if time is not None else None)
    steps = np.stack([_numbers(frame, name) for name in features], axis=1)
    data = Bunch(X=np.split(steps[order], ends), ids=ids, feature_names=list(features))
    if time is not None:
        data["times"] = np.split(_values(frame, time)[order], ends)
        _refuse_same_time(data, sequence, time)
    if target is not None:
        starts = np.concatenate([[0], ends]).astype(np.intp)
        found = [_constant(name, _values(frame, name)[order], codes[order], starts, ids) for name in targets]
        data["y"] = found[0] if isinstance(target, str) else np.stack(found, axis=1)
    return data


def to_frame(X, *, ids=None, times=None, feature_names=None, sequence="sequence", time="time", library="pandas"):
    """Write sequences as a data frame in long form, one row a step.

    Parameters
    ----------
    X : list of array_like of shape (n_timesteps_i, n_features), or array_like of shape (n_samples, n_timesteps, \
n_features)
    ids : array_like of shape (n_samples,), optional
        0, 1, ... by default.
    times : list of array_like of shape (n_timesteps_i,), optional
        0, 1, ... within each sequence by default.
    feature_names : list of str, optional
        "x0", "x1", ... by default.
    sequence, time : str
        Names of the columns of ids and times.
    library : {"pandas", "polars", "dict"}
        What to make; the library is imported here.

    Returns
    -------
    frame : pandas.DataFrame, polars.DataFrame or dict of str to ndarray
        Columns ``sequence``, ``time`` and the features, rows in the order of X.

    Examples
    --------
    >>> from fastrnn.datasets import from_frame, to_frame
    >>> frame = to_frame([[[1.0], [2.0]], [[5.0]]], ids=["a", "b"], library="dict")
    >>> {name: column.tolist() for name, column in frame.items()}
    {'sequence': ['a', 'a', 'b'], 'time': [0, 1, 0], 'x0': [1.0, 2.0, 5.0]}
    >>> [x.tolist() for x in from_frame(frame, "sequence", "time").X]
    [[[1.0], [2.0]], [[5.0]]]
    """
    if library not in ("pandas", "polars", "dict"):
        raise ValueError(f"library is {library!r}, expected 'pandas', 'polars' or 'dict'")
    X = [np.asarray(x) for x in X]
    shapes = {x.shape[1:] for x in X}
    if len(shapes) != 1 or len(next(iter(shapes))) != 1:
        raise ValueError(f"X holds shapes {sorted({x.shape for x in X})}, expected (n_timesteps, n_features) alike")
    lengths = [len(x) for x in X]
    ids = np.arange(len(X)) if ids is None else np.asarray(ids)
    if ids.shape != (len(X),):
        raise ValueError(f"ids has shape {ids.shape}, expected (n_samples,) = ({len(X)},)")
    times = [np.arange(length) for length in lengths] if times is None else [np.asarray(t) for t in times]
    if [t.shape for t in times] != [(length,) for length in lengths]:
        raise ValueError("times has other lengths than X, expected one time for each step of each sequence")
    steps = np.concatenate(X)
    names = [f"x{k}" for k in range(steps.shape[1])] if feature_names is None else list(feature_names)
    if len(names) != steps.shape[1]:
        raise ValueError(f"feature_names has {len(names)} entries, expected n_features = {steps.shape[1]}")
    if len({sequence, time, *names}) != 2 + len(names):
        raise ValueError(f"the columns {[sequence, time, *names]} have a name twice")
    columns = {sequence: np.repeat(ids, lengths), time: np.concatenate(times)}
    columns.update(zip(names, steps.T, strict=True))
    return columns if library == "dict" else _library(library).DataFrame(columns)


def from_sktime(X):
    """Turn the axes of sktime and aeon, features before time, into those of the estimators.

    Parameters
    ----------
    X : array_like of shape (n_samples, n_features, n_timesteps), or list of arrays of shape (n_features, \
n_timesteps_i)

    Returns
    -------
    X : ndarray of shape (n_samples, n_timesteps, n_features), or list of ndarray of shape (n_timesteps_i, \
n_features)

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn.datasets import from_sktime
    >>> from_sktime(np.zeros((10, 3, 50))).shape
    (10, 50, 3)
    """
    if isinstance(X, (list, tuple)):
        arrays = [np.asarray(x) for x in X]
        for i, x in enumerate(arrays):
            if x.ndim != 2:
                raise ValueError(f"X[{i}] has shape {x.shape}, expected (n_features, n_timesteps)")
        return [np.ascontiguousarray(x.T) for x in arrays]
    X = np.asarray(X)
    if X.ndim != 3:
        raise ValueError(f"X has shape {X.shape}, expected (n_samples, n_features, n_timesteps)")
    return np.ascontiguousarray(X.transpose(0, 2, 1))


def _columns(frame):
    if isinstance(frame, dict):
        return list(frame)
    if not hasattr(frame, "columns"):
        raise TypeError(f"frame is of type {type(frame).__name__}, expected a pandas or polars DataFrame, or a dict")
    columns = list(frame.columns)
    twice = sorted({str(name) for name in columns if columns.count(name) > 1})
    if twice:
        raise ValueError(f"frame has the column {twice[0]!r} more than once")
    return columns


def _values(frame, name):
    column = frame[name]
    return np.asarray(column.to_numpy() if hasattr(column, "to_numpy") else column)


def _numbers(frame, name):
    """One column as floats; a missing value is NaN."""
    values = _values(frame, name)
    if values.dtype.kind == "O":  # nullable columns of pandas, and booleans with gaps
        missing = _missing(values)
        filled = values.copy()
        filled[missing] = 0.0
        if not all(isinstance(value, (bool, int, float, np.bool_, np.number)) for value in filled):
            raise ValueError(f"column {name!r} does not hold numbers, expected numbers or booleans")
        values = filled.astype(np.float64)
        values[missing] = np.nan
    if values.dtype.kind not in "biuf":
        raise ValueError(f"column {name!r} has dtype {values.dtype}, expected numbers or booleans")
    return values if values.dtype in (np.float32, np.float64) else values.astype(np.float64)


def _missing(values):
    """Where None, NaN, NaT or pandas.NA stands."""
    if values.dtype.kind == "O":
        return np.array([value is None or not _equals_itself(value) for value in values], dtype=bool)
    return np.isnat(values) if values.dtype.kind in "mM" else values != values


def _equals_itself(value):
    try:
        return bool(value == value)
    except TypeError:  # pandas.NA is neither
        return False


def _refuse_missing(name, values):
    missing = np.flatnonzero(_missing(values))
    if missing.size:
        raise ValueError(f"column {name!r} has no value in row {int(missing[0])} ({missing.size} such rows)")


def _numbered(name, values):
    """Ids in the order of their first row, and the number of each row's id."""
    _refuse_missing(name, values)
    if not len(values):
        raise ValueError("frame has no rows, expected at least one step")
    numbers: dict = {}
    codes = np.array([numbers.setdefault(value, len(numbers)) for value in values.tolist()], dtype=np.intp)
    first = np.unique(codes, return_index=True)[1]
    return values[first], codes


def _ranks(name, values):
    """Integers that sort as the values do."""
    _refuse_missing(name, values)
    try:
        return np.unique(values, return_inverse=True)[1]
    except TypeError as error:
        raise ValueError(f"column {name!r} cannot be sorted: {error}") from None


def _order(codes, ranks):
    """Order of the rows by sequence and time, and where sequences end, the last left out."""
    order = np.argsort(codes, kind="stable") if ranks is None else np.lexsort((ranks, codes))
    return order, np.cumsum(np.bincount(codes))[:-1]


def _refuse_same_time(data, sequence, time):
    for name, times in zip(data["ids"], data["times"], strict=True):
        same = np.flatnonzero(times[1:] == times[:-1])
        if same.size:
            raise ValueError(f"{sequence} {_plain(name)!r} has {time} {_plain(times[same[0]])!r} more than once")


def _constant(name, values, codes, starts, ids):
    """One value of a target column for each sequence."""
    first = values[starts]
    changed = np.flatnonzero(values != first[codes])
    if changed.size:
        row = changed[0]
        run, before, after = (_plain(value) for value in (ids[codes[row]], first[codes[row]], values[row]))
        raise ValueError(
            f"column {name!r} changes within the sequence {run!r} from {before!r} to {after!r}, "
            "expected one value a sequence"
        )
    return first


def _plain(value):
    """A NumPy scalar as Python's own, for messages."""
    return value.item() if isinstance(value, np.generic) else value


def _library(name):
    try:
        return import_module(name)
    except ImportError as error:
        raise ImportError(f"to_frame needs {name}: pip install {name}") from error
