"""The reference of the variants against others: torch's autograd over the equations, and ONNX Runtime."""

import itertools

import numpy as np
import pytest
from cases import Case, as_arrays, assert_near, data, run_reference
from cells import ACTIVATIONS, KINDS, VARIANTS, draw_masks, random_params

from fastrnn.reference import activations as ours
from fastrnn.reference import stack

ONE = {"seq_len": 4, "batch_size": 3, "hidden_size": 5, "input_size": 3}


def torch_function(name, clip=None):
    """One activation out of torch's own, clipped."""
    import torch
    from torch.nn import functional

    name, *p = (name,) if isinstance(name, str) else name
    phi = {
        "sigmoid": torch.sigmoid,
        "tanh": torch.tanh,
        "relu": torch.relu,
        "identity": lambda a: a,
        "softsign": functional.softsign,
        "softplus": functional.softplus,
        "affine": lambda a: p[0] * a + p[1],
        "leaky_relu": lambda a: functional.leaky_relu(a, p[0]),
        "thresholded_relu": lambda a: functional.threshold(a, p[0], 0.0),
        "scaled_tanh": lambda a: p[0] * torch.tanh(p[1] * a),
        "hard_sigmoid": lambda a: torch.clamp(p[0] * a + p[1], 0.0, 1.0),
        "elu": lambda a: functional.elu(a, p[0]),
    }[name]
    return phi if clip is None else lambda a: phi(a.clamp(-clip, clip))


@pytest.mark.parametrize("clip", [None, 0.8], ids=["plain", "clip"])
@pytest.mark.parametrize("name", ACTIVATIONS, ids=lambda name: name if isinstance(name, str) else name[0])
def test_activation_and_derivative_of_the_reference_agree_with_torch(name, clip, rng):
    torch = pytest.importorskip("torch", reason="torch is not installed: pip install fastrnn[peers]")
    a = torch.tensor(np.append(3 * rng.standard_normal(200), [-40.0, 40.0]), requires_grad=True)
    y = torch_function(name, clip)(a)
    y.sum().backward()
    phi = ours.Activation(name, clip)
    assert_near(phi(a.detach().numpy()), y.detach().numpy(), 1e-14, "y")
    assert_near(phi.derivative(a.detach().numpy()), a.grad.numpy(), 1e-14, "dy/da")


def test_activations_have_their_default_parameters():
    a = np.linspace(-4.0, 4.0, 33)
    spelt = {"affine": (1, 0), "leaky_relu": (0.01,), "thresholded_relu": (1,), "scaled_tanh": (1, 1), "elu": (1,)}
    for name, parameters in (spelt | {"hard_sigmoid": (0.2, 0.5)}).items():
        short, long = ours.Activation(name), ours.Activation((name, *parameters))
        np.testing.assert_array_equal(short(a), long(a), err_msg=name)
        np.testing.assert_array_equal(short.derivative(a), long.derivative(a), err_msg=name)


