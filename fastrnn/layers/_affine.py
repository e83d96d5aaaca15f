"""What fully connected layers share: y = activation(W x + b) of every step, W being theirs or another layer's."""

from __future__ import annotations

from .._core import native
from .._threads import resolve
from .._validation import as_array, as_gradient, check_shape
from ._activated import activated, d_activation
from ._base import Layer
from ._ragged import gather, scatter, valid_steps
from ._weight_pack import WeightPack


class Affine(Layer):
    """A product with a matrix, a bias, an activation.

    A subclass sets ``input_size`` and ``output_size``, and registers ``bias`` where it has one.
    """

    activation: str | None = None

    @property
    def _owner(self):
        """The layer whose ``weight`` (output_size, input_size) it is."""
        return self

    def __call__(self, x, lengths=None, *, n_threads=None):
        """Apply the layer.

        Parameters
        ----------
        x : array_like of shape (seq_len, batch_size, input_size), (batch_size, input_size) or (..., input_size)
        lengths : array_like of int of shape (batch_size,), optional
            Steps of each row; what comes after is not read, and the output there is 0.
        n_threads : int, optional
            At most so many threads.

        Returns
        -------
        ndarray of shape (..., output_size)
        """
        x = self._input(x)
        valid = valid_steps(x, lengths)
        steps = gather(x, valid)
        return scatter(self._apply(steps, self._pack(), n_threads), valid, self._output_shape(x))

    def forward(self, x, lengths=None, *, training=True, rng=None, n_threads=None):
        """Apply the layer and keep what its gradient needs.

        Parameters
        ----------
        x, lengths, n_threads
            As in a call. `x` must not be changed before `backward`.
        training, rng
            Without effect here.

        Returns
        -------
        output : ndarray of shape (..., output_size)
            Not to be changed before `backward`.
        backward : callable
            ``d_x = backward(d_output)``; adds the gradients of the parameters into the `grads` of their layers. Works
            once.
        """
        x = self._input(x)
        valid = valid_steps(x, lengths)
        pack = self._pack()
        weight_for_d_x = pack.weight_for_d_x(self._owner.params)
        x_steps = gather(x, valid)
        y_steps = self._apply(x_steps, pack, n_threads)
        output = scatter(y_steps, valid, self._output_shape(x))
        spend = self._single_use(pack.version)

        def backward(d_output):
            d_output = as_gradient("d_output", d_output, self.dtype, output.shape)
            spend()
            d_steps = d_activation(self.activation, y_steps, gather(d_output, valid))
            threads = self._threads(n_threads, len(d_steps))
            native.add_outer(self._owner.grads["weight"], d_steps, x_steps, n_threads=threads)
            if "bias" in self.grads:
                native.add_rows(self.grads["bias"], d_steps)
            return scatter(native.matmul(d_steps, weight_for_d_x, n_threads=threads), valid, x.shape)

        return output, backward

    def _input(self, x):
        return check_shape("x", as_array("x", x, self.dtype), ("...", "input_size"), (None, self.input_size))

    def _output_shape(self, x):
        return (*x.shape[:-1], self.output_size)

    def _apply(self, steps, pack, n_threads):
        """Return the outputs (steps, output_size) of the inputs (steps, input_size)."""
        threads = self._threads(n_threads, len(steps))
        return activated(self.activation, native.matmul(steps, pack.weight, pack.bias, n_threads=threads))

    def _threads(self, n_threads, steps):
        return resolve(n_threads, steps * self.input_size * self.output_size, steps)

    def _make_pack(self):
        return WeightPack({**self.params, "weight": self._owner.params["weight"]})

    def _step_function(self, batch_size):
        pack, shape = self._pack(), (batch_size, self.input_size)

        def step(x_t):
            x_t = as_array("x_t", x_t, self.dtype)
            return self._apply(check_shape("x_t", x_t, ("batch_size", "input_size"), shape), pack, 1)

        return step
