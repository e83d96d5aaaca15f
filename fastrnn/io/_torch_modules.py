"""Live torch modules as layers: a table of classes whose forward is known."""

from __future__ import annotations

from ..layers import Activation, Dropout
from ._weights import recurrent_prefixes

_ACTIVATIONS = {
    **{"ReLU": "relu", "LeakyReLU": "leaky_relu", "ELU": "elu", "Tanh": "tanh", "Sigmoid": "sigmoid", "SiLU": "silu"},
    **{"Hardsigmoid": "hard_sigmoid", "Hardtanh": "hard_tanh", "Softsign": "softsign", "Softplus": "softplus"},
    **{"Softmax": "softmax", "LogSoftmax": "log_softmax"},
}


def modules_of(module, path=""):
    """Return [(dotted name, module)] of a module, those of torch.nn.Sequential one by one.

    Raises
    ------
    ValueError
        Where one is of a class that is not known here; the message names it.
    """
    import torch

    if _known_class(module) is torch.nn.Sequential:
        _check_untouched(path, module)
        return [pair for name, part in module.named_children() for pair in modules_of(part, f"{path}{name}.")]
    return [(path, module)]


def _known_class(module):
    """Return the class of torch.nn whose forward the module has, or None."""
    import torch

    kind = type(module)
    for base in kind.__mro__:
        if base.__module__.startswith("torch.nn.modules.") and getattr(torch.nn, base.__name__, None) is base:
            return base if kind.forward is base.forward else None
    return None


def describe(path, module):
    """Return (class name, arguments) of the layer that a module is; for classes without weights, the layer itself."""
    kind = _known_class(module)
    maker = _MAKERS.get(kind.__name__) if kind else None
    where = f"module {path[:-1]!r}" if path else "source"
    cls = f"{type(module).__module__}.{type(module).__qualname__}"
    if kind is None:
        names = recurrent_prefixes(module.state_dict())
        parts = " or ".join(repr(path + name) for name in names if name)
        raise ValueError(
            f"{where} is a {cls}, whose forward is its own and cannot be read: expected a part of it, by "
            f"prefix={parts or '...'}, or fastrnn.accelerate, which runs its recurrent layers in place"
        )
    if maker is None:
        raise ValueError(f"{where} is a {cls}, which has no exact counterpart here: expected {', '.join(_MAKERS)}")
    _check_untouched(path, module)
    return maker(where, module)


def _check_untouched(path, module):
    """Hooks and parametrisations change what a module computes."""
    if module._forward_hooks or module._forward_pre_hooks or hasattr(module, "parametrizations"):
        where = f"module {path[:-1]!r}" if path else "source"
        raise ValueError(f"{where} has forward hooks or parametrizations, which cannot be carried over")


def check_axes(modules):
    """A Conv1d of torch has the steps last, so that no other module reads the same axis as time."""
    kinds = [_known_class(module).__name__ for _, module in modules]
    others = [
        kind for kind in kinds if kind in ("Linear", "LayerNorm", "Embedding", *_RECURRENT, "Softmax", "LogSoftmax")
    ]
    if "Conv1d" in kinds and others:
        raise ValueError(
            f"source has a Conv1d, which reads (batch, channels, steps), beside a {others[0]}, which reads features "
            "last: expected layers=, whose Conv1d reads features last too"
        )


def _dtype(module):
    """Return the dtype in which a layer holds the weights of a module: float64 for float64, else float32."""
    return "float64" if any("float64" in str(p.dtype) for p in module.parameters()) else "float32"


def _recurrent(where, module):
    kind = _known_class(module).__name__
    name, is_cell = kind.removesuffix("Cell"), kind.endswith("Cell")
    config = {"input_size": module.input_size, "hidden_size": module.hidden_size, "bias": bool(module.bias)}
    config["dtype"] = _dtype(module)
    if name == "RNN":
        config["nonlinearity"] = module.nonlinearity
    if not is_cell:
        config |= {"num_layers": module.num_layers, "bidirectional": module.bidirectional, "dropout": module.dropout}
        config |= {"batch_first": module.batch_first}
        config |= {"proj_size": module.proj_size} if name == "LSTM" else {}
    return name, config


def _linear(where, module):
    config = {"input_size": module.in_features, "output_size": module.out_features, "bias": module.bias is not None}
    return "Dense", config | {"dtype": _dtype(module)}


def _embedding(where, module):
    if module.max_norm is not None:
        raise ValueError(f"{where} is an Embedding with max_norm={module.max_norm}, which changes its table when read")
    sizes = {"num_embeddings": module.num_embeddings, "embedding_dim": module.embedding_dim}
    return "Embedding", sizes | {"dtype": _dtype(module)}


def _conv1d(where, module):
    if module.groups != 1 or module.padding_mode != "zeros":
        raise ValueError(f"{where} is a {module}, expected groups=1 and padding_mode='zeros'")
    padding = module.padding if isinstance(module.padding, str) else module.padding[0]
    config = {"input_size": module.in_channels, "output_size": module.out_channels, "padding": padding}
    config |= {"kernel_size": module.kernel_size[0], "stride": module.stride[0], "dilation": module.dilation[0]}
    return "Conv1d", config | {"bias": module.bias is not None, "dtype": _dtype(module)}


def _layer_norm(where, module):
    if len(module.normalized_shape) != 1 or module.weight is None or module.bias is None:
        raise ValueError(f"{where} is a {module}, expected one axis, a weight and a bias")
    return "LayerNorm", {"size": module.normalized_shape[0], "eps": module.eps, "dtype": _dtype(module)}


def _activation(where, module):
    name = _ACTIVATIONS[_known_class(module).__name__]
    expected = {"softplus": {"beta": 1, "threshold": 20}, "hard_tanh": {"min_val": -1, "max_val": 1}}.get(name, {})
    if name in ("softmax", "log_softmax"):
        expected = {"dim": -1}
    if wrong := {key: getattr(module, key) for key, value in expected.items() if getattr(module, key) != value}:
        raise ValueError(f"{where} is a {module} with {wrong}, expected {expected}")
    alpha = {"leaky_relu": "negative_slope", "elu": "alpha"}.get(name)
    return Activation(name, None if alpha is None else float(getattr(module, alpha)))


_RECURRENT = ("LSTM", "GRU", "RNN", "LSTMCell", "GRUCell", "RNNCell")
_MAKERS = {
    **dict.fromkeys(_RECURRENT, _recurrent),
    "Linear": _linear,
    "Embedding": _embedding,
    "Conv1d": _conv1d,
    "LayerNorm": _layer_norm,
    "Dropout": lambda where, module: Dropout(module.p),
    "Identity": lambda where, module: Dropout(0.0),
    **dict.fromkeys(_ACTIVATIONS, _activation),
}