class TorchCell:
    """The equations of every variant, one step, for autograd; `w` holds parameters by their plain names."""

    def __init__(self, cell, w, masks):
        self.cell, self.w, self.masks, self.options = cell, w, masks, cell.options
        default = {"lstm": ("sigmoid", "tanh", "tanh"), "gru": ("sigmoid", "tanh"), "rnn": ("tanh",)}[cell.reference]
        if self.options.get("nonlinearity") == "relu":
            default = ("relu",)
        names = self.options.get("activations", default)
        self.F, *rest = (torch_function(name, self.options.get("clip")) for name in names)
        self.G = rest[0] if rest else None
        self.H = torch_function(names[2]) if len(names) == 3 else None

    def linear(self, side, v, rows=slice(None)):
        """W v, normalised over its features, plus the bias of the rows."""
        from torch.nn import functional

        product = functional.linear(v, self.w[f"weight_{side}"][rows])
        if f"norm_{side}" in self.w:
            product = functional.layer_norm(product, product.shape[-1:], self.w[f"norm_{side}"][rows], None, 1e-5)
        return product + self.w[f"bias_{side}"][rows] if f"bias_{side}" in self.w else product

    def zone(self, before, after, which, t):
        zone = getattr(self.masks, which) if self.masks else None
        if zone is not None:
            import torch

            return torch.where(torch.tensor(zone[t]) == 0, before, after)
        p = 0.0 if self.masks else self.options.get("zoneout", 0.0)
        return p * before + (1 - p) * after

    def drop(self, h):
        import torch

        return h if self.masks is None else h * torch.tensor(self.masks.recurrent)

    def rnn(self, t, x, h):
        return (self.zone(h, self.F(self.linear("ih", x) + self.linear("hh", self.drop(h))), "zone_h", t),)

    def gru(self, t, x, h):
        size = h.shape[-1]
        gates, new = slice(0, 2 * size), slice(2 * size, None)
        r, z = self.F(self.linear("ih", x, gates) + self.linear("hh", self.drop(h), gates)).split(size, dim=-1)
        if self.options["reset_after"]:
            n = self.G(self.linear("ih", x, new) + r * self.linear("hh", self.drop(h), new))
        else:
            n = self.G(self.linear("ih", x, new) + self.linear("hh", r * self.drop(h), new))
        return (self.zone(h, (1 - z) * n + z * h, "zone_h", t),)

    def lstm(self, t, x, h, c):
        from torch.nn import functional

        size = c.shape[-1]
        a = (self.linear("ih", x) + self.linear("hh", self.drop(h))).split(size, dim=-1)
        p = self.w["peephole"].split(size) if "peephole" in self.w else (0.0, 0.0, 0.0)
        i, g = self.F(a[0] + p[0] * c), self.G(a[-2])
        f = 1 - i if "coupled_gates" in self.options else self.F(a[1] + p[1] * c)
        new = f * c + i * g
        o = self.F(a[-1] + p[-1] * new)
        seen = new
        if "norm_c" in self.w:
            seen = functional.layer_norm(new, (size,), self.w["norm_c"], self.w["norm_c_bias"], 1e-5)
        m = o * self.H(seen)
        out = functional.linear(m, self.w["weight_hr"]) if "weight_hr" in self.w else m
        return self.zone(h, out, "zone_h", t), self.zone(c, new, "zone_c", t)


def run_torch(case, params, given, masks):
    """What `cases.run_reference` returns of one layer of one direction and equal lengths, by autograd."""
    torch = pytest.importorskip("torch", reason="torch is not installed: pip install fastrnn[peers]")
    cell = KINDS[case.cell]

    def leaf(array):
        return torch.tensor(array, requires_grad=True)

    w = {name.removesuffix("_l0"): leaf(array) for name, array in params.items()}
    x, start = leaf(given.x), [leaf(s) for s in as_arrays(given.state_0)]
    step = getattr(TorchCell(cell, w, masks), cell.reference)
    state, outputs = tuple(s[0] for s in start), []
    for t in range(case.seq_len):
        state = step(t, x[t], *state)
        outputs.append(state[0])
    output = torch.stack(outputs)
    ends = zip(state, as_arrays(given.d_state_n), strict=True)
    loss = (output * torch.tensor(given.d_output)).sum() + sum((s * torch.tensor(d[0])).sum() for s, d in ends)
    loss.backward()
    results = {"output": output.detach().numpy(), "d_x": x.grad.numpy()}
    results |= {f"state_n[{k}]": s.detach().numpy()[None] for k, s in enumerate(state)}
    results |= {f"d_state_0[{k}]": s.grad.numpy() for k, s in enumerate(start)}
    return results | {f"d_{name}_l0": v.grad.numpy() for name, v in w.items() if v.grad is not None}


@pytest.mark.parametrize("masked", [False, True], ids=["inference", "masks"])
@pytest.mark.parametrize("cell", VARIANTS)
def test_reference_of_variants_agrees_with_autograd_over_the_equations(cell, masked, rng):
    case = Case(cell, **ONE)
    params, given = random_params(case), data(case)
    masks = draw_masks(case, rng) if masked else None
    results = run_reference(case, params, given, masks=masks)
    expected = run_torch(case, params, given, masks[0] if masks else None)
    assert {name for name in params if name[:3] not in ("h_0", "c_0")} <= {name[2:] for name in expected}
    for name, value in expected.items():
        assert_near(results[name], value, 1e-12, name)


# ONNX Runtime. Its gates stand in the orders i, o, f, c and z, r, h; its peepholes in the order i, o, f.
IOFC, ZRH, IOF = (0, 3, 1, 2), (1, 0, 2), (0, 2, 1)
ONNX_NAMES = {
    "sigmoid": "Sigmoid",
    "tanh": "Tanh",
    "relu": "Relu",
    "softsign": "Softsign",
    "softplus": "Softplus",
    "affine": "Affine",
    "leaky_relu": "LeakyRelu",
    "thresholded_relu": "ThresholdedRelu",
    "scaled_tanh": "ScaledTanh",
    "hard_sigmoid": "HardSigmoid",
    "elu": "Elu",
}


