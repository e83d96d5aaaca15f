"""What an encoder-decoder is trained on: a source, and the decoder's inputs beside it."""

from typing import NamedTuple

import numpy as np

from .batches import pad_batch, sequence_lengths


class PairBatch(NamedTuple):
    """Some pairs, padded and time-major: the ``x`` of an encoder-decoder's ``forward``. Made by ``Paired.batch``.

    Attributes
    ----------
    source : ndarray of shape (source_len, batch_size, ...), or (batch_size, n_features) of vectors
    source_lengths : ndarray of int64 of shape (batch_size,), or None where all are source_len
    inputs : ndarray of int64 of shape (seq_len, batch_size)
        What the decoder reads, step by step.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn.training import Paired
    >>> pairs = Paired(np.array([[3, 1], [2, 2]]), np.array([[0, 5], [0, 6]]))
    >>> x, _ = pairs.batch(np.array([1]), np.int64)
    >>> x.source.tolist(), x.source_lengths, x.inputs.tolist()
    ([[2], [2]], None, [[0], [6]])
    """

    source: np.ndarray
    source_lengths: np.ndarray | None
    inputs: np.ndarray


class Paired:
    """Sources and the decoder's inputs of as many samples, to be given to `train` as ``sequences``.

    Parameters
    ----------
    sources : ndarray of shape (n_samples, source_len, n_features) or list of (source_len_i, n_features)
        Of tokens: of integers, without the last axis. Or floating-point vectors of shape (n_samples, n_features).
    inputs : ndarray of int of shape (n_samples, seq_len) or list of (seq_len_i,)
        The network has an output, and the target an entry, for each.

    Attributes
    ----------
    lengths : ndarray of int64 of shape (n_samples,)
        By which samples are sorted into batches: of the sources; of the inputs where sources are vectors.
    steps : ndarray of int64 of shape (n_samples,)
        Of the inputs.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn.training import Paired
    >>> pairs = Paired([np.array([3, 1]), np.array([2])], [np.array([0, 5]), np.array([0, 6, 7])])
    >>> x, lengths = pairs.batch(np.array([1, 0]), np.int64)
    >>> x.source.tolist(), x.source_lengths.tolist()
    ([[2, 3], [0, 1]], [1, 2])
    >>> x.inputs.tolist(), lengths.tolist()
    ([[0, 0], [6, 5], [7, 0]], [3, 2])
    """

    def __init__(self, sources, inputs):
        if len(sources) != len(inputs):
            raise ValueError(f"inputs has {len(inputs)} rows, expected those of sources, {len(sources)}")
        self.parts = (sources, inputs)
        self.steps = sequence_lengths(inputs)
        self._vectors = isinstance(sources, np.ndarray) and sources.ndim == 2 and sources.dtype.kind == "f"
        self.lengths = self.steps if self._vectors else sequence_lengths(sources)

    def __len__(self):
        return len(self.steps)

    def batch(self, indices, dtype):
        """Return some pairs as a network reads them.

        Parameters
        ----------
        indices : ndarray of int of shape (batch_size,)
        dtype : numpy dtype
            Of the sources.

        Returns
        -------
        x : PairBatch
        lengths : ndarray of int64 of shape (batch_size,), or None where all are equal
            Of the inputs.
        """
        sources, inputs = self.parts
        if self._vectors:
            source, source_lengths = np.ascontiguousarray(sources[indices], dtype=dtype), None
        else:
            source, source_lengths = pad_batch(sources, indices, dtype)
        steps, lengths = pad_batch(inputs, indices, np.int64)
        return PairBatch(source, source_lengths, steps), lengths
