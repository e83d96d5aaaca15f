"""Random recurrent nodes against ONNX Runtime and the operator text. `python -m tests.onnx_agreement 2000`.

Differences are in units of max(1, largest |Y|). The text, read in float64 (`onnx_text`), is compared with every node;
ONNX Runtime with those that it takes and reads as the text does.
"""

import sys
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper

import fastrnn
from fastrnn.onnx import run_node

try:
    from tests import onnx_text
except ImportError:  # pytest has the folder of the tests on its path
    import onnx_text

TOLERANCE = 1e-5
LARGEST = 100.0  # of the float64 reading; a node beyond is drawn anew
# By how much outputs may move, in the float64 reading, when the last bits of x and R do. What moves more amplifies
# rounding errors from step to step, whoever computes, and says nothing about kernels: drawn anew.
SENSITIVITY = 1e-6
INPUTS = ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P")


@dataclass(frozen=True)
class Node:
    """A recurrent node with its inputs."""

    kind: str
    seed: int
    attributes: dict
    inputs: dict

    def __str__(self):
        given = ",".join(f"{name}{list(a.shape)}" for name, a in self.inputs.items())
        return f"{self.kind} {self.seed} {self.attributes} {given}"

    @property
    def outputs(self):
        return ("Y", "Y_h", "Y_c") if self.kind == "LSTM" else ("Y", "Y_h")

    @property
    def proto(self):
        """The node of ONNX."""
        names = [name if name in self.inputs else "" for name in INPUTS[: 8 if self.kind == "LSTM" else 6]]
        return helper.make_node(self.kind, names, self.outputs, name="node", **self.attributes)

    def refused_by_onnxruntime(self):
        """Whether ONNX Runtime 1.31 takes it not, or reads it otherwise than the text."""
        x, lengths = self.inputs["X"], self.inputs.get("sequence_lens")
        given = self.attributes.get("activations", ())
        n_alphas = sum(name in onnx_text.DEFAULT_PARAMETERS for name in given)
        lacking = len(self.attributes.get("activation_alpha", ())) < n_alphas
        own_defaults = lacking and bool({"ThresholdedRelu", "Affine", "ScaledTanh"} & set(given))
        empty_rows = lengths is not None and bool((lengths == 0).any())  # their states become 0, not the initial ones
        return bool(self.attributes.get("layout")) or own_defaults or empty_rows or not x.size


def draw(seed):
    """The node of a seed, with its float64 reading: one that stays below LARGEST and is not chaotic."""
    rng = np.random.default_rng([5, seed])
    while True:
        node = _draw(rng, seed)
        nudged = {n: a * (1 + 2.0**-24 * rng.choice([-1, 1], a.shape)) for n, a in node.inputs.items() if n in "XR"}
        with np.errstate(over="ignore", invalid="ignore"):
            expected = onnx_text.run(node.kind, node.attributes, node.inputs)
            if not all(np.isfinite(a).all() and np.abs(a).max(initial=0) < LARGEST for a in expected.values()):
                continue
            moved = onnx_text.run(node.kind, node.attributes, node.inputs | nudged)
        if difference(moved, expected) < SENSITIVITY:
            return node, expected


def _draw(rng, seed):
    kind = str(rng.choice(["LSTM", "GRU", "RNN"], p=[0.45, 0.35, 0.2]))
    steps, rows = int(rng.choice([1, 2, 3, 7, 20])), int(rng.choice([1, 2, 3, 5, 9]))
    inputs_size, hidden = int(rng.choice([1, 2, 5, 17])), int(rng.choice([1, 2, 3, 8, 19]))
    attributes = {"hidden_size": hidden}
    direction = str(rng.choice(["forward", "reverse", "bidirectional"]))
    directions = 2 if direction == "bidirectional" else 1
    if direction != "forward" or rng.random() < 0.3:
        attributes["direction"] = direction
    attributes |= _draw_functions(rng, kind, directions)
    if rng.random() < 0.25:
        attributes["clip"] = float(rng.choice([0.1, 0.5, 2.0]))
    if kind == "LSTM" and rng.random() < 0.3:
        attributes["input_forget"] = 1
    if kind == "GRU" and rng.random() < 0.5:
        attributes["linear_before_reset"] = 1
    if rng.random() < 0.15:
        attributes["layout"] = 1
    gates = {"LSTM": 4, "GRU": 3, "RNN": 1}[kind]
    scale = float(rng.choice([0.2, 0.5, 1.0]))

    def normal(*shape, by=scale):
        return (by * rng.standard_normal(shape)).astype(np.float32)

    inputs = {"X": normal(steps, rows, inputs_size, by=1.0), "W": normal(directions, gates * hidden, inputs_size)}
    inputs["R"] = normal(directions, gates * hidden, hidden, by=scale / np.sqrt(hidden))
    if rng.random() < 0.7:
        inputs["B"] = normal(directions, 2 * gates * hidden)
    if rng.random() < 0.5:
        inputs["sequence_lens"] = rng.integers(rng.random() < 0.9, steps + 1, rows).astype(np.int32)
    for name in ("initial_h", "initial_c")[: 1 + (kind == "LSTM")]:
        if rng.random() < 0.5:
            inputs[name] = normal(directions, rows, hidden, by=0.5)
    if kind == "LSTM" and rng.random() < 0.4:
        inputs["P"] = normal(directions, 3 * hidden)
    if attributes.get("layout"):
        turned = ("X", "initial_h", "initial_c")
        inputs = {n: np.ascontiguousarray(a.swapaxes(0, 1)) if n in turned else a for n, a in inputs.items()}
    return Node(kind, seed, attributes, inputs)


