"""A data set as a network reads it: batches with their targets and weights."""

import zlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..layers import Embedding
from .batches import batch_indices, pad_batch, sequence_lengths
from .paired import Paired


@dataclass(frozen=True)
class Batch:
    """Some sequences, padded and time-major, and what the loss compares the network's output with.

    Attributes
    ----------
    x : ndarray of shape (seq_len, batch_size, ...) or PairBatch
    lengths : ndarray of int64 of shape (batch_size,), or None where all are seq_len
        Of a PairBatch those of its inputs.
    target : ndarray of shape (batch_size, ...), or (seq_len, batch_size, ...) of a network with an output a step
    weight : ndarray of shape (batch_size,) or (seq_len, batch_size), or None where all are 1
    """

    x: np.ndarray
    lengths: np.ndarray | None
    target: np.ndarray
    weight: np.ndarray | None

    def steps(self, start, stop):
        """Return the steps start to stop of a batch of a network with an output a step."""
        part = slice(start, stop)
        x = self.x[part]
        lengths = None if self.lengths is None else np.clip(self.lengths - start, 0, len(x))
        return Batch(x, lengths, self.target[part], None if self.weight is None else self.weight[part])


class Samples:
    """Sequences, targets and weights of one data set.

    A network without pooling has an output a step and so a target a step; each step then counts as a sample does
    elsewhere, with the weight of its sequence or its own. Samples of weight 0 are in no batch.

    Parameters
    ----------
    network : Sequential
    sequences : ndarray of shape (n_samples, seq_len, ...), list of (seq_len_i, ...), or Paired
    target : ndarray of shape (n_samples, ...); of a network with an output a step also a list of (seq_len_i, ...)
    sample_weight : array_like of shape (n_samples,) or None; of such a network also ndarray of shape
        (n_samples, seq_len) or list of (seq_len_i,)
    name : str
        Put before the names of arguments in errors.

    Attributes
    ----------
    lengths : ndarray of int64 of shape (n_samples,)
        Of the sequences.
    steps : ndarray of int64 of shape (n_samples,)
        Of the network's outputs; other than `lengths` behind a Conv1d that shortens sequences.
    per_step : bool
        Whether the network has an output a step.
    """

    def __init__(self, network, sequences, target, sample_weight=None, name=""):
        self._sequences, self._target = sequences, target
        self._paired = isinstance(sequences, Paired)
        self._dtype = np.dtype(np.int64) if _reads_tokens(network) else network.dtype
        self.lengths = sequences.lengths if self._paired else sequence_lengths(sequences)
        self.per_step = not network.consumes_time
        if len(target) != len(self.lengths):
            raise ValueError(f"{name}target has {len(target)} rows, expected n_samples = {len(self.lengths)}")
        self.steps = sequences.steps if self._paired else output_lengths(network, self.lengths)
        if self.per_step:
            _check_steps(f"{name}target", target, self.steps)
        self._step_weight = None  # list of (seq_len_i,), or None; `_weight` then has its sums
        if self.per_step and _has_rows(sample_weight):
            self._step_weight = _check_step_weight(f"{name}sample_weight", sample_weight, self.steps)
            sample_weight = [weight.sum() for weight in self._step_weight]
        self._weight = _check_weight(f"{name}sample_weight", sample_weight, len(self.lengths))
        self._kept = None
        if self._weight is not None and not self._weight.all():
            self._kept = np.flatnonzero(self._weight)

    @cached_property
    def fingerprint(self):
        """[number of samples, checksum of sequences, targets and weights]."""
        checksum = zlib.crc32(self.lengths.tobytes())
        sequences = self._sequences.parts if self._paired else (self._sequences,)
        weights = () if self._weight is None else self._step_weight or self._weight
        for part in (*sequences, self._target, weights):
            for array in (part,) if isinstance(part, np.ndarray) else part:
                checksum = zlib.crc32(np.ascontiguousarray(array).reshape(-1).view(np.uint8), checksum)
        return [len(self.lengths), checksum]

    def batches(self, batch_size, rng=None):
        """As `batch_indices`, of the samples whose weight is not 0."""
        if self._kept is None:
            return batch_indices(self.lengths, batch_size, rng)
        return [self._kept[b] for b in batch_indices(self.lengths[self._kept], batch_size, rng)]

    def total_weight(self, indices, start=0, stop=None):
        """Sum of the weights of samples, or of their steps from start to stop where there is an output a step."""
        if self._step_weight is not None:
            return float(sum(self._step_weight[i][start:stop].sum() for i in indices))
        weight = None if self._weight is None else self._weight[indices]
        if not self.per_step:
            return len(indices) if weight is None else float(weight.sum())
        steps = np.clip(self.steps[indices] - start, 0, None if stop is None else stop - start)
        return int(steps.sum()) if weight is None else float(weight @ steps)

    def batch(self, indices):
        """Return the `Batch` of some samples."""
        x, lengths = self._inputs(indices)
        weight = None if self._weight is None else self._weight[indices]
        if not self.per_step:
            return Batch(x, lengths, self._target[indices], weight)
        target, steps = pad_batch(self._target, indices, np.asarray(self._target[indices[0]]).dtype)
        if self._step_weight is not None:
            weight, _ = pad_batch(self._step_weight, indices, np.float64)
        elif steps is not None or weight is not None:
            valid = np.arange(len(target))[:, None] < (len(target) if steps is None else steps)
            weight = np.broadcast_to(valid * (1.0 if weight is None else weight), target.shape[:2])
        return Batch(x, lengths, target, weight)

    def largest_input(self, indices):
        """Return the largest magnitude of what the network reads of some samples."""
        x = self._inputs(indices)[0]
        return float(np.max(np.abs(x.source if self._paired else x), initial=0.0))

    def _inputs(self, indices):
        if self._paired:
            return self._sequences.batch(indices, self._dtype)
        return pad_batch(self._sequences, indices, self._dtype)


