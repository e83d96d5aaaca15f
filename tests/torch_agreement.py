"""Random torch.nn configurations against their networks. `python -m tests.torch_agreement 1000`.

Differences are in units of the largest value, of outputs and states and of gradients each.
"""

import sys
from dataclasses import dataclass

import numpy as np
import torch

import fastrnn
from fastrnn.io import from_torch

TOLERANCES = {"float32": 2e-5, "float64": 1e-10}


@dataclass(frozen=True)
class Configuration:
    """A recurrent module of torch.nn, and the sizes of its input."""

    kind: str
    seed: int
    dtype: str
    sizes: tuple  # T, N, I, H
    options: dict
    packed: bool
    with_state: bool
    source: str  # what from_torch is given

    def __str__(self):
        options = ",".join(f"{name}={value}" for name, value in self.options.items())
        packed = "packed" if self.packed else "equal"
        return f"{self.kind}-{self.dtype}-{'x'.join(map(str, self.sizes))}-{options}-{packed}-{self.source}-{self.seed}"


def draw(seed):
    """The configuration of a seed."""
    rng = np.random.default_rng([7, seed])
    kind = str(
        rng.choice(["RNN", "LSTM", "GRU", "RNNCell", "LSTMCell", "GRUCell"], p=[0.25, 0.3, 0.3, 0.05, 0.05, 0.05])
    )
    steps, rows = int(rng.choice([1, 2, 7, 33])), int(rng.choice([1, 2, 5, 17]))
    input_size, hidden_size = int(rng.choice([1, 3, 16, 40])), int(rng.choice([1, 2, 5, 16, 33, 64]))
    options = {"bias": bool(rng.random() < 0.8)}
    if kind.startswith("RNN"):
        options["nonlinearity"] = str(rng.choice(["tanh", "relu"]))
    if not kind.endswith("Cell"):
        options |= {"num_layers": int(rng.integers(1, 4)), "bidirectional": bool(rng.random() < 0.4)}
        options |= {"batch_first": bool(rng.random() < 0.5)}
        if kind == "LSTM" and hidden_size > 1 and rng.random() < 0.3:
            options["proj_size"] = int(rng.integers(1, hidden_size))
    packed = not kind.endswith("Cell") and bool(rng.random() < 0.4)
    source = str(rng.choice(["module", "state dict", "pt", "safetensors"]))
    sizes = steps, rows, input_size, hidden_size
    return Configuration(
        kind, seed, str(rng.choice(["float32", "float64"])), sizes, options, packed, bool(rng.random() < 0.5), source
    )


def build(configuration):
    """The torch module of a configuration, with weights of a size that keeps relu from growing without end."""
    torch.manual_seed(configuration.seed)
    _, _, input_size, hidden_size = configuration.sizes
    dtype = getattr(torch, configuration.dtype)
    return getattr(torch.nn, configuration.kind)(input_size, hidden_size, dtype=dtype, **configuration.options)


def network_of(configuration, module, folder):
    """What from_torch makes of the module, by the source that the configuration says."""
    options = configuration.options
    if configuration.source == "module":
        return from_torch(module)
    keywords = {"batch_first": options.get("batch_first", False), "nonlinearity": options.get("nonlinearity", "tanh")}
    state = {f"model.rnn.{name}": weight for name, weight in module.state_dict().items()}
    if configuration.source == "state dict":
        return from_torch(state, prefix="model.rnn.", **keywords)
    path = folder / f"weights.{configuration.source}"
    if configuration.source == "pt":
        torch.save({"epoch": 3, "state": state}, path, _use_new_zipfile_serialization=configuration.seed % 2 == 0)
        return from_torch(path, prefix="state.model.rnn.", **keywords)
    import safetensors.torch

    safetensors.torch.save_file(state, path)
    return from_torch(path, prefix="model.rnn.", **keywords)


def data(configuration):
    """x time-major, states, lengths, and the derivatives of a scalar by what comes out."""
    rng = np.random.default_rng([8, configuration.seed])
    (steps, rows, input_size, hidden_size), options = configuration.sizes, configuration.options
    directions = 2 if options.get("bidirectional") else 1
    sizes = [options.get("proj_size") or hidden_size] + [hidden_size] * configuration.kind.startswith("LSTM")
    shapes = [(directions * options.get("num_layers", 1), rows, size) for size in sizes]

    def normal(*shape):
        return rng.standard_normal(shape).astype(configuration.dtype)

    states = [
        0.5 * normal(*shape) if configuration.with_state else np.zeros(shape, configuration.dtype) for shape in shapes
    ]
    lengths = rng.integers(1, steps + 1, rows) if configuration.packed else None
    d_states = [normal(*shape) for shape in shapes]
    return normal(steps, rows, input_size), states, lengths, normal(steps, rows, directions * sizes[0]), d_states


