"""from_torch: agreement with torch, what is recognised, what is refused."""

import os
import random
from pathlib import Path

import numpy as np
import pytest
from cases import assert_same_bits

import fastrnn
from fastrnn.io import from_torch
from fastrnn.io.gates import ORDERS, reorder
from fastrnn.models import Network

torch = pytest.importorskip("torch", reason="torch is not installed: pip install fastrnn[peers]")
from torch import nn
from torch_agreement import TOLERANCES, draw, largest_difference

pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections")  # torch's own, about oneDNN
COUNT = int(os.environ.get("FASTRNN_TORCH_CASES", "60"))


@pytest.mark.parametrize("seed", range(COUNT))
def test_random_configurations_agree_in_outputs_and_gradients(seed, tmp_path):
    configuration = draw(seed)
    assert largest_difference(configuration, tmp_path) <= TOLERANCES[configuration.dtype], str(configuration)


# modules


def chain(batch_first=True):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Embedding(9, 5, padding_idx=0),
        nn.LayerNorm(5),
        nn.Sequential(nn.Linear(5, 6), nn.ReLU(), nn.Dropout(0.3), nn.Linear(6, 6, bias=False), nn.Identity()),
        nn.GRU(6, 7, num_layers=2, batch_first=batch_first, bidirectional=True, dropout=0.2),
    )


def test_a_sequential_runs_as_a_whole(rng):
    module = chain().eval()
    tokens = rng.integers(0, 9, (3, 8))
    with torch.no_grad():
        expected, h_n = module(torch.tensor(tokens))
    net = from_torch(module)
    assert net.batch_first
    y, (state,) = net.run(tokens)
    np.testing.assert_allclose(y, expected.numpy(), atol=2e-6)
    np.testing.assert_allclose(state, h_n.numpy(), atol=2e-6)


