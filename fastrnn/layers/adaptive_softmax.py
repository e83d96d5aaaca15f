"""Softmax over many classes, by clusters of which only those that occur cost anything."""

from __future__ import annotations

import math

import numpy as np

from .. import init
from .._core import native
from .._threads import resolve
from .._validation import as_array, as_gradient, check_dtype, check_shape, check_size
from ..losses import _weighted_mean
from ._base import Layer
from ._ragged import gather, scatter, valid_steps
from ._weight_pack import WeightPack


class AdaptiveSoftmax(Layer):
    """Log probabilities of many classes, of which the frequent ones cost little and the rare ones less still.

    Classes are numbered by falling frequency. The head holds the first ``cutoffs[0]`` and one entry for each cluster of
    the others; cluster k holds the classes from ``cutoffs[k]`` to ``cutoffs[k + 1]``, and reads the input through a
    projection to ``input_size // div_value ** (k + 1)`` features. So ``log p(class) = log p(cluster) + log p(class |
    cluster)``, and `loss` computes only the clusters that its targets are in.

    Parameters
    ----------
    input_size : int
    n_classes : int
    cutoffs : sequence of int
        At least one, rising, 1 <= cutoff < n_classes.
    div_value : float, default=4.0
        At least 1.
    bias : bool, default=False
        Whether the head has one.
    dtype : {"float32", "float64"}, default="float32"
    random_state : int, numpy.random.Generator, numpy.random.RandomState or None, default=None
        Where the initial values come from: each matrix uniform between -1 / sqrt(its columns) and its opposite.

    Attributes
    ----------
    output_size : int
        n_classes.
    params : mapping
        ``head.weight`` (cutoffs[0] + clusters, input_size) and ``head.bias``; of each cluster ``tail.k.0.weight``
        (features, input_size) and ``tail.k.1.weight`` (classes, features): names and shapes of
        torch.nn.AdaptiveLogSoftmaxWithLoss.
    grads : dict
        Their gradients.

    References
    ----------
    Grave, Joulin, Cissé, Grangier and Jégou (2017), "Efficient softmax approximation for GPUs", section 4.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn.layers import AdaptiveSoftmax
    >>> head = AdaptiveSoftmax(16, 1000, cutoffs=[50, 200], random_state=0)
    >>> hidden, words = np.ones((5, 2, 16)), np.array([[3, 7], [1, 150], [0, 0], [999, 2], [4, 8]])
    >>> value, d_hidden = head.loss(hidden, words)  # and adds the gradients of the parameters into head.grads
    >>> d_hidden.shape
    (5, 2, 16)
    >>> log_p = head(hidden)
    >>> log_p.shape, round(float(np.exp(log_p[0, 0]).sum()), 5)
    ((5, 2, 1000), 1.0)
    >>> bool(np.isclose(value, -np.take_along_axis(log_p, words[..., None], -1).mean()))
    True
    """

    def __init__(self, input_size, n_classes, cutoffs, div_value=4.0, bias=False, dtype="float32", random_state=None):
        super().__init__(check_dtype(dtype))
        expected = shapes(input_size, n_classes, cutoffs, div_value, bias)
        self.input_size = check_size("input_size", input_size)
        self.n_classes = self.output_size = check_size("n_classes", n_classes)
        self.cutoffs, self.div_value = tuple(map(int, cutoffs)), div_value
        ends = (*self.cutoffs, self.n_classes)
        self._clusters = [slice(begin, end) for begin, end in zip(ends, ends[1:])]
        rng = init.as_generator(random_state)
        for name, shape in expected.items():
            columns = self.input_size if name == "head.bias" else shape[1]
            self._parameter(name, init.uniform(rng, shape, 1 / math.sqrt(columns)))

    def __repr__(self):
        return f"AdaptiveSoftmax({self.input_size}, {self.n_classes}, cutoffs={list(self.cutoffs)})"

    def __call__(self, x, lengths=None, *, n_threads=None):
        """Return the log probabilities of all classes.

        Parameters
        ----------
        x : array_like of shape (seq_len, batch_size, input_size), (batch_size, input_size) or (..., input_size)
        lengths : array_like of int of shape (batch_size,), optional
            Steps of each row; what comes after is not read, and the output there is 0.
        n_threads : int, optional
            At most so many threads.

        Returns
        -------
        ndarray of shape (..., n_classes)
            A row has the same bits alone and in any batch.
        """
        x = self._input(x)
        valid = valid_steps(x, lengths)
        log_p, _ = self._log_probabilities(gather(x, valid), self._pack(), n_threads)
        return scatter(log_p, valid, (*x.shape[:-1], self.n_classes))

    def forward(self, x, lengths=None, *, training=True, rng=None, n_threads=None):
        """Return the log probabilities of all classes and keep what their gradient needs; to train, see `loss`.

        Parameters
        ----------
        x, lengths, n_threads
            As in a call. `x` must not be changed before `backward`.
        training, rng
            Without effect here.

        Returns
        -------
        output : ndarray of shape (..., n_classes)
            Not to be changed before `backward`.
        backward : callable
            ``d_x = backward(d_output)``; adds the gradients of the parameters into `grads`. Works once.
        """
        x = self._input(x)
        valid = valid_steps(x, lengths)
        pack, x_steps = self._pack(), gather(x, valid)
        for name in pack.linear:
            pack.for_d_x(name, self.params)
        log_p, kept = self._log_probabilities(x_steps, pack, n_threads)
        output = scatter(log_p, valid, (*x.shape[:-1], self.n_classes))
        spend = self._single_use(pack.version)

        def backward(d_output):
            d_output = as_gradient("d_output", d_output, self.dtype, output.shape)
            spend()
            d_x = self._d_log_probabilities(gather(d_output, valid), log_p, x_steps, *kept, pack, n_threads)
            return scatter(d_x, valid, x.shape)

        return output, backward

    def loss(self, x, target, sample_weight=None, *, n_threads=None):
        """Return the cross-entropy of targets and its gradient; add the gradients of the parameters into `grads`.

        Parameters
        ----------
        x : array_like of shape (..., input_size)
        target : array_like of int of shape (...)
            Class numbers, 0 <= target < n_classes.
        sample_weight : array_like of shape (...), optional
            Where it is 0, x is not read and may be NaN.
        n_threads : int, optional
            At most so many threads.

        Returns
        -------
        value : float
            Mean over the samples, by their weights where these are given, in nats: as `losses.softmax_cross_entropy`.
        d_x : ndarray of shape (..., input_size)
        """
        x = self._input(x)
        target = self._target(target, x.shape[:-1])
        _, shares = _weighted_mean(np.zeros(target.shape), np.ones((*target.shape, 1)), sample_weight)
        used = np.flatnonzero(shares)
        rows, labels, shares = x.reshape(-1, self.input_size)[used], target.reshape(-1)[used], shares.reshape(-1)[used]
        losses, d_rows = self._cross_entropy(rows, labels, shares.astype(self.dtype), n_threads)
        d_x = np.zeros((target.size, self.input_size), self.dtype)
        d_x[used] = d_rows
        return float(np.sum(shares * losses)), d_x.reshape(x.shape)

    # the classes that occur

    def _cross_entropy(self, x, labels, shares, n_threads):
        """Add the gradients of the parameters; return each row's loss, and the gradient of x of their sum by shares."""
        pack, first = self._pack(), self.cutoffs[0]
        cluster_of = np.searchsorted(self.cutoffs, labels, side="right") - 1
        scores = self._product("head", x, pack, n_threads)
        losses = _cross_entropy(scores, np.where(cluster_of < 0, labels, first + cluster_of), shares)
        d_x = self._d_product("head", scores, x, pack, n_threads)
        for k, begin in enumerate(self.cutoffs):
            rows = np.flatnonzero(cluster_of == k)
            if not rows.size:
                continue
            inner, outer = f"tail.{k}.0", f"tail.{k}.1"
            x_k = x[rows]
            hidden = self._product(inner, x_k, pack, n_threads)
            scores = self._product(outer, hidden, pack, n_threads)
            losses[rows] += _cross_entropy(scores, labels[rows] - begin, shares[rows])
            d_hidden = self._d_product(outer, scores, hidden, pack, n_threads)
            d_x[rows] += self._d_product(inner, d_hidden, x_k, pack, n_threads)
        return losses, d_x

    # all classes

    def _log_probabilities(self, x, pack, n_threads):
        """Return log p (steps, n_classes), and what its gradient needs: that of the head, and each cluster's input."""
        head, hidden = _log_softmax(self._product("head", x, pack, n_threads)), []
        log_p, first = np.empty((len(x), self.n_classes), self.dtype), self.cutoffs[0]
        log_p[:, :first] = head[:, :first]
        for k, classes in enumerate(self._clusters):
            hidden.append(self._product(f"tail.{k}.0", x, pack, n_threads))
            own = _log_softmax(self._product(f"tail.{k}.1", hidden[k], pack, n_threads))
            np.add(own, head[:, first + k, None], out=log_p[:, classes])
        return log_p, (head, hidden)

    def _d_log_probabilities(self, d, log_p, x, head, hidden, pack, n_threads):
        """Add the gradients of the parameters and return that of x; `d` is the gradient of `log_p`."""
        first = self.cutoffs[0]
        d_head = np.empty_like(head)
        d_head[:, :first] = d[:, :first]
        d_x = np.zeros_like(x)
        for k, classes in enumerate(self._clusters):
            d_head[:, first + k] = np.ascontiguousarray(d[:, classes]).sum(axis=1)
            p = np.exp(log_p[:, classes] - head[:, first + k, None])
            d_scores = d[:, classes] - p * d_head[:, first + k, None]
            d_hidden = self._d_product(f"tail.{k}.1", d_scores, hidden[k], pack, n_threads)
            d_x += self._d_product(f"tail.{k}.0", d_hidden, x, pack, n_threads)
        d_head -= np.exp(head) * d_head.sum(axis=1, keepdims=True)
        d_x += self._d_product("head", d_head, x, pack, n_threads)
        return d_x

    # products

    def _product(self, name, x, pack, n_threads):
        linear = pack.linear[name]
        return native.matmul(x, linear.weight, linear.bias, n_threads=_threads(n_threads, x, linear.weight))

    def _d_product(self, name, d_y, x, pack, n_threads):
        """Add the gradients of the parameters of one matrix, and return that of its input."""
        packed = pack.for_d_x(name, self.params)
        threads = _threads(n_threads, d_y, packed)
        native.add_outer(self.grads[f"{name}.weight"], d_y, x, n_threads=threads)
        if f"{name}.bias" in self.grads:
            native.add_rows(self.grads[f"{name}.bias"], d_y)
        return native.matmul(d_y, packed, n_threads=threads)

    def _input(self, x):
        return check_shape("x", as_array("x", x, self.dtype), ("...", "input_size"), (None, self.input_size))

    def _target(self, target, shape):
        target = np.asarray(target)
        if target.dtype.kind not in "iu":
            raise TypeError(f"target has dtype {target.dtype}, expected integers (class numbers)")
        if target.shape != shape:
            raise ValueError(f"target has shape {target.shape}, expected x.shape[:-1] = {shape}")
        if target.size and not (0 <= target.min() and target.max() < self.n_classes):
            raise ValueError(
                f"target holds class numbers from {target.min()} to {target.max()}, "
                f"expected 0 <= target < n_classes = {self.n_classes}"
            )
        return target.astype(np.int64)

    def _make_pack(self):
        return _Pack(self.params)

    def _step_function(self, batch_size):
        pack, shape = self._pack(), (batch_size, self.input_size)

        def step(x_t):
            x_t = check_shape("x_t", as_array("x_t", x_t, self.dtype), ("batch_size", "input_size"), shape)
            return self._log_probabilities(x_t, pack, 1)[0]

        return step


