"""Estimators as a description in JSON and named arrays, and back.

A description is ``{"class": name, "params": parameters, "fitted": attributes or null}``, both encoded by `_values`: the
parameters are those of scikit-learn's ``get_params``, the attributes those of `FITTED`. A new attribute that ``fit``
leaves behind is a line in `FITTED`, a new estimator one in `REQUIRED`.
"""

from __future__ import annotations

import numpy as np

from .. import estimators
from .._validation import check_names
from ..layers import Embedding, Sequential
from ..layers._base import Layer
from ..layers._storage import check_arrays
from ..models import EncoderDecoder
from ._forecaster_storage import check_forecaster, is_seen, is_settled, is_tails
from ._values import Decoder, encode
from ._vocabulary import LEVELS, Vocabulary
from ._written import FORMS


def _is_count(value):
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and value >= 0


def _is_number(value):
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)


def _is_numbers(value):
    return isinstance(value, list) and all(map(_is_number, value))


def _is_numbers_or_none(value):
    return value is None or _is_numbers(value)


def _is_flag(value):
    return type(value) is bool


def _is_labels(value):
    return isinstance(value, np.ndarray) and value.ndim == 1 and value.size > 0


def _is_vector(value):
    return _is_labels(value) and value.dtype == np.float64


def _is_text_by_text(value):
    return isinstance(value, dict) and all(isinstance(part, str) for pair in value.items() for part in pair)


def _is_vocabulary(value):
    """Whether a dict gives sorted tokens, all text or all integers, the indices from 1 on."""
    if not isinstance(value, dict) or list(value.values()) != list(range(1, len(value) + 1)):
        return False
    kinds, tokens = set(map(type, value)), list(value)
    return kinds in ({str}, {int}) and tokens == sorted(tokens) and (kinds == {str} or 0 <= tokens[0])


def _is_tokens(value):
    return isinstance(value, list) and all(type(token) is str for token in value) and len(set(value)) == len(value)


def _is_continuation(value):
    return (
        isinstance(value, dict)
        and set(value) == {"solver", "moments", "schedule_state", "epochs", "updates"}
        and isinstance(value["solver"], str)
        and all(isinstance(value[key], dict | type(None)) for key in ("moments", "schedule_state"))
        and all(_is_count(value[key]) for key in ("epochs", "updates"))
        and all(isinstance(key, str) and _is_number(part) for key, part in (value["schedule_state"] or {}).items())
    )


# what `fit` leaves in an estimator: what it is, and whether a value is that
FITTED = {
    **dict.fromkeys(
        ("n_features_in_", "_input_size", "n_outputs_", "n_iter_", "n_steps_seen_", "_longest"),
        ("an integer >= 0", _is_count),
    ),
    **dict.fromkeys(("_fitted_on_2d", "_flat_target", "_multilabel", "_reads_vectors"), ("a boolean", _is_flag)),
    "_ends": ("a boolean", _is_flag),
    "_level": ("a level of tokens", lambda value: value in LEVELS),
    "_tokens": ("a list of different tokens", _is_tokens),
    "_target": ("what y is", lambda value: value in ("labels", "multilabel", "values")),
    "_dtype": (
        "float32 or float64",
        lambda value: isinstance(value, np.dtype) and value.name in ("float32", "float64"),
    ),
    **dict.fromkeys(("n_series_", "n_variables_", "n_covariates_"), ("an integer >= 0", _is_count)),
    "_settled": ("the plan, the layout and the scaling of a forecaster", is_settled),
    "_tails": ("the last steps of series and covariates", is_tails),
    "_seen": ("a list of (series, length, checksum)", is_seen),
    "_trained": ("a network", lambda value: isinstance(value, Layer)),
    "classes_": ("an array of labels", _is_labels),
    "feature_names_in_": ("an array of names", lambda v: _is_labels(v) and all(isinstance(name, str) for name in v)),
    **dict.fromkeys(("loss_curve_", "grad_norm_curve_"), ("a list of numbers", _is_numbers)),
    **dict.fromkeys(("validation_scores_", "validation_loss_curve_"), ("a list of numbers", _is_numbers_or_none)),
    **dict.fromkeys(("loss_", "best_loss_"), ("a number", _is_number)),
    "best_validation_score_": ("a number or None", lambda value: value is None or _is_number(value)),
    **dict.fromkeys(
        ("vocabulary_", "output_vocabulary_"), ("a dict of sorted tokens to the indices 1, 2, ...", _is_vocabulary)
    ),
    "_form": ("a form of sequences of tokens", lambda value: value in FORMS),
    "_continuation": ("what partial_fit hands on", _is_continuation),
    **dict.fromkeys(("mean_", "var_", "scale_"), ("a vector of float64", _is_vector)),
    "_sklearn_output_config": ("a mapping of names", _is_text_by_text),
}

