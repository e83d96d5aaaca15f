from fastrnn._core.kernels cimport fr_kernels

cdef const fr_kernels *kernels_of(ptrdiff_t itemsize) noexcept nogil
cdef unsigned long long flush_enter() noexcept nogil
cdef void flush_restore(unsigned long long state) noexcept nogil
