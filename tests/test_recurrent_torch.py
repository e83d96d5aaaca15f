"""Layers agree with torch.nn, where torch has the cell: outputs, states, gradients, names and defaults."""

import inspect

import numpy as np
import pytest
from cases import (
    CELLS,
    DTYPES,
    Case,
    as_arrays,
    as_state,
    assert_all_close,
    build,
    data,
    matrix,
    named,
    over,
    run_layer,
)

import fastrnn

torch = pytest.importorskip("torch", reason="torch is not installed: pip install fastrnn[peers]")

pytestmark = pytest.mark.usefixtures("exact_threads")

IN_TORCH = tuple(name for name, cell in CELLS.items() if cell.in_torch)


def build_torch(case):
    """The torch.nn twin of a case, with weights of its own."""
    cell = CELLS[case.cell]
    options = {name: value for name, value in cell.options.items() if name != "reset_after"}
    options |= {"proj_size": case.output_size} if cell.projected else {}
    torch.manual_seed(case.seed)
    return getattr(torch.nn, cell.layer)(
        case.input_size,
        case.width,
        num_layers=case.num_layers,
        bias=case.bias,
        bidirectional=case.bidirectional,
        dtype=getattr(torch, case.dtype),
        **options,
    )


def run_torch(twin, given):
    """What `cases.run_layer` returns, by torch."""
    x = torch.tensor(np.nan_to_num(given.x), requires_grad=True)
    state_0 = [torch.tensor(a, requires_grad=True) for a in as_arrays(given.state_0)]
    if given.lengths is None:
        output, state_n = twin(x, as_state(state_0))
    else:
        lengths = torch.tensor(given.lengths)
        packed = torch.nn.utils.rnn.pack_padded_sequence(x, lengths, enforce_sorted=False)
        output, state_n = twin(packed, as_state(state_0))
        output, _ = torch.nn.utils.rnn.pad_packed_sequence(output, total_length=len(x))
    ends = zip(as_arrays(state_n), as_arrays(given.d_state_n), strict=True)
    loss = sum((s * torch.tensor(d)).sum() for s, d in ends)
    loss = loss + (output * torch.tensor(np.nan_to_num(given.d_output))).sum()
    loss.backward()
    output, state_n = output.detach().numpy(), as_state([s.detach().numpy() for s in as_arrays(state_n)])
    results = {"output": output, "forward output": output, "d_x": x.grad.numpy()}
    results |= {**named("state_n", state_n), **named("forward state_n", state_n)}
    results |= named("d_state_0", as_state([s.grad.numpy() for s in state_0]))
    return results | {f"d_{name}": w.grad.numpy() for name, w in twin.named_parameters()}


@pytest.mark.filterwarnings("ignore:LSTM with projections")  # torch's own, about oneDNN
@over(matrix(cells=IN_TORCH, engines=("native",), with_state=True))
def test_layer_agrees_with_torch(case):
    layer, twin, given = build(case), build_torch(case), data(case, min_length=1)
    layer.load_state_dict(twin.state_dict())
    results = run_layer(layer, given, n_threads=case.n_threads)
    results.pop("cells", None)  # torch has them not
    assert_all_close(results, run_torch(twin, given), case.dtype)


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "nobias"])
@pytest.mark.parametrize("cell", IN_TORCH)
def test_parameters_have_the_names_order_and_shapes_of_torch(cell, bias):
    case = Case(cell, bidirectional=True, num_layers=2, bias=bias)
    expected = {name: tuple(w.shape) for name, w in build_torch(case).state_dict().items()}
    assert [(name, w.shape) for name, w in build(case).params.items()] == list(expected.items())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("cell", IN_TORCH)
def test_state_dict_goes_to_torch_and_back_unchanged(cell, dtype):
    case = Case(cell, dtype, bidirectional=True, num_layers=2)
    layer, twin = build(case), build_torch(case)
    sent = layer.state_dict()
    twin.load_state_dict({name: torch.from_numpy(w) for name, w in layer.state_dict().items()})
    layer.load_state_dict({name: np.zeros_like(w) for name, w in sent.items()})
    layer.load_state_dict(twin.state_dict())
    for name, w in layer.state_dict().items():
        np.testing.assert_array_equal(w, sent[name])


@pytest.mark.parametrize("cell", ["lstm", "gru-after", "rnn-tanh"])
def test_unbatched_call_has_the_shapes_of_torch(cell):
    case = Case(cell, bidirectional=True, num_layers=2)
    layer, twin, given = build(case), build_torch(case), data(case)
    layer.load_state_dict(twin.state_dict())
    x, state_0 = given.x[:, 0], as_state([a[:, 0] for a in as_arrays(given.state_0)])
    output, state_n = layer(x, state_0)
    with torch.no_grad():
        expected, expected_n = twin(torch.tensor(x), as_state([torch.tensor(a) for a in as_arrays(state_0)]))
    results = {"output": output, **named("state_n", state_n)}
    expected_n = as_state([s.numpy() for s in as_arrays(expected_n)])
    assert_all_close(results, {"output": expected.numpy(), **named("state_n", expected_n)}, case.dtype)


@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
def test_positional_arguments_have_the_order_and_defaults_of_torch(name):
    """torch.nn spells them out in a docstring and in `RNNBase`; here they are a signature."""
    base = inspect.signature(torch.nn.modules.rnn.RNNBase.__init__).parameters
    ours = inspect.signature(getattr(fastrnn, name).__init__).parameters
    common = [key for key in base if key in ours and key not in ("self", "dtype")]
    if name != "LSTM":
        common = [key for key in common if key != "proj_size"]
    assert [key for key in ours if key in common] == common
    assert common[:3] == ["input_size", "hidden_size", "num_layers"]
    for key in common[2:]:
        assert ours[key].default == base[key].default, key
    if name == "RNN":  # stands before bias, as in torch.nn.RNN
        assert list(ours).index("nonlinearity") == list(ours).index("bias") - 1


@pytest.mark.parametrize("cell", IN_TORCH)
def test_initial_weights_are_uniform_within_the_bound_of_torch(cell):
    case = Case(cell, hidden_size=64, input_size=33)
    kind, options = CELLS[cell].layer, dict(CELLS[cell].options)
    options |= {"proj_size": case.output_size} if CELLS[cell].projected else {}
    layer = getattr(fastrnn, kind)(33, 64, random_state=0, dtype="float64", **options)
    twin = build_torch(case)
    for name, w in layer.params.items():
        bound = np.abs(twin.state_dict()[name].numpy()).max()
        assert np.abs(w).max() == pytest.approx(bound, rel=0.1)
        assert w.std() == pytest.approx(bound / np.sqrt(3), rel=0.15)
        assert abs(w.mean()) < 0.2 * bound
