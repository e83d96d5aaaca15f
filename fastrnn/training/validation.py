"""Loss and score on data that the weights are not fitted to."""

import numpy as np

from .samples import Samples


def mean_loss(network, samples, loss, batch_size, n_threads=None):
    """Mean loss of a data set, without dropout and without penalty.

    Parameters
    ----------
    network : Sequential
    samples : Samples
    loss : callable
        As in `train`.
    batch_size : int
    n_threads : int or None

    Returns
    -------
    value : float
        NaN or infinite where the network's output is.
    """
    total, weight = 0.0, 0
    for indices in samples.batches(batch_size):
        batch, share = samples.batch(indices), samples.total_weight(indices)
        if not share:
            continue
        with np.errstate(over="ignore", invalid="ignore"):
            output, _ = network(batch.x, lengths=batch.lengths, n_threads=n_threads)
            arguments = () if batch.weight is None else (batch.weight,)
            total += loss(output, batch.target, *arguments)[0] * share
        weight += share
    return total / max(weight, 1e-300)


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
        value = mean_loss(self._network, self._samples, settings.loss, settings.batch_size, settings.n_threads)
        return value, (-value if self._score is None else float(self._score(self._network, *self._data)))
