"""Running a network over many sequences within a bound of memory."""

import numpy as np

from ..training import pad_batch, sequence_lengths
from ..training.samples import output_lengths

PREDICT_BYTES = 32 * 2**20  # of the padded input and the recurrent outputs of one batch


def outputs(network, sequences, n_outputs, n_threads=None):
    """The network's raw outputs for all sequences.

    Parameters
    ----------
    network : Sequential
    sequences : ndarray of shape (n_samples, seq_len, input_size) or list of (seq_len_i, input_size)
        Of tokens: of integers, without the last axis.
    n_outputs : int
    n_threads : int or None

    Returns
    -------
    output : ndarray of shape (n_samples, n_outputs), in the network's dtype
        Of a network with an output a step: list of (steps_i, n_outputs), or, where `sequences` is an ndarray,
        ndarray of shape (n_samples, steps, n_outputs). A row does not depend on the other sequences.
    """
    per_step = not network.consumes_time
    output = [None] * len(sequences) if per_step else np.empty((len(sequences), n_outputs), dtype=network.dtype)
    for indices, batch in _in_batches(network, sequences, n_threads):
        if per_step:
            steps = output_lengths(network, sequence_lengths(sequences)[indices])
            for column, (i, length) in enumerate(zip(indices, steps)):
                output[i] = np.ascontiguousarray(batch[:length, column])
        else:
            output[indices] = batch
    return np.stack(output) if per_step and isinstance(sequences, np.ndarray) else output


def _in_batches(network, sequences, n_threads):
    """Yield the numbers of some sequences and the network's output for them, until all have come."""
    lengths = sequence_lengths(sequences)
    order = np.argsort(lengths, kind="stable")
    dtype = np.dtype(np.int64) if sequences[0].dtype.kind == "i" else network.dtype
    for indices in _bounded_batches(order, lengths, _bytes_per_step(network, sequences)):
        x, batch_lengths = pad_batch(sequences, indices, dtype)
        yield indices, network(x, lengths=batch_lengths, n_threads=n_threads)[0]


def _bytes_per_step(network, sequences):
    """Memory that one step of one sequence takes: its input and two of the widest outputs of a layer."""
    sizes = [getattr(layer, "output_size", 0) for _, layer in network._leaves]
    features = sequences[0].shape[-1] if sequences[0].dtype.kind == "f" else 1
    return network.dtype.itemsize * (features + 2 * max(sizes))


def _bounded_batches(order, lengths, bytes_per_step):
    """Cut samples, sorted by length, into batches whose padded size stays within PREDICT_BYTES."""
    start = 0
    while start < len(order):
        # the longest comes last: a size that fits for the longest sequence of all fits everywhere,
        # and short batches grow by asking for their own longest
        stop = start + 1
        while stop < len(order):
            larger = min(2 * stop - start, len(order))
            if (larger - start) * int(lengths[order[larger - 1]]) * bytes_per_step > PREDICT_BYTES:
                break
            stop = larger
        yield order[start:stop]
        start = stop
