"""One layer on a packed batch, forward and backward: in one go, or in segments of time that are made anew."""

from __future__ import annotations

import numpy as np

from .._core import backward, recurrent


class Run:
    """All steps at once; with `keep` everything that backward needs.

    Parameters
    ----------
    directions : list of Direction
    packing : Packing or Segment
    plan : (bool, int)
        By units?, and the number of threads.
    keep : bool
    masks : list of Masks, optional
        By direction, packed.
    """

    def __init__(self, directions, packing, plan, keep, masks=None):
        self.directions, self.plan, self.keep, self.masks = directions, plan, keep, masks
        self.batch = (None if packing.is_dense else packing, packing.seq_len, packing.batch_size)
        self.size = packing.size

    def forward(self, x, states, states_n, keep_cells=False, out=None):
        """Return the output (S, directions * R), and fill `states_n`; `cells` then has the cells by direction."""
        if out is None:
            first = self.directions[0]
            out = recurrent.aligned(first, self.size, len(self.directions) * first.pack.R)
        self.states = states
        self.cells, self.kept = recurrent.run_layer(
            self.directions, x, out, *self.batch, states, states_n, self.keep, keep_cells, *self.plan, self.masks
        )
        return out

    def backward(self, d_out, d_states, grads, wants_x=True):
        """Return d_x (S, X), turn `d_states` into the gradients of the first states, and add into `grads`.

        Where nobody wants them, d_x is None, and `grads` is given as None.
        """
        kept, self.kept = self.kept, None
        return backward.run_layer_back(
            self.directions, kept, d_out, *self.batch, self.states, d_states, grads, *self.plan, wants_x
        )


class SegmentedRun:
    """Segments of `every` steps: what a segment starts from is kept, and the rest is made anew in backward.

    Memory of the gates falls from T to `every` steps, for one more forward pass (Chen et al. 2016, "Training deep nets
    with sublinear memory cost"; every = sqrt(T) needs least).
    """

    def __init__(self, directions, packing, plan, every, masks=None):
        self.directions, self.plan, self.masks = directions, plan, masks
        self.segments = packing.segments(every)
        self.size = packing.size

    def forward(self, x, states, states_n, keep_cells=False):
        """Return the output; as `Run.forward`."""
        R = self.directions[0].pack.R
        self.x, self.states, self.cells = x, states, []
        self.out = recurrent.aligned(self.directions[0], self.size, len(self.directions) * R)
        self.starts = []
        for d, direction in enumerate(self.directions):
            carried = [state[d : d + 1].copy() for state in states]
            starts = []
            for segment in self._in_order(d):
                starts.append(carried)
                following = [np.empty_like(state) for state in carried]
                run = Run([direction], segment, self.plan, keep=False, masks=self._masks(segment, d))
                run.forward(x[segment.rows], carried, following, out=self._part(self.out, segment, d))
                carried = following
            self.starts.append(starts)
            for state_n, state in zip(states_n, carried, strict=True):
                state_n[d] = state[0]
        return self.out

    def _in_order(self, d):
        return self.segments if d == 0 else self.segments[::-1]

    def _masks(self, segment, d):
        return None if self.masks is None else [self.masks[d].at(segment.rows)]

    def _part(self, rows, segment, d):
        R = self.directions[0].pack.R
        return rows[segment.rows, d * R : (d + 1) * R]

    def backward(self, d_out, d_states, grads, wants_x=True):
        """Return d_x; as `Run.backward`."""
        d_x = np.zeros_like(self.x) if wants_x else None
        for d, direction in enumerate(self.directions):
            d_carried = [d_state[d : d + 1] for d_state in d_states]
            for segment in self._in_order(d)[::-1]:
                start = self.starts[d].pop()
                run = Run([direction], segment, self.plan, keep=True, masks=self._masks(segment, d))
                x, out = self.x[segment.rows], self._part(self.out, segment, d)
                run.forward(x, start, [np.empty_like(state) for state in start], out=out)
                own_grads = None if grads is None else [grads[d]]
                part = run.backward(self._part(d_out, segment, d), d_carried, own_grads, wants_x)
                if wants_x:
                    d_x[segment.rows] += part
        return d_x
