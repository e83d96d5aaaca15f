"""The compiled core: kernels and products of our own, the time loops, and the BLAS engine."""