def _draw_functions(rng, kind, directions):
    if rng.random() < 0.4:
        return {}
    count = len(onnx_text.DEFAULTS[kind])
    names = [str(name) for name in rng.choice(list(onnx_text.FUNCTIONS), count * directions)]
    if directions == 2 and rng.random() < 0.5:
        names = names[:count] * 2
    found = {"activations": names}
    parameters = [len(onnx_text.DEFAULT_PARAMETERS.get(name, ())) for name in names]
    if rng.random() < 0.8:
        alphas, betas = sum(p > 0 for p in parameters), sum(p > 1 for p in parameters)
        found["activation_alpha"] = [float(np.float32(a)) for a in rng.uniform(0.1, 1.0, alphas)]
        found["activation_beta"] = [float(np.float32(b)) for b in rng.uniform(-0.3, 0.6, betas)]
    return {name: value for name, value in found.items() if value}


def by_onnxruntime(node):
    """Its outputs by ONNX Runtime, with weights as constants."""
    import onnxruntime

    kinds = {"sequence_lens": onnx.TensorProto.INT32}
    fed = [name for name in node.inputs if name in ("X", "sequence_lens", "initial_h", "initial_c")]
    graph = helper.make_graph(
        [node.proto], "g",
        [helper.make_tensor_value_info(n, kinds.get(n, onnx.TensorProto.FLOAT), node.inputs[n].shape) for n in fed],
        [helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, None) for n in node.outputs],
        [onnx.numpy_helper.from_array(a, n) for n, a in node.inputs.items() if n not in fed],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    found = session.run(None, {name: node.inputs[name] for name in fed})
    return dict(zip(node.outputs, found, strict=True))


def by_us(node):
    """Its outputs by our kernels."""
    found = run_node(node.proto, [node.inputs.get(name) for name in node.proto.input])
    return dict(zip(node.outputs, found, strict=True))


def difference(found, expected):
    """The largest difference of any output, in units of max(1, largest |Y|)."""
    worst = 0.0
    for name, value in expected.items():
        assert found[name].shape == value.shape, (name, found[name].shape, value.shape)
        scale = max(1.0, float(np.abs(expected["Y"]).max(initial=0)))
        worst = max(worst, float(np.abs(found[name] - value).max(initial=0)) / scale)
    return worst


def differences(seed):
    """The node of a seed, and its differences from the text and from ONNX Runtime (None where that refuses it)."""
    node, text = draw(seed)
    found = by_us(node)
    assert all(a.dtype == np.float32 for a in found.values())
    other = None if node.refused_by_onnxruntime() else difference(found, by_onnxruntime(node))
    return node, difference(found, text), other


def main(count):
    """Print the largest differences of the first `count` nodes; exit 1 where one is too large."""
    import onnxruntime

    failed, from_text, from_runtime = [], [], []
    for seed in range(count):
        node, text, runtime = differences(seed)
        from_text.append(text)
        from_runtime += [] if runtime is None else [runtime]
        if not max(text, runtime or 0.0) <= TOLERANCE:
            failed.append((node, text, runtime))
    print(
        f"fastrnn {fastrnn.__version__}, onnxruntime {onnxruntime.__version__}, onnx {onnx.__version__}: "
        f"{count} nodes, largest difference from the text {max(from_text):.2e}, from ONNX Runtime "
        f"{max(from_runtime, default=0):.2e} ({len(from_runtime)} nodes)"
    )
    for node, text, runtime in failed:
        print(f"too large: {node}: text {text:.3g}, ONNX Runtime {runtime}")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000))
