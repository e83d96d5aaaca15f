"""How the work of a layer is dealt out over threads."""

from __future__ import annotations

from .._core import native

ROWS_PER_THREAD = 6  # rows that fill a tile
PANEL_VECTORS = 4  # vectors of units that are dealt out together in backward
WORK_PER_BARRIER = 6_000  # multiply-adds of a step (some 0.3 us) of each thread that pay for its barrier
PIPELINE_BYTES = 131_072  # of recurrent weights of a layer: more are better shared, each core with its part in cache
PIPELINE_STEPS = 64  # fewer do not fill a pipeline
FORCED = None  # "rows", "units" or "layers", by tests


def plan(directions, rows, n_threads, training, whole_rows=False):
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
    training : bool
        Whether backward follows, whose panels are wider.
    whole_rows : bool
        Whether a step needs all units of a row at once.
    """
    if n_threads == 1:
        return False, 1
    teams = min(len(directions), n_threads)
    size, pack = n_threads // teams, directions[0].pack
    can_share_units = pack.is_fused and not whole_rows
    if FORCED == "units" and can_share_units:
        return True, teams * size
    if FORCED is None and rows < ROWS_PER_THREAD * size and can_share_units:
        widest = max(native.panel(pack.dtype, operator.kernel)[0] for operator in pack.forward)
        panels = -(-pack.Hp // ((PANEL_VECTORS if training else widest) * native.lanes(pack.dtype)))
        work = rows * pack.cell.n_gates * pack.H * pack.R
        units = min(size, panels, work // WORK_PER_BARRIER)
        if units > 1:
            return True, teams * units
    return False, teams * max(1, min(size, rows))


def pipeline(layers, steps, rows, n_threads):
    """Return on how many threads layers run side by side, each some steps behind the one below; 0: one after the other.

    Inference alone: it pays for small layers and few rows, which have no barrier in a step then.
    """
    if n_threads == 1 or len(layers) == 1 or len(layers[0]) > 1:
        return 0
    pack = layers[0][0].pack
    if FORCED is not None:
        return min(n_threads, len(layers)) if FORCED == "layers" and pack.is_fused else 0
    few = rows < ROWS_PER_THREAD * n_threads and steps >= PIPELINE_STEPS
    small = pack.cell.n_gates * pack.H * pack.R * pack.dtype.itemsize <= PIPELINE_BYTES
    pays = pack.is_fused and few and small and n_threads <= len(layers)
    return n_threads if pays else 0
