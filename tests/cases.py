"""The shared parametrisation of the tests of recurrent layers: cases, data, tolerances, comparisons.

The cells stand in ``cells``: a new one gets one line there, and every test of the matrix runs for it.
"""

import itertools
import os
import subprocess
import sys
import zlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from cells import CELLS, KINDS, VARIANTS

import fastrnn
from fastrnn.reference import stack


@dataclass(frozen=True)
class Tolerance:
    """Largest error allowed, in units of max(1, the largest magnitude expected)."""

    forward: float
    backward: float


# float64 leaves room for products summed in another order, and for tanh and sigmoid that are off by a few ulp.
TOLERANCES = {
    "float32": Tolerance(forward=4e-6, backward=1e-5),
    "float64": Tolerance(forward=1e-14, backward=4e-14),
}
NUMERIC_STEP = 1e-6
NUMERIC_TOLERANCE = 1e-7  # of central differences in float64 with that step

DTYPES = tuple(TOLERANCES)
ENGINES = ("native", "blas")
THREADS = (1, 2, 4)

# Sizes on both sides of the vector lengths, from 1 (scalar) to 16 (float32 with AVX-512), and their tails.
FACTORS = {
    "bidirectional": (False, True),
    "num_layers": (1, 2),
    "ragged": (False, True),
    "seq_len": (1, 2, 5),
    "n_threads": THREADS,
    "hidden_size": (1, 3, 16, 20, 37, 64),
    "input_size": (1, 5, 33),
    "batch_size": (1, 2, 7, 33),
    "bias": (True, False),
    "with_state": (True, False),
}
# Of variants; not fewer than 7 units, since three features that hardly vary are normalised at the cost of digits.
FEW_FACTORS = FACTORS | {
    "seq_len": (1, 5),
    "n_threads": (1, 4),
    "hidden_size": (7, 20, 37),
    "input_size": (5, 33),
    "batch_size": (2, 33),
    "dtype": DTYPES,
    "engine": ENGINES,
}


@dataclass(frozen=True)
class Case:
    """One configuration of a layer and of its data."""

    cell: str
    dtype: str = "float64"
    engine: str = "native"
    bidirectional: bool = False
    num_layers: int = 1
    ragged: bool = False
    seq_len: int = 5
    n_threads: int = 1
    hidden_size: int = 20
    input_size: int = 5
    batch_size: int = 7
    bias: bool = True
    with_state: bool = True

    def __str__(self):
        parts = [self.cell, self.dtype, self.engine, "bi" if self.bidirectional else "uni", f"L{self.num_layers}"]
        parts += ["ragged" if self.ragged else "equal", f"T{self.seq_len}", f"N{self.batch_size}"]
        parts += [f"I{self.input_size}", f"H{self.hidden_size}", f"threads{self.n_threads}"]
        parts += ["nobias"] * (not self.bias) + ["zeros"] * (not self.with_state)
        return "-".join(parts)

    @property
    def seed(self):
        """A number that depends on the case alone, not on the engine or the threads: they shall see the same data."""
        return zlib.crc32(repr(replace(self, engine="", n_threads=0)).encode())

    @property
    def width(self):
        """hidden_size, at least 2 with a projection, which must make it smaller."""
        return max(self.hidden_size, 2) if KINDS[self.cell].projected else self.hidden_size

    @property
    def output_size(self):
        """Size of one direction's output."""
        return self.width // 2 if KINDS[self.cell].projected else self.width


def all_pairs(factors, seed=0):
    """Few combinations in which every two values of two factors meet at least once.

    Greedy: each row starts from a pair not met yet and takes, factor by factor, the value that meets most new ones.
    """
    rng = np.random.default_rng(seed)
    names = list(factors)

    def key(a, value_a, b, value_b):
        return (a, value_a, b, value_b) if names.index(a) < names.index(b) else (b, value_b, a, value_a)

    unmet = {
        (a, value_a, b, value_b): None  # a dict, so that the order is the same in every process
        for a, b in itertools.combinations(names, 2)
        for value_a in factors[a]
        for value_b in factors[b]
    }
    rows = []
    while unmet:
        a, value_a, b, value_b = next(iter(unmet))
        row = {a: value_a, b: value_b}
        for name in rng.permutation([n for n in names if n not in row]).tolist():
            values = [factors[name][k] for k in rng.permutation(len(factors[name]))]
            row[name] = max(values, key=lambda v: sum(key(name, v, other, w) in unmet for other, w in row.items()))
        for x, y in itertools.combinations(names, 2):
            unmet.pop((x, row[x], y, row[y]), None)
        rows.append(row)
    return rows


