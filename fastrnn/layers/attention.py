"""From one vector a step to one vector a sequence, by weights that are learned."""

from __future__ import annotations

import math

import numpy as np

from .. import init
from .._core import native
from .._threads import resolve
from .._validation import as_gradient, check_dtype, check_size
from ._base import Layer
from ._ragged import full_lengths, gather, read_sequences, scatter, valid_steps
from ._weight_pack import WeightPack


class AttentionPool(Layer):
    """Summarise each sequence by a weighted mean of its steps.

    The score of step h is ``context . tanh(weight @ h + bias)``, and the weights are the softmax of the scores over a
    row's own steps. A row of length 0 gives 0. A row gives the same bits alone and in any batch.

    Parameters
    ----------
    input_size : int
    attention_size : int, optional
        Size of ``context``; input_size if not given.
    dtype : {"float32", "float64"}, default="float32"
    random_state : int, numpy.random.Generator, numpy.random.RandomState or None, default=None
        Where the initial values come from: uniform between -1 / sqrt(input_size) and 1 / sqrt(input_size), those of
        ``context`` between -1 / sqrt(attention_size) and 1 / sqrt(attention_size).

    Attributes
    ----------
    params : mapping
        ``weight`` of shape (attention_size, input_size), ``bias`` and ``context`` of shape (attention_size,).
    grads : dict
        Their gradients.

    References
    ----------
    Yang et al. (2016), "Hierarchical attention networks for document classification", equations (5) to (7), after
    Bahdanau, Cho and Bengio (2015), "Neural machine translation by jointly learning to align and translate", A.1.2.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn.layers import AttentionPool
    >>> pool = AttentionPool(1)
    >>> pool.load_state_dict({"weight": [[100.0]], "bias": [0.0], "context": [50.0]})  # what is positive counts
    >>> pool(np.array([[[1.0], [9.0]], [[-5.0], [7.0]]])).tolist()  # two steps of two sequences
    [[1.0], [8.0]]
    """

    consumes_time = True

    def __init__(self, input_size, attention_size=None, dtype="float32", random_state=None):
        super().__init__(check_dtype(dtype))
        self.input_size = self.output_size = check_size("input_size", input_size)
        attention_size = self.input_size if attention_size is None else attention_size
        self.attention_size = check_size("attention_size", attention_size)
        rng = init.as_generator(random_state)
        bounds = 1 / math.sqrt(self.input_size), 1 / math.sqrt(self.attention_size)
        self._parameter("weight", init.uniform(rng, (self.attention_size, self.input_size), bounds[0]))
        self._parameter("bias", init.uniform(rng, (self.attention_size,), bounds[0]))
        self._parameter("context", init.uniform(rng, (self.attention_size,), bounds[1]))

    def __repr__(self):
        return f"AttentionPool({self.input_size}, {self.attention_size})"

    def __call__(self, x, lengths=None, *, n_threads=None):
        """Summarise.

        Parameters
        ----------
        x : array_like of shape (seq_len, batch_size, input_size), or (seq_len, input_size) for one sequence
        lengths : array_like of int of shape (batch_size,), optional
            Steps of each row; what comes after is not read.
        n_threads : int, optional
            At most so many threads.

        Returns
        -------
        ndarray of shape (batch_size, input_size), or (input_size,)
        """
        x, lengths, unbatched = self._arguments(x, lengths)
        _, _, weights = self._attend(x, lengths, self._pack(), n_threads)
        output = _weighted_sum(weights, x, lengths)
        return output[0] if unbatched else output

    def forward(self, x, lengths=None, *, training=True, rng=None, n_threads=None):
        """Summarise and keep what the gradient needs.

        Parameters
        ----------
        x, lengths, n_threads
            As in a call. `x` must not be changed before `backward`.
        training, rng
            Without effect here.

        Returns
        -------
        output : ndarray of shape (batch_size, input_size), or (input_size,)
        backward : callable
            ``d_x = backward(d_output)``; adds the gradients of the parameters into `grads`. Works once.
        """
        x, lengths, unbatched = self._arguments(x, lengths)
        pack = self._pack()
        weight_for_d_x = pack.weight_for_d_x(self.params)
        valid, u, weights = self._attend(x, lengths, pack, n_threads)
        pooled = _weighted_sum(weights, x, lengths)
        output = pooled[0] if unbatched else pooled
        spend = self._single_use(pack.version)

        def backward(d_output):
            d_output = as_gradient("d_output", d_output, self.dtype, output.shape).reshape(pooled.shape)
            spend()
            threads = self._threads(n_threads, len(u))
            d_scores = _d_softmax(_d_weights(d_output, x, lengths), weights)
            with np.errstate(over="ignore", invalid="ignore"):
                d_scores = gather(d_scores[..., None], valid)  # (steps, 1)
                d_pre = d_scores * pack.context * (1 - u * u)
                native.add_outer(self.grads["context"][None], d_scores, u)
                native.add_outer(self.grads["weight"], d_pre, gather(x, valid), n_threads=threads)
                native.add_rows(self.grads["bias"], d_pre)
                d_steps = native.matmul(d_pre, weight_for_d_x, n_threads=threads)
                d_steps += gather(weights[..., None] * d_output, valid)
            d_x = scatter(d_steps, valid, x.shape)
            return d_x[:, 0] if unbatched else d_x

        return output, backward

    def _arguments(self, x, lengths):
        """Return x (seq_len, batch_size, input_size), lengths (batch_size,), and whether x came without a batch."""
        x, lengths, unbatched = read_sequences(x, lengths, self.dtype, self.input_size)
        return x, full_lengths(x, lengths), unbatched

    def _attend(self, x, lengths, pack, n_threads):
        """Return which steps are valid, their u = tanh(W h + b) (steps, attention_size), and the weights.

        The weights have the shape (seq_len, batch_size) and are 0 past a row's length.
        """
        valid = valid_steps(x, lengths)
        steps = gather(x, valid)
        u = native.matmul(steps, pack.weight, pack.bias, n_threads=self._threads(n_threads, len(steps)))
        if u.size:
            u = native.vector_math("tanh", u.reshape(-1)).reshape(u.shape)
        scores = scatter(native.matmul(u, pack.context_column), valid, (*x.shape[:2], 1))[..., 0]
        return valid, u, _softmax(scores, lengths)

    def _threads(self, n_threads, steps):
        return resolve(n_threads, steps * self.input_size * self.attention_size, steps)

    def _make_pack(self):
        return _AttentionPack(self.params)


