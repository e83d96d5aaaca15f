"""Network: running, axes, batches, threads, immutability, files."""

import copy
import pickle
import threading

import numpy as np
import pytest
from cases import assert_same_bits, ragged_lengths, run_script
from network_cases import classifier, speller, tagger
from storage_cases import LAYERS

import fastrnn
from fastrnn.layers import Activation, Conv1d
from fastrnn.models import Network
from fastrnn.storage import FileFormatError

# running


def test_run_gives_the_bits_of_the_layers_in_either_order_of_axes(rng):
    x, lengths = rng.standard_normal((9, 4, 3)).astype(np.float32), [9, 0, 4, 7]
    expected, states = tagger()(x, lengths=lengths)
    y, state = Network(tagger()).run(x, lengths=lengths)
    assert_same_bits(y, expected)
    turned, turned_state = Network(tagger(), batch_first=True).run(x.swapaxes(0, 1), lengths=lengths)
    assert_same_bits(turned.swapaxes(0, 1), expected)
    for found in (state, turned_state):
        assert_same_bits(found[0][1], states[0][1])
        assert_same_bits(found[1], states[1])


@pytest.mark.parametrize("batch_first", [False, True])
def test_states_go_in_as_they_came_out(batch_first, rng):
    net = Network(tagger(bidirectional=False), batch_first=batch_first)
    x = rng.standard_normal((4, 9, 3) if batch_first else (9, 4, 3)).astype(np.float32)
    first, rest = (x[:, :5], x[:, 5:]) if batch_first else (x[:5], x[5:])
    whole, _ = net.run(x)
    y, state = net.run(first)
    z, _ = net.run(rest, state)
    assert_same_bits(np.concatenate([y, z], axis=1 if batch_first else 0), whole)


def test_one_sequence_runs_without_the_axis_of_the_batch(rng):
    x = rng.standard_normal((9, 3)).astype(np.float32)
    for batch_first in (False, True):
        y, (lstm, gru) = Network(tagger(), batch_first).run(x)
        assert_same_bits(y, tagger()(x[:, None])[0][:, 0])
        assert lstm[0].shape == (1, 6) and gru.shape == (2, 5)
    assert_same_bits(Network(speller(), True).run([1, 2, 3])[0], speller()([[1], [2], [3]])[0][:, 0])


def test_a_single_layer_brings_its_own_axes():
    layer = fastrnn.GRU(3, 4, batch_first=True, random_state=0)
    x = np.ones((2, 5, 3), np.float32)
    net = Network(layer)
    assert net.batch_first and layer.batch_first
    assert_same_bits(net.run(x)[0], layer(x)[0])
    assert list(net.params) == list(layer.params)


def test_empty_batches_and_sequences_give_empty_results():
    net = Network(tagger(), batch_first=True)
    assert net.run(np.zeros((0, 5, 3)))[0].shape == (0, 5, 4)
    assert net.run(np.zeros((2, 0, 3)))[0].shape == (2, 0, 4)
    assert net.predict(np.zeros((0, 5, 3))).shape == (0, 5, 4)
    assert net.run(np.zeros((2, 0, 3)), mask=np.zeros((2, 0), bool))[0].shape == (2, 0, 4)


def test_wrong_arguments_are_named():
    net = Network(tagger(), batch_first=True)
    with pytest.raises(ValueError, match=r"x has shape \(2, 5, 4\), expected \(batch_size, seq_len, input_size\) = "):
        net.run(np.zeros((2, 5, 4)))
    with pytest.raises(ValueError, match="state has 1 entries|states has 1 entries"):
        net.run(np.zeros((2, 5, 3)), [None])
    with pytest.raises(ValueError, match="lengths and mask are both given"):
        net.run(np.zeros((2, 5, 3)), lengths=[1, 2], mask=np.ones((2, 5), bool))
    with pytest.raises(TypeError, match="mask has dtype int64, expected bool"):
        net.run(np.zeros((2, 5, 3)), mask=np.ones((2, 5), np.int64))
    with pytest.raises(ValueError, match=r"mask has shape \(5, 2\), expected \(batch_size, seq_len\) = \(2, 5\)"):
        net.run(np.zeros((2, 5, 3)), mask=np.ones((5, 2), bool))
    with pytest.raises(TypeError, match="layer is an object of type int"):
        Network(3)
    convolution = Network(fastrnn.Sequential(Conv1d(3, 4, 3), fastrnn.GRU(4, 5)))
    with pytest.raises(ValueError, match=r"mask is given, but layer 0 \(Conv1d\(3, 4, 3\)\) reads steps beside"):
        convolution.run(np.zeros((5, 2, 3)), mask=np.ones((5, 2), bool))


# many rows, many threads


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("make", [tagger, classifier])
def test_predict_gives_the_same_bits_in_small_batches(make, batch_first, rng, monkeypatch):
    net, lengths = Network(make(), batch_first), ragged_lengths(rng, 23, 9)
    x = rng.standard_normal((23, 9, 3) if batch_first else (9, 23, 3)).astype(np.float32)
    mask = np.arange(9) >= 9 - lengths[:, None]
    mask = mask if batch_first else mask.T
    whole, masked = net.run(x, lengths=lengths)[0], net.run(x, mask=mask)[0]
    monkeypatch.setattr("fastrnn.models.network.PREDICT_BYTES", 4 * 9 * net._bytes_per_step())
    calls = []
    monkeypatch.setattr(Network, "run", lambda self, *a, _run=Network.run: calls.append(a) or _run(self, *a))
    assert_same_bits(net.predict(x, lengths=lengths), whole)
    assert len(calls) == 6
    assert_same_bits(net.predict(x, mask=mask), masked)


def test_many_threads_run_one_network(rng):
    net, x = Network(tagger()), rng.standard_normal((8, 40, 4, 3)).astype(np.float32)
    expected, found = [net.run(part)[0] for part in x], [None] * 8

    def work(k):
        for _ in range(20):
            found[k] = net.run(x[k])[0]

    threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for y, z in zip(found, expected, strict=True):
        assert_same_bits(y, z)


# what it is made of


def test_a_network_does_not_change():
    layer = fastrnn.GRU(3, 4, random_state=0)
    net, x = Network(layer), np.ones((5, 2, 3), np.float32)
    before = net.run(x)[0]
    with layer.updating() as params:
        params["weight_hh_l0"][...] = 0
    assert_same_bits(net.run(x)[0], before)
    with pytest.raises(ValueError, match="read-only"), net.layers[0].updating():
        pass
    with pytest.raises(AttributeError):
        net.batch_first = True
    assert copy.deepcopy(net) is net
    again = pickle.loads(pickle.dumps(net))
    assert_same_bits(again.run(x)[0], before)
    with pytest.raises(ValueError, match="read-only"), again.layers[0].updating():
        pass


def test_folding_changes_rounding_only(rng):
    chain = fastrnn.Sequential(
        fastrnn.Embedding(5, 16, random_state=0), fastrnn.LSTM(16, 6, 2, bidirectional=True, random_state=1)
    )
    net, tokens = Network(chain, batch_first=True), rng.integers(0, 5, (3, 7))
    less = net.folded()
    assert repr(less.layers) == "(Embedding(5, 5), LSTM(5, 6, num_layers=2, bidirectional=True))"
    np.testing.assert_allclose(less.run(tokens)[0], net.run(tokens)[0], atol=1e-6)
    assert Network(speller()).folded().layers[0].num_embeddings == 7  # 7 tokens of 3 features: nothing to gain


def test_summary_names_layers_sizes_kernels_and_threads():
    net = Network(fastrnn.Sequential(fastrnn.GRU(3, 4), fastrnn.Pool(), fastrnn.Dense(4, 2)), notes=["a remark"])
    lines = net.summary(batch_size=8, seq_len=50).split("\n")
    assert lines[0] == "Network(batch_first=False), float32"
    assert lines[2].split() == ["0", "GRU(3,", "4)", "(T,", "N,", "4)", "108", "0.00"]
    assert lines[4].split() == ["2", "Dense(4,", "2)", "(N,", "2)", "10", "0.00"]
    assert lines[5].split() == ["total", "118", "0.00"]
    assert lines[6].startswith("kernels: ")
    assert lines[7] == "threads for 8 x 50 steps: layer 0: 1"
    assert lines[8] == "note: a remark"
    assert repr(net) == net.summary()


# tracing


@pytest.mark.parametrize("batch_first", [False, True])
def test_trace_fulfils_the_equations(batch_first, rng):
    net, lengths = Network(tagger(), batch_first), np.array([9, 0, 4, 7])
    x = rng.standard_normal((4, 9, 3) if batch_first else (9, 4, 3))
    found = net.trace(x, lengths=lengths)
    assert sorted(found) == ["1.l0", "2.l0", "2.l0_reverse"]
    if batch_first:
        found = {place: {k: a.swapaxes(0, 1) for k, a in own.items()} for place, own in found.items()}
    own, valid = found["1.l0"], np.arange(9)[:, None] < lengths
    before = np.concatenate([np.zeros((1, 4, 6)), own["c"][:-1]])
    cells = np.where(valid[..., None], own["f"] * before + own["i"] * own["g"], 0)
    np.testing.assert_allclose(own["c"], cells, atol=1e-6)
    np.testing.assert_allclose(own["h"], own["o"] * np.tanh(own["c"]), atol=1e-6)
    own = found["2.l0_reverse"]
    behind = np.concatenate([own["h"][1:], np.zeros((1, 4, 5))])
    h = np.where(valid[..., None], (1 - own["z"]) * own["n"] + own["z"] * behind, 0)
    np.testing.assert_allclose(own["h"], h, atol=1e-6)
    y = tagger()(x if not batch_first else x.swapaxes(0, 1), lengths=lengths)[0]
    outputs = np.concatenate([found["2.l0"]["h"], own["h"]], axis=2).astype(np.float32)
    np.testing.assert_allclose(y, Activation("sigmoid")(tagger().layers[3](outputs), lengths), atol=1e-6)


