"""from_keras on files: old layouts, what is refused, and what is damaged or hostile."""

import json
import os
import subprocess
import sys
import zipfile

import numpy as np
import pytest

os.environ.setdefault("KERAS_BACKEND", "torch")
keras = pytest.importorskip("keras", reason="keras is not installed: pip install fastrnn[keras]")
h5py = pytest.importorskip("h5py", reason="h5py is not installed: pip install fastrnn[keras]")
from keras import layers as kl
from keras_files import damaged, legacy_file, models

from fastrnn.io.keras import from_keras
from fastrnn.models import Network
from fastrnn.storage import FileFormatError

pytestmark = pytest.mark.filterwarnings("ignore")  # Keras's own


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def hard_sigmoid(a):
    """Keras 2's."""
    return np.clip(0.2 * a + 0.5, 0, 1)


def lstm(x, kernel, recurrent, bias, gate=sigmoid):
    """A plain LSTM on x (batch_size, seq_len, input_size), in Keras's layout: gates i, f, c, o."""
    h = c = np.zeros((len(x), recurrent.shape[0]))
    for t in range(x.shape[1]):
        i, f, g, o = np.split(x[:, t] @ kernel + h @ recurrent + bias, 4, axis=1)
        c = gate(f) * c + gate(i) * np.tanh(g)
        h = gate(o) * np.tanh(c)
    return h


def gru(x, kernel, recurrent, bias):
    """A plain GRU with the reset after the product: gates z, r, h."""
    h = np.zeros((len(x), recurrent.shape[0]))
    for t in range(x.shape[1]):
        a, b = x[:, t] @ kernel + bias[0], h @ recurrent + bias[1]
        (az, ar, ah), (bz, br, bh) = np.split(a, 3, axis=1), np.split(b, 3, axis=1)
        z, r = sigmoid(az + bz), sigmoid(ar + br)
        h = z * h + (1 - z) * np.tanh(ah + r * bh)
    return h


CONFIG = {
    "name": "cell",
    "units": 4,
    "return_sequences": False,
    "use_bias": True,
    "time_major": False,
    "dtype": "float32",
}


def keras_2_model(kind, **config):
    """Return the configuration of a Sequential with one recurrent layer, as Keras 2 writes it."""
    layer = {"class_name": kind, "config": CONFIG | config}
    return {"class_name": "Sequential", "config": {"name": "sequential", "layers": [layer]}}


def weights(rng, *shapes):
    return [rng.normal(size=shape).astype(np.float32) for shape in shapes]


def test_an_lstm_of_keras_2_has_the_hard_sigmoid_of_old(rng, tmp_path):
    arrays = weights(rng, (3, 16), (4, 16), (16,))
    model = keras_2_model("LSTM", activation="tanh", recurrent_activation="hard_sigmoid", implementation=1)
    path = legacy_file(tmp_path / "old.h5", model, {"cell": dict(zip(NAMES, arrays, strict=True))}, "2.2.4-tf")
    x = rng.normal(size=(2, 6, 3)).astype(np.float32)
    np.testing.assert_allclose(from_keras(path).predict(x), lstm(x, *arrays, gate=hard_sigmoid), atol=1e-6)


NAMES = ("cell/kernel:0", "cell/recurrent_kernel:0", "cell/bias:0")


def cudnn_kernels(kernel, recurrent, n_gates):
    """Return kernels in CuDNN's layout: each gate's block holds the numbers of its transpose in their order."""
    blocks = [np.ascontiguousarray(block.T).reshape(block.shape) for block in np.split(kernel, n_gates, axis=1)]
    return np.concatenate(blocks, axis=1), np.concatenate([b.T for b in np.split(recurrent, n_gates, axis=1)], axis=1)


def test_a_cudnn_lstm_of_old_has_transposed_kernels_and_two_biases(rng, tmp_path):
    kernel, recurrent, bias = weights(rng, (3, 16), (4, 16), (2, 16))
    arrays = [*cudnn_kernels(kernel, recurrent, 4), bias.reshape(-1)]
    path = tmp_path / "old.h5"
    legacy_file(path, keras_2_model("CuDNNLSTM"), {"cell": dict(zip(NAMES, arrays, strict=True))}, "2.3.1")
    x = rng.normal(size=(2, 6, 3)).astype(np.float32)
    np.testing.assert_allclose(from_keras(path).predict(x), lstm(x, kernel, recurrent, bias.sum(0)), atol=1e-6)


def test_a_cudnn_gru_of_old_has_transposed_kernels_and_two_biases(rng, tmp_path):
    kernel, recurrent, bias = weights(rng, (3, 12), (4, 12), (2, 12))
    arrays = [*cudnn_kernels(kernel, recurrent, 3), bias.reshape(-1)]
    path = tmp_path / "old.h5"
    legacy_file(path, keras_2_model("CuDNNGRU"), {"cell": dict(zip(NAMES, arrays, strict=True))}, "2.3.1")
    x = rng.normal(size=(2, 6, 3)).astype(np.float32)
    np.testing.assert_allclose(from_keras(path).predict(x), gru(x, kernel, recurrent, bias), atol=1e-6)


def test_units_of_4_0_are_4_and_unknown_keys_are_passed_over(rng, tmp_path):
    arrays = weights(rng, (3, 16), (4, 16), (16,))
    options = {
        "activation": "tanh",
        "recurrent_activation": "sigmoid",
        "units": 4.0,
        "of_the_future": [1],
        "ragged": None,
    }
    model = keras_2_model("LSTM", **options)
    path = legacy_file(tmp_path / "a.h5", model, {"cell": dict(zip(NAMES, arrays, strict=True))}, "3.0.0")
    assert from_keras(path).layers[0].hidden_size == 4


def test_a_functional_model_of_keras_2_is_followed_from_its_input(rng, tmp_path):
    arrays = weights(rng, (3, 16), (4, 16), (16,))
    layers = [
        {"class_name": "InputLayer", "config": {"name": "in"}, "name": "in", "inbound_nodes": []},
        {"class_name": "LSTM", "config": CONFIG | {"activation": "tanh", "recurrent_activation": "sigmoid"},
         "name": "cell", "inbound_nodes": [[["in", 0, 0, {}]]]},
    ]  # fmt: skip
    config = {"name": "model", "layers": layers, "input_layers": [["in", 0, 0]], "output_layers": [["cell", 0, 0]]}
    path = tmp_path / "a.h5"
    legacy_file(
        path, {"class_name": "Model", "config": config}, {"cell": dict(zip(NAMES, arrays, strict=True))}, "2.4.0"
    )
    x = rng.normal(size=(2, 6, 3)).astype(np.float32)
    np.testing.assert_allclose(from_keras(path).predict(x), lstm(x, *arrays), atol=1e-6)


def test_an_archive_of_keras_2_names_its_layers_otherwise(rng, tmp_path):
    model = keras.Sequential([keras.Input((None, 3)), kl.GRU(4, return_sequences=True), kl.GRU(2)])
    for weight in model.weights:
        weight.assign(rng.normal(size=weight.shape))
    model.save(tmp_path / "new.keras")
    with zipfile.ZipFile(tmp_path / "new.keras") as archive, zipfile.ZipFile(tmp_path / "old.keras", "w") as old:
        (tmp_path / "w.h5").write_bytes(archive.read("model.weights.h5"))
        with h5py.File(tmp_path / "w.h5", "r+") as file:
            file.move("layers", "_layer_checkpoint_dependencies")
            file.move("_layer_checkpoint_dependencies/gru_1", "_layer_checkpoint_dependencies/gru_2")
        old.writestr("config.json", archive.read("config.json"))
        old.writestr("model.weights.h5", (tmp_path / "w.h5").read_bytes())
    new, old = (from_keras(tmp_path / name) for name in ("new.keras", "old.keras"))
    assert all((new.params[name] == old.params[name]).all() for name in new.params)


# refused


def refused(tmp_path, *layers, match, form="keras"):
    model = keras.Sequential([keras.Input((6, 3)), *layers])
    path = tmp_path / f"model.{form}"
    model.save(path)
    for source in (model, path):
        with pytest.raises(ValueError, match=match):
            from_keras(source)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: kl.LSTM(4, activation="gelu"), r"'lstm.*' \(LSTM\) is 'gelu', which has no exact counterpart"),
        (lambda: kl.Dense(4, activation="exponential"), r"\(Dense\) is 'exponential'"),
        (lambda: kl.Bidirectional(kl.LSTM(4), merge_mode="mul"), "merge_mode .* 'mul'"),
        (lambda: kl.Flatten(), "joins the steps"),
        (lambda: kl.Reshape((18,)), r"\(Reshape\) has no exact counterpart"),
        (lambda: kl.Conv1D(4, 2, strides=2, padding="same"), "padding='same' and strides=2"),
        (lambda: kl.Conv1D(3, 2, groups=3), "groups .* is 3"),
        (lambda: kl.LayerNormalization(axis=1), "axis .* is 1, expected the last"),
        (lambda: kl.LSTM(4, zero_output_for_mask=True), "zero_output_for_mask .* is True"),
        (lambda: kl.RNN(kl.StackedRNNCells([kl.LSTMCell(2), kl.LSTMCell(3)])), "StackedRNNCells"),
        (lambda: kl.BatchNormalization(), r"\(BatchNormalization\) has no exact counterpart"),
        (lambda: kl.Bidirectional(kl.LSTM(4), backward_layer=kl.GRU(4, go_backwards=True)), "differ by more"),
    ],
)  # fmt: skip
def test_what_has_no_exact_counterpart_is_refused_by_name(make, match, tmp_path):
    refused(tmp_path, make(), match=match)


def test_code_of_ones_own_is_never_run(tmp_path):
    refused(tmp_path, kl.Lambda(lambda x: x + 1, output_shape=(6, 3)), match=r"\(Lambda\) has no exact counterpart")


def test_a_class_of_ones_own_is_refused_by_its_name(tmp_path):
    @keras.saving.register_keras_serializable(package="mine")
    class LSTM(kl.LSTM):
        pass

    refused(tmp_path, LSTM(4), match="mine>LSTM, which is a class of its own")


def test_a_function_of_ones_own_is_refused_by_its_name(tmp_path):
    @keras.saving.register_keras_serializable(package="mine")
    def squash(x):
        return x / 2

    refused(tmp_path, kl.LSTM(4, activation=squash), match="none of Keras's own functions")


def test_a_subclassed_model_is_refused_and_the_way_out_named():
    class Mine(keras.Model):
        def call(self, x):
            return x

    with pytest.raises(ValueError, match="Mine, whose call is its own .* fastrnn.accelerate"):
        from_keras(Mine())


def test_layers_that_branch_are_refused():
    given = keras.Input((6, 3))
    model = keras.Model(given, kl.Add()([kl.LSTM(4)(given), kl.GRU(4)(given)]))
    with pytest.raises(ValueError, match="reads 2 tensors, expected one"):
        from_keras(model)


def test_two_outputs_of_two_layers_are_refused():
    given = keras.Input((6, 3))
    with pytest.raises(ValueError, match="goes on from layer .* to 2 layers"):
        from_keras(keras.Model(given, [kl.LSTM(4)(given), kl.GRU(4)(given)]))


def test_states_from_another_layer_are_refused():
    given = keras.Input((6, 3))
    _, h, c = kl.LSTM(4, return_state=True, return_sequences=True)(given)
    model = keras.Model(given, kl.LSTM(4)(given, initial_state=[h, c]))
    with pytest.raises(ValueError, match="reads 3 tensors, expected one"):
        from_keras(model)


def test_weights_without_a_model_are_refused_with_the_reason(tmp_path):
    model = keras.Sequential([keras.Input((None, 3)), kl.GRU(4)])
    model.save_weights(tmp_path / "a.weights.h5")
    with pytest.raises(FileFormatError, match="weights without the configuration of a model"):
        from_keras(tmp_path / "a.weights.h5")


def test_something_else_is_a_type_error():
    with pytest.raises(TypeError, match=r"source is an object of type builtins.int, expected a model of Keras 3"):
        from_keras(3)


def test_a_layer_without_weights_yet_is_refused():
    with pytest.raises(ValueError, match="has no weights yet: call the model once"):
        from_keras(kl.LSTM(3))


def small(rng, tmp_path, form):
    """Return the path of a model with an LSTM and a Dense."""
    model = keras.Sequential([keras.Input((None, 3)), kl.LSTM(4, name="cell"), kl.Dense(2, name="top")])
    path = tmp_path / f"model.{form}"
    model.save(path)
    return path


@pytest.mark.parametrize("form", ["keras", "h5"])
def test_a_missing_weight_is_named_with_its_layer(form, rng, tmp_path):
    path = small(rng, tmp_path, form)

    def without_one(file):
        if form == "h5":
            group = file["model_weights/cell"]
            group.attrs["weight_names"] = group.attrs["weight_names"][:2]
        else:
            del file["layers/lstm/cell/vars/2"]

    with pytest.raises(ValueError, match=r"'cell' \(LSTM\) has 2 weights, expected 3: kernel, recurrent_kernel, bias"):
        from_keras(edited(path, without_one))


@pytest.mark.parametrize("form", ["keras", "h5"])
def test_weights_that_no_layer_uses_are_listed(form, rng, tmp_path):
    path = small(rng, tmp_path, form)

    def with_more(file):
        if form == "h5":
            group = file["model_weights/top"]
            group["top/more/kernel"] = np.zeros(3)
            group.attrs["weight_names"] = [*group.attrs["weight_names"], "top/more/kernel"]
        else:
            file["layers/dense/more/vars/0"] = np.zeros(3)

    with pytest.raises(ValueError, match="more.*which no layer uses"):
        from_keras(edited(path, with_more))