ACTIVATIONS = [
    *(nn.ReLU(), nn.LeakyReLU(0.2), nn.ELU(0.5), nn.Tanh(), nn.Sigmoid(), nn.SiLU(), nn.Hardsigmoid(), nn.Hardtanh()),
    *(nn.Softsign(), nn.Softplus(), nn.Softmax(dim=-1), nn.LogSoftmax(dim=-1)),
]


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=lambda module: type(module).__name__)
def test_activations_give_what_torch_gives(activation, rng):
    module = nn.Sequential(nn.Linear(4, 5), activation).double()
    x = 4 * rng.standard_normal((6, 3, 4))
    expected = module(torch.tensor(x)).detach().numpy()
    np.testing.assert_allclose(from_torch(module).run(x)[0], expected, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("options", [{}, {"stride": 2, "padding": 2}, {"padding": "same", "dilation": 2}])
def test_convolutions_read_features_last(options, rng):
    module = nn.Sequential(nn.Conv1d(3, 4, 3, **options), nn.Tanh(), nn.Conv1d(4, 2, 2)).double()
    x = rng.standard_normal((5, 11, 3))
    expected = module(torch.tensor(x).transpose(1, 2)).detach().transpose(1, 2).numpy()
    np.testing.assert_allclose(from_torch(module, batch_first=True).run(x)[0], expected, atol=1e-13)


class Own(nn.Module):
    """A forward of its own."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.ModuleDict({"lstm": nn.LSTM(3, 4, 2, bidirectional=True)})
        self.head = nn.Linear(8, 2)

    def forward(self, x):
        return self.head(self.encoder["lstm"](x)[0])


def hooked(module):
    module.register_forward_hook(lambda *_: None)
    return module


def test_what_cannot_be_carried_over_is_refused_by_name():
    class Doubled(nn.GRU):
        def forward(self, x):
            return 2 * super().forward(x)[0]

    refused = {
        r"Own, whose forward is its own .* prefix='encoder.lstm.', or fastrnn.accelerate": Own(),
        r"module '1' is a .*Doubled, whose forward is its own": nn.Sequential(nn.Linear(3, 3), Doubled(3, 4)),
        r"module '1' is a torch.nn.modules.batchnorm.BatchNorm1d": nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)),
        r"module '0' is a torch.nn.modules.flatten.Flatten": nn.Sequential(nn.Flatten()),
        r"Embedding with max_norm=1.0": nn.Embedding(3, 4, max_norm=1.0),
        r"groups=2.*expected groups=1": nn.Conv1d(4, 4, 3, groups=2),
        r"padding_mode=circular.*expected groups=1": nn.Conv1d(4, 4, 3, padding=1, padding_mode="circular"),
        r"LayerNorm.*expected one axis": nn.LayerNorm((3, 4)),
        r"Softplus.* with \{'beta': 2.0\}, expected": nn.Softplus(beta=2.0),
        r"Softmax\(dim=1\) with \{'dim': 1\}, expected \{'dim': -1\}": nn.Softmax(dim=1),
        r"source has forward hooks": hooked(nn.Linear(3, 4)),
        r"source has forward hooks or parametrizations": nn.utils.parametrizations.weight_norm(nn.Linear(3, 4)),
        r"a Conv1d, which reads \(batch, channels, steps\), beside a LSTM": nn.Sequential(
            nn.Conv1d(3, 4, 3), nn.LSTM(4, 3)
        ),
        r"batch_first = \[True, False\], expected the same": nn.Sequential(
            nn.GRU(3, 4, batch_first=True), nn.GRU(4, 3)
        ),
        r"source is an empty Sequential": nn.Sequential(),
        r"'weight_ih_l0' of source has dtype complex64": {"weight_ih_l0": torch.zeros(4, 2, dtype=torch.complex64)}
        | {"weight_hh_l0": torch.zeros(4, 4)},
    }
    for message, module in refused.items():
        with pytest.raises(ValueError, match=message):
            from_torch(module)


def test_options_are_never_ignored():
    module, state = nn.RNN(3, 4, nonlinearity="tanh"), nn.LSTM(3, 4).state_dict()
    with pytest.raises(ValueError, match="nonlinearity is 'relu', but the module has another"):
        from_torch(module, nonlinearity="relu")
    with pytest.raises(ValueError, match="nonlinearity is 'relu', expected 'tanh': source holds an LSTM"):
        from_torch(state, nonlinearity="relu")
    with pytest.raises(ValueError, match="the RNN in layers has its own"):
        from_torch(module.state_dict(), layers=[("", fastrnn.RNN(3, 4))], nonlinearity="relu")
    with pytest.raises(ValueError, match="nonlinearity is 'gelu', expected one of"):
        from_torch(module, nonlinearity="gelu")
    with pytest.raises(ValueError, match="prefix is 'nothing', expected that of a submodule of RNN"):
        from_torch(module, prefix="nothing")
    with pytest.raises(TypeError, match="source is an object of type int"):
        from_torch(3)
    assert from_torch(nn.GRU(3, 4, batch_first=True), batch_first=False).batch_first is False
    assert from_torch(nn.GRU(3, 4), batch_first=True).batch_first is True


# state dicts


def test_a_prefix_picks_a_part_of_module_and_of_checkpoint(rng, tmp_path):
    module, x = Own(), rng.standard_normal((5, 2, 3)).astype(np.float32)
    torch.save({"model_state": module.state_dict(), "epoch": 3, "lr": [0.1]}, tmp_path / "checkpoint.pt")
    with torch.no_grad():
        expected = module.encoder["lstm"](torch.tensor(x))[0].numpy()
    nested = {"model_state": dict(module.state_dict())}
    for source, prefix in (
        (module, "encoder.lstm."),
        (module.state_dict(), "encoder.lstm."),
        (nested, "model_state.encoder.lstm."),
        (tmp_path / "checkpoint.pt", "model_state.encoder.lstm."),
    ):
        y, _ = from_torch(source, prefix=prefix).run(x)
        np.testing.assert_allclose(y, expected, atol=2e-6)


def test_layers_say_how_a_state_dict_follows_on(rng):
    module, x = Own(), rng.standard_normal((5, 2, 3)).astype(np.float32)
    lstm, dense = fastrnn.LSTM(3, 4, 2, bidirectional=True, random_state=0), fastrnn.Dense(8, 2, random_state=0)
    before = lstm.state_dict()
    net = from_torch(module.state_dict(), layers=[("encoder.lstm.", lstm), fastrnn.Dropout(0.5), ("head.", dense)])
    np.testing.assert_allclose(net.run(x)[0], module(torch.tensor(x)).detach().numpy(), atol=2e-6)
    for name, array in lstm.params.items():
        assert_same_bits(array, before[name])  # templates stay as they were
    by_modules = [("encoder.lstm.", nn.LSTM(3, 4, 2, bidirectional=True)), ("head.", nn.Linear(8, 2))]
    assert_same_bits(from_torch(module.state_dict(), layers=by_modules).run(x)[0], net.run(x)[0])
    cell = nn.Sequential(nn.GRUCell(3, 4), nn.Linear(4, 2))
    parts = [("0.", fastrnn.GRU(3, 4)), ("1.", fastrnn.Dense(4, 2))]
    step = from_torch(cell.state_dict(), layers=parts).run(x[:1])[0][0]
    np.testing.assert_allclose(step, cell(torch.tensor(x[0])).detach().numpy(), atol=2e-6)


def test_missing_and_unused_names_are_listed_with_a_guess_of_the_prefix():
    state = Own().state_dict()
    with pytest.raises(ValueError, match=r"'head.weight', 'head.bias'.* layers=.*; prefix='encoder.lstm.' would pick"):
        from_torch({k: state[k] for k in ("head.weight", "head.bias", "encoder.lstm.weight_ih_l0")})
    with pytest.raises(ValueError, match=r"source has no tensor whose name begins with 'decoder.'.*'encoder.lstm.'"):
        from_torch(state, prefix="decoder.")
    lstm = nn.LSTM(3, 4, 2).state_dict()
    del lstm["weight_hh_l1"]
    with pytest.raises(ValueError, match="source lacks 'weight_hh_l1'"):
        from_torch(lstm)
    with pytest.raises(ValueError, match="source has 'head.weight', 'head.bias', which no layer uses"):
        from_torch(state, layers=[("encoder.lstm.", fastrnn.LSTM(3, 4, 2, bidirectional=True))])
    with pytest.raises(
        ValueError, match=r"'weight_hh_l0' of source has shape \(10, 4\), expected hidden_size = 4 times"
    ):
        from_torch({"weight_ih_l0": np.zeros((10, 3)), "weight_hh_l0": np.zeros((10, 4))})
    with pytest.raises(ValueError, match=r"'weight_ih_l0' of source has shape \(9, 3\), expected \(12, 3\)"):
        from_torch({"weight_ih_l0": np.zeros((9, 3)), "weight_hh_l0": np.zeros((12, 4))})
    with pytest.raises(ValueError, match="names of a cell and of a layer"):
        from_torch({"weight_ih": np.zeros((9, 3)), "weight_hh_l0": np.zeros((12, 4))})
    with pytest.raises(ValueError, match="stands twice in source"):
        from_torch({"a.b": np.zeros(3), "a": {"b": np.zeros(3)}})


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_halves_become_singles_with_the_same_values(dtype, tmp_path):
    module = nn.GRU(3, 4).to(getattr(torch, dtype))
    expected = module.float().state_dict()
    state = {name: w.to(getattr(torch, dtype)) for name, w in expected.items()}
    torch.save(state, tmp_path / "a.pt")
    import safetensors.torch

    safetensors.torch.save_file(state, tmp_path / "a.safetensors")
    for source in (state, tmp_path / "a.pt", tmp_path / "a.safetensors"):
        net = from_torch(source)
        assert net.dtype == np.float32
        assert net.notes == (f"weights were stored as {dtype}, and are held exactly",)
        for name, w in expected.items():
            assert_same_bits(net.params[name], w.numpy())


def test_doubles_are_not_rounded():
    state = nn.Linear(3, 4).double().state_dict()
    with pytest.raises(
        ValueError, match=r"'weight' of source has dtype float64, which float32 does not hold; make the"
    ):
        from_torch(state, layers=[("", fastrnn.Dense(3, 4))])
    net = from_torch(state, layers=[("", fastrnn.Dense(3, 4, dtype="float64"))])
    assert_same_bits(net.params["weight"], state["weight"].numpy())


def test_a_network_keeps_no_hold_of_the_module():
    module, x = nn.GRU(3, 4), np.ones((5, 2, 3), np.float32)
    net = from_torch(module)
    before = net.run(x)[0]
    with torch.no_grad():
        module.weight_hh_l0.zero_()
    assert_same_bits(net.run(x)[0], before)


# gates


@pytest.mark.parametrize("source", ORDERS)
def test_gates_go_there_and_back(source):
    for cell, order in ORDERS[source].items():
        w = np.arange(2 * len(order) * 3).reshape(2 * len(order), 3)
        ours = reorder(w, source, cell)
        letters = np.repeat(list(order), 2)
        expected = [w[letters == gate] for gate in ORDERS["torch"][cell]]
        np.testing.assert_array_equal(ours, np.concatenate(expected))
        np.testing.assert_array_equal(reorder(ours, "torch", cell, target=source), w)
        np.testing.assert_array_equal(reorder(w.T, source, cell, axis=1), ours.T)
    with pytest.raises(ValueError, match="source is 'caffe', expected one of"):
        reorder(np.zeros(4), "caffe", "lstm")


# models that packages ship: FASTRNN_MODELS names a folder with their files


def shipped(name):
    path = Path(os.environ.get("FASTRNN_MODELS", "")) / name
    if not os.environ.get("FASTRNN_MODELS") or not path.exists():
        pytest.skip(f"FASTRNN_MODELS names no folder with {name}")
    return path


def test_the_recurrent_part_of_silero_vad_agrees_with_torch(rng):
    path = shipped("silero_vad_16k.safetensors")
    net = from_torch(path, prefix="lstm_cell.")
    from safetensors.torch import load_file

    cell = nn.LSTMCell(128, 128)
    cell.load_state_dict({k[10:]: w for k, w in load_file(path).items() if k.startswith("lstm_cell.")})
    x = np.abs(rng.standard_normal((1875, 1, 128))).astype(np.float32)  # a minute of 32 ms chunks, behind a relu
    state, expected = None, []
    with torch.no_grad():
        for step in torch.tensor(x):
            state = cell(step, state)
            expected.append(state[0].numpy())
    np.testing.assert_allclose(net.run(x)[0], np.stack(expected), atol=1e-5)


def test_g2p_en_spells_as_its_own_loop_does():
    weights = dict(np.load(shipped("checkpoint20.npz")))
    from benchmarks.real_models import Speller, own_loop

    words = ["".join(random.Random(k).choices("etaoinshrdlu", k=2 + k % 11)) for k in range(60)]
    expected = [own_loop(weights, word) for word in words]
    for speller in (Speller(weights), Speller(weights, folded=True)):
        assert speller.spell_all(words) == expected
        assert [speller.spell(word) for word in words] == expected
    assert isinstance(speller.encoder, Network)


# weights out


@pytest.mark.parametrize(
    "ours, theirs",
    [
        (
            lambda: fastrnn.LSTM(3, 8, 2, bidirectional=True, proj_size=4),
            lambda: nn.LSTM(3, 8, 2, bidirectional=True, proj_size=4),
        ),
        (lambda: fastrnn.GRU(3, 8, bias=False), lambda: nn.GRU(3, 8, bias=False)),
        (lambda: fastrnn.RNN(3, 8, nonlinearity="relu"), lambda: nn.RNN(3, 8, nonlinearity="relu")),
        (lambda: fastrnn.LayerNorm(5), lambda: nn.LayerNorm(5)),
        (lambda: fastrnn.Conv1d(3, 4, 3), lambda: nn.Conv1d(3, 4, 3)),
        (
            lambda: fastrnn.Sequential(fastrnn.Embedding(7, 3), fastrnn.Dense(3, 2)),
            lambda: nn.Sequential(nn.Embedding(7, 3), nn.Linear(3, 2)),
        ),
    ],
)
def test_weights_are_loaded_by_torch_under_its_names(ours, theirs):
    layer, module = ours(), theirs()
    weights = fastrnn.state_dict(layer)
    module.load_state_dict({name: torch.from_numpy(w) for name, w in weights.items()})
    for name, tensor in module.state_dict().items():
        np.testing.assert_array_equal(tensor.numpy(), weights[name])


@pytest.mark.parametrize(
    "layer, words",
    [
        (lambda: fastrnn.LSTM(2, 3, peepholes=True), "peepholes, which torch.nn.LSTM does not have"),
        (lambda: fastrnn.LSTM(2, 3, coupled_gates=True), "coupled gates"),
        (lambda: fastrnn.GRU(2, 3, reset_after=False), "the reset gate before the product"),
        (lambda: fastrnn.GRU(2, 3, zoneout=0.1), "zoneout"),
        (lambda: fastrnn.RNN(2, 3, activations=["softsign"]), "other activations"),
        (lambda: fastrnn.Sequential(fastrnn.GRU(2, 3), fastrnn.AttentionPool(3)), "layer 1 .* torch.nn does not have"),
    ],
)
def test_what_torch_cannot_hold_is_refused_by_name(layer, words):
    with pytest.raises(ValueError, match=words):
        fastrnn.state_dict(layer())


def test_weights_of_an_estimator_are_those_of_its_network():
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    x = np.random.default_rng(0).standard_normal((12, 5, 2))
    model = fastrnn.GRURegressor((4,), max_iter=2, tol=1e6, n_iter_no_change=1).fit(x, x[:, -1, 0])
    weights = fastrnn.state_dict(model)
    assert weights["0.weight_hh_l0"].shape == (12, 4)
    np.testing.assert_array_equal(weights["2.weight"], model.network_.params["2.weight"])
    with pytest.raises(TypeError, match="expected a layer, a Sequential, a Network or a fitted estimator"):
        fastrnn.state_dict(fastrnn.GRURegressor())
