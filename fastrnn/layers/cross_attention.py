"""A decoder's look at what an encoder has read, by weights that are learned."""

from __future__ import annotations

import math

import numpy as np

from .. import init
from .._core import native
from .._core.row_products import add_row_products
from .._threads import resolve
from .._validation import as_array, as_gradient, check_choice, check_dtype, check_lengths, check_shape, check_size
from ._base import Layer
from ._ragged import full_lengths, gather, scatter, valid_steps
from .attention import _d_softmax, _softmax

SCORES = ("multiplicative", "additive")
PART = 2**16  # numbers of the additive score's hidden layer that are in memory at once


class CrossAttention(Layer):
    """Put beside each query a weighted mean of a memory, and make one vector of the two.

    With query h and memory s_1, ..., s_T of the same row, ``a = softmax_t(score(h, s_t))`` over the row's own steps,
    ``c = sum_t a_t s_t`` and ``output = tanh(weight_output @ [c; h])``. The score is
    ``h . (weight_score @ s)`` ("multiplicative") or
    ``context . tanh(weight_query @ h + weight_memory @ s)`` ("additive"). Queries stand behind the decoder's recurrent
    layers and are not fed back, so that a decoder runs over whole sequences. A memory of length 0 gives c = 0. A row
    gives the same bits alone and in any batch, and a query alone those it gives among others.

    Parameters
    ----------
    query_size, memory_size : int
    kind : {"multiplicative", "additive"}, default="multiplicative"
        The score.
    attention_size : int, optional
        Of kind "additive" alone: the size of ``context``; query_size if not given.
    output_size : int, optional
        query_size if not given.
    dtype : {"float32", "float64"}, default="float32"
    random_state : int, numpy.random.Generator, numpy.random.RandomState or None, default=None
        Where the initial values come from: uniform between -1 / sqrt(columns) and 1 / sqrt(columns) of each matrix.

    Attributes
    ----------
    params : mapping
        ``weight_output`` of shape (output_size, memory_size + query_size); and ``weight_score`` of shape (query_size,
        memory_size), or ``weight_query`` (attention_size, query_size), ``weight_memory`` (attention_size,
        memory_size) and ``context`` (attention_size,).
    grads : dict
        Their gradients.

    References
    ----------
    Luong, Pham and Manning (2015), "Effective approaches to attention-based neural machine translation", section 3,
    equation (5), section 3.1: "general" and, as "concat", the additive score, which is that of Bahdanau, Cho and
    Bengio (2015), "Neural machine translation by jointly learning to align and translate", section A.1.2.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn.layers import CrossAttention
    >>> attention = CrossAttention(1, 1)
    >>> attention.load_state_dict({"weight_score": [[50.0]], "weight_output": [[1.0, 0.0]]})  # tanh of c alone
    >>> memory = np.array([[[-0.5]], [[0.25]]])  # two steps of one sequence
    >>> output, weights = attention(np.array([[[1.0]], [[-1.0]]]), memory, return_weights=True)
    >>> weights.round(3).tolist()  # each query, row, step of the memory
    [[[0.0, 1.0]], [[1.0, 0.0]]]
    >>> np.arctanh(output).round(3).tolist()
    [[[0.25]], [[-0.5]]]
    """

    def __init__(
        self,
        query_size,
        memory_size,
        kind="multiplicative",
        attention_size=None,
        output_size=None,
        dtype="float32",
        random_state=None,
    ):
        super().__init__(check_dtype(dtype))
        self.query_size, self.memory_size = check_size("query_size", query_size), check_size("memory_size", memory_size)
        self.kind = check_choice("kind", kind, SCORES)
        self.output_size = check_size("output_size", self.query_size if output_size is None else output_size)
        if attention_size is not None and kind == "multiplicative":
            raise ValueError(f"attention_size is {attention_size}, expected None: a multiplicative score has none")
        self.attention_size = None
        shapes = {"weight_score": (self.query_size, self.memory_size)}
        if kind == "additive":
            size = check_size("attention_size", self.query_size if attention_size is None else attention_size)
            self.attention_size = size
            shapes = {"weight_query": (size, self.query_size), "weight_memory": (size, self.memory_size)}
            shapes |= {"context": (size,)}
        shapes["weight_output"] = (self.output_size, self.memory_size + self.query_size)
        rng = init.as_generator(random_state)
        for name, shape in shapes.items():
            self._parameter(name, init.uniform(rng, shape, 1 / math.sqrt(shape[-1])))

    def __repr__(self):
        size = "" if self.attention_size in (None, self.query_size) else f", attention_size={self.attention_size}"
        size += "" if self.output_size == self.query_size else f", output_size={self.output_size}"
        return f"CrossAttention({self.query_size}, {self.memory_size}, {self.kind!r}{size})"

    def __call__(self, queries, memory, memory_lengths=None, lengths=None, *, return_weights=False, n_threads=None):
        """Look.

        Parameters
        ----------
        queries : array_like of shape (seq_len, batch_size, query_size)
        memory : array_like of shape (memory_len, batch_size, memory_size)
        memory_lengths, lengths : array_like of int of shape (batch_size,), optional
            Steps of each row of the memory and of the queries; what comes after is not read.
        return_weights : bool, default=False
            Return the weights as a second result.
        n_threads : int, optional
            At most so many threads.

        Returns
        -------
        output : ndarray of shape (seq_len, batch_size, output_size)
            0 past a row's length.
        weights : ndarray of shape (seq_len, batch_size, memory_len)
            Only with `return_weights`; 0 past a row's length in both sequences.
        """
        memory = _Memory(self, memory, memory_lengths, n_threads)
        call = _Call(self, queries, memory, lengths, n_threads)
        return (call.output, call.given_weights()) if return_weights else call.output

    def over(self, memory, memory_lengths=None, *, n_threads=None):
        """Return a function that looks at one memory again and again, whose part of the score is computed once.

        Parameters
        ----------
        memory, memory_lengths, n_threads
            As in a call. `memory` must not be changed.

        Returns
        -------
        callable
            ``output = look(queries)``, as in a call, with the present weights.
        """
        memory = _Memory(self, memory, memory_lengths, n_threads)
        return lambda queries: _Call(self, queries, memory, None, n_threads).output

    def forward(self, queries, memory, memory_lengths=None, lengths=None, *, training=True, rng=None, n_threads=None):
        """Look, and keep what the gradients need.

        Parameters
        ----------
        queries, memory, memory_lengths, lengths, n_threads
            As in a call. `queries` and `memory` must not be changed before `backward`.
        training, rng
            Without effect here.

        Returns
        -------
        output : ndarray of shape (seq_len, batch_size, output_size)
            Not to be changed before `backward`.
        backward : callable
            ``d_queries, d_memory = backward(d_output)``; adds the gradients of the parameters into `grads`. Works once.
        """
        call = _Call(self, queries, _Memory(self, memory, memory_lengths, n_threads), lengths, n_threads)
        call.pack.backward_packs(self.params)
        spend = self._single_use(call.pack.version)

        def backward(d_output):
            d_output = as_gradient("d_output", d_output, self.dtype, call.output.shape)
            spend()
            with np.errstate(over="ignore", invalid="ignore"):
                return call.backward(d_output, self.grads)

        return call.output, backward

    def _make_pack(self):
        return _CrossPack(self.params, self.kind)


