"""Layers as a description in JSON and named arrays, and back: what a file is held to before a layer is made of it.

A description is ``{"class": name, "config": arguments}`` with the arguments of the constructor, which layers keep in
attributes of the same names; of a `Sequential` it is ``{"class": "Sequential", "layers": [descriptions]}``. Arrays have
the names of the state dict. A new layer is a line in `_SHAPES`, and a new argument one in `_KINDS`.

A `TiedDense` is ``{"class": "TiedDense", "config": {"embedding": place}}`` with the place of the first layer in the
`Sequential` that it stands in: "0", or "0.0" where that one begins with another.
"""

from __future__ import annotations

import inspect

from .. import layers
from .._validation import check_names
from .adaptive_softmax import shapes as adaptive_shapes
from .conv2d import pair
from .variants import Variant, parameter_shapes

_UNSAVED = ("random_state", "init")  # they say how parameters start


def _recurrent(n_gates):
    """Return the function that gives the shapes of the parameters of a recurrent layer with so many gates."""

    def shapes(c):
        # arguments that are checked when the layer is made; here their names alone matter
        switches = {name: c.get(name, False) for name in ("peepholes", "layer_norm", "learn_initial_state")}
        variant = Variant(**switches)
        directions = ("", "_reverse") if c["bidirectional"] else ("",)
        sizes = {"hidden_size": c["hidden_size"], "proj_size": c.get("proj_size", 0), "bias": c["bias"]}
        gates = n_gates - bool(c.get("coupled_gates"))
        output_size = len(directions) * (sizes["proj_size"] or sizes["hidden_size"])
        found = {}
        for layer in range(c["num_layers"]):
            input_size = output_size if layer else c["input_size"]
            plain = parameter_shapes(gates, "peepholes" in c, variant, input_size=input_size, **sizes)
            found |= {f"{name}_l{layer}{end}": shape for end in directions for name, shape in plain.items()}
        return found

    return shapes


def _with_bias(c, *tail):
    weight = {"weight": (c["output_size"], *tail)}
    return weight | {"bias": (c["output_size"],)} if c["bias"] else weight


def _attention(c):
    size = c["input_size"] if c["attention_size"] is None else c["attention_size"]
    return {"weight": (size, c["input_size"]), "bias": (size,), "context": (size,)}


def _adaptive(c):
    return adaptive_shapes(*(c[name] for name in ("input_size", "n_classes", "cutoffs", "div_value", "bias")))


def _cross_attention(c):
    query, memory = c["query_size"], c["memory_size"]
    output = {"weight_output": (c["output_size"], memory + query)}
    if c["kind"] != "additive":
        return {"weight_score": (query, memory)} | output
    size = c["attention_size"]
    return {"weight_query": (size, query), "weight_memory": (size, memory), "context": (size,)} | output


def _conv2d(c):
    kernel = pair("kernel_size", c["kernel_size"])
    weight = {"weight": (c["output_channels"], c["input_shape"][0], *kernel)}
    return weight | {"bias": (c["output_channels"],)} if c["bias"] else weight


# the shapes of the parameters by the arguments of the constructor: known before anything of that size is made
_SHAPES = {
    "RNN": _recurrent(1),
    "LSTM": _recurrent(4),
    "GRU": _recurrent(3),
    "Activation": lambda c: {},
    "AdaptiveSoftmax": _adaptive,
    "AttentionPool": _attention,
    "Conv1d": lambda c: _with_bias(c, c["input_size"], c["kernel_size"]),
    "Conv2d": _conv2d,
    "CrossAttention": _cross_attention,
    "Dense": lambda c: _with_bias(c, c["input_size"]),
    "Dropout": lambda c: {},
    "Embedding": lambda c: {"weight": (c["num_embeddings"], c["embedding_dim"])},
    "LayerNorm": lambda c: {"weight": (c["size"],), "bias": (c["size"],)},
    **dict.fromkeys(("Masking", "Pool", "Reverse", "Unmask"), lambda c: {}),
}


_KNOWN = (*_SHAPES, "Sequential", "TiedDense")


def _is_size(value):
    return type(value) is int and value >= 0


def _is_sizes(value):
    return isinstance(value, tuple | list) and all(map(_is_size, value))


def _is_text(value):
    return value is None or isinstance(value, str)


