"""Data frames in long form become sequences and come back."""

import sys

import numpy as np
import pytest

from fastrnn.datasets import from_frame, from_sktime, to_frame

LIBRARIES = ["dict", "pandas", "polars"]


def made(library, columns):
    """A frame of this library, or the columns themselves."""
    return columns if library == "dict" else pytest.importorskip(library).DataFrame(columns)


def columns():
    return {
        "run": ["b", "a", "b", "c", "a", "b"],
        "t": [2, 1, 0, 7, 0, 1],
        "speed": [12.0, 21.0, 10.0, 37.0, 20.0, 11.0],
        "on": [True, False, False, True, True, True],
        "kind": ["x", "y", "x", "x", "y", "x"],
        "load": [1, 2, 1, 3, 2, 1],
    }


@pytest.mark.parametrize("library", LIBRARIES)
def test_rows_in_any_order_become_sequences_sorted_by_time(library):
    data = from_frame(made(library, columns()), "run", "t", target="kind")
    assert data.ids.tolist() == ["b", "a", "c"] and data.feature_names == ["speed", "on", "load"]
    assert [t.tolist() for t in data.times] == [[0, 1, 2], [0, 1], [7]]
    assert data.X[0].tolist() == [[10.0, 0.0, 1.0], [11.0, 1.0, 1.0], [12.0, 1.0, 1.0]]
    assert data.X[1].tolist() == [[20.0, 1.0, 2.0], [21.0, 0.0, 2.0]]
    assert data.X[2].tolist() == [[37.0, 1.0, 3.0]]
    assert data.y.tolist() == ["x", "y", "x"] and data.X[0].dtype == np.float64


@pytest.mark.parametrize("library", LIBRARIES)
def test_without_time_the_order_of_the_rows_counts_and_targets_may_be_several(library):
    data = from_frame(made(library, columns()), "run", features=["speed"], target=["load", "kind"])
    assert [x[:, 0].tolist() for x in data.X] == [[12.0, 10.0, 11.0], [21.0, 20.0], [37.0]]
    assert [[int(load), str(kind)] for load, kind in data.y.tolist()] == [[1, "x"], [2, "y"], [3, "x"]]
    assert "times" not in data


@pytest.mark.parametrize("library", LIBRARIES)
def test_sequences_come_back_from_a_frame_bit_for_bit(library, rng):
    if library != "dict":
        pytest.importorskip(library)
    X = [rng.normal(size=(length, 2)).astype(np.float32) for length in (3, 1, 4)]
    times = [np.cumsum(rng.integers(1, 5, size=len(x))).astype("datetime64[ns]") for x in X]
    frame = to_frame(X, ids=[7, 3, 5], times=times, feature_names=["u", "v"], sequence="run", library=library)
    data = from_frame(frame, "run", "time")
    assert data.ids.tolist() == [7, 3, 5] and data.feature_names == ["u", "v"]
    for k in range(3):
        np.testing.assert_array_equal(data.X[k], X[k])
        np.testing.assert_array_equal(data.times[k], times[k])
        assert data.X[k].dtype == np.float32


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_missing_numbers_become_nan(library):
    frame = made(library, {"run": [0, 0, 1], "u": [1.0, None, 3.0], "on": [True, None, False]})
    steps = np.concatenate(from_frame(frame, "run").X)
    np.testing.assert_array_equal(steps, [[1.0, 1.0], [np.nan, np.nan], [3.0, 0.0]])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"run": ["b", "a", None, "c", "a", "b"]}, r"column 'run' has no value in row 2 \(1 such rows\)"),
        ({"t": [2, 1, 2, 7, 0, 1]}, "run 'b' has t .*2.* more than once"),
        ({"t": [2.0, 1.0, np.nan, 7.0, 0.0, 1.0]}, "column 't' has no value in row 2"),
        ({"kind": ["x", "y", "y", "x", "y", "x"]}, "column 'kind' changes within the sequence 'b' from 'y' to 'x'"),
        ({"speed": list("abcdef")}, "column 'speed' (has dtype <U1|does not hold numbers), expected numbers"),
        ({"speed": [1.0, "a", 2.0, 3.0, 4.0, 5.0]}, "column 'speed' (has dtype <U32|does not hold numbers)"),
    ],
)
@pytest.mark.parametrize("library", ["dict", "pandas"])
def test_wrong_columns_are_named(library, change, words):
    given = {name: np.array(c, dtype=object if None in c else None) for name, c in (columns() | change).items()}
    with pytest.raises(ValueError, match=words):
        from_frame(made(library, given), "run", "t", target="kind")


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="frame has no column 'id', only 'run', 't', 'speed'"):
        from_frame(columns(), "id")
    with pytest.raises(ValueError, match="no rows"):
        from_frame({"run": [], "x": []}, "run")
    with pytest.raises(ValueError, match="no columns beside 'run'"):
        from_frame({"run": [1]}, "run")
    with pytest.raises(TypeError, match="frame is of type ndarray"):
        from_frame(np.zeros((3, 3)), "run")
    with pytest.raises(ValueError, match="times has other lengths than X"):
        to_frame([np.zeros((3, 1))], times=[[0, 1]], library="dict")
    with pytest.raises(ValueError, match="library is 'arrow'"):
        to_frame([np.zeros((3, 1))], library="arrow")


def test_a_library_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(ImportError, match="to_frame needs polars: pip install polars"):
        to_frame([np.zeros((3, 1))], library="polars")


def test_sktime_has_features_before_time(rng):
    X = rng.normal(size=(4, 3, 5))
    converted = from_sktime(X)
    assert converted.shape == (4, 5, 3) and converted[1, 4, 2] == X[1, 2, 4]
    ragged = from_sktime([X[0], X[1, :, :2]])
    assert [x.shape for x in ragged] == [(5, 3), (2, 3)] and ragged[1][1, 2] == X[1, 2, 1]
    with pytest.raises(ValueError, match=r"X has shape \(3, 5\), expected \(n_samples, n_features, n_timesteps\)"):
        from_sktime(X[0])
