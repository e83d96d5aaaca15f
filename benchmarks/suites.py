"""What the asv suites share. `asv run`, `asv continuous main HEAD`; `asv run -E existing` compares installed peers."""

from __future__ import annotations

from . import peers
from .shapes import BY_LABEL, SHORT, TABLE


def labels(cell, shapes=tuple(SHORT)):
    """Return the labels of the shapes of one cell."""
    return [shape.label for shape in shapes if shape.cell == cell]


ALL = tuple(TABLE)
THREADS = [1, 2]


class Comparison:
    """A network of one shape in one package: `setup` builds it, subclasses time `self.call`.

    An absent package, and one that cannot do `method`, is skipped: asv reports the NotImplementedError of `setup`.
    """

    method = "forward"
    dtype = "float32"
    params: list = []
    param_names = ["shape", "peer", "threads"]
    repeat = (5, 20, 2.0)
    sample_time = 0.03
    warmup_time = 0.05
    timeout = 300

    def setup(self, label, peer, n_threads):
        adapter = peers.build(peer, peers.Problem(BY_LABEL[label], self.dtype), n_threads)
        adapter.take_threads()
        self.call = getattr(adapter, self.method)
        self.call()


def params(cell, names=tuple(peers.PEERS), shapes=tuple(SHORT), threads=tuple(THREADS)):
    """Return asv's params: shapes of a cell, peers, threads."""
    return [labels(cell, shapes), list(names), list(threads)]
