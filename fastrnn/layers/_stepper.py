"""One time step after another."""

from __future__ import annotations

from .._core.stepping import Stepping
from .._validation import as_array, check_out, check_shape


class Stepper(Stepping):
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

    def __new__(cls, layer, stack, batch_size):
        """Bind the packed weights of `stack`."""
        return super().__new__(cls, stack.layers, batch_size, stack.blas)

    def __init__(self, layer, stack, batch_size):
        self._layer, self.batch_size = layer, batch_size
        self._first = layer._initial_states(None, batch_size, False)
        self.reset()

    def reset(self):
        """Go back to the initial state: zeros, or the one that was learned."""
        self.load(self._first)

    @property
    def state(self):
        """Copies of the present state: (h, c) of an LSTM, else h, each (num_layers, batch_size, ...)."""
        states = self._layer._state_arrays("state_0", None, self.batch_size, False)
        self.save(states)
        return self._layer._give_state(states, False)

    def _read(self, x_t):
        layer = self._layer
        x = as_array("x_t", x_t, layer.dtype)
        return check_shape("x_t", x, ("batch_size", "input_size"), (self.batch_size, layer.input_size))

    def _check_out(self, out):
        check_out(out, (self.batch_size, self._layer.output_size), self._layer.dtype)
