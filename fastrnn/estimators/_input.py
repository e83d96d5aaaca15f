"""How the estimators read X: an array (n, T), an array (n, T, F), or a list of arrays (T_i, F)."""

import numpy as np
from sklearn.utils.validation import check_array, validate_data

_REAL = "biuf"


def compute_dtype(setting, dtypes):
    """The network's dtype: the setting, or for "auto" float32 where all of X is float32, else float64."""
    if isinstance(setting, str) and setting == "auto":
        return np.dtype("float32" if all(d == np.float32 for d in dtypes) else "float64")
    if setting in ("float32", "float64", np.float32, np.float64):
        return np.dtype(setting)
    raise ValueError(f"dtype is {setting!r}, expected 'auto', 'float32' or 'float64'")


def _dtype_of(estimator, dtypes):
    """The compute type for X of these dtypes: that of a network that was given, for "auto"."""
    network = getattr(estimator, "network", None)
    return compute_dtype(estimator.dtype, dtypes) if network is None else network.dtype


def read_sequences(estimator, X, *, reset):
    """Read and check X; in ``fit`` (``reset``) also note what was learned about its columns.

    Parameters
    ----------
    estimator : RNNClassifier, RNNRegressor or SequenceScaler
        In ``fit`` gets ``n_features_in_`` (n_timesteps for 2-D X, as scikit-learn counts, else
        n_features), ``_input_size``, ``_fitted_on_2d`` and ``_dtype``. Where it ``_reads_vectors``, a row of 2-D X is
        one step of n_features.
    X : array_like of shape (n_samples, n_timesteps) or (n_samples, n_timesteps, n_features), or list of
        arrays of shape (n_timesteps_i, n_features)
    reset : bool

    Returns
    -------
    sequences : ndarray of shape (n_samples, n_timesteps, n_features) or list of (n_timesteps_i, n_features)
        In the compute type.
    """
    if _is_list_of_sequences(X):
        names = _feature_names(X)
        sequences = [_one_sequence(i, x) for i, x in enumerate(X)]
        _check_equal_features(sequences)
        return _settle(estimator, sequences, reset, names)
    n_dim = getattr(X, "ndim", None)
    if n_dim == 3:
        return _settle(estimator, _array_3d(X), reset)
    if n_dim is not None and n_dim > 3:
        raise ValueError(
            f"X has shape {tuple(X.shape)}, expected (n_samples, n_timesteps), "
            "(n_samples, n_timesteps, n_features) or a list of (n_timesteps_i, n_features)"
        )
    return _read_2d(estimator, X, reset)


def is_text(value):
    """Whether something is a str, NumPy's included."""
    return isinstance(value, str)


def is_table(X):
    """Whether X is read as (n_samples, n_timesteps), one feature a step."""
    return getattr(X, "ndim", None) != 3 and not _is_list_of_sequences(X)


def read_weights(name, weights, n_samples):
    """Check the weights of samples.

    Parameters
    ----------
    name : str
        The argument.
    weights : array_like of shape (n_samples,), float (one weight for all) or None
    n_samples : int

    Returns
    -------
    weights : ndarray of shape (n_samples,), float64, or None where all samples count alike
    """
    if weights is None:
        return None
    weights = check_array(weights, dtype=np.float64, ensure_2d=False, ensure_min_samples=0, input_name=name)
    if weights.ndim == 0:
        weights = np.full(n_samples, float(weights))
    if weights.shape != (n_samples,):
        raise ValueError(f"{name} has shape {weights.shape}, expected (n_samples,) = ({n_samples},)")
    if (weights < 0.0).any():
        raise ValueError(f"{name}[{int(np.argmax(weights < 0.0))}] is negative, expected weights >= 0")
    if not weights.any():
        raise ValueError(f"{name}: all weights are zero, expected at least one sample of non-zero weight")
    return weights


def read_y(estimator, y, **options):
    """Check y as scikit-learn does; the names of X's features stay, which it would take for those of an X without."""
    names = vars(estimator).get("feature_names_in_")
    y = validate_data(estimator, X="no_validation", y=y, multi_output=True, **options)
    if names is not None:
        estimator.feature_names_in_ = names
    return y