class _CrossPack:
    """Packed weights of one version: of the products forward, and, when first asked for, backward."""

    def __init__(self, params, kind):
        self.key = "weight_memory" if kind == "additive" else "weight_score"  # what the memory is multiplied by
        names = (self.key, "weight_output") + (("weight_query",) if kind == "additive" else ())
        self.forward = {name: native.pack(params[name].T) for name in names}
        self._backward = None
        if kind == "additive":
            self.context = np.array(params["context"], order="C")
            self.context_column = native.pack(self.context[:, None])

    def backward_packs(self, params):
        """Return the packs of d_x = d_y W by name; `params` are those of the pack's version."""
        if self._backward is None:
            self._backward = {name: native.pack(params[name]) for name in self.forward}
        return self._backward


class _Memory:
    """A memory that was read, and its part of the score."""

    def __init__(self, layer, memory, memory_lengths, n_threads):
        self.steps = as_array("memory", memory, layer.dtype)
        check_shape("memory", self.steps, ("memory_len", "batch_size", "memory_size"), (None, None, layer.memory_size))
        self.valid = valid_steps(self.steps, memory_lengths)
        self.lengths = full_lengths(self.steps, check_lengths(memory_lengths, *self.steps.shape[:2]))
        self.pack = layer._pack()
        self.products = _Products(self.pack, layer.params, n_threads)
        self.keys = self.products.projected(self.steps, self.valid, self.pack.key)


