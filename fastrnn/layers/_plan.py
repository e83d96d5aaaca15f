"""How the work of a layer is dealt out over threads."""

from __future__ import annotations

from .._core import native

ROWS_PER_THREAD = 6  # rows that fill a tile
PANEL_VECTORS = 4  # vectors of units that are dealt out together
WORK_PER_BARRIER = 6_000  # multiply-adds of a step (some 0.3 us) of each thread that pay for its barrier
FORCED = None  # "rows" or "units", by tests


def plan(directions, rows, n_threads):
    """Return (by units?, number of threads) for a layer.

    Directions run side by side. Within one, by rows where every thread gets whole tiles of them, since then no thread
    waits for another; by units where rows are few and a step is long against the barrier that ends it. Other engines
    multiply whole matrices: by rows.

    Parameters
    ----------
    directions : list of Direction
    rows : int
        Of the batch.
    n_threads : int
        At most so many.
    """
    if n_threads == 1:
        return False, 1
    teams = min(len(directions), n_threads)
    size, pack = n_threads // teams, directions[0].pack
    if FORCED == "units" and pack.engine is native:
        return True, teams * size
    if FORCED is None and rows < ROWS_PER_THREAD * size and pack.engine is native:
        panels = -(-pack.Hp // (PANEL_VECTORS * native.lanes(pack.dtype)))
        work = rows * pack.cell.n_gates * pack.H * pack.R
        units = min(size, panels, work // WORK_PER_BARRIER)
        if units > 1:
            return True, teams * units
    return False, teams * max(1, min(size, rows))