_SEQUENCES = ("n_features_in_", "_input_size", "_fitted_on_2d", "_dtype")
_NETWORK = (*_SEQUENCES, "_trained", "n_outputs_")
# without what a fitted estimator of each class does not work
REQUIRED = {
    **dict.fromkeys(("RNNClassifier", "LSTMClassifier", "GRUClassifier"), (*_NETWORK, "classes_", "_multilabel")),
    **dict.fromkeys(("RNNRegressor", "LSTMRegressor", "GRURegressor"), (*_NETWORK, "_flat_target")),
    "RNNForecaster": (
        *("_trained", "_dtype", "_input_size", "n_outputs_", "_settled", "_tails", "_seen"),
        *("n_series_", "n_variables_", "n_covariates_"),
    ),
    "RNNLanguageModel": ("_trained", "_dtype", "_input_size", "n_outputs_", "_level", "_tokens", "_ends"),
    **dict.fromkeys(("RNNGenerator", "RNNSeq2Seq"), (*_NETWORK, "output_vocabulary_", "_form", "_longest")),
    "RNNTagger": (*_NETWORK, "_target", "_flat_target"),
    "RNNTranscriber": (*_NETWORK, "classes_", "_form"),
    "SequenceScaler": (*_SEQUENCES, "mean_", "var_", "scale_", "n_steps_seen_"),
}
_NOT_LEARNED = ("_sklearn_output_config",)  # set without a fit
_NOT_SAVED = ("_skl_callbacks",)  # what watches a fit


def describe(estimator, arrays):
    """Return the description of an estimator, and put its arrays into the dict `arrays`.

    Raises
    ------
    TypeError
        Where a parameter or an attribute is of a kind that a file cannot hold.
    """
    name = type(estimator).__name__
    if name not in REQUIRED or type(estimator) is not getattr(estimators, name, None):
        known = ", ".join(REQUIRED)
        raise TypeError(f"obj is a {type(estimator).__module__}.{name}, which cannot be saved; expected {known}")
    params = estimator.get_params(deep=False)
    learned = {key: value for key, value in vars(estimator).items() if key not in params and key not in _NOT_SAVED}
    if unknown := [key for key in learned if key not in FITTED]:
        raise TypeError(f"{name} has the attributes {', '.join(unknown)}, which cannot be saved; delete them first")
    _check_fitted(name, learned)
    return {
        "class": name,
        "params": {key: encode(value, key, arrays) for key, value in params.items()},
        "fitted": {key: encode(value, key, arrays) for key, value in learned.items()} or None,
    }


def restore(description, arrays):
    """Return the estimator that a file's description and arrays make.

    Raises
    ------
    ValueError or TypeError
        Where they make none; the message does not name the file.
    """
    name = description["class"]
    if name not in REQUIRED or not hasattr(estimators, name):
        raise ValueError(f"its class is {name[:80]!r}, expected one of {', '.join(REQUIRED)}")
    check_names(f"the description of a {name}", description, ("class", "params", "fitted"))
    cls = getattr(estimators, name)
    expected = {}
    outline = Decoder(arrays, expected)  # finds what is wrong before any layer is made
    _check_params(cls, _decoded(outline, description["params"], "params"))
    _check_fitted(name, _decoded(outline, description["fitted"] or {}, "fitted"))
    check_arrays(arrays, expected)
    decoder = Decoder(arrays)
    estimator = cls(**_decoded(decoder, description["params"], "params"))
    fitted = _decoded(decoder, description["fitted"] or {}, "fitted")
    if _is_learned(fitted):
        _check_consistent(name, fitted)
    vars(estimator).update(fitted)
    return estimator


def _decoded(decoder, values, what):
    if not isinstance(values, dict):
        raise ValueError(f"its {what} is {values!r:.80}, expected an object")
    return {key: decoder.decode(value, key) for key, value in values.items()}


def _is_learned(fitted):
    return bool(set(fitted) - set(_NOT_LEARNED))


def _check_params(cls, params):
    known = cls().get_params(deep=False)
    if unknown := [key for key in params if key not in known]:
        raise ValueError(f"{cls.__name__} has no parameters {', '.join(unknown)[:200]}, expected of {', '.join(known)}")


