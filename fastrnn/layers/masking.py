"""Which steps count: told by the input itself, or no longer asked. Keras's masks as layers of a `Network`."""

from __future__ import annotations

import numpy as np

from .._validation import as_array, as_gradient
from ._base import Layer
from ._ragged import valid_steps


class Masking(Layer):
    """Steps whose features all have one value are none; keras.layers.Masking.

    In a `Network`, where it must come first, such steps leave all states as they are, as `Network.run` describes for
    its mask. By itself it sets them to 0.

    Parameters
    ----------
    value : float, default=0.0
    dtype : {"float32", "float64"} or None, default=None
        None works in the type of the input (float32 for what is neither).

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn.layers import Masking
    >>> x = np.array([[[5.0, 1.0]], [[5.0, 5.0]]])  # two steps of one sequence
    >>> Masking(5.0)(x).tolist(), Masking(5.0).mask(x).tolist()
    ([[[5.0, 1.0]], [[0.0, 0.0]]], [[True], [False]])
    """

    def __init__(self, value=0.0, dtype=None):
        super().__init__(dtype)
        if isinstance(value, bool) or not isinstance(value, int | float | np.number):
            raise TypeError(f"value is {value!r}, expected a number")
        self.value = float(value)

    def __repr__(self):
        return f"Masking({self.value!r})"

    def mask(self, x):
        """Return which steps count.

        Parameters
        ----------
        x : array_like of shape (..., input_size)

        Returns
        -------
        ndarray of bool of shape (...)
        """
        x = as_array("x", x, self.dtype)
        with np.errstate(over="ignore"):
            return (x != x.dtype.type(self.value)).any(axis=-1)

    def __call__(self, x, lengths=None, *, n_threads=None):
        """Return a copy of `x`, with 0 at steps that do not count.

        Parameters
        ----------
        x : array_like of shape (seq_len, batch_size, input_size), or any other (..., input_size)
        lengths : array_like of int of shape (batch_size,), optional
            Steps of each row; 0 past them.
        n_threads : int, optional
            Without effect here.

        Returns
        -------
        ndarray of the shape of x
        """
        return self._kept(*self._input(x, lengths))

    def forward(self, x, lengths=None, *, training=True, rng=None, n_threads=None):
        """Return what a call does, and the function of its gradient.

        Parameters
        ----------
        x, lengths, n_threads
            As in a call.
        training, rng
            Without effect here.

        Returns
        -------
        output : ndarray of the shape of x
        backward : callable
            ``d_x = backward(d_output)``. Works once.
        """
        x, kept = self._input(x, lengths)
        spend = self._single_use(self.version)

        def backward(d_output):
            d_output = as_gradient("d_output", d_output, x.dtype, x.shape)
            spend()
            return self._kept(d_output, kept)

        return self._kept(x, kept), backward

    def _input(self, x, lengths):
        x = as_array("x", x, self.dtype)
        valid, kept = valid_steps(x, lengths), self.mask(x)
        return x, kept if valid is None else kept & valid

    @staticmethod
    def _kept(x, kept):
        return np.where(kept[..., None], x, x.dtype.type(0))

    def _step_function(self, batch_size):
        return self


class Unmask(Layer):
    """Behind it every step counts, masked ones with what `Network.run` says stands there; numbers pass unchanged.

    Layers of Keras that know no masks, such as Conv1D and GlobalMaxPooling1D, see all steps. Lengths go on.

    Parameters
    ----------
    dtype : {"float32", "float64"} or None, default=None
        None works in the type of the input (float32 for what is neither).

    Examples
    --------
    >>> import numpy as np
    >>> import fastrnn
    >>> from fastrnn.layers import Unmask
    >>> from fastrnn.models import Network
    >>> gru = fastrnn.GRU(3, 4, bidirectional=True, random_state=0)
    >>> net = Network(fastrnn.Sequential(gru, Unmask(), fastrnn.Pool("max")))
    >>> x, mask = np.ones((2, 1, 3)), np.array([[True], [False]])
    >>> y, _ = net.run(x, mask=mask)  # the masked step gives 0
    >>> bool((y == np.maximum(0, net.run(x[:1])[0])).all())
    True
    """

    def __repr__(self):
        return "Unmask()"

    def __init__(self, dtype=None):
        super().__init__(dtype)

    def __call__(self, x, lengths=None, *, n_threads=None):
        """Return `x`.

        Parameters
        ----------
        x : array_like
        lengths, n_threads
            Without effect here.

        Returns
        -------
        ndarray
        """
        return as_array("x", x, self.dtype)

    def forward(self, x, lengths=None, *, training=True, rng=None, n_threads=None):
        """Return `x`, and a function that returns its gradient.

        Parameters
        ----------
        x, lengths, training, rng, n_threads
            As in a call.

        Returns
        -------
        output : ndarray
        backward : callable
            ``d_x = backward(d_output)``. Works once.
        """
        x = as_array("x", x, self.dtype)
        spend = self._single_use(self.version)

        def backward(d_output):
            d_output = as_gradient("d_output", d_output, x.dtype, x.shape)
            spend()
            return d_output

        return x, backward

    def _step_function(self, batch_size):
        return self
