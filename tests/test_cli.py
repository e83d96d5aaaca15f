"""``python -m fastrnn``: what is printed, what is written, and the exit status."""

import numpy as np
import pytest
from cases import run_script

import fastrnn
from fastrnn._cli import bench, main
from fastrnn.models import Network


@pytest.fixture
def weights(tmp_path):
    """A safetensors file of a torch model: an LSTMCell and something else."""
    import safetensors.numpy

    cell = fastrnn.LSTM(3, 4, random_state=0)
    arrays = {f"cell.{name.removesuffix('_l0')}": array.copy() for name, array in cell.params.items()}
    path = tmp_path / "theirs.safetensors"
    safetensors.numpy.save_file(arrays | {"other": np.zeros((2, 3), np.float16)}, path)
    return path


def test_info_of_weights_lists_tensors_and_recurrent_layers(weights, capsys):
    assert main(["info", str(weights)]) == 0
    lines = capsys.readouterr().out.split("\n")
    assert lines[1] == "weights as torch names them: 5 tensors, 0.00 MB"
    assert "    other  float16 (2, 3)" in lines
    at = lines.index("prefix='cell.'")
    assert lines[at + 3].split()[:3] == ["0", "LSTM(3,", "4)"]
    assert any(line.strip().startswith("kernels: native") for line in lines[at:])


def test_convert_writes_a_file_that_info_and_load_read(weights, tmp_path, capsys):
    target = tmp_path / "ours.safetensors"
    assert main(["convert", str(weights), str(target), "--prefix", "cell.", "--batch-first"]) == 0
    assert "LSTM(3, 4)" in capsys.readouterr().out
    net = Network.load(target)
    assert net.batch_first
    np.testing.assert_array_equal(net.params["weight_hh_l0"], fastrnn.LSTM(3, 4, random_state=0).params["weight_hh_l0"])
    assert main(["info", str(target)]) == 0
    assert capsys.readouterr().out.split("\n")[1] == f"a Network, saved by fastrnn {fastrnn.__version__}"


def test_what_is_wrong_is_said_without_a_traceback(weights, tmp_path, capsys):
    target = tmp_path / "ours.safetensors"
    Network(fastrnn.GRU(3, 4)).save(target)
    for arguments, message in (
        (["info", str(tmp_path / "none.pt")], "No such file"),
        (["info", str(tmp_path / "file.docx")], "has the suffix '.docx', expected one of .safetensors, .pt"),
        (["convert", str(weights), str(target)], "layers=, a list of"),
        (["convert", str(weights), str(tmp_path / "a.pt"), "--prefix", "cell."], "which is read only"),
        (
            ["convert", str(target), str(target), "--prefix", "x"],
            "--prefix is given, but files of fastrnn have no such",
        ),
        (["bench", "--prefix", "x"], "--prefix is given without a FILE"),
        (["bench", str(target), "--batch-size", "0"], "--batch-size is 0"),
    ):
        assert main(arguments) == 2
        printed = capsys.readouterr()
        assert printed.err.startswith("fastrnn: ") and message in printed.err, printed.err


def test_bench_prints_times_of_a_file_and_of_usual_layers(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(bench, "ROUNDS", 1)
    monkeypatch.setattr(bench, "BLOCK_SECONDS", 1e-4)
    monkeypatch.setattr(bench, "SHAPES", (("LSTM", 2, 3, 8), ("GRU", 1, 2, 8)))
    Network(fastrnn.Sequential(fastrnn.Embedding(5, 3), fastrnn.GRU(3, 4))).save(tmp_path / "a.safetensors")
    assert main(["bench", str(tmp_path / "a.safetensors"), "--batch-size", "2", "--seq-len", "7"]) == 0
    line = capsys.readouterr().out.strip().split("\n")[-1]
    assert line.startswith("2 x 7 steps:") and " fastrnn " in line and " stream " in line
    assert main(["bench"]) == 0
    lines = capsys.readouterr().out.strip().split("\n")
    assert [line.split(":")[0] for line in lines[1:]] == ["LSTM(8, 8), 2 x 3 steps", "GRU(8, 8), 1 x 2 steps"]


@pytest.mark.parametrize("layer", [fastrnn.RNN, fastrnn.LSTM, fastrnn.GRU])
@pytest.mark.parametrize("peer", ["torch", "onnxruntime"])
def test_peers_compute_the_same(layer, peer):
    pytest.importorskip(peer, reason=f"{peer} is not installed: pip install fastrnn[peers]")
    pytest.importorskip("onnx", reason="onnx is not installed: pip install fastrnn[onnx]")
    from fastrnn._cli._peers import callables

    net, x = Network(layer(3, 4, random_state=0)), np.ones((5, 2, 3), np.float32)
    np.testing.assert_allclose(callables(net, x)[peer](), net.run(x)[0], atol=1e-6)


def test_the_module_runs(weights):
    printed = run_script(
        f"import sys, runpy\nsys.argv = ['fastrnn', 'info', {str(weights)!r}]\n"
        "try:\n    runpy.run_module('fastrnn', run_name='__main__')\n"
        "except SystemExit as end:\n    print('status', end.code)\n"
        "assert not {'torch', 'sklearn', 'scipy'} & set(sys.modules)"
    )
    assert printed.strip().endswith("status 0")
