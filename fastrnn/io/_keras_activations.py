"""Keras's activations: in recurrent layers, and behind others."""

from __future__ import annotations

from ..layers import Activation

_SAME_NAME = ("tanh", "sigmoid", "relu", "softsign", "softplus")
_IN_DENSE = (None, "relu", "tanh", "sigmoid")  # what Dense and Conv1d do themselves
_SINCE = 3  # the major version of Keras whose hard_sigmoid is relu6(x + 3) / 6, before it clip(0.2 x + 0.5, 0, 1)
_SLOPE = 0.2  # of keras.activations.leaky_relu


def name_of(value, where):
    """Return the name of an activation in a configuration; None for none.

    Raises
    ------
    ValueError
        Where it is a function or a layer of one's own.
    """
    if isinstance(value, dict):
        inner, registered = value.get("config"), value.get("registered_name")
        is_function = value.get("class_name") == "function" and isinstance(inner, str)
        if not is_function or registered not in (None, "function", inner):
            what = registered or value.get("class_name")
            raise ValueError(f"the activation of {where} is {what!r:.80}, which is none of Keras's own functions")
        value = inner
    if value is not None and not isinstance(value, str):
        raise ValueError(f"the activation of {where} is {value!r:.80}, expected a name")
    if value is not None and ">" in value:
        raise ValueError(f"the activation of {where} is {value!r:.80}, which is none of Keras's own functions")
    return None if value in (None, "linear") else value


def recurrent(value, version, where):
    """Return an activation as `activations` of our recurrent layers has it."""
    name = name_of(value, where)
    if name is None:
        return ("identity",)
    if name in _SAME_NAME:
        return (name,)
    if name == "hard_sigmoid":
        return ("hard_sigmoid", 1 / 6, 0.5) if version >= _SINCE else ("hard_sigmoid", 0.2, 0.5)
    if name == "leaky_relu":
        return ("leaky_relu", _SLOPE)
    if name == "elu":
        return ("elu", 1.0)
    raise _unknown(name, where, (*_SAME_NAME, "linear", "hard_sigmoid", "leaky_relu", "elu"))


def behind(value, version, where):
    """Return (argument `activation` of Dense and Conv1d, layers behind it)."""
    name = name_of(value, where)
    if name in _IN_DENSE:
        return name, []
    return None, [activation_layer(name, version, where)]


def activation_layer(name, version, where):
    """Return the layer of an activation by its name."""
    if name in (*_SAME_NAME, "softmax", "log_softmax"):
        return Activation(name)
    if name in ("silu", "swish"):
        return Activation("silu")
    if name == "leaky_relu":
        return Activation(name, _SLOPE)
    if name == "elu":
        return Activation(name, 1.0)
    if name == "hard_sigmoid" and version >= _SINCE:
        return Activation(name)
    if name == "hard_sigmoid":
        raise ValueError(
            f"the activation of {where} is Keras 2's hard_sigmoid, which is known in recurrent layers only"
        )
    known = (*_SAME_NAME, "linear", "softmax", "log_softmax", "silu", "leaky_relu", "elu", "hard_sigmoid")
    raise _unknown(name, where, known)


def _unknown(name, where, known):
    return ValueError(
        f"the activation of {where} is {name!r:.80}, which has no exact counterpart here: expected {', '.join(known)}"
    )