def by_torch(configuration, module, given):
    """Outputs, states and all gradients by torch, time-major, parameters under the names of a layer."""
    x, states, lengths, d_output, d_states = given
    x = torch.tensor(x, requires_grad=True)
    states = [torch.tensor(state, requires_grad=True) for state in states]
    if configuration.kind.endswith("Cell"):
        outputs, now = [], [state[0] for state in states]
        for step in x:
            new = module(step, tuple(now) if len(now) > 1 else now[0])
            now = list(new) if len(now) > 1 else [new]
            outputs.append(now[0])
        output, ends = torch.stack(outputs), [state[None] for state in now]
    else:
        batch_first = configuration.options["batch_first"]
        fed = x.transpose(0, 1) if batch_first else x
        if lengths is not None:
            fed = torch.nn.utils.rnn.pack_padded_sequence(
                fed, torch.tensor(lengths), batch_first=batch_first, enforce_sorted=False
            )
        output, ends = module(fed, tuple(states) if len(states) > 1 else states[0])
        ends = list(ends) if len(states) > 1 else [ends]
        if lengths is not None:
            output, _ = torch.nn.utils.rnn.pad_packed_sequence(output, batch_first=batch_first, total_length=len(x))
        output = output.transpose(0, 1) if batch_first else output
    loss = (output * torch.tensor(d_output)).sum() + sum((e * torch.tensor(d)).sum() for e, d in zip(ends, d_states))
    loss.backward()
    grads = {
        f"d_{name if not configuration.kind.endswith('Cell') else name + '_l0'}": weight.grad.numpy()
        for name, weight in module.named_parameters()
    }
    found = {"output": output.detach().numpy(), "d_x": x.grad.numpy(), **grads}
    found |= {f"state_n[{k}]": end.detach().numpy() for k, end in enumerate(ends)}
    return found | {f"d_state_0[{k}]": state.grad.numpy() for k, state in enumerate(states)}


def by_network(network, given):
    """The same by the network, and by its layer where gradients are asked for."""
    x, states, lengths, d_output, d_states = given

    def pack(arrays):
        return tuple(arrays) if len(arrays) > 1 else arrays[0]

    def unpack(state):
        return list(state) if isinstance(state, tuple) else [state]

    turned = network.batch_first
    y, (state_n,) = network.run(x.swapaxes(0, 1) if turned else x, [pack(states)], lengths)
    (layer,) = network.layers
    layer.zero_grad()
    _, backward = layer.forward(x, pack(states), lengths, training=False)
    d_x, d_state_0 = backward(d_output, pack(d_states))
    found = {"output": y.swapaxes(0, 1) if turned else y, "d_x": d_x}
    found |= {f"d_{name}": grad.copy() for name, grad in layer.grads.items()}
    found |= {f"state_n[{k}]": end for k, end in enumerate(unpack(state_n))}
    return found | {f"d_state_0[{k}]": d for k, d in enumerate(unpack(d_state_0))}


def largest_difference(configuration, folder):
    """The largest difference of outputs and states, or of gradients, in units of the largest of their values."""
    module, given = build(configuration), data(configuration)
    found = by_network(network_of(configuration, module, folder), given)
    expected = by_torch(configuration, module, given)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name].shape == value.shape, name
        assert found[name].dtype == value.dtype == configuration.dtype, name
    gradients = {name for name in expected if name.startswith("d_")}
    return max(_relative(found, expected, gradients), _relative(found, expected, expected.keys() - gradients))


def _relative(found, expected, names):
    scale = max(float(np.abs(expected[name]).max(initial=0)) for name in names) or 1.0
    return max(float(np.abs(found[name] - expected[name]).max(initial=0)) for name in names) / scale


def main(count):
    """Print the largest differences of the first `count` configurations; exit 1 where one is too large."""
    import tempfile
    import warnings
    from pathlib import Path

    warnings.filterwarnings("ignore", message="LSTM with projections")
    worst, failed = dict.fromkeys(TOLERANCES, 0.0), []
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(count):
            configuration = draw(seed)
            difference = largest_difference(configuration, Path(folder))
            worst[configuration.dtype] = max(worst[configuration.dtype], difference)
            if not difference <= TOLERANCES[configuration.dtype]:
                failed.append((str(configuration), difference))
    print(
        f"fastrnn {fastrnn.__version__}, torch {torch.__version__}: {count} configurations, largest differences {worst}"
    )
    for name, difference in failed:
        print(f"too large: {name}: {difference:.3g}")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000))
