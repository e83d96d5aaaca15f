"""From sequences to time-major batches, reproducibly."""

import numpy as np

# A batch is cut from a shuffled group of this many batches, sorted by length. More saves padding,
# fewer keeps batches independent of length; the kernels do no work on padding, so two is enough.
GROUP = 2


def sequence_lengths(sequences):
    """Lengths of sequences held in one array or in a list.

    Parameters
    ----------
    sequences : ndarray of shape (n_samples, seq_len, input_size) or list of (seq_len_i, input_size)

    Returns
    -------
    lengths : ndarray of int64 of shape (n_samples,)

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn.training import sequence_lengths
    >>> sequence_lengths([np.zeros((3, 2)), np.zeros((1, 2))]).tolist()
    [3, 1]
    """
    if isinstance(sequences, np.ndarray):
        return np.full(sequences.shape[0], sequences.shape[1], dtype=np.int64)
    return np.array([len(s) for s in sequences], dtype=np.int64)


def pad_batch(sequences, indices, dtype):
    """Copy some sequences into one time-major array.

    Parameters
    ----------
    sequences : ndarray of shape (n_samples, seq_len, input_size) or list of (seq_len_i, input_size)
        Tokens, or anything else, come with other axes than the last or without it.
    indices : ndarray of int of shape (batch_size,)
    dtype : numpy dtype

    Returns
    -------
    x : ndarray of shape (longest of the batch, batch_size, input_size)
        0 past a sequence's end.
    lengths : ndarray of int64 of shape (batch_size,), or None where all are equal

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn.training import pad_batch
    >>> x, lengths = pad_batch([np.ones((3, 1)), np.ones((1, 1))], np.array([1, 0]), "float32")
    >>> x[:, :, 0].tolist(), lengths.tolist()
    ([[1.0, 1.0], [0.0, 1.0], [0.0, 1.0]], [1, 3])
    """
    if isinstance(sequences, np.ndarray):
        return np.ascontiguousarray(sequences[indices].swapaxes(0, 1), dtype=dtype), None
    chosen = [sequences[i] for i in indices]
    lengths = np.array([len(s) for s in chosen], dtype=np.int64)
    seq_len = int(lengths.max(initial=0))
    x = np.zeros((seq_len, len(chosen), *sequences[0].shape[1:]), dtype=dtype)
    for column, sequence in enumerate(chosen):
        x[: len(sequence), column] = sequence
    return x, (None if lengths.min(initial=seq_len) == seq_len else lengths)


def batch_indices(lengths, batch_size, rng=None):
    """Split samples into batches of similar length; every sample is in exactly one.

    Parameters
    ----------
    lengths : ndarray of int of shape (n_samples,)
    batch_size : int
    rng : numpy.random.Generator or None
        None keeps the given order: no shuffling, no grouping by length.

    Returns
    -------
    batches : list of ndarray of int
        In the order in which to train on them. All have ``batch_size`` samples but one.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn.training import batch_indices
    >>> [b.tolist() for b in batch_indices(np.array([3, 1, 2]), 2)]
    [[0, 1], [2]]
    """
    lengths = np.asarray(lengths)
    n_samples = lengths.shape[0]
    if rng is None:
        return [np.arange(i, min(i + batch_size, n_samples)) for i in range(0, n_samples, batch_size)]
    order = rng.permutation(n_samples)
    if n_samples and lengths.min() != lengths.max():
        group = GROUP * batch_size
        for start in range(0, n_samples, group):
            part = order[start : start + group]
            order[start : start + group] = part[np.argsort(lengths[part], kind="stable")]
    batches = [order[i : i + batch_size] for i in range(0, n_samples, batch_size)]
    return [batches[i] for i in rng.permutation(len(batches))]