def take(sequences, indices):
    """The sequences of these numbers, in the form in which ``read_sequences`` gave all."""
    if isinstance(sequences, list):
        return [sequences[i] for i in indices]
    return sequences[indices]


def _read_2d(estimator, X, reset):
    """One feature a step, or one vector a sample; scikit-learn counts and names the columns."""
    options = {"dtype": "numeric", "ensure_all_finite": False, "estimator": estimator}
    reads_vectors = getattr(estimator, "_reads_vectors", False)
    if reset or estimator._fitted_on_2d:
        options.pop("estimator")
        X = validate_data(estimator, X, reset=reset, **options)
    else:
        X = check_array(X, **options)
        columns = X.shape[1] if reads_vectors else 1
        if estimator._input_size != columns:
            raise ValueError(
                f"X has shape {X.shape}, which is read as (n_samples, n_timesteps) with 1 feature a step, but "
                f"{type(estimator).__name__} is expecting {estimator._input_size} features as input: "
                f"(n_samples, n_timesteps, n_features) = (n_samples, n_timesteps, {estimator._input_size}). "
                "A single sequence is passed as [X]."
            )
    sequences = X[:, None, :] if reads_vectors else X[:, :, None]
    if reset:
        estimator._fitted_on_2d = True
        estimator._input_size = sequences.shape[2]
        estimator._dtype = _dtype_of(estimator, [X.dtype])
    return _finite(sequences, estimator._dtype)


def _feature_names(X):
    """The column names of a list of data frames, or None; they must be the same in all."""
    names = [_column_names(x) for x in X]
    if names[0] is None:
        return None
    for i, other in enumerate(names):
        if other != names[0]:
            raise ValueError(f"X[{i}] has the columns {other}, expected those of X[0], {names[0]}")
    return np.array(names[0], dtype=object)


def _column_names(x):
    columns = getattr(x, "columns", None)
    names = None if columns is None else list(columns)
    return names if names and all(isinstance(name, str) for name in names) else None


def _note_or_compare_names(estimator, names, reset):
    """Of data frames: keep their columns' names in ``fit``, later refuse others."""
    known = getattr(estimator, "feature_names_in_", None)
    if reset:
        if names is not None:
            estimator.feature_names_in_ = names
        elif known is not None:
            del estimator.feature_names_in_
    elif names is not None and known is not None and list(names) != list(known):
        raise ValueError(
            f"The feature names should match those that were passed during fit: X has {list(names)}, "
            f"expected {list(known)}"
        )


def _settle(estimator, sequences, reset, names=None):
    """3-D and list input: note or compare the number of features, then convert."""
    is_list = isinstance(sequences, list)
    first = sequences[0]
    n_features = first.shape[1]
    if reset:
        dtypes = [s.dtype for s in sequences] if is_list else [sequences.dtype]
        estimator._dtype = _dtype_of(estimator, dtypes)
        estimator._fitted_on_2d = False
        estimator._input_size = estimator.n_features_in_ = n_features
    elif n_features != estimator._input_size:
        raise ValueError(_wrong_features(estimator, sequences, n_features))
    if reset or not estimator._fitted_on_2d:
        _note_or_compare_names(estimator, names, reset)
    return _finite(sequences, estimator._dtype)


def _wrong_features(estimator, sequences, n_features):
    expected = estimator._input_size
    message = f"X has {n_features} features, but {type(estimator).__name__} is expecting {expected} features as input"
    if isinstance(sequences, list):
        swapped = all(s.shape[0] == expected for s in sequences)
        return message + ("; it would fit as (n_timesteps, n_features): transpose each sequence" if swapped else "")
    if sequences.shape[1] == expected:
        message += (
            f"; X has shape {sequences.shape}, where (n_samples, n_timesteps, n_features) is expected: "
            "X.transpose(0, 2, 1) would fit"
        )
    return message