def few(*, cells=tuple(VARIANTS), **changes):
    """Cases of variants: for each, all factors of `FEW_FACTORS` pairwise; `changes` as of `matrix`."""
    factors = FEW_FACTORS | {name: value if isinstance(value, tuple) else (value,) for name, value in changes.items()}
    return [Case(cell, **row) for k, cell in enumerate(cells) for row in all_pairs(factors, seed=k)]


def matrix(*, cells=tuple(CELLS), dtypes=DTYPES, engines=ENGINES, **changes):
    """Cases: cells, dtypes and engines in full product, the other factors pairwise.

    `changes` replaces or adds factors: a tuple by values to combine, anything else by one value.
    """
    factors = dict(FACTORS)
    factors |= {name: value if isinstance(value, tuple) else (value,) for name, value in changes.items()}
    cases = []
    for k, (cell, dtype, engine) in enumerate(itertools.product(cells, dtypes, engines)):
        fixed = {"cell": cell, "dtype": dtype, "engine": engine}
        cases += [Case(**fixed | row) for row in all_pairs(factors, seed=k)]
    return cases


def product(*, cells=tuple(CELLS), **factors):
    """Cases in full product over `cells` and the given factors."""
    rows = itertools.product(cells, *factors.values())
    return [Case(cell, **dict(zip(factors, values, strict=True))) for cell, *values in rows]


def over(cases):
    """A decorator that runs a test once for each case."""
    return pytest.mark.parametrize("case", cases, ids=str)


def build(case, **changes):
    """A layer with random weights and biases; `changes` are further keywords of its class."""
    if case.engine == "blas":
        pytest.importorskip("scipy", reason="the blas engine needs SciPy")
    cell = KINDS[case.cell]
    keywords = {"proj_size": case.output_size} if cell.projected else {}
    keywords |= {"num_layers": case.num_layers, "bias": case.bias, "bidirectional": case.bidirectional}
    keywords |= {"dtype": case.dtype, "engine": case.engine, **cell.options, **changes}
    layer = getattr(fastrnn, cell.layer)(case.input_size, case.width, **keywords)
    rng = np.random.default_rng(case.seed)
    bound = 1.5 / np.sqrt(case.width)
    layer.load_state_dict({name: rng.uniform(-bound, bound, w.shape) for name, w in layer.params.items()})
    return layer


@dataclass
class Data:
    """What a layer is called with, and the derivatives of a scalar by what it returns."""

    x: np.ndarray
    state_0: np.ndarray | tuple | None
    lengths: np.ndarray | None
    d_output: np.ndarray
    d_state_n: np.ndarray | tuple

    @property
    def arguments(self):
        """The positional arguments of a call."""
        return self.x, self.state_0, self.lengths

    @property
    def padding(self):
        """Which steps of which rows lie past the row's length: bool, (seq_len, batch_size)."""
        seq_len, batch_size = self.x.shape[:2]
        lengths = np.full(batch_size, seq_len) if self.lengths is None else self.lengths
        return np.arange(seq_len)[:, None] >= lengths


def data(case, *, min_length=0):
    """Random data for a case; padding, in x as in d_output, is NaN: nobody may look at it."""
    rng = np.random.default_rng(case.seed + 1)
    seq_len, batch_size = case.seq_len, case.batch_size
    directions = 2 if case.bidirectional else 1
    sizes = [case.output_size] + [case.width] * (KINDS[case.cell].reference == "lstm")
    shapes = [(directions * case.num_layers, batch_size, size) for size in sizes]

    def state(scale):
        return as_state([(scale * rng.standard_normal(shape)).astype(case.dtype) for shape in shapes])

    x = rng.standard_normal((seq_len, batch_size, case.input_size)).astype(case.dtype)
    d_output = rng.standard_normal((seq_len, batch_size, directions * case.output_size)).astype(case.dtype)
    lengths = ragged_lengths(rng, batch_size, seq_len, min_length) if case.ragged else None
    given = Data(x, state(0.5) if case.with_state else None, lengths, d_output, state(1.0))
    x[given.padding], d_output[given.padding] = np.nan, np.nan
    return given


