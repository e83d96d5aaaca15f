"""Swapping torch's recurrent layers in place: what stays, what comes back, what is refused."""

import copy
import io
import pickle

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: pip install fastrnn[peers]")

import fastrnn.bridges.torch as bridge
from fastrnn.bridges import accelerate

nn = torch.nn
KINDS = ("LSTM", "GRU", "RNN")


class Tagger(nn.Module):
    """An embedding, a recurrent layer and a linear one."""

    def __init__(self, kind="GRU", **options):
        super().__init__()
        self.embed = nn.Embedding(11, 5)
        self.body = nn.ModuleDict({"rnn": getattr(nn, kind)(5, 8, **options)})
        self.head = nn.Linear(8, 3)

    def forward(self, tokens):
        return self.head(self.body["rnn"](self.embed(tokens))[0])


@pytest.fixture
def tokens():
    return torch.randint(11, (7, 4), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("kind", KINDS)
def test_accelerate_swaps_nested_layers_in_place_and_undo_puts_them_back(kind, tokens):
    model = Tagger(kind, num_layers=2)
    layer, before = model.body["rnn"], model(tokens)
    plain_attributes = set(vars(layer))
    assert accelerate(model) is model
    assert type(layer).__name__ == f"Accelerated{kind}" and isinstance(layer, getattr(nn, kind))
    torch.testing.assert_close(model(tokens), before, rtol=0, atol=2e-6)
    assert accelerate(model, undo=True) is model
    assert type(layer) is getattr(nn, kind) and set(vars(layer)) == plain_attributes
    assert torch.equal(model(tokens), before)


def test_a_model_that_is_a_recurrent_layer_comes_back_swapped():
    lstm = nn.LSTM(3, 4)
    assert accelerate(lstm) is lstm
    assert isinstance(lstm, bridge.AcceleratedLSTM)


def test_accelerate_and_undo_may_be_called_again():
    model = Tagger()
    kinds = [type(layer) for layer in accelerate(accelerate(model)).modules()]
    assert kinds.count(bridge.AcceleratedGRU) == 1
    kinds = [type(layer) for layer in accelerate(accelerate(model, undo=True), undo=True).modules()]
    assert kinds.count(nn.GRU) == 1


def test_parameters_and_state_dict_are_the_same_objects_and_keys():
    model = Tagger("LSTM", bidirectional=False)
    parameters, keys = list(model.parameters()), list(model.state_dict())
    accelerate(model)
    assert all(mine is theirs for mine, theirs in zip(model.parameters(), parameters, strict=True))
    assert list(model.state_dict()) == keys
    Tagger("LSTM").load_state_dict(model.state_dict())


def test_an_optimiser_made_before_goes_on_with_the_same_losses(tokens):
    torch.manual_seed(0)
    plain = Tagger("LSTM", num_layers=2, dropout=0.3)
    ours = copy.deepcopy(plain)
    losses = {}
    for name, model in (("plain", plain), ("ours", ours)):
        optimiser = torch.optim.Adam(model.parameters(), 0.01)
        torch.manual_seed(1)
        losses[name] = []
        for step in range(20):
            if step == 5 and name == "ours":
                accelerate(model)
            loss = nn.functional.cross_entropy(model(tokens).flatten(0, 1), tokens.flatten() % 3)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses[name].append(loss.item())
    np.testing.assert_allclose(losses["ours"], losses["plain"], rtol=2e-5)
    assert losses["ours"][-1] < 0.95 * losses["ours"][0]


WRITES = {
    "in place": lambda w: w.mul_(1.5),
    "through .data": lambda w: w.data.mul_(1.5),
    "one element through .data": lambda w: w.data[-1, -1].add_(3.0),
    "through NumPy": lambda w: np.multiply(w.detach().numpy(), 1.5, out=w.detach().numpy()),
    "by new data": lambda w: setattr(w, "data", w.data * 1.5),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_weights_written_in_any_way_are_seen_by_the_next_call(write):
    torch.manual_seed(0)
    plain = nn.LSTM(3, 8)
    ours, x = accelerate(copy.deepcopy(plain)), torch.randn(5, 2, 3)
    with torch.no_grad():
        before = ours(x)[0]
        for layer in (plain, ours):
            write(layer.weight_hh_l0)
        after = ours(x)[0]
        assert (after - before).abs().max() > 1e-3
        torch.testing.assert_close(after, plain(x)[0], rtol=0, atol=2e-6)


def test_a_replaced_parameter_and_a_loaded_state_dict_are_seen():
    plain, ours, x = nn.GRU(3, 4), accelerate(nn.GRU(3, 4)), torch.randn(5, 2, 3)
    ours(x)
    ours.load_state_dict(plain.state_dict())
    torch.testing.assert_close(ours(x)[0], plain(x)[0], rtol=0, atol=1e-6)
    plain.weight_ih_l0 = ours.weight_ih_l0 = nn.Parameter(torch.randn(12, 3))
    torch.testing.assert_close(ours(x)[0], plain(x)[0], rtol=0, atol=1e-6)


def test_the_precision_of_a_model_may_change():
    plain = nn.GRU(3, 4)
    ours, x = accelerate(copy.deepcopy(plain)), torch.randn(5, 2, 3)
    ours(x)
    torch.testing.assert_close(ours.double()(x.double())[0], plain.double()(x.double())[0], rtol=0, atol=1e-14)


@pytest.mark.parametrize("copied", ["deepcopy", "pickle", "torch.save"])
def test_copies_are_accelerated_and_own_their_weights(copied, tokens):
    model = accelerate(Tagger())
    before = model(tokens)
    if copied == "deepcopy":
        twin = copy.deepcopy(model)
    elif copied == "pickle":
        twin = pickle.loads(pickle.dumps(model))
    else:
        file = io.BytesIO()
        torch.save(model, file)
        file.seek(0)
        twin = torch.load(file, weights_only=False)
    assert type(twin.body["rnn"]) is bridge.AcceleratedGRU
    assert torch.equal(twin(tokens), before)
    with torch.no_grad():
        twin.body["rnn"].weight_hh_l0.zero_()
    assert not torch.equal(twin(tokens), before) and torch.equal(model(tokens), before)


def test_packed_weights_are_not_pickled():
    layer = accelerate(nn.GRU(3, 64))
    before = len(pickle.dumps(layer))
    layer(torch.randn(2, 1, 3))
    assert len(pickle.dumps(layer)) == before


def test_hooks_parametrisations_and_functional_calls_go_on():
    torch.manual_seed(0)
    plain = nn.GRU(3, 4)
    ours, x, calls = accelerate(copy.deepcopy(plain)), torch.randn(5, 2, 3), []
    ours.register_forward_hook(lambda *_: calls.append(1))
    doubled = {name: 2 * w.detach() for name, w in plain.named_parameters()}
    found, expected = (torch.func.functional_call(layer, doubled, (x,))[0] for layer in (ours, plain))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    for layer in (plain, ours):
        torch.manual_seed(1)
        torch.nn.utils.parametrizations.weight_norm(layer, "weight_hh_l0")
        layer(x)[0].sum().backward()
    gradients = [layer.parametrizations.weight_hh_l0.original1.grad for layer in (ours, plain)]
    torch.testing.assert_close(*gradients, rtol=0, atol=1e-5)
    assert len(calls) == 2
    with pytest.raises(ValueError, match=r"^undo is True, but ParametrizedAcceleratedGRU got another class since"):
        accelerate(ours, undo=True)


@pytest.mark.parametrize("kind", KINDS)
def test_contiguous_tensors_share_their_memory_with_the_arrays_of_the_kernels(kind, monkeypatch):
    layer, seen = accelerate(getattr(nn, kind)(3, 4)), []
    ours = type(layer._layer(list(layer.parameters())))
    forward = ours.forward

    def spy(self, x, *arguments, **keywords):
        (output, state_n), backward = forward(self, x, *arguments, **keywords)
        seen.extend((x, output))
        return (output, state_n), backward

    monkeypatch.setattr(ours, "forward", spy)
    x = torch.randn(5, 2, 3)
    output, _ = layer(x)
    assert np.shares_memory(seen[0], x.numpy()) and np.shares_memory(seen[1], output.detach().numpy())


def test_layers_of_derived_classes_are_left_alone_with_a_warning():
    class Odd(nn.LSTM):
        pass

    model = nn.ModuleDict({"odd": Odd(3, 4), "plain": nn.GRU(3, 4)})
    with pytest.warns(UserWarning, match=r"^left alone, .* derived from torch's .*: odd \(Odd\)$"):
        accelerate(model)
    assert type(model["odd"]) is Odd and type(model["plain"]) is bridge.AcceleratedGRU


def test_a_model_without_a_layer_to_swap_is_refused_and_cells_are_named():
    with pytest.raises(ValueError, match=r"^model is Linear without a layer to swap, expected an nn.LSTM"):
        accelerate(nn.Linear(3, 4))
    with pytest.raises(ValueError, match=r"; left alone: 1 \(LSTMCell\)$"):
        accelerate(nn.Sequential(nn.Linear(3, 3), nn.LSTMCell(3, 4)))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, about torch.jit
def test_what_is_no_torch_module_is_refused():
    with pytest.raises(
        TypeError, match=r"^model is an object of type dict, expected a torch.nn.Module or a model of Keras 3$"
    ):
        accelerate({})
    with pytest.raises(TypeError, match=r"^model is an object of type Tensor, expected a torch.nn.Module"):
        accelerate(torch.ones(3))
    with pytest.raises(TypeError, match=r"^model is an object of type TopLevelTracedModule, .* in Python code$"):
        accelerate(torch.jit.trace(nn.Linear(2, 2), torch.ones(2)))


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        (lambda m: m.half(), TypeError, r"weight_ih_l0 of body.rnn \(GRU\) has dtype torch.float16, expected torch.fl"),
        (lambda m: m.bfloat16(), TypeError, r"body.rnn \(GRU\) has dtype torch.bfloat16"),
        (lambda m: m.to("meta"), ValueError, r"weight_ih_l0 of body.rnn \(GRU\) is on meta, expected cpu"),
    ],
)
def test_other_dtypes_and_devices_are_refused_before_anything_is_swapped(change, error, match):
    model = change(Tagger())
    with pytest.raises(error, match=match):
        accelerate(model)
    assert type(model.body["rnn"]) is nn.GRU
    model = change(accelerate(Tagger()))
    with pytest.raises(error, match=match.replace(r"body.rnn \(GRU\)", "AcceleratedGRU")):
        model.body["rnn"](torch.randn(2, 1, 5, dtype=torch.float16))