# what each argument may be in a file; constructors then check the values
_KINDS = {
    **dict.fromkeys(("input_size", "output_size", "hidden_size", "num_layers", "proj_size"), ("a size", _is_size)),
    **dict.fromkeys(("num_embeddings", "embedding_dim", "size"), ("a size", _is_size)),
    **dict.fromkeys(("n_classes", "output_channels", "dilation"), ("a size", _is_size)),
    **dict.fromkeys(("query_size", "memory_size"), ("a size", _is_size)),
    **dict.fromkeys(("kernel_size", "stride"), ("a size or a list of sizes", lambda v: _is_size(v) or _is_sizes(v))),
    "cutoffs": ("a list of sizes", _is_sizes),
    "input_shape": ("a list of three sizes", lambda value: _is_sizes(value) and len(value) == 3),
    "attention_size": ("a size or null", lambda value: value is None or _is_size(value)),
    "padding": ("a name, a size or a list of sizes", lambda v: isinstance(v, str) or _is_size(v) or _is_sizes(v)),
    **dict.fromkeys(("bias", "batch_first", "bidirectional", "reset_after"), ("a boolean", lambda v: type(v) is bool)),
    **dict.fromkeys(
        ("peepholes", "coupled_gates", "layer_norm", "learn_initial_state"), ("a boolean", lambda v: type(v) is bool)
    ),
    "activations": ("null or a list of names with numbers", lambda v: v is None or isinstance(v, tuple | list)),
    "clip": ("a number or null", lambda v: v is None or type(v) in (int, float)),
    **dict.fromkeys(
        ("dropout", "recurrent_dropout", "zoneout", "p", "eps"),
        ("a number in [0, 1]", lambda v: type(v) in (int, float) and 0 <= v <= 1),
    ),
    **dict.fromkeys(("nonlinearity", "activation", "function", "kind", "engine"), ("a name or null", _is_text)),
    "mask_token": ("a size or null", lambda value: value is None or _is_size(value)),
    **dict.fromkeys(("value", "div_value"), ("a number", lambda value: type(value) in (int, float))),
    "alpha": ("a number or null", lambda value: value is None or type(value) in (int, float)),
    "dtype": ("float32, float64 or null", lambda value: value in ("float32", "float64", None)),
}


def describe(layer, arrays, prefix="", first_place=None):
    """Return the description of a layer, and put its parameters into the dict `arrays` under prefixed names.

    `first_place` is that of the first layer in the `Sequential` that this one stands in.

    Raises
    ------
    TypeError
        Where it, or a layer in it, is of a class of somebody else's.
    """
    name = type(layer).__name__
    if type(layer) is layers.Sequential:
        first_place = layer._leaves[0][0]
        inner = [describe(part, arrays, f"{prefix}{k}.", first_place) for k, part in enumerate(layer.layers)]
        return {"class": name, "layers": inner}
    if name not in _KNOWN or type(layer) is not getattr(layers, name, None):
        where = f"layer {prefix[:-1]}" if prefix else "the object"
        known = ", ".join(_KNOWN)
        raise TypeError(f"{where} is a {type(layer).__module__}.{name}, which cannot be saved; expected {known}")
    arrays.update((f"{prefix}{key}", array) for key, array in layer.state_dict().items())
    if name == "TiedDense":
        if first_place is None:
            raise TypeError("a TiedDense cannot be saved alone: save the Sequential with its Embedding")
        return {"class": name, "config": {"embedding": first_place}}
    config = {argument: _value(layer, argument) for argument in _arguments(name)}
    _check_config(name, config)
    return {"class": name, "config": config}