class _Products:
    """Products with the matrices of a pack, and their gradients."""

    def __init__(self, pack, params, n_threads):
        self._pack, self._params, self._n_threads = pack, params, n_threads

    def product(self, steps, name):
        """Return W x of the steps (steps, columns), W being the parameter `name`."""
        return native.matmul(steps, self._pack.forward[name], n_threads=self._threads(steps, name))

    def d_product(self, d_steps, steps, name, grads):
        """Return W^T d_y of the steps, and add d_y^T x into the gradient of W."""
        threads = self._threads(steps, name)
        native.add_outer(grads[name], d_steps, steps, n_threads=threads)
        return native.matmul(d_steps, self._pack.backward_packs(self._params)[name], n_threads=threads)

    def projected(self, x, valid, name):
        """Return W x of the valid steps of `x` (seq_len, batch_size, columns), 0 elsewhere."""
        y = self.product(gather(x, valid), name)
        return scatter(y, valid, (*x.shape[:2], y.shape[1]))

    def d_projected(self, d_y, x, valid, name, grads, d_x):
        """Add the gradients of `projected` into `grads` and `d_x`."""
        d_steps = self.d_product(gather(d_y, valid), gather(x, valid), name, grads)
        d_x += scatter(d_steps, valid, x.shape)

    def _threads(self, steps, name):
        pack = self._pack.forward[name]
        return resolve(self._n_threads, len(steps) * pack.K * pack.N, len(steps))


class _Call:
    """One call: the arguments read, and what backward needs.

    Weights stand as (memory_len, batch_size, seq_len): sums over time are then sums of rows, taken step after step, so
    that a row has the same bits in every batch.
    """

    def __init__(self, layer, queries, memory, lengths, n_threads):
        self._layer, self.read, self.memory, self.pack = layer, memory, memory.steps, memory.pack
        self.queries = as_array("queries", queries, layer.dtype)
        numbers = (None, self.memory.shape[1], layer.query_size)
        check_shape("queries", self.queries, ("seq_len", "batch_size", "query_size"), numbers)
        self.asked, self._n_threads = valid_steps(self.queries, lengths), n_threads
        lengths = full_lengths(self.queries, check_lengths(lengths, *self.queries.shape[:2]))
        self.t, self.u = memory.lengths, lengths  # (batch_size,): steps of the memory, and queries
        self.products = _Products(self.pack, layer.params, n_threads)
        self._score = _SCORES[layer.kind](self)
        self._attend()

    def _attend(self):
        seq_len, batch_size, _ = self.queries.shape
        memory_size = self.memory.shape[2]
        with np.errstate(over="ignore", invalid="ignore"):
            scores = np.zeros((len(self.memory), batch_size, seq_len), self._layer.dtype)
            self._score.forward(scores)
            flat = scores.reshape(len(scores), batch_size * seq_len)
            self._weights = _softmax(flat, np.repeat(self.t, seq_len)).reshape(scores.shape)
            contexts = np.zeros((seq_len, batch_size, memory_size), self._layer.dtype)
            self.add(contexts, _turned(self._weights), _rows(self.memory), (self.u, self.t, memory_size))
            self._joined = np.concatenate([gather(contexts, self.asked), gather(self.queries, self.asked)], axis=1)
            self._y = self.products.product(self._joined, "weight_output")
        if self._y.size:
            self._y = native.vector_math("tanh", self._y.reshape(-1)).reshape(self._y.shape)
        self.output = scatter(self._y, self.asked, (seq_len, batch_size, self._layer.output_size))

    def backward(self, d_output, grads):
        """Return d_queries and d_memory, and add into `grads`."""
        d_pre = gather(d_output, self.asked) * (1 - self._y * self._y)
        d_joined = self.products.d_product(d_pre, self._joined, "weight_output", grads)
        size = self.memory.shape[2]
        d_contexts = scatter(d_joined[:, :size], self.asked, (*self.queries.shape[:2], size))
        d_queries = scatter(np.ascontiguousarray(d_joined[:, size:]), self.asked, self.queries.shape)
        d_memory, d_weights = np.zeros_like(self.memory), np.zeros_like(self._weights)
        self.add(d_memory, _rows(self._weights), _rows(d_contexts), (self.t, self.u, size))
        self.add(d_weights, _rows(self.memory), _turned(d_contexts), (self.t, size, self.u))
        flat = (len(d_weights), d_weights.shape[1] * d_weights.shape[2])
        d_scores = _d_softmax(d_weights.reshape(flat), self._weights.reshape(flat)).reshape(d_weights.shape)
        self._score.backward(d_scores, d_queries, d_memory, grads)
        return d_queries, d_memory

    def add(self, out, a, b, sizes):
        """Add a[n] b[n] to the matrix of row n of `out` (steps, batch_size, columns), over its own `sizes`."""
        batch_size, rows, columns = a.shape
        threads = resolve(self._n_threads, batch_size * rows * columns * b.shape[2], max(1, batch_size))
        sizes = np.stack([np.broadcast_to(size, batch_size) for size in sizes], axis=1).astype(np.int64, copy=False)
        add_row_products(_rows(out), a, b, sizes, threads)

    def given_weights(self):
        """The weights as (seq_len, batch_size, memory_len), 0 where there is no query."""
        weights = np.ascontiguousarray(self._weights.transpose(2, 1, 0))
        if self.asked is not None:
            weights[~self.asked] = 0
        return weights


