"""Loss and gradient of connectionist temporal classification for the sequences of a batch.

Arrays come here checked (`fastrnn.layers.ctc`).
"""

import numpy as np

cimport numpy as cnp
from cython.parallel cimport prange
from libc.stdint cimport int64_t
from libc.string cimport memset

from fastrnn._core.kernels cimport fr_ctc, fr_ctc_scratch, fr_kernels, fr_team_rank
from fastrnn._core.native cimport flush_enter, flush_restore, kernels_of

cnp.import_array()


cdef struct Batch:
    const fr_kernels *kernels
    ptrdiff_t T, N, K, itemsize
    ptrdiff_t blank
    const char *logits
    char *d_logits
    const int64_t *labels
    const int64_t *starts
    const int64_t *lengths
    char *scratch
    ptrdiff_t scratch_bytes  # of one thread


def ctc(cnp.ndarray logits, cnp.ndarray labels, cnp.ndarray starts, cnp.ndarray lengths, ptrdiff_t blank,
        int n_threads=1):
    """Return the losses, float64 of shape (N,), and their gradients, of the shape of `logits`.

    Parameters
    ----------
    logits : ndarray of shape (T, N, K), C-contiguous, float32 or float64
    labels : ndarray of int64
        Of all sequences, one after the other.
    starts : ndarray of int64 of shape (N + 1,)
        Where those of each sequence begin, and where the last end.
    lengths : ndarray of int64 of shape (N,)
        Of the sequences; the gradient is 0 past them.
    blank : int
    n_threads : int, default=1
        Sequences are dealt out over this many threads; their bits do not depend on it.
    """
    cdef Batch batch
    cdef ptrdiff_t most_labels = np.diff(starts).max(initial=0), most_steps = lengths.max(initial=0), n
    assert logits.ndim == 3 and logits.flags.c_contiguous and labels.flags.c_contiguous
    assert labels.dtype == starts.dtype == lengths.dtype == np.int64
    cdef cnp.ndarray d_logits = np.empty_like(logits)
    cdef cnp.ndarray losses = np.empty(logits.shape[1])
    cdef double *loss = <double *>cnp.PyArray_DATA(losses)
    batch.kernels = kernels_of(logits.itemsize)
    batch.T, batch.N, batch.K, batch.itemsize = logits.shape[0], logits.shape[1], logits.shape[2], logits.itemsize
    batch.blank = blank
    batch.logits, batch.d_logits = <const char *>cnp.PyArray_DATA(logits), <char *>cnp.PyArray_DATA(d_logits)
    batch.labels, batch.starts = <const int64_t *>cnp.PyArray_DATA(labels), <const int64_t *>cnp.PyArray_DATA(starts)
    batch.lengths = <const int64_t *>cnp.PyArray_DATA(lengths)
    batch.scratch_bytes = fr_ctc_scratch(most_steps, most_labels, batch.kernels.lanes) * batch.itemsize
    batch.scratch_bytes = (batch.scratch_bytes + 63) // 64 * 64
    cdef cnp.ndarray scratch = np.empty(n_threads * batch.scratch_bytes, np.uint8)
    batch.scratch = <char *>cnp.PyArray_DATA(scratch)
    for n in prange(batch.N, nogil=True, num_threads=n_threads, schedule="dynamic", chunksize=1,
                    use_threads_if=n_threads > 1):
        loss[n] = _row(&batch, n)
    return losses, d_logits


cdef double _row(const Batch *batch, ptrdiff_t n) noexcept nogil:
    cdef fr_ctc c
    cdef ptrdiff_t t, step = batch.N * batch.K, place = n * batch.K * batch.itemsize
    cdef unsigned long long state
    cdef double loss
    c.T, c.K, c.U = batch.lengths[n], batch.K, batch.starts[n + 1] - batch.starts[n]
    c.logits, c.ld_logits = batch.logits + place, step
    c.d_logits, c.ld_d_logits = batch.d_logits + place, step
    c.labels, c.blank = batch.labels + batch.starts[n], batch.blank
    c.scratch = batch.scratch + fr_team_rank() * batch.scratch_bytes
    state = flush_enter()
    loss = batch.kernels.ctc(&c)
    flush_restore(state)
    for t in range(c.T, batch.T):
        memset(batch.d_logits + place + t * step * batch.itemsize, 0, batch.K * batch.itemsize)
    return loss