def onnx_activations(names):
    """The attributes that stand for our `activations`; the lists hold values of those functions only that have any."""
    split = [(name,) if isinstance(name, str) else name for name in names]
    attributes = {"activations": [ONNX_NAMES[name] for name, *_ in split]}
    for k, attribute in enumerate(("activation_alpha", "activation_beta")):
        if values := [p[k] for _, *p in split if len(p) > k]:
            attributes[attribute] = values
    return attributes


def run_onnx(operator, params, x, order, **attributes):
    """The output of one operator of one direction, by ONNX Runtime in float32."""
    onnx = pytest.importorskip("onnx", reason="onnx is not installed: pip install fastrnn[onnx]")
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: pip install fastrnn[peers]")

    def permuted(name, gates=order):
        blocks = np.split(params[name], len(gates))
        return np.concatenate([blocks[k] for k in gates]).astype("float32")

    hidden_size = params["weight_hh_l0"].shape[1]
    feeds = {"X": x.astype("float32"), "W": permuted("weight_ih_l0")[None], "R": permuted("weight_hh_l0")[None]}
    feeds["B"] = np.concatenate([permuted("bias_ih_l0"), permuted("bias_hh_l0")])[None]
    names = list(feeds)
    if "peephole_l0" in params:
        feeds["P"] = permuted("peephole_l0", IOF)[None]
        names += ["", "", "", "P"]
    node = onnx.helper.make_node(operator, names, ["Y"], hidden_size=hidden_size, **attributes)
    values = [onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, a.shape) for n, a in feeds.items()]
    output = onnx.helper.make_tensor_value_info("Y", onnx.TensorProto.FLOAT, None)
    graph = onnx.helper.make_graph([node], "one", values, [output])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 14)], ir_version=8)
    session = runtime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (y,) = session.run(["Y"], feeds)
    return y[:, 0]


def named_activations(n):
    """Every activation that ONNX has, once in each of `n` places."""
    names = [name for name in ACTIVATIONS if name != "identity"]
    return [tuple(names[(k + 5 * place) % len(names)] for place in range(n)) for k in range(len(names))]


@pytest.mark.parametrize("clip", [None, 0.5], ids=["plain", "clip"])
@pytest.mark.parametrize("operator", ["RNN", "GRU", "LSTM"])
def test_reference_of_activations_and_clip_agrees_with_onnx_runtime(operator, clip):
    n, order = {"RNN": (1, (0,)), "GRU": (2, ZRH), "LSTM": (3, IOFC)}[operator]
    case = Case({"RNN": "rnn-tanh", "GRU": "gru-before", "LSTM": "lstm"}[operator], **ONE)
    params, given = random_params(case), data(case)
    params = {name: 0.5 * w for name, w in params.items()}  # so that no softplus overflows in float32
    for activations, after in itertools.product(named_activations(n), (0, 1) if operator == "GRU" else (None,)):
        options = {"activations": activations, "clip": clip} | ({} if after is None else {"reset_after": bool(after)})
        (output, _, _), _ = stack.forward(params, given.x, cell=KINDS[case.cell].reference, **options)
        attributes = onnx_activations(activations) | ({} if clip is None else {"clip": clip})
        attributes |= {} if after is None else {"linear_before_reset": after}
        found = run_onnx(operator, params, given.x, order, **attributes)
        assert_near(found.astype("float64"), output, 4e-6, f"{activations}, reset_after={after}")


@pytest.mark.parametrize("clip", [None, 0.5], ids=["plain", "clip"])
@pytest.mark.parametrize("coupled", [False, True], ids=["free", "coupled"])
@pytest.mark.parametrize("peepholes", [False, True], ids=["blind", "peepholes"])
def test_reference_of_peepholes_and_coupled_gates_agrees_with_onnx_runtime(peepholes, coupled, clip):
    """With input_forget the operator has rows of a forget gate that it does not use."""
    case = Case("lstm-peepholes" if peepholes else "lstm", **ONE)
    params, given = random_params(case), data(case)
    attributes = {"input_forget": int(coupled)} | ({} if clip is None else {"clip": clip})
    found = run_onnx("LSTM", params, given.x, IOFC, **attributes)
    if coupled:
        params = {name: without_forget_gate(w, 3 if "peephole" in name else 4) for name, w in params.items()}
    (output, _, _), _ = stack.forward(params, given.x, cell="lstm", coupled_gates=coupled, clip=clip)
    assert_near(found.astype("float64"), output, 4e-6, "output")


def without_forget_gate(w, n_gates):
    blocks = np.split(w, n_gates)
    return np.concatenate([blocks[0], *blocks[2:]])
