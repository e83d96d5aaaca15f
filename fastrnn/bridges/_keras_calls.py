"""A function of arrays, called on the tensors of whatever backend Keras has, in its graphs too; without gradients."""

from __future__ import annotations

import keras
import numpy as np


def call_numpy(function, tensors, shapes, dtype):
    """Return the results of ``function(*arrays)`` as tensors.

    Parameters
    ----------
    function : callable
        From arrays to a sequence of arrays.
    tensors : list of tensor
    shapes : list of tuple
        Of the results; None where an axis is not known yet.
    dtype : str
        Of the results.
    """
    return _CALLS[keras.backend.backend()](function, tensors, shapes, dtype)


def _numpy(function, tensors, shapes, dtype):
    return [keras.ops.convert_to_tensor(result) for result in function(*map(keras.ops.convert_to_numpy, tensors))]


def _jax(function, tensors, shapes, dtype):
    import jax

    if not any(isinstance(tensor, jax.core.Tracer) for tensor in tensors):
        return _numpy(function, tensors, shapes, dtype)
    results = [jax.ShapeDtypeStruct(shape, dtype) for shape in shapes]

    def on_arrays(*arrays):
        return list(function(*map(np.asarray, arrays)))

    return jax.pure_callback(on_arrays, results, *tensors)


def _tensorflow(function, tensors, shapes, dtype):
    import tensorflow as tf

    found = tf.numpy_function(lambda *arrays: list(function(*arrays)), tensors, [tf.as_dtype(dtype)] * len(shapes))
    for tensor, shape in zip(found, shapes, strict=True):
        tensor.set_shape(shape)
    return found


_CALLS = {"numpy": _numpy, "jax": _jax, "tensorflow": _tensorflow}
