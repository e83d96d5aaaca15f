"""The compiled core: `native` (kernels and products of our own), `recurrent` (the time loops), `_blas` (the other engine)."""