def _check_fitted(name, fitted):
    """Check names and kinds of the attributes; networks may be their outlines."""
    missing = [key for key in REQUIRED[name] if key not in fitted] if _is_learned(fitted) else []
    unknown = [key for key in fitted if key not in FITTED]
    if missing or unknown:
        raise ValueError(f"a fitted {name} lacks {missing or 'nothing'} and has the unknown {unknown or 'nothing'}")
    for key, value in fitted.items():
        kind, fits = FITTED[key]
        if not fits(value):
            raise ValueError(f"{key} of {name} is {value!r:.80}, expected {kind}")


def _check_consistent(name, fitted):
    """Check that what was learned fits together."""
    if name == "SequenceScaler":
        sizes = {key: len(fitted[key]) for key in ("mean_", "var_", "scale_")}
        if set(sizes.values()) != {fitted["_input_size"]}:
            raise ValueError(f"{name} has {sizes}, expected _input_size = {fitted['_input_size']} of each")
        return
    network = fitted["_trained"]
    per_step = getattr(estimators, name)._per_step
    kind = EncoderDecoder if "output_vocabulary_" in fitted else Sequential
    if not isinstance(network, kind) or network.consumes_time == per_step:
        what = f"{kind.__name__} of one output a {'step' if per_step else 'sequence'}"
        raise ValueError(f"_trained of {name} is {network!r:.80}, expected a {what}")
    leaves = [layer for _, layer in network._leaves]
    reads_tokens = isinstance(leaves[0], Embedding)
    if "vocabulary_" in fitted and not (reads_tokens and len(fitted["vocabulary_"]) + 1 == leaves[0].num_embeddings):
        raise ValueError(
            f"vocabulary_ of {name} has {len(fitted['vocabulary_'])} tokens, expected a network that begins with an "
            f"Embedding of one more, not with {leaves[0]!r}"
        )
    if "_tokens" in fitted and len(Vocabulary(fitted["_level"], fitted["_tokens"])) != fitted["n_outputs_"]:
        raise ValueError(f"_tokens of {name} are {len(fitted['_tokens'])}, expected two less than n_outputs_")
    outputs = next((layer.output_size for layer in reversed(leaves) if hasattr(layer, "output_size")), None)
    found = {"_dtype": network.dtype, "n_outputs_": outputs}
    inputs = leaves[0].num_embeddings if reads_tokens else getattr(leaves[0], "input_size", None)
    if inputs is not None:
        found["_input_size"] = inputs
    for key, value in found.items():
        if fitted[key] != value:
            raise ValueError(f"{key} of {name} is {fitted[key]}, expected that of its network, {value}")
    if "output_vocabulary_" in fitted:
        _check_written(name, fitted)
    if "classes_" in fitted:
        n_classes = len(fitted["classes_"])
        n_scores = 1 if n_classes == 2 and not (per_step or fitted["_multilabel"]) else n_classes
        n_scores += name == "RNNTranscriber"  # the blank
        if outputs != n_scores:
            raise ValueError(f"{name} has {n_classes} classes and {outputs} outputs, expected {n_scores}")
        kind = fitted["classes_"].dtype.kind
        if name == "RNNTranscriber" and kind != {"integers": "i"}.get(fitted["_form"], "U"):
            raise ValueError(f"_form of {name} is {fitted['_form']!r}, expected that of its classes_, of kind {kind!r}")
    if "_settled" in fitted:
        check_forecaster(fitted)
    _check_moments(fitted.get("_continuation"), network.params)


def _check_written(name, fitted):
    """Check that the tokens that are written fit the network's outputs and their form."""
    tokens = fitted["output_vocabulary_"]
    if len(tokens) + 1 != fitted["n_outputs_"]:
        raise ValueError(f"output_vocabulary_ of {name} has {len(tokens)} tokens, expected n_outputs_ - 1")
    if all(isinstance(token, int) for token in tokens) != (fitted["_form"] == "integers"):
        raise ValueError(f"_form of {name} is {fitted['_form']!r}, expected that of its output_vocabulary_")


def _check_moments(continuation, params):
    """Check that an optimizer's moments are those of the parameters."""
    moments = continuation and continuation["moments"]
    for key, state in (moments or {}).items():
        if isinstance(state, dict):
            check_arrays(
                {name: np.asarray(array) for name, array in state.items()},
                {name: (array.shape, array.dtype.name) for name, array in params.items()},
            )
        elif type(state) is not int:
            raise ValueError(f"{key} of the optimizer is {state!r:.80}, expected moments or a count")