def test_one_weight_of_another_dtype_is_named():
    layer = accelerate(nn.GRU(3, 4))
    layer.bias_hh_l0 = nn.Parameter(torch.zeros(12, dtype=torch.float64))
    with pytest.raises(
        TypeError, match=r"^bias_hh_l0 of AcceleratedGRU has dtype torch.float64, expected torch.float32"
    ):
        layer(torch.randn(2, 1, 3))


@pytest.mark.parametrize(
    ("kind", "arguments", "error", "match"),
    [
        (
            "GRU",
            lambda x, h: (x.double(),),
            TypeError,
            r"input has dtype torch.float64, expected torch.float32, as the",
        ),
        ("GRU", lambda x, h: (x.to("meta"),), ValueError, r"input is on meta, expected cpu"),
        ("GRU", lambda x, h: (x.numpy(),), TypeError, r"input is an object of type ndarray, expected a torch.Tensor"),
        ("GRU", lambda x, h: (x.to_sparse(),), TypeError, r"input has layout torch.sparse_coo, expected torch.strided"),
        ("GRU", lambda x, h: (x[..., :2],), ValueError, r"input has shape \(5, 2, 2\), .*input_size\) = .* 3\)$"),
        ("GRU", lambda x, h: (x[0, 0],), ValueError, r"input has shape \(3,\), expected \(seq_len, batch_size, inp"),
        ("GRU", lambda x, h: (x, (h, h)), TypeError, r"hx is an object of type tuple, expected a torch.Tensor"),
        ("GRU", lambda x, h: (x, h[:, :1]), ValueError, r"hx has shape \(1, 1, 4\), .* = \(1, 2, 4\)"),
        ("GRU", lambda x, h: (x[:, 0], h), ValueError, r"hx has shape \(1, 2, 4\), .* = \(1, 4\)"),
        ("LSTM", lambda x, h: (x, h), TypeError, r"hx is an object of type Tensor, expected a pair \(h_0, c_0\)"),
        ("LSTM", lambda x, h: (x, (h, h[..., :2])), ValueError, r"hx\[1\] has shape \(1, 2, 2\), expected"),
    ],
)
def test_wrong_arguments_are_named_with_what_was_expected(kind, arguments, error, match):
    layer = accelerate(getattr(nn, kind)(3, 4))
    with pytest.raises(error, match=f"^{match}"):
        layer(*arguments(torch.randn(5, 2, 3), torch.randn(1, 2, 4)))


