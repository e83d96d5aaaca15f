"""Layers side by side, each on a thread of its own some steps behind the one below: the same bits."""

from cases import DTYPES, Case, as_arrays, assert_same_bits, build, data, over, product
from cells import VARIANTS

from fastrnn import _threads
from fastrnn.layers import _plan

OPTIONS = {"num_layers": (2, 3), "seq_len": (1, 5, 40), "batch_size": (1, 5), "dtype": DTYPES}


LONG = {"num_layers": (3,), "seq_len": (40,), "batch_size": (5,), "dtype": DTYPES}


@over(product(**OPTIONS) + product(cells=tuple(VARIANTS), **LONG))
def test_layers_side_by_side_give_the_bits_of_one_after_the_other(case, monkeypatch):
    layer, given = build(case), data(case)
    output, state_n = layer(given.x, given.state_0, n_threads=1)
    monkeypatch.setattr(_threads, "WORK_PER_THREAD", 1e-9)
    monkeypatch.setattr(_plan, "FORCED", "layers")
    for n_threads in (2, 4):
        again, state_again = layer(given.x, given.state_0, n_threads=n_threads)
        assert_same_bits(again, output, "output")
        for found, expected in zip(as_arrays(state_again), as_arrays(state_n), strict=True):
            assert_same_bits(found, expected, "state_n")


def test_small_deep_layers_are_run_so_and_others_are_not():
    small, large = (build(Case("lstm", num_layers=2, hidden_size=size)) for size in (64, 256))
    both = build(Case("lstm", num_layers=2, bidirectional=True, hidden_size=64))

    def plan(layer, *arguments):
        return _plan.pipeline(layer._pack().layers, *arguments)

    assert plan(small, 1000, 1, 2) == 2
    assert plan(small, 1000, 1, 1) == plan(small, 10, 1, 2) == plan(small, 1000, 32, 2) == 0
    assert plan(large, 1000, 1, 2) == plan(both, 1000, 1, 2) == 0