@pytest.mark.parametrize("form", ["keras", "h5"])
def test_a_weight_of_another_shape_is_refused(form, rng, tmp_path):
    path = small(rng, tmp_path, form)

    def of_another_shape(file):
        place = file["model_weights/cell"] if form == "h5" else file["layers/lstm/cell/vars"]
        name = next(name for name in names_of(place) if name.split("/")[-1] in ("recurrent_kernel", "1"))
        del place[name]
        place[name] = np.zeros((5, 16), np.float32)

    with pytest.raises(
        ValueError, match=r"recurrent_kernel of layer 'cell' \(LSTM\) has shape \(5, 16\), expected \(4, 16\)"
    ):
        from_keras(edited(path, of_another_shape))


def names_of(group):
    found = []
    group.visit(found.append)
    return found


def edited(path, change):
    """Change the HDF5 file at, or in, a path; return the path."""
    if path.suffix == ".h5":
        with h5py.File(path, "r+") as file:
            change(file)
        return path
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    inner = path.with_suffix(".inner")
    inner.write_bytes(parts["model.weights.h5"])
    with h5py.File(inner, "r+") as file:
        change(file)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:  # a compressed one is read too
        for name, content in (parts | {"model.weights.h5": inner.read_bytes()}).items():
            archive.writestr(name, content)
    return path


def with_config(path, change):
    """Change the configuration in a .keras file."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(parts["config.json"])
    change(config)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in (parts | {"config.json": json.dumps(config).encode()}).items():
            archive.writestr(name, content)
    return path


WRONG = [
    ({"units": 10**12}, "kernel of .* has shape"),
    ({"units": -1}, "units of .* is -1"),
    ({"units": 4.5}, "units of .* is 4.5, expected a whole number"),
    ({"units": "4"}, "units of .* is '4'"),
    ({"use_bias": "yes"}, "use_bias of .* expected true or false"),
    ({"activation": {"class_name": "function", "config": 3}}, "none of Keras's own functions"),
    ({"activation": ["tanh"]}, r"is \['tanh'\], expected a name"),
    ({"dtype": "int8_from_float32"}, "dtype 'int8_from_float32'"),
    ({"quantization_config": {"mode": "int8"}}, "quantization_config"),
]


@pytest.mark.parametrize(("values", "match"), WRONG)
def test_a_wrong_configuration_is_an_error_that_says_what(values, match, rng, tmp_path):
    path = small(rng, tmp_path, "keras")
    with pytest.raises(FileFormatError, match=match):
        from_keras(with_config(path, lambda config: config["config"]["layers"][1]["config"].update(values)))


def test_a_compression_bomb_is_refused_before_it_is_unpacked(rng, tmp_path):
    path = small(rng, tmp_path, "keras")
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in (parts | {"model.weights.h5": bytes(50_000_000)}).items():
            archive.writestr(name, content)
    with pytest.raises(FileFormatError, match="expands to 50000000"):
        from_keras(path)


def test_an_array_in_another_file_is_refused(rng, tmp_path):
    path = small(rng, tmp_path, "h5")
    (tmp_path / "secret").write_bytes(bytes(64))

    def elsewhere(file):
        group = file["model_weights/cell"]
        name = next(name for name in names_of(group) if name.endswith("/bias"))
        del group[name]
        group.create_dataset(name, (16,), "f4", external=[(str(tmp_path / "secret"), 0, 64)])

    with pytest.raises(FileFormatError, match="lies in another file"):
        from_keras(edited(path, elsewhere))


@pytest.mark.parametrize("form", ["keras", "h5"])
def test_damaged_files_give_an_error_or_the_same_network(form, tmp_path):
    counts = damaged(form, tmp_path, cuts=120, mutations=400)
    assert counts["error"] > 200
    assert counts["crash"] == 0


def test_neither_keras_nor_h5py_is_loaded_for_a_file(rng, tmp_path):
    path = small(rng, tmp_path, "keras")
    code = (
        "import sys; from fastrnn.io.keras import from_keras; from_keras(sys.argv[1]); "
        "print([name for name in ('keras', 'h5py', 'torch') if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_a_loaded_network_is_saved_and_read_as_itself(tmp_path, rng):
    for k, (model, x) in enumerate(models(rng)):
        net = from_keras(model)
        net.save(tmp_path / f"{k}.safetensors")
        again = Network.load(tmp_path / f"{k}.safetensors")
        assert (again.predict(x) == net.predict(x)).all()
        assert again.notes == net.notes and again.batch_first == net.batch_first