class _AttentionPack(WeightPack):
    """With the context, which all steps are compared with."""

    __slots__ = ("context", "context_column")

    def __init__(self, params):
        super().__init__(params)
        self.context = np.array(params["context"], order="C")
        self.context_column = native.pack(params["context"][:, None])


# The sums below are taken step after step, so that a row has the same bits in every batch.


def _softmax(scores, lengths):
    """Return the softmax over time of `scores` (seq_len, batch_size); 0 past a row's length."""
    if not scores.size:
        return scores
    present = np.arange(len(scores))[:, None] < lengths
    largest = np.where(present, scores, -np.inf).max(axis=0)
    with np.errstate(invalid="ignore"):
        shifted = np.where(present, scores - largest, 0)
    weights = native.vector_math("exp", shifted.reshape(-1)).reshape(scores.shape)
    weights[~present] = 0
    weights /= np.where(lengths, _sum_over_time(weights), 1)
    return weights


def _d_softmax(d_weights, weights):
    """Return the gradient of the scores, weights (d_weights - sum of weights d_weights)."""
    with np.errstate(over="ignore", invalid="ignore"):
        return weights * (d_weights - _sum_over_time(weights * d_weights))


def _sum_over_time(array):
    total = np.zeros(array.shape[1], array.dtype)
    native.add_rows(total, array)
    return total


def _weighted_sum(weights, x, lengths):
    """Return the sums over time of weights x, (batch_size, input_size)."""
    output = np.zeros(x.shape[1:], x.dtype)
    for n, length in enumerate(lengths.tolist()):
        native.add_outer(output[n : n + 1], weights[:length, n : n + 1], x[:length, n])
    return output


def _d_weights(d_output, x, lengths):
    """Return d_output . h of each step, (seq_len, batch_size); 0 past a row's length."""
    d_weights = np.zeros(x.shape[:2], x.dtype)
    for n, length in enumerate(lengths.tolist()):
        d_weights[:length, n] = native.matmul(x[:length, n], native.pack(d_output[n][:, None]))[:, 0]
    return d_weights