def _is_list_of_sequences(X):
    if isinstance(X, np.ndarray) and X.dtype == object and X.ndim == 1 and X.size:
        return all(isinstance(x, (np.ndarray, list)) for x in X)
    if not isinstance(X, (list, tuple)):
        return False
    if not X:
        raise ValueError("X is empty: found array with 0 sample(s), expected at least 1 sequence")
    if all(isinstance(x, (list, tuple)) for x in X):
        # rows of numbers of one length are a 2-D array, as everywhere in scikit-learn
        nested = any(isinstance(value, (list, tuple, np.ndarray)) for x in X for value in x)
        return nested or len({len(x) for x in X}) > 1
    return any(len(getattr(x, "shape", ())) > 0 for x in X)


def _one_sequence(i, x):
    try:
        x = np.asarray(x)
    except ValueError as error:
        raise ValueError(f"X[{i}] cannot be read as one array (n_timesteps, n_features): {error}") from None
    if x.dtype.kind not in _REAL and x.size:
        hint = "; tokens need embedding_dim" if x.dtype.kind in "US" else ""
        raise TypeError(f"X[{i}] has dtype {x.dtype}, expected real numbers{hint}")
    if x.ndim == 1:
        x = x[:, None]
    if x.ndim != 2:
        raise ValueError(f"X[{i}] has shape {x.shape}, expected (n_timesteps, n_features)")
    if x.shape[0] == 0:
        raise ValueError(f"X[{i}] is an empty sequence: shape {x.shape}, expected n_timesteps >= 1")
    if x.shape[1] == 0:
        raise ValueError(f"X[{i}] has shape {x.shape}, expected n_features >= 1")
    return x


def _check_equal_features(sequences):
    n_features = sequences[0].shape[1]
    for i, x in enumerate(sequences):
        if x.shape[1] != n_features:
            raise ValueError(
                f"X[{i}] has shape {x.shape}, expected (n_timesteps, n_features) = (n_timesteps, {n_features}), "
                "as in X[0]"
            )


def _array_3d(X):
    X = np.asarray(X)
    if X.dtype.kind not in _REAL:
        if X.dtype.kind != "O":
            raise TypeError(f"X has dtype {X.dtype}, expected real numbers")
        X = X.astype(np.float64)  # raises for what is no number
    if X.shape[0] == 0:
        raise ValueError(f"Found array with 0 sample(s) (shape={X.shape}) while a minimum of 1 is required")
    if X.shape[1] == 0:
        raise ValueError(f"X has shape {X.shape}: all sequences are empty, expected n_timesteps >= 1")
    if X.shape[2] == 0:
        raise ValueError(f"Found array with 0 feature(s) (shape={X.shape}) while a minimum of 1 is required")
    return X


def _finite(sequences, dtype):
    """Convert to the compute type and refuse NaN and infinities, saying where the first one is."""
    if isinstance(sequences, list):
        converted = [_convert(x, dtype) for x in sequences]
        finite = [bool(np.isfinite(x).all()) for x in converted]
        if not all(finite):
            first = finite.index(False)
            count = sum(int((~np.isfinite(x)).sum()) for x, ok in zip(converted, finite, strict=True) if not ok)
            _refuse(sequences[first], converted[first], first, count)
        return converted
    converted = _convert(sequences, dtype)
    bad = ~np.isfinite(converted)
    if bad.any():
        first = int(np.flatnonzero(bad.any(axis=(1, 2)))[0])
        _refuse(sequences[first], converted[first], first, int(bad.sum()))
    return converted


def _convert(x, dtype):
    with np.errstate(over="ignore", invalid="ignore"):
        return np.ascontiguousarray(x, dtype=dtype)


def _refuse(given, converted, sample, count):
    step, feature = (int(k) for k in np.argwhere(~np.isfinite(converted))[0])
    value = given[step, feature]
    where = f"at sample {sample}, step {step}, feature {feature} ({count} in all)"
    if np.isnan(value):
        raise ValueError(f"X contains NaN {where}")
    if np.isinf(value):
        raise ValueError(f"X contains inf {where}")
    raise ValueError(f"X contains {value}, too large for {converted.dtype} (inf), {where}")
