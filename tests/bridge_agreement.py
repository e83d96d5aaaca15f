"""Accelerated torch layers beside torch's own, on random configurations: `python -m tests.bridge_agreement 1000`."""

import copy
import sys
import warnings
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

from fastrnn.bridges import accelerate

TOLERANCE = {"float32": 2e-5, "float64": 1e-10}  # of the largest value of each array
LAYOUTS = ("batched", "strided", "unbatched", "packed", "packed unsorted")


@dataclass(frozen=True)
class Configuration:
    """A layer, an input and a loss."""

    kind: str
    options: dict
    dtype: str
    seq_len: int
    batch_size: int
    layout: str
    with_state: bool
    training: bool
    loss: str  # of which results
    needs_x: bool
    frozen: tuple  # parameters without gradient, by index
    seed: int


def draw(seed):
    """Return the configuration number `seed`."""
    rng = np.random.default_rng([20240607, seed])
    kind, layout = str(rng.choice(["LSTM", "GRU", "RNN"])), str(rng.choice(LAYOUTS))
    options = {
        "input_size": int(rng.integers(1, 40)),
        "hidden_size": int(rng.integers(1, 70)),
        "num_layers": int(rng.integers(1, 4)),
        "bias": bool(rng.random() < 0.8),
        "batch_first": bool(rng.random() < 0.5),
        "bidirectional": bool(rng.random() < 0.4),
    }
    if options["num_layers"] > 1 and rng.random() < 0.5:
        options["dropout"] = float(rng.choice([0.2, 0.5, 1.0]))
    if kind == "RNN":
        options["nonlinearity"] = str(rng.choice(["tanh", "relu"]))
    if kind == "LSTM" and options["hidden_size"] > 1 and rng.random() < 0.3:
        options["proj_size"] = int(rng.integers(1, options["hidden_size"]))
    return Configuration(
        kind,
        options,
        dtype=str(rng.choice(["float32", "float64"])),
        seq_len=int(rng.integers(1, 26)),
        batch_size=1 if layout == "unbatched" else int(rng.integers(1, 13)),
        layout=layout,
        with_state=bool(rng.random() < 0.5),
        training=bool(rng.random() < 0.7),
        loss=str(rng.choice(["output", "state", "both"])),
        needs_x=bool(rng.random() < 0.7),
        frozen=tuple(int(i) for i in np.flatnonzero(rng.random(50) < 0.2)) if rng.random() < 0.3 else (),
        seed=seed,
    )


def layers_of(configuration):
    """Return torch's layer and its accelerated twin."""
    torch.manual_seed(configuration.seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # LSTM with projections: about oneDNN
        layer = getattr(nn, configuration.kind)(**configuration.options, dtype=getattr(torch, configuration.dtype))
    for i, parameter in enumerate(layer.parameters()):
        parameter.requires_grad_(i not in configuration.frozen)
    layer.train(configuration.training)
    return layer, accelerate(copy.deepcopy(layer))


def inputs_of(configuration, layer):
    """Return x, the layer's input made of it, and the initial states, a list."""
    torch.manual_seed(configuration.seed + 1)
    dtype, layout = getattr(torch, configuration.dtype), configuration.layout
    T, N = configuration.seq_len, configuration.batch_size
    shape = (N, T) if layer.batch_first and layout != "unbatched" else (T, N)
    x = torch.randn(*shape, layer.input_size, dtype=dtype)
    if layout == "strided":
        x = torch.randn(layer.input_size, *shape, dtype=dtype).permute(1, 2, 0)
    elif layout == "unbatched":
        x = x[:, 0]
    x.requires_grad_(configuration.needs_x)
    given = x
    if layout.startswith("packed"):
        lengths = torch.randint(1, T + 1, (N,))
        is_sorted = layout == "packed"
        lengths = lengths.sort(descending=True).values if is_sorted else lengths
        given = pack_padded_sequence(x, lengths, batch_first=layer.batch_first, enforce_sorted=is_sorted)
    states = []
    if configuration.with_state:
        rows = layer.num_layers * (2 if layer.bidirectional else 1)
        sizes = [layer.proj_size or layer.hidden_size, layer.hidden_size][: 2 if configuration.kind == "LSTM" else 1]
        axes = (rows,) if layout == "unbatched" else (rows, N)
        states = [torch.randn(*axes, size, dtype=dtype, requires_grad=True) for size in sizes]
    return x, given, states


def results_of(configuration, layer):
    """Return {name: array}: all results and gradients of a layer."""
    x, given, states = inputs_of(configuration, layer)
    torch.manual_seed(configuration.seed + 2)  # of dropout
    hx = None if not states else tuple(states) if configuration.kind == "LSTM" else states[0]
    output, state_n = layer(given, hx)
    output = output.data if isinstance(output, PackedSequence) else output
    state_n = state_n if isinstance(state_n, tuple) else (state_n,)
    found = {"output": output, **{f"state_n[{i}]": state for i, state in enumerate(state_n)}}
    parts = {"output": [output], "state": [state_n[-1]], "both": [output, *state_n]}[configuration.loss]
    torch.manual_seed(configuration.seed + 3)
    loss = sum((part * torch.randn_like(part)).sum() for part in parts)
    if loss.requires_grad:
        loss.backward()
    found |= {"d_x": x.grad, **{f"d_state_0[{i}]": state.grad for i, state in enumerate(states)}}
    found |= {f"d_{name}": parameter.grad for name, parameter in layer.named_parameters()}
    return {name: None if value is None else value.detach().numpy() for name, value in found.items()}


def errors(configuration):
    """Return {name: largest difference, as a fraction of the largest value}; NaN where one has a gradient alone."""
    theirs, ours = (results_of(configuration, layer) for layer in layers_of(configuration))
    return {name: _error(ours[name], expected) for name, expected in theirs.items()}


def _error(found, expected):
    if expected is None or found is None:
        # torch has no gradient for what the loss does not reach; ours is then absent too, or zero
        return 0.0 if expected is None and (found is None or not found.any()) else float("nan")
    if found.shape != expected.shape or found.dtype != expected.dtype:
        return float("nan")
    largest = np.abs(expected).max(initial=0.0)
    difference = np.abs(found - expected).max(initial=0.0)
    return 0.0 if difference == 0.0 else float(difference / largest)


def main(count):
    """Compare `count` configurations and print the worst errors; return how many are beyond the tolerance."""
    worst, failures = dict.fromkeys(TOLERANCE, 0.0), 0
    for seed in range(count):
        configuration = draw(seed)
        found = errors(configuration)
        name = max(found, key=lambda name: np.inf if np.isnan(found[name]) else found[name])
        worst[configuration.dtype] = max(worst[configuration.dtype], found[name])
        if not found[name] <= TOLERANCE[configuration.dtype]:
            failures += 1
            print(f"{name}: {found[name]:.2g} of its largest value in {configuration}")
    print(f"{count} configurations, {failures} beyond the tolerance; worst {worst}")
    return failures


if __name__ == "__main__":
    sys.exit(bool(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)))
