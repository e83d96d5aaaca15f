"""Keras beside our networks and accelerated layers, on random models: `python -m tests.keras_agreement 500`."""

import os
import sys
import tempfile
import warnings
from dataclasses import dataclass, field
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "torch")

import keras
import numpy as np
from keras import layers as kl
from keras.src.backend.common import dtypes

from fastrnn.bridges import accelerate
from fastrnn.io.keras import from_keras

# Keras multiplies float64 in float32 on all backends but TensorFlow. With this entry it does what it says.
dtypes.BIT64_TO_BIT32_DTYPE["float64"] = "float64"
TOLERANCE = {"float32": 2e-5, "float64": 1e-10}  # of the largest value of each array
GATES = ("sigmoid", "hard_sigmoid")
BOUNDED = ("tanh", "sigmoid", "hard_sigmoid", "softsign")
ACTIVATIONS = (*BOUNDED, "relu", "linear", "softplus", "elu", "leaky_relu")
CELLS = {"LSTM": kl.LSTM, "GRU": kl.GRU, "SimpleRNN": kl.SimpleRNN}
FORMS = ("live", "keras", "h5")


@dataclass
class Case:
    """A model, its input, and what is compared."""

    model: keras.Model
    x: np.ndarray
    mask: np.ndarray | None
    dtype: str
    form: str
    words: list = field(default_factory=list)  # what the model is, for reports


def choice(rng, values):
    return values[int(rng.integers(len(values)))]


def known(names, dtype):
    """Return the activations that torch knows: in float64 its hard_sigmoid takes 1 / 6 of float32, and its softplus is
    linear from 20 on, 2e-9 off."""
    return [name for name in names if dtype == "float32" or name not in ("hard_sigmoid", "softplus")]


def recurrent_options(rng, dtype):
    """Return (class, arguments) of a recurrent layer."""
    kind = choice(rng, list(CELLS))
    options = {"units": int(rng.integers(1, 20)), "use_bias": bool(rng.random() < 0.8), "dtype": dtype}
    if rng.random() < 0.5:
        options["activation"] = choice(rng, known(ACTIVATIONS, dtype))
        if kind != "SimpleRNN":
            options["recurrent_activation"] = choice(
                rng, known(BOUNDED if options["activation"] in BOUNDED else GATES, dtype)
            )
    if kind == "GRU":
        options["reset_after"] = bool(rng.random() < 0.5)
    return kind, options


def padded(rng, batch_size, seq_len, empty):
    """Return a mask: padding in front or behind, holes, and perhaps a row without steps."""
    lengths = rng.integers(1, seq_len + 1, batch_size)
    steps = np.arange(seq_len)
    kind = choice(rng, ("left", "right", "holes"))
    if kind == "holes":
        mask = rng.random((batch_size, seq_len)) < 0.6
        mask[np.arange(batch_size), rng.integers(0, seq_len, batch_size)] = True
    else:
        inside = steps < lengths[:, None]
        mask = inside[:, ::-1].copy() if kind == "left" else inside
    if empty and rng.random() < 0.2:
        mask[0] = False
    return mask


def recurrent_part(rng, dtype, masked, words):
    """Return the middle layers, whether the last one keeps the time axis, and whether it reverses time."""
    found, count = [], int(rng.integers(1, 4))
    for k in range(count):
        is_last = k == count - 1
        kind, options = recurrent_options(rng, dtype)
        options["return_sequences"] = not is_last or bool(rng.random() < 0.6)
        merge = choice(rng, ("concat", "concat", "sum", "ave")) if rng.random() < 0.4 else None
        options["go_backwards"] = bool(rng.random() < 0.2) and not merge and (is_last or not masked)
        layer = CELLS[kind](**options)
        if merge:
            layer = kl.Bidirectional(layer, merge_mode=merge, dtype=dtype)
        words.append((kind, merge, {k: v for k, v in options.items() if k != "dtype"}))
        found.append(layer)
        if not is_last and rng.random() < 0.4:
            found.append(stepwise(rng, dtype, words))
    return found, options["return_sequences"], options["go_backwards"]


def stepwise(rng, dtype, words):
    makers = {
        "norm": lambda: kl.LayerNormalization(dtype=dtype, center=bool(rng.random() < 0.7)),
        "dense": lambda: kl.Dense(
            int(rng.integers(1, 9)), activation=choice(rng, (*known(ACTIVATIONS, dtype), "softmax", "silu"))
        ),
        "distributed": lambda: kl.TimeDistributed(kl.Dense(4, activation="elu", dtype=dtype), dtype=dtype),
        "dropout": lambda: kl.Dropout(0.3),
        "activation": lambda: kl.Activation(choice(rng, known(ACTIVATIONS, dtype))),
        "leaky": lambda: kl.LeakyReLU(0.1),
    }
    name = choice(rng, list(makers))
    words.append(name)
    with policy(dtype):
        return makers[name]()