def _rows(array):
    """Return (steps, batch_size, columns) as a matrix for each row, (batch_size, steps, columns)."""
    return array.transpose(1, 0, 2)


def _turned(array):
    """Return (steps, batch_size, columns) as a matrix for each row, (batch_size, columns, steps)."""
    return array.transpose(1, 2, 0)


class _Multiplicative:
    """h . (W s)."""

    def __init__(self, call):
        self._call, self._keys = call, call.read.keys

    def forward(self, scores):
        """Fill `scores`, which are 0."""
        call, size = self._call, self._keys.shape[2]
        call.add(scores, _rows(self._keys), _turned(call.queries), (call.t, size, call.u))

    def backward(self, d_scores, d_queries, d_memory, grads):
        """Add into the last three."""
        call, size, d_keys = self._call, self._keys.shape[2], np.zeros_like(self._keys)
        call.add(d_keys, _rows(d_scores), _rows(call.queries), (call.t, call.u, size))
        call.add(d_queries, _turned(d_scores), _rows(self._keys), (call.u, call.t, size))
        call.products.d_projected(d_keys, call.memory, call.read.valid, "weight_score", grads, d_memory)


class _Additive:
    """v . tanh(W_q h + W_m s); the tanh are computed once more in backward, so that few are in memory."""

    def __init__(self, call):
        self._call, self._keys = call, call.read.keys
        self._asks = call.products.projected(call.queries, call.asked, "weight_query")

    def _parts(self):
        """Yield slices of some rows, and their tanh (memory_len, rows, seq_len, attention_size)."""
        (memory_len, batch_size, size), seq_len = self._keys.shape, len(self._asks)
        step = max(1, PART // max(1, memory_len * seq_len * size))
        for start in range(0, batch_size, step):
            part = slice(start, min(start + step, batch_size))
            asks = np.ascontiguousarray(self._asks[:, part].swapaxes(0, 1))
            pre = self._keys[:, part, None] + asks
            yield part, native.vector_math("tanh", pre.reshape(-1)).reshape(pre.shape) if pre.size else pre

    def forward(self, scores):
        """Fill `scores`."""
        for part, hidden in self._parts():
            column = native.matmul(hidden.reshape(-1, hidden.shape[3]), self._call.pack.context_column)
            scores[:, part] = column.reshape(hidden.shape[:3])

    def backward(self, d_scores, d_queries, d_memory, grads):
        """Add into the last three."""
        call, context = self._call, self._call.pack.context
        d_keys, d_asks = np.zeros_like(self._keys), np.zeros_like(self._asks)
        for part, hidden in self._parts():
            d_part = d_scores[:, part, :, None]
            d_context = d_part * hidden
            native.add_rows(grads["context"], d_context.reshape(-1, hidden.shape[3]))
            d_pre = np.multiply(d_context, hidden, out=d_context)
            d_pre = np.multiply(np.subtract(d_part, d_pre, out=d_pre), context, out=d_pre)
            d_asks[:, part] = _summed(d_pre).swapaxes(0, 1)
            d_keys[:, part] = _summed(d_pre.transpose(2, 0, 1, 3))
        call.products.d_projected(d_keys, call.memory, call.read.valid, "weight_memory", grads, d_memory)
        call.products.d_projected(d_asks, call.queries, call.asked, "weight_query", grads, d_queries)


_SCORES = {"multiplicative": _Multiplicative, "additive": _Additive}


def _summed(array):
    """Return the sum over the first axis, term after term."""
    total = np.zeros(array.shape[1:], array.dtype)
    native.add_rows(total.reshape(-1), np.ascontiguousarray(array).reshape(len(array), total.size))
    return total
