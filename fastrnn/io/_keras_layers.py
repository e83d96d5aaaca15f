"""Keras's layers as ours, by class; what has no exact counterpart is refused with its name."""

from __future__ import annotations

import numpy as np

from ..layers import Activation, Conv1d, Dense, Embedding, LayerNorm, Masking, Pool, Reverse, Unmask
from . import _keras_activations as activations
from ._keras_recurrent import recurrent_layer, settings_of

_CHANNELS_LAST = ("channels_last",)


class Chain:
    """Layers in the making.

    Parameters
    ----------
    version : int
        Major version of the Keras that the model is of.
    dtype : dtype
    """

    def __init__(self, version, dtype):
        self.version, self.dtype = version, dtype
        self.layers, self.notes = [], []
        self.has_time = True
        self.is_masked = False  # by a layer of the model
        self.is_turned = False  # steps come in reversed order, and their mask does not

    def add(self, leaf, taken):
        """Append what one layer of Keras is."""
        leaf.config.refuse("quantization_config", ())
        policy = _policy(leaf.config.values.get("dtype"))
        if policy not in ("float32", "float64"):
            if not policy.endswith("float16"):
                raise ValueError(f"{leaf.where} has the dtype {policy!r:.80}, expected float32, float64 or a float16")
            self.notes.append(f"{leaf.where} computes in {policy} in Keras, and in {self.dtype.name} here")
        _MAKERS[leaf.kind](self, leaf, taken)

    def unmask(self, always):
        """Let the layers behind see every step, as a layer of Keras that knows no masks does."""
        if always or self.is_masked or any(layer.is_recurrent for layer in self.layers):
            self.layers.append(Unmask())
        self.is_masked = self.is_turned = False

    def activation(self, value, where):
        """Return what Dense and Conv1d do themselves, and the layers behind them."""
        return activations.behind(value, self.version, where)


def check_known(leaves, version):
    """Raise where a layer has no exact counterpart, whatever its weights."""
    for leaf in leaves:
        if leaf.kind not in _MAKERS:
            known = ", ".join(_MAKERS)
            raise ValueError(f"{leaf.where} has no exact counterpart here: expected one of {known}")
        if _MAKERS[leaf.kind] is _recurrent:
            settings_of(leaf, version)


def _policy(value):
    """Return the name of a dtype or of a policy of dtypes."""
    if isinstance(value, dict):
        inner = value.get("config")
        value = inner.get("name") if isinstance(inner, dict) else None
    return "float32" if value is None else str(value)


def _loaded(layer, arrays):
    layer.load_state_dict(arrays)
    return layer


def _embedding(chain, leaf, taken):
    config = leaf.config
    if chain.layers:
        raise ValueError(f"{leaf.where} stands behind other layers, expected it to be the first: it reads tokens")
    shape = config.size("input_dim"), config.size("output_dim")
    (table,) = taken.arrays({"embeddings": shape}, chain.dtype)
    chain.is_masked = config.flag("mask_zero")
    mask = {"mask_token": 0} if chain.is_masked else {}
    layer = Embedding(*shape, dtype=chain.dtype, random_state=0, **mask)
    chain.layers.append(_loaded(layer, {"weight": table}))


def _masking(chain, leaf, taken):
    if chain.layers:
        raise ValueError(f"{leaf.where} stands behind other layers, expected it to be the first: it masks the input")
    chain.layers.append(Masking(leaf.config.number("mask_value", 0.0)))
    chain.is_masked = True


def _dense_arrays(config, taken, shape, dtype):
    """Return kernel and bias; the bias is None without."""
    expected = {"kernel": shape}
    if config.flag("use_bias", True):
        expected["bias"] = shape[-1:]
    return (*taken.arrays(expected, dtype), None)[:2]


def _dense(chain, leaf, taken):
    units = leaf.config.size("units")
    kernel, bias = _dense_arrays(leaf.config, taken, (None, units), chain.dtype)
    activation, behind = chain.activation(leaf.config.required("activation"), leaf.where)
    layer = Dense(kernel.shape[0], units, bias is not None, activation, chain.dtype, random_state=0)
    arrays = {"weight": kernel.T} | ({} if bias is None else {"bias": bias})
    chain.layers += [_loaded(layer, arrays), *behind]


def _conv1d(chain, leaf, taken):
    config = leaf.config
    config.refuse("data_format", _CHANNELS_LAST)
    config.refuse("groups", (1,))
    filters, taps = config.size("filters"), config.single("kernel_size", None)
    stride, dilation = config.single("strides", 1), config.single("dilation_rate", 1)
    padding = config.choice("padding", "valid")
    if padding not in ("valid", "same", "causal"):
        raise ValueError(f"padding of {leaf.where} is {padding!r:.80}, expected 'valid', 'same' or 'causal'")
    if padding == "same" and stride > 1:
        raise ValueError(f"{leaf.where} has padding='same' and strides={stride}: its zeros depend on the length")
    kernel, bias = _dense_arrays(config, taken, (taps, None, filters), chain.dtype)
    activation, behind = chain.activation(config.required("activation"), leaf.where)
    chain.unmask(always=False)
    layer = Conv1d(
        kernel.shape[1], filters, taps, stride, padding, dilation, bias is not None, activation, chain.dtype, 0
    )
    arrays = {"weight": kernel.transpose(2, 1, 0)} | ({} if bias is None else {"bias": bias})
    chain.layers += [_loaded(layer, arrays), *behind]


