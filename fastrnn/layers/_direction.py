"""One direction of one layer on a packed batch: forward, and the gradients."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .._core import native, recurrent
from .cells import unblock

ROWS_PER_THREAD = 6  # rows that fill a tile
PANEL_VECTORS = 4  # vectors of units that are dealt out together
WORK_PER_BARRIER = 30_000  # multiply-adds of a step (some 0.6 us) that pay for one more thread at its barrier
FORCED_PLAN = None  # "rows" or "units", by tests


class Kept(NamedTuple):
    """What backward needs of a forward run."""

    x: np.ndarray  # (S, I)
    gates: np.ndarray  # (S, blocks * Hp)
    cells: np.ndarray  # (S, Hp) or None
    h_0: np.ndarray  # (N, R), packed order
    c_0: np.ndarray  # (N, Hp) or None
    out: np.ndarray  # (S, R), the layer's output itself
    reverse: bool


def _matrix(rows, columns, dtype):
    return native.aligned(rows * columns, dtype).reshape(rows, columns)


def _padded_state(state, columns):
    """Return a copy of (N, H), widened with zeros to whole vectors; None stays None."""
    if state is None:
        return None
    out = np.zeros((state.shape[0], columns), state.dtype)
    out[:, : state.shape[1]] = state
    return out


def _plan(pack, packing, n_threads):
    """How the steps of a run are dealt out: (bounds of shares of rows, by units?, number of threads).

    By rows where every thread gets whole tiles of them, since then no thread waits for another; by units where rows
    are few and a step is long against the barrier that ends it. Other engines multiply whole matrices: by rows.
    """
    rows = packing.batch_size
    if n_threads == 1:
        return packing.bounds(1), False, 1
    by_units = FORCED_PLAN == "units" if FORCED_PLAN else rows < ROWS_PER_THREAD * n_threads
    if by_units and pack.engine is native:
        panels = -(-pack.Hp // (PANEL_VECTORS * native.lanes(pack.dtype)))
        work = rows * pack.cell.n_gates * pack.H * pack.R
        n_units = n_threads if FORCED_PLAN else min(n_threads, panels, int(work / WORK_PER_BARRIER))
        if n_units > 1:
            return packing.bounds(1), True, n_units
    n_threads = max(1, min(n_threads, rows))
    return packing.bounds(n_threads), False, n_threads


def run_forward(pack, packing, x, h_0, c_0, out, *, reverse, keep, keep_cells, n_threads):
    """Run a direction.

    Parameters
    ----------
    pack : DirectionPack
    packing : Packing
    x : ndarray of shape (S, I)
    h_0 : ndarray of shape (N, R), in packed order
    c_0 : ndarray of shape (N, H) or None, likewise
    out : ndarray of shape (S, R)
        Filled.
    reverse, keep, keep_cells : bool
        `keep` for what backward needs, `keep_cells` for all cells.
    n_threads : int

    Returns
    -------
    h_n, c_n : ndarray of shape (N, R), (N, H)
        In packed order; c_n None without a cell.
    cells : ndarray of shape (S, H) or None
    kept : Kept or None
    """
    cell, engine, dtype = pack.cell, pack.engine, pack.dtype
    S, N, Hp = packing.size, packing.batch_size, pack.Hp
    gates = _matrix(S, (cell.blocks if keep else cell.n_gates) * Hp, dtype)
    engine.matmul(x, pack.w_ih, pack.bias, gates[:, : cell.n_gates * Hp], n_threads)
    c_0 = _padded_state(c_0, Hp)
    cells = c_0
    if cell.has_cell and (keep or keep_cells):
        cells = _matrix(S, Hp, dtype)
    mid = _matrix(N, Hp, dtype) if cell.mid_gates or pack.projects else None
    scratch = None
    if engine is not native:
        scratch = _matrix(N, max(operator.weights.N for operator in pack.forward), dtype)
    plan = _plan(pack, packing, n_threads)
    recurrent.forward(
        engine, pack.forward, gates, packing.offsets, reverse, h_0, out, c_0, cells, mid, scratch, pack.b_hn, keep,
        *plan,
    )  # fmt: skip
    h_n = packing.last(out, h_0, reverse)
    c_n = None
    if cell.has_cell:
        c_n = c_0 if cells is c_0 else packing.last(cells, c_0, reverse)
        c_n = c_n[:, : pack.H]
    kept = Kept(x, gates, cells, h_0, c_0, out, reverse) if keep else None
    return h_n, c_n, cells[:, : pack.H] if cell.has_cell and keep_cells else None, kept


def run_backward(pack, packing, kept, d_out, d_h_n, d_c_n, grads, *, n_threads):
    """Run a direction backwards.

    Parameters
    ----------
    pack : DirectionPack
    packing : Packing
    kept : Kept
        Used up: the gates are overwritten by their gradients.
    d_out : ndarray of shape (S, R)
    d_h_n, d_c_n : ndarray of shape (N, R), (N, H)
        In packed order; d_c_n None without a cell.
    grads : dict
        "weight_ih", "weight_hh", and as there are "bias_ih", "bias_hh", "weight_hr": added into.
    n_threads : int

    Returns
    -------
    d_x : ndarray of shape (S, I)
    d_h_0, d_c_0 : ndarray of shape (N, R), (N, H)
    """
    cell, engine = pack.cell, pack.engine
    operators, w_ih = pack.backward
    S, N, Hp = packing.size, packing.batch_size, pack.Hp
    dh, dc = _padded_state(d_h_n, pack.Rp), _padded_state(d_c_n, Hp)
    mid = inner = d_mid = None
    if cell.mid_gates or pack.projects:
        mid = _matrix(S, pack.Rp if pack.projects else Hp, pack.dtype)
        d_mid = np.zeros((N, Hp), pack.dtype)
    if pack.projects:
        inner = _matrix(S, Hp, pack.dtype)
    recurrent.backward(
        engine, operators, kept.gates, packing.offsets, kept.reverse, kept.h_0, kept.out, kept.c_0, kept.cells, d_out,
        dh, dc, mid, inner, d_mid, *_plan(pack, packing, n_threads),
    )  # fmt: skip
    _add_gradients(pack, packing, kept, mid, inner, grads, n_threads)
    d_x = engine.matmul(kept.gates[:, : cell.n_gates * Hp], w_ih, None, None, n_threads)
    return d_x, dh[:, : pack.R], None if dc is None else dc[:, : pack.H]


def _add_gradients(pack, packing, kept, mid, inner, grads, n_threads):
    """Add dW = sum over steps of d_gates^T operand, and db = sum of d_gates."""
    cell, engine, H, Hp = pack.cell, pack.engine, pack.H, pack.Hp

    def add_weight(name, first_block, order, operand):
        columns = kept.gates[:, first_block * Hp : (first_block + len(order)) * Hp]
        gradient = np.zeros((columns.shape[1], operand.shape[1]), pack.dtype)
        engine.add_outer(gradient, columns, operand, n_threads)
        grads[name] += unblock(gradient, order, cell.n_gates, H)

    def add_bias(name, first_block, order):
        columns = kept.gates[:, first_block * Hp : (first_block + len(order)) * Hp]
        gradient = np.zeros(columns.shape[1], pack.dtype)
        engine.add_rows(gradient, columns)
        grads[name] += unblock(gradient, order, cell.n_gates, H)

    hidden = tuple(range(cell.n_gates)) if cell.hidden_block else cell.order
    add_weight("weight_ih", 0, cell.order, kept.x)
    h_prev = packing.previous(kept.out, kept.h_0, kept.reverse)
    first = cell.hidden_block
    if cell.mid_gates:  # these come first in a row
        n = len(cell.mid_gates)
        add_weight("weight_hh", 0, cell.mid_gates, mid[:, :H])
        first, hidden = n, cell.order[n:]
    add_weight("weight_hh", first, hidden, h_prev)
    if "bias_ih" in grads:
        add_bias("bias_ih", 0, cell.order)
        add_bias("bias_hh", cell.hidden_block, tuple(range(cell.n_gates)) if cell.hidden_block else cell.order)
    if pack.projects:
        engine.add_outer(grads["weight_hr"], mid[:, : pack.R], inner[:, :H], n_threads)
