"""ONNX files that are damaged, or that name other files: a clear error, nothing executed, no memory taken."""

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

import fastrnn
from fastrnn import GRU, LSTM, Dense, Embedding, Pool, Sequential
from fastrnn.io.onnx import from_onnx, to_onnx
from fastrnn.onnx import Session


@pytest.fixture(scope="module")
def data():
    layers = Embedding(9, 3), LSTM(3, 4, bidirectional=True), GRU(8, 4), Pool("last"), Dense(4, 2, activation="relu")
    return to_onnx(Sequential(*layers)).SerializeToString()


def readers():
    return from_onnx, lambda data: Session(data, runtime="reference")


def test_files_cut_short_are_refused(data, tmp_path):
    path = tmp_path / "short.onnx"
    for length in [*range(300), *range(300, len(data), 31)]:
        path.write_bytes(data[:length])
        with pytest.raises(ValueError, match=r"short\.onnx'"):
            from_onnx(path)


def test_changed_bytes_give_a_value_error_or_a_model(data):
    rng, refused = np.random.default_rng(0), 0
    for _ in range(1000):
        changed = bytearray(data)
        for place in rng.integers(0, len(data), rng.integers(1, 4)):
            changed[place] = rng.integers(0, 256)
        for read in readers():
            try:
                read(bytes(changed))
            except ValueError:
                refused += 1
    assert 200 < refused < 2000


def test_dimensions_beyond_the_numbers_take_no_memory(data):
    model = onnx.load_from_string(data)
    model.graph.initializer[0].dims[:] = [2**40, 2**20]
    for read in readers():
        with pytest.raises(ValueError, match="tensor '0.weight_.*has 108 numbers or bytes, expected"):
            read(model.SerializeToString())
    model.graph.initializer[0].dims[:] = [-9, -3]
    with pytest.raises(ValueError, match="expected none below 0"):
        from_onnx(model)


@pytest.mark.parametrize("kind", ["ConstantOfShape", "Expand", "Tile"])
def test_constants_that_grow_without_end_are_not_computed(kind):
    helper = onnx.helper
    size = np.array([2**20, 2**20], np.int64)
    tensors = [onnx.numpy_helper.from_array(a, n) for n, a in (("size", size), ("one", np.ones((1, 1), np.float32)))]
    inputs = ["size"] if kind == "ConstantOfShape" else ["one", "size"]
    nodes = [helper.make_node(kind, inputs, ["W"]), helper.make_node("GRU", ["x", "W", "W"], ["Y"])]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes, "g", [value("x", onnx.TensorProto.FLOAT, [1, 1, 1])], [value("Y", onnx.TensorProto.FLOAT, None)], tensors
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    for read in readers():
        with pytest.raises(ValueError, match="would give 1099511627776 numbers"):
            read(model)


def test_other_files_are_no_models(tmp_path):
    path = tmp_path / "other.onnx"
    for content in (b"", b"PK\x03\x04", b"\x00" * 100, bytes(range(256)) * 20):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="is no ONNX model, or damaged"):
            from_onnx(path)
    with pytest.raises(FileNotFoundError):
        from_onnx(tmp_path / "none.onnx")


# tensors in other files


def saved_apart(folder, layer):
    path = folder / "model.onnx"
    onnx.save_model(
        to_onnx(layer), path, save_as_external_data=True, all_tensors_to_one_file=True, location="weights.bin",
        size_threshold=0,
    )  # fmt: skip
    return path


def test_weights_in_a_file_beside_the_model_are_read(tmp_path, rng):
    layer, x = GRU(3, 4, random_state=0), rng.standard_normal((5, 2, 3)).astype(np.float32)
    path = saved_apart(tmp_path, layer)
    assert np.abs(from_onnx(path).run(x)[0] - layer(x)[0]).max() < 1e-6
    assert np.abs(Session(path, runtime="reference").run([x])[0] - layer(x)[0]).max() < 1e-6
    with pytest.raises(ValueError, match="lies in a file beside the model, expected a path"):
        from_onnx(path.read_bytes())


@pytest.mark.parametrize(
    "key, value, message",
    [
        ("location", "../secret.bin", "expected a file within the folder of the model"),
        ("location", "/etc/hostname", "expected a file within the folder of the model"),
        ("location", "link.bin", "expected a file within the folder of the model"),
        ("location", ".", "expected a file within the folder of the model"),
        ("location", "none.bin", "which is no file"),
        ("length", str(2**60), "but has 1152921504606846976 at"),
        ("offset", str(10**9), "but has .* at 1000000000 of 'weights.bin'"),
        ("offset", "-8", "but has .* at -8"),
        ("offset", "all", "expected integers"),
    ],
)
def test_other_places_and_sizes_of_weights_are_refused(key, value, message, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "secret.bin").write_bytes(bytes(10000))
    (folder / "link.bin").symlink_to(tmp_path / "secret.bin")
    path = saved_apart(folder, LSTM(3, 4))
    model = onnx.load(path, load_external_data=False)
    (entry,) = [entry for entry in model.graph.initializer[0].external_data if entry.key == key]
    entry.value = value
    path.write_bytes(model.SerializeToString())
    for read in (from_onnx, Session):
        with pytest.raises(ValueError, match=message):
            read(path)


def test_importing_fastrnn_onnx_loads_no_onnx():
    import subprocess
    import sys

    code = "import sys, fastrnn.onnx, fastrnn.io.onnx; sys.exit('onnx' in sys.modules or 'onnxruntime' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
    assert fastrnn.onnx.run_model.__module__ == "fastrnn.onnx._session"
