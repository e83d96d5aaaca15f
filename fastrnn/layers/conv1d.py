"""Convolution over time: y_t = activation(sum over taps of W_j x_{t stride - before + j dilation}, + b)."""

from __future__ import annotations

import math

import numpy as np

from .. import init
from .._core import native
from .._threads import resolve
from .._validation import as_gradient, check_choice, check_dtype, check_lengths, check_size
from ._activated import ACTIVATIONS, activated, d_activation
from ._base import Layer
from ._ragged import gather, read_sequences, scatter, valid_steps
from ._weight_pack import WeightPack

PADDINGS = ("same", "valid", "causal")
BLOCK_SIZE = 1 << 20  # numbers of the taps of a block of steps, 4 MB of float32: they stay in the cache


class Conv1d(Layer):
    """A convolution over time, of time-major sequences of any lengths.

    A kernel of `kernel_size` taps, `dilation` steps apart, moves over each row by `stride` steps. What lies outside
    a row's own steps is zero. A row gives the same bits alone, in any batch and with any padding.

    Parameters
    ----------
    input_size, output_size : int
        Features of a step; torch's in_channels and out_channels.
    kernel_size : int
    stride : int, default=1
    padding : {"same", "valid", "causal"} or int, default="same"
        How many steps of zeros a row gets, with r = dilation * (kernel_size - 1): "same" r // 2 before it and the rest
        of r behind it (stride 1 only); "causal" r before it, so that no output sees a later step; "valid" none; a
        number, so many at either end.
    dilation : int, default=1
    bias : bool, default=True
    activation : {None, "relu", "tanh", "sigmoid"}, default=None
    dtype : {"float32", "float64"}, default="float32"
    random_state : int, numpy.random.Generator, numpy.random.RandomState or None, default=None
        Where the initial values come from: uniform between -1 / sqrt(input_size * kernel_size) and its opposite.

    Attributes
    ----------
    params : mapping
        ``weight`` of shape (output_size, input_size, kernel_size) and ``bias`` of shape (output_size,), as in
        torch.nn.Conv1d.
    grads : dict
        Their gradients.

    Notes
    -----
    A row of length L > 0 gives ``(L + zeros - r - 1) // stride + 1`` outputs (none where that is negative), with zeros
    the number of its steps of zeros: L with "same" or "causal" and stride 1. A row of length 0 gives none. See
    `output_lengths`. As in torch, the kernel is not flipped (a cross-correlation).

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn.layers import Conv1d
    >>> conv = Conv1d(1, 1, 2, padding="causal", bias=False)
    >>> conv.load_state_dict({"weight": [[[-1.0, 1.0]]]})  # the difference to the step before
    >>> conv(np.array([[[1.0]], [[4.0]], [[9.0]]])).ravel().tolist()
    [1.0, 3.0, 5.0]
    """

    def __init__(
        self,
        input_size,
        output_size,
        kernel_size,
        stride=1,
        padding="same",
        dilation=1,
        bias=True,
        activation=None,
        dtype="float32",
        random_state=None,
    ):
        super().__init__(check_dtype(dtype))
        self.input_size = check_size("input_size", input_size)
        self.output_size = check_size("output_size", output_size)
        self.kernel_size = check_size("kernel_size", kernel_size)
        self.stride = check_size("stride", stride)
        self.dilation = check_size("dilation", dilation)
        self.padding = check_choice("padding", padding, PADDINGS) if _is_name(padding) else _size_of(padding)
        if self.padding == "same" and self.stride > 1:
            raise ValueError(f"padding is 'same' and stride is {self.stride}, expected stride = 1, or another padding")
        self.activation = check_choice("activation", activation, ACTIVATIONS)
        self._reach = self.dilation * (self.kernel_size - 1)
        self._before, self._behind = {
            "same": (self._reach // 2, self._reach - self._reach // 2),
            "valid": (0, 0),
            "causal": (self._reach, 0),
        }.get(self.padding, (self.padding, self.padding))
        rng, bound = init.as_generator(random_state), 1 / math.sqrt(self.input_size * self.kernel_size)
        self._parameter("weight", init.uniform(rng, (self.output_size, self.input_size, self.kernel_size), bound))
        if bias:
            self._parameter("bias", init.uniform(rng, (self.output_size,), bound))

    def __repr__(self):
        defaults = {"stride": 1, "padding": "same", "dilation": 1, "activation": None}
        others = [
            f", {name}={getattr(self, name)!r}" for name, value in defaults.items() if getattr(self, name) != value
        ]
        return f"Conv1d({self.input_size}, {self.output_size}, {self.kernel_size}{''.join(others)})"

    def output_lengths(self, lengths):
        """Return how many outputs rows of these lengths give.

        Parameters
        ----------
        lengths : array_like of int of shape (batch_size,)

        Returns
        -------
        ndarray of int of shape (batch_size,)

        Examples
        --------
        >>> from fastrnn.layers import Conv1d
        >>> Conv1d(3, 8, kernel_size=3, stride=2, padding=1).output_lengths([0, 1, 2, 5]).tolist()
        [0, 1, 1, 3]
        >>> Conv1d(3, 8, kernel_size=3, padding="valid").output_lengths([0, 1, 2, 5]).tolist()
        [0, 0, 0, 3]
        """
        lengths = check_lengths(lengths, np.iinfo(np.int64).max, np.size(lengths))
        starts = lengths + self._before + self._behind - self._reach  # where the first tap may stand
        return np.where(lengths > 0, np.maximum((starts - 1) // self.stride + 1, 0), 0)

    def __call__(self, x, lengths=None, *, n_threads=None):
        """Convolve.

        Parameters
        ----------
        x : array_like of shape (seq_len, batch_size, input_size), or (seq_len, input_size) for one sequence
        lengths : array_like of int of shape (batch_size,), optional
            Steps of each row; what comes after is not read.
        n_threads : int, optional
            At most so many threads.

        Returns
        -------
        ndarray of shape (output_seq_len, batch_size, output_size), or (output_seq_len, output_size)
            0 behind the `output_lengths` of a row.
        """
        x, lengths, unbatched = read_sequences(x, lengths, self.dtype, self.input_size)
        taps = _Taps(self, x, lengths)
        output = scatter(self._apply(taps, self._pack(), n_threads), taps.valid, (*taps.shape, self.output_size))
        return output[:, 0] if unbatched else output

    def forward(self, x, lengths=None, *, training=True, rng=None, n_threads=None):
        """Convolve and keep what the gradient needs.

        Parameters
        ----------
        x, lengths, n_threads
            As in a call. `x` must not be changed before `backward`.
        training, rng
            Without effect here.

        Returns
        -------
        output : ndarray of shape (output_seq_len, batch_size, output_size), or (output_seq_len, output_size)
            Not to be changed before `backward`.
        backward : callable
            ``d_x = backward(d_output)``; adds the gradients of the parameters into `grads`. Works once.
        """
        x, lengths, unbatched = read_sequences(x, lengths, self.dtype, self.input_size)
        pack = self._pack()
        weight_for_d_x = pack.weight_for_d_x(self.params)
        taps = _Taps(self, x, lengths)
        y_steps = self._apply(taps, pack, n_threads)
        shape = (*taps.shape, self.output_size)
        convolved = scatter(y_steps, taps.valid, shape)
        output = convolved[:, 0] if unbatched else convolved
        spend = self._single_use(pack.version)

        def backward(d_output):
            d_output = as_gradient("d_output", d_output, self.dtype, output.shape).reshape(shape)
            spend()
            d_steps = d_activation(self.activation, y_steps, gather(d_output, taps.valid))
            d_x = self._d_apply(d_steps, taps, weight_for_d_x, n_threads)
            return d_x[:, 0] if unbatched else d_x

        return output, backward

    def _apply(self, taps, pack, n_threads):
        """Return the outputs (steps, output_size)."""
        y = np.empty((taps.steps, self.output_size), self.dtype)
        for block in taps.blocks():
            columns = taps.columns(block)
            threads = self._threads(n_threads, len(columns))
            native.matmul(columns, pack.weight, pack.bias, out=y[block], n_threads=threads)
        return activated(self.activation, y)

    def _d_apply(self, d_steps, taps, weight_for_d_x, n_threads):
        """Add the gradients of the parameters and return d_x (seq_len, batch_size, input_size)."""
        d_weight = np.zeros((self.output_size, self.kernel_size * self.input_size), self.dtype)
        d_padded = np.zeros(taps.padded.shape, self.dtype)
        for block in taps.blocks():
            columns, d_block = taps.columns(block), d_steps[block]
            threads = self._threads(n_threads, len(columns))
            native.add_outer(d_weight, d_block, columns, n_threads=threads)
            taps.add_columns(d_padded, native.matmul(d_block, weight_for_d_x, n_threads=threads), block)
        by_tap = d_weight.reshape(self.output_size, self.kernel_size, self.input_size)
        self.grads["weight"][...] += by_tap.transpose(0, 2, 1)
        if "bias" in self.grads:
            native.add_rows(self.grads["bias"], d_steps)
        return taps.d_x(d_padded)

    def _threads(self, n_threads, steps):
        return resolve(n_threads, steps * self.kernel_size * self.input_size * self.output_size, steps)

    def _make_pack(self):
        return _ConvPack(self.params)

    def _step_function(self, batch_size):
        raise ValueError(f"{self!r} has no stepper: it reads {self.kernel_size} steps at a time")


class _ConvPack(WeightPack):
    """The matrix multiplies columns (kernel_size * input_size)."""

    __slots__ = ()

    @staticmethod
    def matrix(params):
        """Return W (output_size, kernel_size * input_size)."""
        return _by_tap(params)


class _Taps:
    """The inputs that each valid output step reads: rows of a matrix (steps, kernel_size * input_size).

    Parameters
    ----------
    conv : Conv1d
    x : ndarray of shape (seq_len, batch_size, input_size)
    lengths : ndarray of int of shape (batch_size,) or None
    """

    def __init__(self, conv, x, lengths):
        self.seq_len, batch_size, self.input_size = x.shape
        self.before, behind = conv._before, conv._behind
        self.shape = int(conv.output_lengths([self.seq_len])[0]), batch_size
        ends = None if lengths is None else conv.output_lengths(lengths)
        self.valid = valid_steps(np.empty((*self.shape, 0)), ends)
        self.inside = valid_steps(x, lengths)
        if self.inside is None and not self.before + behind:
            self.padded = x
        else:
            self.padded = np.zeros((self.before + self.seq_len + behind, batch_size, self.input_size), x.dtype)
            inside = ... if self.inside is None else self.inside
            self.padded[self.before : self.before + self.seq_len][inside] = x[inside]
        # where the first tap of each valid step stands, and how far the others are, in rows of (time * batch, input)
        firsts = np.arange(self.shape[0])[:, None] * (conv.stride * batch_size) + np.arange(batch_size)
        self.firsts = firsts.reshape(-1) if self.valid is None else firsts[self.valid]
        self.offsets = np.arange(conv.kernel_size) * (conv.dilation * batch_size)
        self.steps = len(self.firsts)

    def blocks(self):
        """Yield slices of the steps, the last ones first."""
        size = max(1, BLOCK_SIZE // (len(self.offsets) * self.input_size))
        for begin in reversed(range(0, self.steps, size)):
            yield slice(begin, begin + size)

    def columns(self, block):
        """Return the rows of the matrix for a slice of the steps."""
        places = self.firsts[block, None] + self.offsets
        return self.padded.reshape(-1, self.input_size).take(places, axis=0).reshape(len(places), -1)

    def add_columns(self, d_padded, d_columns, block):
        """Add the gradient of `columns` to that of the padded input.

        A place takes its outputs from the last to the first, tap after tap here and in the order of `blocks`, so that
        its bits do not depend on where the blocks end.
        """
        flat, firsts = d_padded.reshape(-1, self.input_size), self.firsts[block]
        by_tap = d_columns.reshape(len(firsts), len(self.offsets), self.input_size)
        for j, offset in enumerate(self.offsets.tolist()):
            flat[firsts + offset] += by_tap[:, j]

    def d_x(self, d_padded):
        """Return the gradient of x from that of the padded input; 0 past a row's length."""
        d_x = d_padded[self.before : self.before + self.seq_len]
        if self.inside is not None:
            d_x[~self.inside] = 0
        return d_x


def _by_tap(params):
    """Return the weight as a matrix (output_size, kernel_size * input_size)."""
    weight = params["weight"]
    return weight.transpose(0, 2, 1).reshape(len(weight), -1)


def _is_name(padding):
    return padding is None or isinstance(padding, str)


def _size_of(padding):
    return check_size("padding", padding, minimum=0)