def test_a_packed_batch_refuses_a_state_of_another_batch_size():
    packed = torch.nn.utils.rnn.pack_sequence([torch.randn(3, 3), torch.randn(2, 3)])
    with pytest.raises(ValueError, match=r"^hx has shape \(1, 3, 4\), expected .* = \(1, 2, 4\)$"):
        accelerate(nn.GRU(3, 4))(packed, torch.zeros(1, 3, 4))


def test_autocast_is_refused_where_it_reaches_the_layer():
    model = accelerate(nn.Sequential(nn.Linear(3, 3), nn.GRU(3, 4)))
    with torch.autocast("cpu", torch.bfloat16), pytest.raises(TypeError, match=r"autocast does not reach"):
        model(torch.randn(5, 2, 3))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize(
    ("use", "error"),
    [
        (lambda layer, x: torch.jit.script(layer), TypeError),
        (lambda layer, x: torch.jit.trace(layer, (x,)), RuntimeError),
        (lambda layer, x: torch.export.export(layer, (x,)), RuntimeError),
        (lambda layer, x: torch.func.grad(lambda x: layer(x)[0].sum())(x), RuntimeError),
    ],
    ids=["script", "trace", "export", "func"],
)
def test_graphs_that_cannot_hold_the_kernels_are_refused_with_the_way_out(use, error):
    with pytest.raises(error, match=r"an AcceleratedGRU\b.* call fastrnn.accelerate\(model, undo=True\) first"):
        use(accelerate(nn.GRU(3, 4)), torch.randn(5, 2, 3))


def test_a_compiled_model_runs_the_layer_outside_its_graphs(tokens):
    model = accelerate(Tagger())
    compiled = torch.compile(model, backend="eager")
    torch.testing.assert_close(compiled(tokens), model(tokens), rtol=0, atol=1e-6)
    model.body["rnn"].weight_hh_l0.data.mul_(2.0)
    torch.testing.assert_close(compiled(tokens), model(tokens), rtol=0, atol=1e-6)