def _reads_tokens(network):
    first = network
    while hasattr(first, "layers"):
        first = first.layers[0]
    return isinstance(first, Embedding)


def output_lengths(network, lengths):
    """Return the steps of a network's outputs for sequences of these lengths."""
    for layer in network.layers:
        if hasattr(layer, "layers"):
            lengths = output_lengths(layer, lengths)
        elif hasattr(layer, "output_lengths"):
            lengths = layer.output_lengths(lengths)
    return lengths


def _check_steps(name, target, lengths):
    found = sequence_lengths(target)
    wrong = np.flatnonzero(found != lengths)
    if wrong.size:
        k = int(wrong[0])
        raise ValueError(
            f"{name}[{k}] has {found[k]} steps, expected {lengths[k]}, those of the network's output for this sequence"
        )


def _has_rows(sample_weight):
    is_sequence = hasattr(sample_weight, "__len__") and getattr(sample_weight, "ndim", 1) > 0
    return is_sequence and any(np.ndim(row) for row in sample_weight)


def _check_step_weight(name, sample_weight, steps):
    if len(sample_weight) != len(steps):
        raise ValueError(f"{name} has {len(sample_weight)} rows, expected n_samples = {len(steps)}")
    weights = [np.asarray(weight, dtype=np.float64) for weight in sample_weight]
    for k, weight in enumerate(weights):
        if weight.shape != (steps[k],):
            raise ValueError(f"{name}[{k}] has shape {weight.shape}, expected (seq_len,) = ({steps[k]},)")
        if not (np.isfinite(weight) & (weight >= 0.0)).all():
            raise ValueError(f"{name}[{k}] holds a negative number, an infinite one or NaN, expected weights >= 0")
    return weights


def _check_weight(name, sample_weight, n_samples):
    if sample_weight is None:
        return None
    weight = np.asarray(sample_weight, dtype=np.float64)
    if weight.shape != (n_samples,):
        raise ValueError(f"{name} has shape {weight.shape}, expected (n_samples,) = ({n_samples},)")
    if not (np.isfinite(weight) & (weight >= 0.0)).all():
        raise ValueError(f"{name} holds a negative number, an infinite one or NaN, expected weights >= 0")
    if n_samples and not weight.any():
        raise ValueError(f"{name} is 0 everywhere, expected a sum > 0")
    return weight