def _layer_norm(chain, leaf, taken, axes=None):
    config = leaf.config
    config.refuse("rms_scaling", (False,))
    axis = config.axis("axis", -1)
    if axis not in (axes or (-1, 2 if chain.has_time else 1)):
        raise ValueError(f"axis of {leaf.where} is {axis}, expected the last one")
    expected = {name: (None,) for name, switch in (("gamma", "scale"), ("beta", "center")) if config.flag(switch, True)}
    if not expected:
        raise ValueError(f"{leaf.where} has scale and center off, so that its size is not told")
    arrays = dict(zip(expected, taken.arrays(expected, chain.dtype), strict=True))
    size = len(next(iter(arrays.values())))
    layer = LayerNorm(size, config.number("epsilon", 1e-3), chain.dtype)
    weight, bias = arrays.get("gamma", np.ones(size)), arrays.get("beta", np.zeros(size))
    chain.layers.append(_loaded(layer, {"weight": weight, "bias": bias}))


def _time_distributed(chain, leaf, taken):
    kind, inner = leaf.config.inner("layer")
    if kind not in _STEPWISE:
        raise ValueError(f"{leaf.where} holds a {kind:.80}, expected one of {', '.join(_STEPWISE)}")
    inner.where = f"{leaf.where}, {kind}"
    part = type(leaf)(kind, inner, leaf.path)
    if kind == "LayerNormalization":
        _layer_norm(chain, part, taken, (-1, 1))
    else:
        _MAKERS[kind](chain, part, taken)


def _activation(chain, leaf, taken):
    name = activations.name_of(leaf.config.required("activation"), leaf.where)
    if name is not None:
        chain.layers.append(activations.activation_layer(name, chain.version, leaf.where))


def _relu(chain, leaf, taken):
    leaf.config.refuse("max_value", ())
    leaf.config.refuse("threshold", (0.0,))
    slope = leaf.config.number("negative_slope", 0.0)
    chain.layers.append(Activation("leaky_relu", slope) if slope else Activation("relu"))


def _leaky_relu(chain, leaf, taken):
    name = "alpha" if "alpha" in leaf.config.values else "negative_slope"
    chain.layers.append(Activation("leaky_relu", leaf.config.number(name, 0.3)))


def _softmax(chain, leaf, taken):
    axis = leaf.config.axis("axis", -1)
    if axis not in (-1, 2 if chain.has_time else 1):
        raise ValueError(f"axis of {leaf.where} is {axis}, expected the last one")
    if chain.is_masked:
        raise ValueError(f"{leaf.where} stands behind a mask, which Keras applies to the features: expected Activation")
    chain.layers.append(Activation("softmax"))


def _pool(kind):
    def make(chain, leaf, taken):
        leaf.config.refuse("data_format", _CHANNELS_LAST)
        leaf.config.refuse("keepdims", (False,))
        if kind == "max":
            chain.unmask(always=True)
        elif chain.is_turned and chain.is_masked:
            raise ValueError(f"{leaf.where} averages under a mask that go_backwards has not reversed")
        chain.layers.append(Pool(kind))
        chain.has_time = chain.is_masked = False

    return make


def _flatten(chain, leaf, taken):
    if chain.has_time:
        raise ValueError(f"{leaf.where} joins the steps of sequences of one length, which no layer here does")


def _recurrent(chain, leaf, taken):
    settings = settings_of(leaf, chain.version)
    if chain.is_turned and chain.is_masked:
        raise ValueError(f"{leaf.where} reads what go_backwards has reversed, under a mask that is not reversed")
    if settings.is_stateful:
        chain.notes.append(
            f"{leaf.where} is stateful in Keras: here run begins with zeros or its argument state, and stream() goes on"
        )
    if settings.reads_backwards:
        chain.layers.append(Reverse())
        chain.is_turned = True
    layer, merge = recurrent_layer(leaf, settings, taken, chain.dtype)
    chain.layers.append(layer)
    if not settings.returns_sequences:
        chain.layers.append(Pool("last"))
        chain.has_time = chain.is_masked = chain.is_turned = False
    chain.layers += merge


_STEPWISE = ("Dense", "Activation", "Dropout", "LayerNormalization", "ReLU", "LeakyReLU", "ELU")
_MAKERS = {
    **dict.fromkeys(
        ("SimpleRNN", "LSTM", "GRU", "CuDNNLSTM", "CuDNNGRU", "RNN", "Bidirectional"),
        _recurrent,
    ),
    "Embedding": _embedding,
    "Masking": _masking,
    "TimeDistributed": _time_distributed,
    "Dense": _dense,
    **dict.fromkeys(("Conv1D", "Convolution1D"), _conv1d),
    "LayerNormalization": _layer_norm,
    "Activation": _activation,
    "ReLU": _relu,
    "LeakyReLU": _leaky_relu,
    "ELU": lambda chain, leaf, taken: chain.layers.append(Activation("elu", leaf.config.number("alpha", 1.0))),
    "Softmax": _softmax,
    **dict.fromkeys(("GlobalMaxPooling1D", "GlobalMaxPool1D"), _pool("max")),
    **dict.fromkeys(("GlobalAveragePooling1D", "GlobalAvgPool1D"), _pool("mean")),
    "Flatten": _flatten,
    **dict.fromkeys(
        ("Dropout", "SpatialDropout1D", "GaussianDropout", "GaussianNoise", "AlphaDropout", "ActivityRegularization"),
        lambda chain, leaf, taken: None,  # at work in training only
    ),
    "Identity": lambda chain, leaf, taken: None,
}
