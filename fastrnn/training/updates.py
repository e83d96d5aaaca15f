"""One epoch: what an update is computed from, and its gradient."""

from dataclasses import dataclass

import numpy as np

from ..optim import add_l2, clip_by_global_norm, clip_by_value, global_norm
from .windows import forward_last


@dataclass(frozen=True)
class Settings:
    """The settings of a run that an update needs; see `train`."""

    loss: object
    batch_size: int
    shuffle: bool
    alpha: float
    max_grad_norm: float | None
    max_grad_value: float | None
    n_threads: int | None
    accumulate_steps: int
    bptt_window: int | None


@dataclass(frozen=True)
class Pass:
    """One pass forward and backward: a batch, or a window of its steps.

    Attributes
    ----------
    number : int
        Of the batch in its epoch, from 1.
    indices : ndarray of int
        Its samples.
    start, stop : int, int or None
        Its steps.
    weight : int or float
        Sum of the weights over which its loss is a mean.
    ends_batch : bool
        False where another window of the batch follows.
    """

    number: int
    indices: np.ndarray
    start: int
    stop: int | None
    weight: float
    ends_batch: bool


def passes_of(samples, batches, window):
    """Return the passes of an epoch, in order; those without any weight (empty sequences only) are left out."""
    passes = []
    for number, indices in enumerate(batches, 1):
        if window is None or not samples.per_step:
            cuts = [(0, None)]
        else:
            longest = int(samples.lengths[indices].max(initial=0))
            cuts = [(start, min(start + window, longest)) for start in range(0, longest, window)]
        for start, stop in cuts:
            weight = samples.total_weight(indices, start, stop)
            if weight:
                passes.append(Pass(number, indices, start, stop, weight, stop is None or stop == cuts[-1][1]))
    return passes


def grouped(passes, size):
    """Return lists of ``size`` passes, from whose joined gradient one update is made; the last may be shorter."""
    return [passes[i : i + size] for i in range(0, len(passes), size)]


class Gradients:
    """Fills ``network.grads`` for one update after the other, and carries the state from window to window."""

    def __init__(self, network, samples, settings, rng):
        self.network, self.samples, self.settings = network, samples, settings
        self._options = {"training": True, "rng": rng, "n_threads": settings.n_threads}
        self._batch, self._states = None, None  # of the windows that follow

    def __call__(self, passes):
        """Return the loss of some passes, with its penalty, and the norm of their gradient, before clipping by norm.

        The gradient is that of one batch that joins them.
        """
        network, alpha = self.network, self.settings.alpha
        network.zero_grad()
        weight, value = sum(p.weight for p in passes), 0.0
        for p in passes:
            value += self._backpropagate(p, p.weight / weight)
        if alpha:
            value += add_l2(network.params, network.grads, alpha / weight)
        return value, self._clip(network.grads)

    def _backpropagate(self, p, share):
        """Add ``share`` of the gradient of one pass, and return that share of its loss."""
        (output, part), backward = self._forward(p)
        weight = () if part.weight is None else (part.weight,)
        value, d_output = self.settings.loss(output, part.target, *weight)
        backward(d_output if share == 1.0 else d_output * share, wants_x=False)
        return value * share

    def _forward(self, p):
        """Return ((output, the batch or the window of it that it belongs to), backward)."""
        if p.start == 0:
            self._batch, self._states = self.samples.batch(p.indices), None
        part, window = self._batch, self.settings.bptt_window
        if window is not None and not self.samples.per_step:
            output, backward = forward_last(self.network, part.x, part.lengths, window, **self._options)
            return (output, part), backward
        if window is not None:
            part = part.steps(p.start, p.stop)
        (output, self._states), backward = self.network.forward(
            part.x, self._states, lengths=part.lengths, **self._options
        )
        return (output, part), backward

    def _clip(self, grads):
        if self.settings.max_grad_value is not None:
            clip_by_value(grads, self.settings.max_grad_value)
        if self.settings.max_grad_norm is not None:
            return clip_by_global_norm(grads, self.settings.max_grad_norm)
        return global_norm(grads)