class policy:
    """Within it, layers have a dtype."""

    def __init__(self, dtype):
        self.dtype = dtype

    def __enter__(self):
        self.before = keras.config.dtype_policy()
        keras.config.set_dtype_policy(self.dtype)

    def __exit__(self, *_):
        keras.config.set_dtype_policy(self.before)


def tail_part(rng, dtype, has_time, may_average, words):
    """Return the layers at the end."""
    found = []
    if has_time and rng.random() < 0.25:
        found.append(kl.Conv1D(3, 2, padding=choice(rng, ("same", "causal", "valid")), activation="relu"))
        words.append("conv")
        may_average = True
    if has_time and rng.random() < 0.5:
        average = may_average and rng.random() < 0.5
        found.append(kl.GlobalAveragePooling1D() if average else kl.GlobalMaxPooling1D())
        words.append(type(found[-1]).__name__)
        has_time = False
    if not has_time and rng.random() < 0.3:
        found.append(kl.Flatten())
    if rng.random() < 0.6:
        found.append(kl.Dense(3, activation=choice(rng, ("softmax", "sigmoid", None, "relu"))))
        words.append("dense")
    return found


def draw(seed):
    """Return the model number `seed`."""
    rng = np.random.default_rng([20250101, seed])
    dtype, form = choice(rng, ("float32", "float64")), choice(rng, FORMS)
    masking, tokens = choice(rng, ("none", "own", "argument")), bool(rng.random() < 0.5)
    tokens &= masking != "argument"  # Keras's Embedding would drop it
    batch_size, seq_len, size = int(rng.integers(1, 6)), int(rng.integers(2, 13)), int(rng.integers(1, 9))
    words, front = [dtype, form, masking, "tokens" if tokens else "floats"], []
    with policy(dtype):
        if tokens:
            front.append(kl.Embedding(11, size, mask_zero=masking == "own"))
        elif masking == "own":
            front.append(kl.Masking(choice(rng, (0.0, -1.5))))
        if masking == "none" and rng.random() < 0.25:
            front.append(
                kl.Conv1D(size, 2, padding=choice(rng, ("same", "causal")), dilation_rate=int(rng.integers(1, 3)))
            )
            words.append("conv")
        middle, has_time, is_reversed = recurrent_part(rng, dtype, masking != "none", words)
        tail = tail_part(rng, dtype, has_time, not (is_reversed and masking != "none"), words)
        x_shape = (None,) if tokens else (None, size)
        given = keras.Input(x_shape, dtype="int32" if tokens else dtype)
        model = keras.Sequential([given, *front, *middle, *tail])
        if rng.random() < 0.4:
            words.append("functional")
            model = keras.Model(model.inputs, model.outputs)
    averages = any(isinstance(layer, kl.GlobalAveragePooling1D) for layer in tail)
    mask = padded(rng, batch_size, seq_len, empty=not averages) if masking != "none" else None
    for weight in model.weights:
        weight.assign(rng.normal(size=weight.shape) * 0.4)
    return Case(model, input_of(rng, front, mask, (batch_size, seq_len, size), tokens, masking, dtype),
                mask if masking == "argument" else None, dtype, form, words)  # fmt: skip


def input_of(rng, front, mask, shape, tokens, masking, dtype):
    """Return x, in which the mask is written where the model makes its own."""
    if tokens:
        x = rng.integers(1, 11, shape[:2])
        return np.where(mask, x, 0) if masking == "own" else x
    x = rng.normal(size=shape).astype(dtype)
    if masking == "own":
        x[~mask] = front[0].mask_value
    return x


def loaded(case, folder):
    """Return our network of a case, by way of its form."""
    if case.form == "live":
        return from_keras(case.model)
    path = Path(folder) / f"model.{case.form}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that h5 is a legacy format
        case.model.save(path)
    return from_keras(path)


def arrays_of(tensors):
    tensors = tensors if isinstance(tensors, list | tuple) else [tensors]
    return [keras.ops.convert_to_numpy(tensor) for tensor in tensors]


def error(found, expected):
    """Return the largest difference, as a fraction of the largest value."""
    if found.shape != expected.shape or not np.isfinite(expected).all():
        return float("nan")
    return float(np.abs(found - expected).max(initial=0) / max(np.abs(expected).max(initial=0), 1e-30))


