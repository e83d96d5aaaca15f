"""Convolution of the frame of every step: y_t = activation(W * x_t + b)."""

from __future__ import annotations

import math

import numpy as np

from .. import init
from .._core import native
from .._threads import resolve
from .._validation import as_array, as_gradient, check_choice, check_dtype, check_shape, check_size
from ._activated import ACTIVATIONS, activated, d_activation
from ._base import Layer
from ._ragged import gather, scatter, valid_steps
from ._weight_pack import WeightPack

BLOCK_SIZE = 1 << 16  # numbers of the patches of a block of frames, 256 KB of float32: they stay in the cache


class Conv2d(Layer):
    """A two-dimensional convolution of every step on its own: video frames, say, before a recurrent layer.

    A step is a frame as one flat vector, its channels one after the other, each row by row; so is the output. A larger
    `stride` does the work of pooling. A row gives the same bits alone, in any batch and with any padding.

    Parameters
    ----------
    input_shape : (int, int, int)
        Channels, height and width of a frame.
    output_channels : int
    kernel_size, stride : int or (int, int), default of stride 1
        Along height and width.
    padding : int or (int, int), default=0
        Zeros around the frame: so many rows above and below, so many columns left and right.
    bias : bool, default=True
    activation : {None, "relu", "tanh", "sigmoid"}, default=None
    dtype : {"float32", "float64"}, default="float32"
    random_state : int, numpy.random.Generator, numpy.random.RandomState or None, default=None
        Where the initial values come from: uniform between -1 / sqrt(channels * height * width of the kernel) and its
        opposite.

    Attributes
    ----------
    output_shape : (int, int, int)
        Channels, height and width of an output; the input_shape of a Conv2d behind it. A side of n pixels gives
        ``(n + 2 * padding - kernel_size) // stride + 1``.
    input_size, output_size : int
        Products of the shapes.
    params : mapping
        ``weight`` of shape (output_channels, channels, *kernel_size) and ``bias`` of shape (output_channels,), as in
        torch.nn.Conv2d.
    grads : dict
        Their gradients.

    Notes
    -----
    As in torch, the kernel is not flipped (a cross-correlation).

    Examples
    --------
    >>> import numpy as np
    >>> import fastrnn
    >>> from fastrnn.layers import Conv2d
    >>> conv = Conv2d((1, 2, 3), 1, kernel_size=(1, 2), bias=False)
    >>> conv.load_state_dict({"weight": [[[[-1.0, 1.0]]]]})  # the difference to the pixel on the left
    >>> conv(np.array([[1.0, 4.0, 9.0, 0.0, 0.0, 5.0]])).tolist()
    [[3.0, 5.0, 0.0, 5.0]]

    Frames of 16 x 16 pixels, half a second of them, to a label:

    >>> front = Conv2d((1, 16, 16), 4, kernel_size=3, stride=2, padding=1, activation="relu", random_state=0)
    >>> front.output_shape
    (4, 8, 8)
    >>> network = fastrnn.Sequential(
    ...     front, fastrnn.GRU(front.output_size, 32, random_state=1), fastrnn.Pool("last"), fastrnn.Dense(32, 5)
    ... )
    >>> network(np.zeros((12, 2, 256)))[0].shape
    (2, 5)
    """

    def __init__(
        self,
        input_shape,
        output_channels,
        kernel_size,
        stride=1,
        padding=0,
        bias=True,
        activation=None,
        dtype="float32",
        random_state=None,
    ):
        super().__init__(check_dtype(dtype))
        self.input_shape = _check_input_shape(input_shape)
        self.output_channels = check_size("output_channels", output_channels)
        self.kernel_size = pair("kernel_size", kernel_size)
        self.stride = pair("stride", stride)
        self.padding = pair("padding", padding, minimum=0)
        self.activation = check_choice("activation", activation, ACTIVATIONS)
        self.output_shape = (self.output_channels, *map(self._output_side, (0, 1)))
        self.input_size, self.output_size = math.prod(self.input_shape), math.prod(self.output_shape)
        shape = (self.output_channels, self.input_shape[0], *self.kernel_size)
        rng, bound = init.as_generator(random_state), 1 / math.sqrt(math.prod(shape[1:]))
        self._parameter("weight", init.uniform(rng, shape, bound))
        if bias:
            self._parameter("bias", init.uniform(rng, (self.output_channels,), bound))

    def _output_side(self, axis):
        side = self.input_shape[1 + axis] + 2 * self.padding[axis]
        if self.kernel_size[axis] > side:
            raise ValueError(
                f"kernel_size is {self.kernel_size}, expected at most {('height', 'width')[axis]} + 2 * padding = "
                f"{side}, with input_shape = {self.input_shape} and padding = {self.padding}"
            )
        return (side - self.kernel_size[axis]) // self.stride[axis] + 1

    def __repr__(self):
        others = "".join(
            f", {name}={value!r}"
            for name, default in (("stride", (1, 1)), ("padding", (0, 0)), ("activation", None))
            if (value := getattr(self, name)) != default
        )
        return f"Conv2d({self.input_shape}, {self.output_channels}, {self.kernel_size}{others})"

    def __call__(self, x, lengths=None, *, n_threads=None):
        """Convolve every frame.

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
        return scatter(self._apply(gather(x, valid), self._pack(), n_threads), valid, self._output_axes(x))

    def forward(self, x, lengths=None, *, training=True, rng=None, n_threads=None):
        """Convolve every frame and keep what the gradient needs.

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
            ``d_x = backward(d_output)``; adds the gradients of the parameters into `grads`. Works once.
        """
        x = self._input(x)
        valid = valid_steps(x, lengths)
        pack = self._pack()
        weight_for_d_x = pack.weight_for_d_x(self.params)
        frames = gather(x, valid)
        y_steps = self._apply(frames, pack, n_threads)
        output = scatter(y_steps, valid, self._output_axes(x))
        spend = self._single_use(pack.version)

        def backward(d_output):
            d_output = as_gradient("d_output", d_output, self.dtype, output.shape)
            spend()
            d_steps = d_activation(self.activation, y_steps, gather(d_output, valid))
            return scatter(self._d_apply(d_steps, frames, weight_for_d_x, n_threads), valid, x.shape)

        return output, backward

    def _input(self, x):
        return check_shape("x", as_array("x", x, self.dtype), ("...", "input_size"), (None, self.input_size))

    def _output_axes(self, x):
        return (*x.shape[:-1], self.output_size)

    def _apply(self, frames, pack, n_threads):
        """Return the outputs (steps, output_size) of frames (steps, input_size)."""
        y = np.empty((len(frames), *self.output_shape), self.dtype)
        for block in self._blocks(len(frames)):
            patches = self._patches(frames[block])
            products = native.matmul(patches, pack.weight, pack.bias, n_threads=self._threads(n_threads, len(patches)))
            y[block] = _channels_first(products, y[block].shape)
        return activated(self.activation, y.reshape(len(frames), self.output_size))

    def _d_apply(self, d_steps, frames, weight_for_d_x, n_threads):
        """Add the gradients of the parameters and return d_frames (steps, input_size)."""
        d_weight = np.zeros((self.output_channels, math.prod(self.kernel_size) * self.input_shape[0]), self.dtype)
        d_frames = np.empty((len(frames), self.input_size), self.dtype)
        for block in self._blocks(len(frames)):
            patches, d_products = self._patches(frames[block]), self._channels_last(d_steps[block])
            threads = self._threads(n_threads, len(patches))
            native.add_outer(d_weight, d_products, patches, n_threads=threads)
            if "bias" in self.grads:
                native.add_rows(self.grads["bias"], d_products)
            d_patches = native.matmul(d_products, weight_for_d_x, n_threads=threads)
            d_frames[block] = self._d_frames(d_patches, len(d_steps[block]))
        by_tap = d_weight.reshape(self.output_channels, *self.kernel_size, self.input_shape[0])
        self.grads["weight"][...] += by_tap.transpose(0, 3, 1, 2)
        return d_frames

    def _blocks(self, steps):
        """Yield slices of the frames."""
        size = max(
            1, BLOCK_SIZE // (math.prod(self.kernel_size) * math.prod(self.output_shape[1:]) * self.input_shape[0])
        )
        for begin in range(0, steps, size):
            yield slice(begin, begin + size)

    def _patches(self, frames):
        """Return what each output pixel reads, (frames * pixels, kernel height * kernel width * channels)."""
        (channels, height, width), (above, left) = self.input_shape, self.padding
        padded = np.zeros((len(frames), height + 2 * above, width + 2 * left, channels), self.dtype)
        inside = padded[:, above : above + height, left : left + width]
        inside[...] = frames.reshape(-1, channels, height, width).transpose(0, 2, 3, 1)
        patches = np.empty((len(frames), *self.output_shape[1:], *self.kernel_size, channels), self.dtype)
        for i, j, pixels in self._taps():
            patches[:, :, :, i, j] = padded[pixels]
        return patches.reshape(-1, math.prod(self.kernel_size) * channels)

    def _d_frames(self, d_patches, steps):
        """Return the gradient of the frames (steps, input_size); a pixel adds up its taps in their order."""
        (channels, height, width), (above, left) = self.input_shape, self.padding
        d_patches = d_patches.reshape(steps, *self.output_shape[1:], *self.kernel_size, channels)
        d_padded = np.zeros((steps, height + 2 * above, width + 2 * left, channels), self.dtype)
        for i, j, pixels in self._taps():
            d_padded[pixels] += d_patches[:, :, :, i, j]
        inside = d_padded[:, above : above + height, left : left + width]
        return inside.transpose(0, 3, 1, 2).reshape(steps, self.input_size)

    def _taps(self):
        """Yield (i, j, the pixels of padded frames that tap (i, j) of the kernel meets)."""
        (down, across), (rows, columns) = self.stride, self.output_shape[1:]
        for i in range(self.kernel_size[0]):
            for j in range(self.kernel_size[1]):
                pixels = slice(i, i + down * (rows - 1) + 1, down), slice(j, j + across * (columns - 1) + 1, across)
                yield i, j, (slice(None), *pixels)

    def _channels_last(self, steps):
        """Return outputs (frames, output_size) as (frames * pixels, output_channels)."""
        channels = steps.reshape(len(steps), self.output_channels, -1)
        return np.ascontiguousarray(channels.transpose(0, 2, 1)).reshape(-1, self.output_channels)

    def _threads(self, n_threads, rows):
        taps = math.prod(self.kernel_size) * self.input_shape[0]
        return resolve(n_threads, rows * taps * self.output_channels, rows)

    def _make_pack(self):
        return _ConvPack(self.params)

    def _step_function(self, batch_size):
        pack, shape = self._pack(), (batch_size, self.input_size)

        def step(x_t):
            x_t = as_array("x_t", x_t, self.dtype)
            return self._apply(check_shape("x_t", x_t, ("batch_size", "input_size"), shape), pack, 1)

        return step


class _ConvPack(WeightPack):
    """The matrix multiplies patches (kernel height * kernel width * channels)."""

    __slots__ = ()

    @staticmethod
    def matrix(params):
        """Return W (output_channels, kernel height * kernel width * channels)."""
        return params["weight"].transpose(0, 2, 3, 1).reshape(len(params["weight"]), -1)


def pair(name, value, minimum=1):
    """Return a number, or two along height and width, as two ints of at least `minimum`."""
    if not isinstance(value, tuple | list):
        return (check_size(name, value, minimum),) * 2
    if len(value) != 2:
        raise ValueError(f"{name} is {tuple(value)}, expected one integer or two, along height and width")
    return tuple(check_size(f"{name}[{k}]", size, minimum) for k, size in enumerate(value))


def _check_input_shape(shape):
    if not isinstance(shape, tuple | list) or len(shape) != 3:
        raise ValueError(f"input_shape is {shape!r}, expected (channels, height, width)")
    return tuple(check_size(f"input_shape[{k}]", size) for k, size in enumerate(shape))


def _channels_first(products, shape):
    """Return products (frames * pixels, channels) as `shape` (frames, channels, height, width)."""
    frames, channels, height, width = shape
    return products.reshape(frames, height, width, channels).transpose(0, 3, 1, 2)
