"""What a recurrent layer drops within itself, in training."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Masks(NamedTuple):
    """Factors of one direction of one layer; None where nothing is dropped.

    Attributes
    ----------
    recurrent : ndarray of shape (batch_size, output_size) or None
        Of h_{t-1} where it meets recurrent weights, the same at all steps.
    zone_h, zone_c : ndarray of shape (seq_len, batch_size, output_size or hidden_size) or None
        1 where a unit takes its new value, 0 where it keeps the one before.
    """

    recurrent: np.ndarray | None
    zone_h: np.ndarray | None
    zone_c: np.ndarray | None

    def packed(self, packing):
        """Return the factors in the order of a packed batch."""
        recurrent = None if self.recurrent is None else packing.sort(self.recurrent[None])[0]
        return Masks(recurrent, *(zone if zone is None else packing.pack(zone) for zone in self[1:]))

    def at(self, rows):
        """Return the factors of a slice of packed rows."""
        return Masks(self.recurrent, *(zone if zone is None else zone[rows] for zone in self[1:]))


def keep_or_scale(rng, shape, p, dtype):
    """Return 0 with probability p, else 1 / (1 - p) (Srivastava et al. 2014)."""
    keep = 1.0 - p
    return np.where(rng.random(shape) < keep, 1.0 / keep if keep else 0.0, 0.0).astype(dtype)


def draw(rng, dtype, seq_len, batch_size, output_size, cell_size, recurrent_dropout, zoneout):
    """Return the `Masks` of one direction; `cell_size` is None where there is no memory cell."""
    recurrent = zone_h = zone_c = None
    if recurrent_dropout:
        recurrent = keep_or_scale(rng, (batch_size, output_size), recurrent_dropout, dtype)
    if zoneout:
        zone_h = (rng.random((seq_len, batch_size, output_size)) >= zoneout).astype(dtype)
        if cell_size is not None:
            zone_c = (rng.random((seq_len, batch_size, cell_size)) >= zoneout).astype(dtype)
    return Masks(recurrent, zone_h, zone_c)
