"""How y and weights of every step are read, and measures over valid steps."""

import numpy as np

from ._input import is_text, read_weights

TARGETS = ("auto", "labels", "multilabel", "values")


def read_rows(y):
    """Read what belongs to the steps of sequences.

    Parameters
    ----------
    y : array_like of shape (n_samples, n_timesteps) or (n_samples, n_timesteps, n_outputs), or list of \
(n_timesteps_i,) or (n_timesteps_i, n_outputs)
        A str stands for the sequence of its characters.

    Returns
    -------
    rows : list of ndarray
        All with one or all with two axes; those with two have the same number of columns.
    """
    if y is None:
        raise ValueError("y is None, which requires y to be passed, but the target y is None: expected a list of rows")
    y = rows_of(y)
    if is_text(y) or not hasattr(y, "__len__") or not len(y):
        came = "empty" if hasattr(y, "__len__") and not len(y) else f"{y!r:.80} ({type(y).__name__})"
        raise ValueError(f"y is {came}, expected one row of targets, (n_timesteps_i, ...), for each sequence")
    rows = [_row(i, row) for i, row in enumerate(y)]
    for i, row in enumerate(rows):
        if row.ndim != rows[0].ndim or row.shape[1:] != rows[0].shape[1:]:
            raise ValueError(f"y[{i}] has shape {row.shape}, expected (n_timesteps, *{rows[0].shape[1:]}) as y[0] has")
        if (row.dtype.kind == "U") != (rows[0].dtype.kind == "U"):
            raise TypeError(f"y[{i}] has dtype {row.dtype}, expected that of y[0], {rows[0].dtype}: one kind of labels")
    return rows


def rows_of(table):
    """What has a row for each sequence; a data frame, which hands out columns, as an array."""
    return np.asarray(table) if len(getattr(table, "shape", ())) == 2 else table


def _row(i, row):
    array = np.array(list(row)) if is_text(row) else np.asarray(row)
    if array.dtype.kind == "O" and array.ndim == 1 and all(is_text(label) for label in array):
        array = array.astype(str)
    if array.dtype.kind not in "biufU":
        raise TypeError(f"y[{i}] has dtype {array.dtype}, expected numbers or strings")
    if array.ndim not in (1, 2):
        raise ValueError(f"y[{i}] has shape {array.shape}, expected (n_timesteps,) or (n_timesteps, n_outputs)")
    if array.ndim == 2 and array.dtype.kind == "U":
        raise ValueError(f"y[{i}] has shape {array.shape} and holds strings, expected (n_timesteps,)")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        step = int(np.argwhere(~np.isfinite(array))[0][0])
        kind = "NaN" if np.isnan(array[step]).any() else "inf"
        raise ValueError(f"y contains {kind} at sample {i}, step {step}")
    return array


def settle_target(setting, rows):
    """What y is: "labels", "multilabel" or "values"."""
    if setting == "auto":
        if any(row.dtype.kind == "f" for row in rows):
            return "values"
        return "labels" if rows[0].ndim == 1 else "multilabel"
    axes = {"labels": (1,), "multilabel": (2,), "values": (1, 2)}[setting]
    if rows[0].ndim not in axes:
        expected = "(n_timesteps,)" if setting == "labels" else "(n_timesteps, n_labels)"
        raise ValueError(f"y[0] has shape {rows[0].shape}, expected {expected} with target = {setting!r}")
    if setting == "values" and rows[0].dtype.kind == "U":
        raise TypeError(f"y[0] has dtype {rows[0].dtype}, expected numbers with target = 'values'")
    return setting


def indicator(rows, n_labels, dtype):
    """Rows (n_timesteps_i, n_labels) of 0 and 1 as numbers."""
    for i, row in enumerate(rows):
        if row.shape[1] != n_labels:
            raise ValueError(
                f"y[{i}] has shape {row.shape}, expected (n_timesteps, n_labels) = (n_timesteps, {n_labels})"
            )
        wrong = row[(row != 0) & (row != 1)]
        if wrong.size:
            raise ValueError(f"y[{i}] holds {wrong[0]}, expected 0 or 1 for each of the n_labels = {n_labels}")
    return [row.astype(dtype) for row in rows]


def codes_of(rows, classes, unknown=None):
    """Rows of labels as numbers of classes; a label that is none of them is `unknown`, or an error."""
    lengths = [len(row) for row in rows]
    labels = np.concatenate(rows)
    codes = np.searchsorted(classes, labels).clip(max=len(classes) - 1)
    strange = classes[codes] != labels
    if unknown is not None:
        codes[strange] = unknown
    elif strange.any():
        raise ValueError(f"y has the label {labels[strange].tolist()[0]!r}, expected one of the classes {classes}")
    return np.split(codes, np.cumsum(lengths)[:-1])


def check_steps(sequences, target):
    """Check that there is a row for each sequence and an entry for each step."""
    if len(sequences) != len(target):
        raise ValueError(
            f"Found input variables with inconsistent numbers of samples: X has {len(sequences)}, y has {len(target)}"
        )
    for i, (x, row) in enumerate(zip(sequences, target)):
        if len(x) != len(row):
            raise ValueError(f"y[{i}] has {len(row)} steps, expected those of X[{i}], {len(x)}")


def is_per_step(weight):
    """Whether weights are given for every step."""
    if weight is None or not hasattr(weight, "__len__") or not len(weight):
        return False
    return any(np.ndim(row) for row in rows_of(weight))


def read_step_weights(name, weight, sequences):
    """Weights a sequence, (n_samples,), or a step, list of (n_timesteps_i,); None where all count alike."""
    if not is_per_step(weight):
        return read_weights(name, weight, len(sequences))
    weight = rows_of(weight)
    if len(weight) != len(sequences):
        raise ValueError(f"{name} has {len(weight)} rows, expected n_samples = {len(sequences)}")
    rows = [np.asarray(row, dtype=np.float64) for row in weight]
    for i, (row, x) in enumerate(zip(rows, sequences)):
        if row.shape != (len(x),):
            raise ValueError(f"{name}[{i}] has shape {row.shape}, expected (n_timesteps,) = ({len(x)},), as X[{i}] has")
        if not (np.isfinite(row) & (row >= 0.0)).all():
            raise ValueError(f"{name}[{i}] holds a negative number, an infinite one or NaN, expected weights >= 0")
    if not any(row.any() for row in rows):
        raise ValueError(f"{name}: all weights are zero, expected at least one step of non-zero weight")
    return rows


def per_step(weight, rows):
    """Weights of all steps of some rows, one after another: ndarray, or None where all count alike."""
    if weight is None:
        return None
    if is_per_step(weight):
        return np.concatenate([np.asarray(row, dtype=np.float64) for row in weight])
    return np.repeat(np.asarray(weight, dtype=np.float64), [len(row) for row in rows])


def joined(rows):
    """The steps of all sequences, one after another."""
    return rows.reshape(-1, *rows.shape[2:]) if isinstance(rows, np.ndarray) else np.concatenate(rows)


def split_like(steps, rows):
    """Cut steps into sequences: an array (n_samples, n_timesteps, ...) where `rows` is one, else a list."""
    if isinstance(rows, np.ndarray):
        return steps.reshape(*rows.shape[:2], *steps.shape[1:])
    return np.split(steps, np.cumsum([len(row) for row in rows])[:-1])