def network_error(seed):
    """Return (case, error) of a network."""
    case = draw(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that layers destroy masks
        (expected,) = arrays_of(case.model(case.x, training=False, **mask_argument(case)))
    with tempfile.TemporaryDirectory() as folder:
        net = loaded(case, folder)
    return case, error(net.run(case.x, mask=case.mask)[0], expected)


def mask_argument(case):
    if case.mask is None:
        return {}
    import torch

    return {"mask": torch.from_numpy(case.mask)}


# accelerated layers


def draw_layer(seed):
    """Return (layer, arguments of its call, dtype, training, words)."""
    import torch

    rng = np.random.default_rng([20250102, seed])
    dtype, training = choice(rng, ("float32", "float64")), bool(rng.random() < 0.6)
    kind, options = recurrent_options(rng, dtype)
    for name, chance in {"return_sequences": 0.6, "return_state": 0.4, "go_backwards": 0.2, "stateful": 0.2}.items():
        options[name] = bool(rng.random() < chance)
    options["dropout"] = 0.4 if rng.random() < 0.3 else 0.0
    options["unroll"] = bool(rng.random() < 0.1) and not options["go_backwards"]  # at which Keras 3.15 fails
    two = rng.random() < 0.35 and not options["go_backwards"]
    options["unroll"] &= not two
    options["return_state"] &= not two  # at which Keras 3.15 fails where it has a mask or all outputs
    merge = choice(rng, ("concat", "sum", "mul", "ave"))
    layer = CELLS[kind](**options, seed=seed)
    layer = kl.Bidirectional(layer, merge_mode=merge, dtype=dtype) if two else layer
    batch_size, seq_len, size = int(rng.integers(1, 6)), int(rng.integers(1, 13)), int(rng.integers(1, 9))
    x = torch.tensor(rng.normal(size=(batch_size, seq_len, size)), dtype=getattr(torch, dtype), requires_grad=True)
    layer.build(x.shape)
    for weight in layer.weights:
        weight.assign(rng.normal(size=weight.shape) * 0.4)
    keywords = {"training": training}
    if rng.random() < 0.5:
        keywords["mask"] = torch.from_numpy(padded(rng, batch_size, seq_len, empty=True))
    if not options["stateful"] and rng.random() < 0.3:
        count = (2 if kind == "LSTM" else 1) * (2 if two else 1)
        shape = (batch_size, options["units"])
        keywords["initial_state"] = [torch.tensor(rng.normal(size=shape), dtype=x.dtype) for _ in range(count)]
    return layer, x, keywords, dtype, [kind, merge if two else None, options, list(keywords)]


def results(layer, x, keywords):
    """Return all outputs of two calls, and all gradients; of stateful layers none, at which Keras may fail."""
    import torch

    x.grad = None
    for part in layer._flatten_layers():
        if getattr(part, "states", None):
            part.reset_state()
        if hasattr(part, "seed_generator"):
            part.seed_generator.state.assign([7, 0])
    torch.manual_seed(7)  # dropout draws from the one or the other
    for weight in layer.trainable_variables:
        weight.value.grad = None
    layer(x, **keywords)  # a stateful layer goes on from here
    outputs = layer(x, **keywords)
    outputs = list(outputs) if isinstance(outputs, list | tuple) else [outputs]
    if any(getattr(part, "stateful", False) for part in layer._flatten_layers()):
        return [array.detach().numpy().copy() for array in outputs]
    generator = torch.Generator().manual_seed(1)
    sum((y * torch.randn(y.shape, generator=generator, dtype=y.dtype)).sum() for y in outputs).backward()
    grads = [x.grad, *(weight.value.grad for weight in layer.trainable_variables)]
    return [array.detach().numpy().copy() for array in (*outputs, *grads)]


def layer_error(seed):
    """Return (words, dtype, error) of an accelerated layer."""
    layer, x, keywords, dtype, words = draw_layer(seed)
    expected = results(layer, x, keywords)
    accelerate(layer)
    found = results(layer, x, keywords)
    accelerate(layer, undo=True)
    return words, dtype, max(error(f, e) if e.any() or f.any() else 0.0 for f, e in zip(found, expected, strict=True))


def main(count):
    """Compare `count` networks and as many layers, print the worst errors, and return how many are beyond."""
    failures, worst = 0, {}
    for seed in range(count):
        case, found = network_error(seed)
        words, dtype, of_layer = layer_error(seed)
        for name, kind, value, told in (
            ("network", case.dtype, found, case.words),
            ("layer", dtype, of_layer, words),
        ):
            worst[name, kind] = max(worst.get((name, kind), 0.0), value)
            if not value <= TOLERANCE[kind]:
                failures += 1
                print(f"{name} {seed}: {value:.2g} of the largest value in {told}", flush=True)
    print(f"{count} networks and {count} layers, {failures} beyond the tolerance; worst {worst}")
    return failures


if __name__ == "__main__":
    sys.exit(bool(main(int(sys.argv[1]) if len(sys.argv) > 1 else 500)))
