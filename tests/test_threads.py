"""How many threads a call uses: what the caller, the environment and other packages say."""

import numpy as np
import pytest
from cases import run_script

import fastrnn
from fastrnn import _threads
from fastrnn._core import native


@pytest.fixture(autouse=True)
def _nothing_chosen():
    yield
    fastrnn.set_num_threads(None)


def test_the_number_that_was_set_wins_until_it_is_taken_back():
    before = fastrnn.get_num_threads()
    fastrnn.set_num_threads(3)
    assert fastrnn.get_num_threads() == 3 and _threads.resolve(None, 1e12, 99) == 3
    fastrnn.set_num_threads(None)
    assert fastrnn.get_num_threads() == before


@pytest.mark.parametrize("wrong", [0, -1])
def test_a_number_below_one_is_refused(wrong):
    with pytest.raises(ValueError, match=f"n_threads is {wrong}, expected an integer >= 1"):
        fastrnn.set_num_threads(wrong)
    with pytest.raises(ValueError, match=f"n_threads is {wrong}, expected an integer >= 1"):
        fastrnn.GRU(2, 3)(np.zeros((1, 1, 2)), n_threads=wrong)


@pytest.mark.parametrize(("text", "expected"), [("1", 1), ("3", 3), ("2,4", 2)])
def test_the_environment_is_respected(text, expected):
    result = run_script("import fastrnn; print(fastrnn.get_num_threads())", OMP_NUM_THREADS=text)
    assert int(result) == expected


@pytest.mark.skipif(not native.openmp(), reason="built without OpenMP")
def test_a_limit_of_threadpoolctl_holds_as_long_as_it_stands():
    result = run_script(
        "import fastrnn, fastrnn.layers, threadpoolctl\n"
        "with threadpoolctl.threadpool_limits(1, user_api='openmp'): inside = fastrnn.get_num_threads()\n"
        "print(inside, fastrnn.get_num_threads())",
        OMP_NUM_THREADS="2",
    )
    assert result.split() == ["1", "2"]


def test_little_work_and_few_pieces_get_fewer_threads():
    fastrnn.set_num_threads(8)
    assert _threads.resolve(None, 1.0, 99) == 1
    assert _threads.resolve(None, 1e12, 2) == 2
    assert _threads.resolve(4, 1e12, 99) == 4


@pytest.mark.parametrize(
    ("text", "expected"), [("max 100000", None), ("150000 100000", 2), ("50000 100000", 1), ("nonsense", None)]
)
def test_a_quota_of_the_control_group_is_rounded_up(text, expected, monkeypatch, tmp_path):
    file = tmp_path / "cpu.max"
    file.write_text(text)
    real = open
    monkeypatch.setattr("builtins.open", lambda path, *a: real(file if path.endswith("cpu.max") else "/nowhere", *a))
    found = _threads._quota()
    monkeypatch.undo()
    assert found == expected


def test_a_quota_is_read_again_after_a_second_and_not_before(monkeypatch):
    quotas, now = iter([1, 2]), [1e6]
    monkeypatch.setattr(_threads, "_affinity", lambda: 64)
    monkeypatch.setattr(_threads, "_quota", lambda: next(quotas))
    monkeypatch.setattr(_threads.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(_threads, "_quota_read", (0.0, None))
    found = []
    for seconds in (0.0, 0.9, 0.1):
        now[0] += seconds
        found.append(_threads.available_cpus())
    assert found == [1, 1, 2]