def expected_arrays(description, n_arrays, prefix="", first=None):
    """Check a description, and return {name: (shape, dtype name)} of the arrays that belong to it.

    Parameters
    ----------
    description : object
        Any JSON value; it is completed in place with the defaults of arguments that it lacks.
    n_arrays : int
        How many there are, which bounds the number of layers.
    prefix : str
    first : dict, optional
        The description, already checked, with which the `Sequential` begins that this one stands in.

    Raises
    ------
    ValueError
        Where it is no description of layers.
    """
    if not isinstance(description, dict) or not isinstance(description.get("class"), str):
        raise ValueError(f"the description of a layer is {_short(description)}, expected an object with a class")
    name = description["class"]
    if name == "Sequential":
        check_names("the description of a Sequential", description, ("class", "layers"))
        if not isinstance(description["layers"], list):
            raise ValueError(f"the layers of a Sequential are {_short(description['layers'])}, expected a list")
        found = {}
        for k, part in enumerate(description["layers"]):
            found |= expected_arrays(part, n_arrays, f"{prefix}{k}.", description["layers"][0] if k else None)
        return found
    if name not in _KNOWN:
        raise ValueError(f"the class of a layer is {name[:80]!r}, expected one of {', '.join(_KNOWN)}")
    check_names(f"the description of a {name}", description, ("class", "config"))
    if name == "TiedDense":
        return _expected_of_tied(description["config"], first, prefix)
    config = description["config"] = _completed(name, description["config"])
    _check_config(name, config)
    if config.get("num_layers", 0) > n_arrays:
        raise ValueError(f"{name} has num_layers = {config['num_layers']}, but there are {n_arrays} arrays in all")
    return {f"{prefix}{key}": (shape, config["dtype"]) for key, shape in _SHAPES[name](config).items()}


def _expected_of_tied(config, first, prefix):
    """As `expected_arrays`, of the config of a `TiedDense`."""
    place = "0"
    while first and first["class"] == "Sequential":
        first, place = next(iter(first["layers"]), None), f"{place}.0"
    if not first or first["class"] != "Embedding" or config != {"embedding": place}:
        raise ValueError(
            f"the config of a TiedDense is {_short(config)}, expected it to name the place of the Embedding with which "
            "its Sequential begins"
        )
    return {f"{prefix}bias": ((first["config"]["num_embeddings"],), first["config"]["dtype"])}


def check_arrays(arrays, expected):
    """Raise ValueError where `arrays` are not just those that `expected_arrays` said."""
    check_names("the set of arrays", arrays, expected)
    wrong = [
        f"{name} is {array.dtype} of shape {array.shape}, expected {expected[name][1]} of shape {expected[name][0]}"
        for name, array in arrays.items()
        if (array.shape, array.dtype.name) != expected[name]
    ]
    if wrong:
        raise ValueError("; ".join(wrong[:10]))


def build(description, arrays, prefix="", first=None):
    """Return the layer of a description, after `expected_arrays` and `check_arrays`.

    `first` is the layer with which the `Sequential` begins that this one stands in.
    """
    name = description["class"]
    if name == "Sequential":
        parts = []
        for k, part in enumerate(description["layers"]):
            parts.append(build(part, arrays, f"{prefix}{k}.", parts[0] if parts else None))
        return layers.Sequential(*parts)
    if name == "TiedDense":
        layer = layers.TiedDense(layers.Sequential(first)._leaves[0][1])
    else:
        cls = getattr(layers, name)
        seed = {"random_state": 0} if "random_state" in inspect.signature(cls).parameters else {}
        layer = cls(**description["config"], **seed)
    if layer.params:
        layer.load_state_dict({key: arrays[f"{prefix}{key}"] for key in layer.params})
    return layer


def restore(description, arrays):
    """Return the layer that a file's description and arrays make.

    Raises
    ------
    ValueError or TypeError
        Where they make none; the message does not name the file.
    """
    check_arrays(arrays, expected_arrays(description, len(arrays)))
    return build(description, arrays)


def _arguments(name):
    """Return {argument: default} of a constructor, without those that only say how parameters start."""
    parameters = inspect.signature(getattr(layers, name)).parameters.values()
    return {p.name: p.default for p in parameters if p.name not in _UNSAVED}


def _value(layer, argument):
    if argument == "bias":
        return any(name.rpartition(".")[2].startswith("bias") for name in layer.params)
    value = getattr(layer, argument)
    return value.name if argument == "dtype" and value is not None else value


def _completed(name, config):
    if not isinstance(config, dict):
        raise ValueError(f"the config of a {name} is {_short(config)}, expected an object")
    defaults = {key: value for key, value in _arguments(name).items() if value is not inspect.Parameter.empty}
    config = defaults | config
    check_names(f"the config of a {name}", config, _arguments(name))
    return config


def _check_config(name, config):
    for argument, value in config.items():
        if argument not in _KINDS:
            raise TypeError(f"{name} has the argument {argument}, which cannot be saved")
        kind, fits = _KINDS[argument]
        if not fits(value):
            raise ValueError(f"{argument} of a {name} is {_short(value)}, expected {kind}")


def _short(value):
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
