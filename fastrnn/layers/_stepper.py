"""One time step after another."""

from __future__ import annotations

import numpy as np

from .._core import stepping
from .._validation import as_array, check_out, check_shape


class Stepper:
    """A recurrent layer that is given one step at a time, with the weights that it was made with.

    N steps give bit for bit what one call of N steps gives (native engine). A stepper belongs to one thread at a time.
    Made by ``layer.stepper(batch_size)``.

    Examples
    --------
    >>> import numpy as np
    >>> import fastrnn
    >>> lstm = fastrnn.LSTM(3, 4, random_state=0)
    >>> stepper = lstm.stepper()
    >>> y = stepper.step(np.ones((1, 3)))
    >>> y.shape, [array.shape for array in stepper.state]
    ((1, 4), [(1, 1, 4), (1, 1, 4)])
    """

    def __init__(self, layer, stack, batch_size):
        self._layer, self._stack, self.batch_size = layer, stack, batch_size
        self._stepping = stepping.Stepping(stack.layers, batch_size)
        self._try_step, self._is_native = self._stepping.try_step, stack.is_native
        self._out_shape = (batch_size, layer.output_size)

    def reset(self):
        """Go back to a state of zeros."""
        self._stepping.load(self._layer._state_arrays("state_0", None, self.batch_size, False))

    @property
    def state(self):
        """Copies of the present state: (h, c) of an LSTM, else h, each (num_layers, batch_size, ...)."""
        states = self._layer._state_arrays("state_0", None, self.batch_size, False)
        self._stepping.save(states)
        return self._layer._give_state(states, False)

    def step(self, x_t, out=None):
        """Take one step.

        Parameters
        ----------
        x_t : array_like of shape (batch_size, input_size)
        out : ndarray of shape (batch_size, output_size), optional
            To be filled and returned, in the layer's dtype.

        Returns
        -------
        ndarray of shape (batch_size, output_size)
        """
        if self._is_native and out is not None:
            done = self._try_step(x_t, out)
            if done is not None:
                return done
        x = self._read(x_t)
        if out is None:
            out = np.empty(self._out_shape, self._layer.dtype)
        check_out(out, self._out_shape, self._layer.dtype)
        y = out if out.flags.carray else np.empty(self._out_shape, self._layer.dtype)
        with self._stack.blas():
            self._stepping.step(x, y)
        if y is not out:
            np.copyto(out, y)
        return out

    def _read(self, x_t):
        layer = self._layer
        x = as_array("x_t", x_t, layer.dtype)
        return check_shape("x_t", x, ("batch_size", "input_size"), (self.batch_size, layer.input_size))
