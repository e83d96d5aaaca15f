"""A layer as a guest of its process: fork, small thread teams, denormal numbers, what gets imported.

Whatever could hang runs in a process of its own under a time-out.
"""

import os
import time

import numpy as np
import pytest
from cases import (
    CELLS,
    DTYPES,
    ENGINES,
    THREADS,
    Case,
    Data,
    as_arrays,
    as_state,
    assert_all_close,
    assert_all_same_bits,
    build,
    data,
    run_layer,
    run_reference,
    run_script,
)

# Work enough that a layer takes all the threads it may have.
BUSY = """
import os, sys
import numpy as np
from cases import *
cases = [Case(cell, "float32", "{engine}", seq_len=20, batch_size=64, hidden_size=128, input_size=64, **options)
         for cell in {cells} for options in [dict(), dict(bidirectional=True, num_layers=2, ragged=True)]]
def results(case, n_threads):
    return run_layer(build(case), data(case), n_threads=n_threads)
def check(found, expected):
    if "{engine}" == "native":
        assert_all_same_bits(found, expected)
    else:
        assert_all_close(found, expected, "float32")
"""
FORK = """
import signal
for case in cases:
    expected = results(case, 2)
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            signal.alarm(30)
            for n_threads in (None, 1, 2, 4):
                check(results(case, n_threads), expected)
            status = 0
        finally:
            sys.stderr.flush()
            os._exit(status)
    assert os.waitpid(pid, 0)[1] == 0, f"the child failed or hung: {case}"
    check(results(case, 2), expected)
print("done")
"""
TEAM = """
for case in cases:
    expected = results(case, 1)
    for n_threads in (2, 3, 4, None):
        check(results(case, n_threads), expected)
print("done")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize("engine", ENGINES)
def test_child_of_a_fork_computes_after_its_parent_used_two_threads(engine):
    if engine == "blas":
        pytest.importorskip("scipy", reason="the blas engine needs SciPy")
    script = BUSY.format(engine=engine, cells=["lstm", "gru-after"]) + FORK
    assert run_script(script, timeout=120).endswith("done\n")


LIMITS = [{"OMP_THREAD_LIMIT": "1"}, {"OMP_THREAD_LIMIT": "3"}, {"OMP_DYNAMIC": "true"}]


@pytest.mark.parametrize("limit", LIMITS, ids=str)
@pytest.mark.parametrize("engine", ENGINES)
def test_team_smaller_than_asked_for_gives_the_same_results(engine, limit):
    if engine == "blas":
        pytest.importorskip("scipy", reason="the blas engine needs SciPy")
    script = BUSY.format(engine=engine, cells=["rnn-relu", "lstm-proj", "gru-before"]) + TEAM
    assert run_script(script, timeout=120, **limit).endswith("done\n")


def test_process_ends_in_peace_while_a_thread_computes():
    script = BUSY.format(engine="native", cells=["lstm"]) + (
        "import threading, time\n"
        "layer, given = build(cases[1]), data(cases[1])\n"
        "def work():\n"
        "    while True:\n"
        "        layer(*given.arguments, n_threads=2)\n"
        "threading.Thread(target=work, daemon=True).start()\n"
        "time.sleep(0.3)\n"
        "print('done')\n"
    )
    assert run_script(script, timeout=60).endswith("done\n")


@pytest.mark.parametrize("name, loaded", [("native", False), ("blas", True)])
def test_environment_chooses_the_engine_and_only_blas_loads_scipy(name, loaded):
    if loaded:
        pytest.importorskip("scipy", reason="the blas engine needs SciPy")
    script = (
        "import sys, numpy as np, fastrnn\n"
        "layer = fastrnn.LSTM(3, 4)\n"
        "(output, state), backward = layer.forward(np.ones((5, 2, 3)))\n"
        "backward(output, state)\n"
        "layer.stepper().step(np.ones((1, 3)))\n"
        "print('scipy' in sys.modules)\n"
    )
    assert run_script(script, FASTRNN_ENGINE=name).strip() == str(loaded)


def test_unknown_engine_in_the_environment_is_refused():
    script = "import fastrnn\ntry:\n    fastrnn.LSTM(3, 4)\nexcept ValueError as error:\n    print(error)\n"
    message = run_script(script, FASTRNN_ENGINE="cuda").strip()
    assert message == "FASTRNN_ENGINE is 'cuda', expected one of 'native', 'blas'"


def denormals_work():
    """Whether this thread computes with denormal numbers, rather than taking them for zeros."""
    for dtype in DTYPES:
        smallest = np.full(33, np.finfo(dtype).tiny, dtype)
        if not ((smallest / 4).all() and ((smallest / 4) * 4 == smallest).all()):
            return False
    return True


def tiny_data(case, scale=1.0):
    """Data of which everything is a denormal number, but for rounding to zero, times `scale`."""
    factor = 0.25 * np.finfo(case.dtype).tiny
    given = data(case)

    def shrink(a):
        sign = np.where(a < 0, -1.0, 1.0)
        return (sign * np.clip(np.abs(a), 0.1, 1.0) * factor * scale).astype(case.dtype)

    state_0, d_state_n = (as_state([shrink(a) for a in as_arrays(s)]) for s in (given.state_0, given.d_state_n))
    return Data(shrink(given.x), state_0, given.lengths, shrink(given.d_output), d_state_n)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("cell", CELLS)
def test_denormal_numbers_work_after_a_call_as_before(cell, engine, exact_threads):
    case = Case(cell, "float32", engine, num_layers=2)
    layer, given = build(case), data(case)
    assert denormals_work()
    for n_threads in THREADS:
        run_layer(layer, given, n_threads=n_threads)
        assert denormals_work()
    layer.stepper(case.batch_size).step(given.x[0])
    with pytest.raises(ValueError):
        layer(given.x[:, :, 1:])
    assert denormals_work()


@pytest.mark.parametrize("cell", CELLS)
def test_call_leaves_flushing_of_denormals_on_where_the_caller_set_it(cell, exact_threads):
    """And gives the same bits either way, on any number of threads."""
    torch = pytest.importorskip("torch", reason="torch is what sets the flags here: pip install fastrnn[peers]")
    for dtype in DTYPES:
        case = Case(cell, dtype, num_layers=2, batch_size=7, hidden_size=37)
        layer, given = build(case, bias=False), tiny_data(case, scale=16.0)
        expected = run_layer(layer, given)
        if not torch.set_flush_denormal(True):
            pytest.skip("this processor cannot flush denormals")
        try:
            for n_threads in THREADS:
                found = run_layer(layer, given, n_threads=n_threads)
                assert not denormals_work()
                assert_all_same_bits(found, expected)
        finally:
            torch.set_flush_denormal(False)
        for n_threads in THREADS:
            assert_all_same_bits(run_layer(layer, given, n_threads=n_threads), expected)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("cell", CELLS)
def test_denormal_input_gives_right_results(cell, dtype, engine):
    """Right up to the smallest normal number, which is what a denormal may become zero for."""
    case = Case(cell, dtype, engine, num_layers=2)
    layer, given = build(case), tiny_data(case)
    results, expected = run_layer(layer, given), run_reference(case, layer.params, given)
    assert_all_close(results, expected, dtype)
    without_bias = build(Case(cell, dtype, engine, num_layers=2, bias=False))
    results = run_layer(without_bias, given)
    for name in ("output", "state_n[0]", "d_x", "d_state_0[0]"):
        assert np.abs(results[name]).max() < 100 * np.finfo(dtype).tiny, name


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("cell", CELLS)
def test_denormal_input_is_not_slow(cell, dtype, engine):
    """Without bias the states stay denormal from the first step to the last."""
    case = Case(cell, dtype, engine, bias=False, seq_len=20, batch_size=16, input_size=33, hidden_size=64)
    layer, normal = build(case), data(case)
    denormal = tiny_data(case)

    def best(given, repeats=5):
        times = []
        for _ in range(repeats):
            start = time.perf_counter()
            run_layer(layer, given)
            times.append(time.perf_counter() - start)
        return min(times)

    best(normal, 2)
    for _ in range(3):  # a busy neighbour may spoil a measurement, but hardly three
        ratio = best(denormal) / best(normal)
        if ratio < 4:
            return
    pytest.fail(f"denormal input takes {ratio:.1f} times as long as normal input")