def ragged_lengths(rng, batch_size, seq_len, min_length=0):
    """Lengths in no order, the shortest and the longest allowed among them."""
    lengths = rng.integers(min_length, seq_len + 1, batch_size)
    lengths[: batch_size // 2][:1] = min_length
    lengths[-1:] = seq_len if batch_size > 1 else max(seq_len - 1, min_length)
    return rng.permutation(lengths)


def as_state(arrays):
    """A pair for an LSTM, one array for the others."""
    return tuple(arrays) if len(arrays) > 1 else arrays[0]


def as_arrays(state):
    """The arrays of a state, as a tuple."""
    return state if isinstance(state, tuple) else (state,)


def run_layer(layer, given, *, n_threads=1):
    """All that a layer computes from `given`, by name: results of inference, then of forward and backward."""
    has_cells = isinstance(layer, fastrnn.LSTM)
    output, state_n, *cells = layer(*given.arguments, return_cells=has_cells, n_threads=n_threads)
    results = {"output": output, **named("state_n", state_n)} | ({"cells": cells[0]} if has_cells else {})
    layer.zero_grad()
    (output, state_n), backward = layer.forward(*given.arguments, training=False, n_threads=n_threads)
    results |= {"forward output": output, **named("forward state_n", state_n)}
    d_x, d_state_0 = backward(given.d_output, given.d_state_n)
    results |= {"d_x": d_x, **named("d_state_0", d_state_0)}
    return results | {f"d_{name}": grad.copy() for name, grad in layer.grads.items()}


def run_reference(case, params, given, **changes):
    """The same by the reference, in float64; `changes` are further keywords of it, such as the masks of training."""
    cell = KINDS[case.cell]
    options = cell.reference_options | changes
    (output, state_n, cells), tape = stack.forward(params, *given.arguments, cell=cell.reference, **options)
    d_x, d_state_0, grads = stack.backward(tape, given.d_output, given.d_state_n)
    results = {"output": output, **named("state_n", state_n), "forward output": output}
    if cells is not None:
        results["cells"] = cells
    results |= {**named("forward state_n", state_n), "d_x": d_x, **named("d_state_0", d_state_0)}
    return results | {f"d_{name}": grad for name, grad in grads.items()}


def named(name, state):
    """The arrays of a state under ``name[0]`` and, for an LSTM, ``name[1]``."""
    return {f"{name}[{k}]": array for k, array in enumerate(as_arrays(state))}


def numeric_gradient(loss, array):
    """Central differences of ``loss()``, which reads `array`, by every element of `array` (float64)."""
    gradient = np.empty_like(array)
    for index in np.ndindex(array.shape):
        kept = array[index]
        array[index] = kept + NUMERIC_STEP
        above = loss()
        array[index] = kept - NUMERIC_STEP
        below = loss()
        array[index] = kept
        gradient[index] = (above - below) / (2 * NUMERIC_STEP)
    return gradient


def assert_slopes(loss, array, gradient, name, rng):
    """Compare the slopes of ``loss()`` along some directions of `array` with what its `gradient` says of them."""
    kept = array.copy()
    for _ in range(2):
        direction = rng.standard_normal(array.shape) / np.sqrt(array.size)
        losses = []
        for step in (NUMERIC_STEP, -NUMERIC_STEP):
            array[...] = kept + step * direction
            losses.append(loss())
        array[...] = kept
        slope = np.array((losses[0] - losses[1]) / (2 * NUMERIC_STEP))
        assert_near(np.array((gradient * direction).sum()), slope, NUMERIC_TOLERANCE, name)


def assert_close(actual, expected, dtype, name):
    """Compare one result with what is expected of it, at the tolerance of `dtype`."""
    tolerance = TOLERANCES[dtype].backward if name.startswith("d_") else TOLERANCES[dtype].forward
    assert actual.dtype == dtype, f"{name} is {actual.dtype}"
    assert_near(actual, expected, tolerance, name)


def assert_near(actual, expected, tolerance, name):
    """Compare two arrays at an explicit tolerance, in units of max(1, the largest magnitude expected)."""
    assert actual.shape == expected.shape, f"{name} has shape {actual.shape}, expected {expected.shape}"
    scale = max(1.0, np.abs(expected).max(initial=0.0))
    np.testing.assert_allclose(actual / scale, expected / scale, rtol=0, atol=tolerance, err_msg=name)


def assert_all_close(actual, expected, dtype):
    """Compare two dicts of results, name by name."""
    assert actual.keys() == expected.keys()
    for name, value in expected.items():
        assert_close(actual[name], value, dtype, name)


def assert_same_bits(actual, expected, name="result"):
    """Compare two arrays bit by bit, so that -0 is not 0 and NaN is itself."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.dtype == expected.dtype, f"{name} is {actual.dtype}, expected {expected.dtype}"
    assert actual.shape == expected.shape, f"{name} has shape {actual.shape}, expected {expected.shape}"
    bits = f"u{actual.dtype.itemsize}"
    different = np.argwhere(np.ascontiguousarray(actual).view(bits) != np.ascontiguousarray(expected).view(bits))
    assert not len(different), f"{name} differs in {len(different)} of {actual.size} elements, first at {different[0]}"


def assert_all_same_bits(actual, expected):
    """Compare two dicts of results bit by bit."""
    assert actual.keys() == expected.keys()
    for name, value in expected.items():
        assert_same_bits(actual[name], value, name)


def run_script(script, *, timeout=60, **environment):
    """Run Python text in a process of its own and return what it prints; a process that hangs or fails is an error."""
    paths = [str(Path(fastrnn.__file__).parents[1]), str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), **environment}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, timeout=timeout, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"exit status {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout
