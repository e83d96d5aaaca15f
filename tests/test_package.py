"""The package as a whole: what importing it does, what it says about itself, how it was built."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import fastrnn

PACKAGE = Path(fastrnn.__file__).parent
CSRC = PACKAGE.parent / "csrc"
PUBLIC_NAMES = (
    *("RNN", "LSTM", "GRU", "Dense", "Embedding", "Dropout", "Pool", "Sequential"),
    *("RNNClassifier", "RNNRegressor", "show_versions", "set_num_threads", "get_num_threads"),
)


def run_python(code, **environment):
    """Run `code` in a new interpreter; return the finished process."""
    variables = {**os.environ, **environment}
    if CSRC.is_dir():
        variables["PYTHONPATH"] = str(PACKAGE.parent)
    return subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, text=True, timeout=120)


def check_python(code, **environment):
    result = run_python(code, **environment)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_import_loads_nothing_heavy():
    check_python(
        "import sys, fastrnn\n"
        "heavy = {'numpy', 'scipy', 'sklearn', 'torch', 'keras', 'onnx', 'matplotlib', 'tqdm', 'threadpoolctl'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )


def test_layers_need_neither_scipy_nor_scikit_learn():
    check_python(
        "import sys, numpy as np, fastrnn\n"
        "lstm = fastrnn.LSTM(3, 4, random_state=0)\n"
        "(output, _), backward = lstm.forward(np.ones((5, 2, 3)))\n"
        "backward(output)\n"
        "fastrnn.Dense(3, 2)(np.ones((2, 3)))\n"
        "heavy = {'scipy', 'sklearn', 'torch', 'matplotlib', 'tqdm'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)",
        FASTRNN_ENGINE="native",
    )


DENORMALS_LIVE = (
    "import numpy as np\n"
    "def denormals_live():\n"
    "    small32, small64 = np.full(64, 1e-38, 'f4'), np.full(64, 1e-307)\n"
    "    return (small32 * np.float32(0.01) > 0).all() and (small64 * 0.01 > 0).all()\n"
    "assert denormals_live()\n"
)


def test_import_leaves_denormals_alone():
    check_python(
        DENORMALS_LIVE + "import fastrnn, fastrnn.layers, fastrnn._core.native, fastrnn._core.recurrent\n"
        "assert denormals_live()"
    )


def test_calls_leave_denormals_alone():
    check_python(
        DENORMALS_LIVE + "import fastrnn\n"
        "lstm = fastrnn.LSTM(3, 40, random_state=0)\n"
        "(output, _), backward = lstm.forward(np.ones((50, 16, 3)), n_threads=2)\n"
        "assert denormals_live()\n"
        "backward(output)\n"
        "assert denormals_live()"
    )


def test_import_leaves_environment_and_threads_alone():
    check_python(
        "import os, threading\n"
        "def threads():\n"
        "    tasks = '/proc/self/task'\n"
        "    return len(os.listdir(tasks)) if os.path.isdir(tasks) else threading.active_count()\n"
        "import numpy\n"
        "environment, n_threads = dict(os.environ), threads()\n"
        "import fastrnn, fastrnn.layers, fastrnn._core.native, fastrnn._core.recurrent\n"
        "assert dict(os.environ) == environment\n"
        "assert threads() == n_threads"
    )


@pytest.mark.parametrize("name", PUBLIC_NAMES)
def test_public_names_are_there_and_listed(name):
    assert getattr(fastrnn, name).__name__ == name
    assert name in dir(fastrnn)
    assert name in fastrnn.__all__


@pytest.mark.parametrize("name", ["datasets", "init", "losses", "metrics", "optim"])
def test_public_modules_are_loaded_on_first_use(name):
    assert check_python(f"import fastrnn; print(fastrnn.{name}.__name__)").strip() == f"fastrnn.{name}"


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'fastrnn' has no attribute 'LTSM'"):
        _ = fastrnn.LTSM


def test_show_versions_prints_versions_isa_threads_and_blas(capsys):
    from fastrnn._core import native

    fastrnn.show_versions()
    printed = capsys.readouterr().out
    assert f"fastrnn: {fastrnn.__version__}" in printed
    assert f"isa: {native.isa()}" in printed
    assert f"threads: {fastrnn.get_num_threads()}" in printed
    assert "openmp: " in printed
    assert "BLAS" in printed


def test_version_is_that_of_the_installed_package():
    from importlib import metadata

    try:
        installed = metadata.version("fastrnn")
    except metadata.PackageNotFoundError:
        pytest.skip("fastrnn is imported from its folder and not installed")
    assert installed == fastrnn.__version__


def test_every_available_isa_can_be_forced():
    from fastrnn._core import native

    for isa in native.available_isas():
        assert check_python("from fastrnn._core import native; print(native.isa())", FASTRNN_ISA=isa).strip() == isa


@pytest.mark.parametrize("isa", ["nonsense", "avx1024"])
def test_unknown_isa_is_a_clear_error(isa):
    from fastrnn._core import native

    result = run_python("import fastrnn; fastrnn.LSTM(2, 3)", FASTRNN_ISA=isa)
    assert result.returncode != 0
    message = result.stderr.splitlines()[-1]
    assert "FASTRNN_ISA" in message
    assert isa in message
    assert all(available in message for available in native.available_isas())


@pytest.mark.skipif(not CSRC.is_dir(), reason="the sources are not beside the package")
def test_extensions_are_newer_than_their_sources():
    sources = [*CSRC.glob("*.[ch]"), *CSRC.glob("*.inc"), *PACKAGE.glob("_core/*.px[di]")]
    newest = max(sources, key=lambda path: path.stat().st_mtime)
    for extension in PACKAGE.glob("_core/*.so"):
        assert extension.stat().st_mtime >= newest.stat().st_mtime, (
            f"{extension.name} is older than {newest.name}: run python setup.py build_clib build_ext --inplace"
        )


@pytest.mark.skipif(sys.platform != "linux", reason="reads ELF symbols with nm")
def test_kernels_are_hidden():
    from shutil import which

    from fastrnn._core import native

    if which("nm") is None:
        pytest.skip("nm is not installed")
    command = ["nm", "-D", "--defined-only", native.__file__]
    listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    symbols = [line.split()[-1] for line in listing.splitlines()]
    assert "PyInit_native" in symbols
    assert not [symbol for symbol in symbols if symbol.startswith("fr_")]


def test_extensions_are_small():
    size = sum(path.stat().st_size for path in PACKAGE.glob("_core/*.so"))
    assert 0 < size < 20_000_000