class _Pack:
    """The packs of all matrices, by the names of their parameters."""

    def __init__(self, params):
        names = [name.removesuffix(".weight") for name in params if name.endswith(".weight")]
        self.linear = {name: WeightPack(_own(params, name)) for name in names}
        self.version = None

    def for_d_x(self, name, params):
        """Return the pack of d_x = d_y W; `params` are those of the pack's version."""
        return self.linear[name].weight_for_d_x(_own(params, name))


def shapes(input_size, n_classes, cutoffs, div_value, bias):
    """Check the arguments of an `AdaptiveSoftmax`, and return {name: shape} of its parameters."""
    input_size, n_classes = check_size("input_size", input_size), check_size("n_classes", n_classes)
    if np.ndim(cutoffs) != 1:
        raise TypeError(f"cutoffs is {cutoffs!r}, expected a sequence of integers")
    ends = [check_size(f"cutoffs[{k}]", cutoff) for k, cutoff in enumerate(cutoffs)] + [n_classes]
    if len(ends) < 2 or any(end <= begin for begin, end in zip(ends, ends[1:])):
        raise ValueError(f"cutoffs is {ends[:-1]}, expected at least one, rising, and below n_classes = {n_classes}")
    if isinstance(div_value, bool) or not isinstance(div_value, int | float | np.number):
        raise TypeError(f"div_value is {div_value!r}, expected a number >= 1")
    if not 1 <= div_value < math.inf:
        raise ValueError(f"div_value is {div_value}, expected a number >= 1")
    found = {"head.weight": (ends[0] + len(ends) - 1, input_size)}
    if bias:
        found["head.bias"] = found["head.weight"][:1]
    for k, (begin, end) in enumerate(zip(ends, ends[1:])):
        features = int(min(input_size, 2**53) // div_value ** (k + 1))  # a file may say any size
        if not features:
            raise ValueError(
                f"cluster {k} has input_size // div_value ** {k + 1} = 0 features, expected at least 1: "
                "fewer cutoffs, or a smaller div_value"
            )
        found |= {f"tail.{k}.0.weight": (features, input_size), f"tail.{k}.1.weight": (end - begin, features)}
    return found


def _own(params, name):
    """Return the parameters of one matrix under the names that a `WeightPack` reads."""
    own = {"weight": params[f"{name}.weight"]}
    return own | {"bias": params[f"{name}.bias"]} if f"{name}.bias" in params else own


def _threads(n_threads, rows, packed):
    return resolve(n_threads, len(rows) * packed.K * packed.N, len(rows))


def _log_softmax(scores):
    """Return log(exp(z_k) / sum_j exp(z_j)) of each row, written over the scores."""
    scores -= scores.max(axis=1, keepdims=True)
    scores -= np.log(np.exp(scores).sum(axis=1, keepdims=True))
    return scores


def _cross_entropy(scores, labels, shares):
    """Return each row's loss, and write over the scores the gradient of the sum of the losses, each times its share."""
    rows = np.arange(len(scores))
    scores -= scores.max(axis=1, keepdims=True)
    picked = scores[rows, labels]
    np.exp(scores, out=scores)
    totals = scores.sum(axis=1)
    scores *= (shares / totals)[:, None]
    scores[rows, labels] -= shares
    return np.log(totals) - picked
