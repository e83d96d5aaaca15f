from fastrnn._core.loops cimport Loop

# The share of one of `size` threads.
cdef void sum_gradients(const Loop *loop, int rank, int size) noexcept nogil
cdef ptrdiff_t packed_bytes(const Loop *loop) noexcept nogil
