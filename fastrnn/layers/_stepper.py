"""One time step after another."""

from __future__ import annotations

import numpy as np

from .._validation import as_array, check_out, check_shape
from ._stack import Call


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

    def __init__(self, layer, pack, batch_size):
        self._layer, self._pack, self.batch_size = layer, pack, batch_size
        self.reset()

    def reset(self):
        """Go back to a state of zeros."""
        self._states = self._layer._state_arrays("state_0", None, self.batch_size, False)

    @property
    def state(self):
        """Copies of the present state: (h, c) of an LSTM, else h, each (num_layers, batch_size, ...)."""
        states = tuple(state.copy() for state in self._states)
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
        layer = self._layer
        x = check_shape(
            "x_t",
            as_array("x_t", x_t, layer.dtype),
            ("batch_size", "input_size"),
            (self.batch_size, layer.input_size),
        )
        if out is not None:
            check_out(out, (self.batch_size, layer.output_size), layer.dtype)
        call = Call(self._pack.layers, x[None], self._states, None, n_threads=1)
        self._states = call.states
        if out is None:
            return call.output[0]
        np.copyto(out, call.output[0])
        return out
