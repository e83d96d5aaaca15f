"""Loss and score on data that the weights are not fitted to."""

import numpy as np

from .samples import Samples


def mean_loss(network, samples, loss, batch_size, n_threads=None, window=None):
    """Mean loss of a data set, without dropout and without penalty.

    Parameters
    ----------
    network : Sequential
    samples : Samples
    loss : callable
        As in `train`.
    batch_size : int
    n_threads : int or None
    window : int or None
        Of a network with an output a step: sequences are read by so many steps, so that memory is that of a window.

    Returns
    -------
    value : float
        NaN or infinite where the network's output is.
    """
    total, weight = 0.0, 0
    for indices in samples.batches(batch_size):
        if not samples.total_weight(indices):
            continue
        batch, states = samples.batch(indices), None
        for start, stop in _cuts(samples, indices, window):
            part = batch if stop is None else batch.steps(start, stop)
            with np.errstate(over="ignore", invalid="ignore"):
                output, states = network(part.x, states, lengths=part.lengths, n_threads=n_threads)
                if share := samples.total_weight(indices, start, stop):
                    arguments = () if part.weight is None else (part.weight,)
                    total += loss(output, part.target, *arguments)[0] * share
                    weight += share
    return total / max(weight, 1e-300)


def _cuts(samples, indices, window):
    """Return [(first step, step behind the last or None for all)]."""
    if window is None or not samples.per_step:
        return [(0, None)]
    longest = int(samples.lengths[indices].max(initial=0))
    return [(start, min(start + window, longest)) for start in range(0, longest, window)]


class Validation:
    """Held-out data with the two measures of it.

    Parameters
    ----------
    network : Sequential
    data : tuple
        ``(sequences, target)`` or ``(sequences, target, sample_weight or None)``.
    settings : Settings
    score : callable or None
        ``score(network, sequences, target, sample_weight) -> float``, higher being better; None: minus the loss.
    """

    def __init__(self, network, data, settings, score):
        if not isinstance(data, tuple | list) or len(data) not in (2, 3):
            raise ValueError("validation is no tuple of two or three, expected (sequences, target, sample_weight)")
        self._data = (*data, None)[:3]
        self._network, self._settings, self._score = network, settings, score
        self._samples = Samples(network, *self._data, name="validation ")
        if not len(self._samples.lengths):
            raise ValueError("validation has 0 samples, expected at least 1")

    def __call__(self):
        """Return (loss, score) of the network as it is."""
        settings = self._settings
        options = {"n_threads": settings.n_threads, "window": settings.bptt_window}
        value = mean_loss(self._network, self._samples, settings.loss, settings.batch_size, **options)
        return value, (-value if self._score is None else float(self._score(self._network, *self._data)))