VARIANTS = {
    "peepholes": lambda: fastrnn.LSTM(3, 5, bidirectional=True, peepholes=True, random_state=0),
    "coupled": lambda: fastrnn.LSTM(3, 5, coupled_gates=True, clip=0.5, random_state=0),
    "norm": lambda: fastrnn.LSTM(3, 5, 2, layer_norm=True, learn_initial_state=True, random_state=0),
    "projection": lambda: fastrnn.LSTM(3, 5, proj_size=2, random_state=0),
    "functions": lambda: fastrnn.GRU(3, 5, activations=("hard_sigmoid", "softsign"), reset_after=False, random_state=0),
    "zoneout": lambda: fastrnn.RNN(3, 5, nonlinearity="relu", zoneout=0.2, random_state=0),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_variants_are_run_saved_and_traced(name, tmp_path, rng):
    layer, x = VARIANTS[name](), rng.standard_normal((6, 2, 3)).astype(np.float32)
    net = Network(layer)
    net.save(tmp_path / "file")
    y, _ = Network.load(tmp_path / "file").run(x)
    assert_same_bits(y, layer(x)[0])
    found = net.trace(x)
    last = [own for place, own in found.items() if place.startswith(f"0.l{layer.num_layers - 1}")]
    np.testing.assert_allclose(np.concatenate([own["h"] for own in last], axis=2), y, atol=2e-6)
    if name == "coupled":
        np.testing.assert_allclose(last[0]["f"], 1 - last[0]["i"], atol=1e-7)


def test_trace_of_one_sequence_with_a_state(rng):
    net, x = Network(fastrnn.RNN(3, 4, 2, random_state=0)), rng.standard_normal((5, 3))
    state = [rng.standard_normal((2, 4)).astype(np.float32)]
    found = net.trace(x, state)
    assert sorted(found) == ["0.l0", "0.l1"] and list(found["0.l1"]) == ["h"]
    np.testing.assert_allclose(found["0.l1"]["h"], net.run(x, state)[0], atol=1e-6)


# files


def test_files_give_the_network_back(tmp_path, rng):
    net = Network(tagger(), batch_first=True, notes=["from somewhere"])
    x = rng.standard_normal((2, 5, 3)).astype(np.float32)
    for name, save in (("a", net.save), ("b", lambda path: fastrnn.save(net, path))):
        save(tmp_path / name)
        for load in (Network.load, fastrnn.load):
            found = load(tmp_path / name)
            assert isinstance(found, Network)
            assert found.batch_first and found.notes == ("from somewhere",)
            assert_same_bits(found.run(x)[0], net.run(x)[0])
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("name", LAYERS)
def test_every_layer_is_loaded_as_a_network(name, tmp_path):
    layer = LAYERS[name]("float64")
    fastrnn.save(layer, tmp_path / "file")
    net = Network.load(tmp_path / "file")
    assert list(net.params) == list(layer.params)
    assert net.batch_first == getattr(layer, "batch_first", False)


def test_an_estimator_is_loaded_as_its_network_without_scikit_learn(tmp_path):
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    path, x = tmp_path / "model", np.random.default_rng(0).standard_normal((12, 6, 2))
    model = fastrnn.GRUClassifier(max_iter=1, random_state=0)
    with pytest.warns():
        model.fit(x, np.arange(12) % 3)
    fastrnn.save(model, path)
    np.save(tmp_path / "x.npy", x)
    printed = run_script(
        "import sys, numpy as np\nfrom fastrnn.models import Network\n"
        f"net = Network.load({str(path)!r})\n"
        f"print(net.predict(np.load({str(tmp_path / 'x.npy')!r})).argmax(axis=1).tolist(), net.batch_first)\n"
        "assert not {'sklearn', 'scipy', 'torch'} & set(sys.modules)"
    )
    assert printed.strip() == f"{model.predict(x).tolist()} True"
    fastrnn.save(fastrnn.GRUClassifier(), path)
    with pytest.raises(FileFormatError, match="it holds a GRUClassifier that is not fitted, expected a fitted one"):
        Network.load(path)


def test_damaged_descriptions_are_refused(tmp_path):
    from storage_cases import forge

    path, layer = tmp_path / "file", {"class": "Dropout", "config": {"p": 0.5, "dtype": None}}
    good = {"class": "Network", "layer": layer, "batch_first": True, "notes": []}
    forge(path, good)
    assert Network.load(path).batch_first
    for wrong in ({"batch_first": 1}, {"notes": "text"}, {"notes": [1]}, {"layer": good}, {"layer": 3}, {"more": 1}):
        forge(path, good | wrong)
        with pytest.raises(FileFormatError, match="cannot be loaded"):
            Network.load(path)
