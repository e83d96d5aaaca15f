"""Scores of tokens by the table that embeds them."""

from __future__ import annotations

import numpy as np

from .._core import native
from .._threads import resolve
from .._validation import as_array, as_gradient, check_shape
from ._base import Layer
from ._ragged import gather, scatter, valid_steps
from ._weight_pack import WeightPack
from .embedding import Embedding


class TiedDense(Layer):
    """Scores of all tokens, ``x @ table.T + bias``, by the table of the `Embedding` with which the network begins.

    One table reads tokens and writes them, so it learns from both ends, and a large vocabulary is stored once. The
    table stays the embedding's: it stands under the embedding's name in ``params`` of a `Sequential`, and the gradient
    of its use here is added into the embedding's ``grads``. A row gives the same bits alone and in any batch.

    Parameters
    ----------
    embedding : Embedding
        The first layer of the same `Sequential`.

    Attributes
    ----------
    input_size, output_size : int
        The embedding's embedding_dim and num_embeddings.
    tied_to : Embedding
    params : mapping
        ``bias`` of shape (output_size,), 0 at first.
    grads : dict
        Its gradient.

    Notes
    -----
    The initial table of an `Embedding` has variance 1, which is much for scores: begin with one that is divided by the
    root of embedding_dim. Where the layer before gives more or fewer than embedding_dim features, a `Dense` between
    them projects.

    References
    ----------
    Press and Wolf (2017), "Using the output embedding to improve language models", section 3. Inan, Khosravi and Socher
    (2017), "Tying word vectors and word classifiers: a loss framework for language modeling".

    Examples
    --------
    >>> import numpy as np
    >>> import fastrnn
    >>> from fastrnn.layers import TiedDense
    >>> embedding = fastrnn.Embedding(29, 16, random_state=0)
    >>> network = fastrnn.Sequential(embedding, fastrnn.LSTM(16, 16, random_state=1), TiedDense(embedding))
    >>> scores, _ = network(np.zeros((5, 2), int))  # five steps of two sequences
    >>> scores.shape, [name for name in network.params if "_l0" not in name]
    ((5, 2, 29), ['0.weight', '2.bias'])
    """

    def __init__(self, embedding):
        if not isinstance(embedding, Embedding):
            raise TypeError(f"embedding is an object of type {type(embedding).__name__}, expected an Embedding")
        super().__init__(embedding.dtype)
        self.tied_to = embedding
        self.input_size, self.output_size = embedding.embedding_dim, embedding.num_embeddings
        self._parameter("bias", np.zeros(self.output_size))

    def __repr__(self):
        return f"TiedDense({self.tied_to!r})"

    @property
    def version(self):
        """Moves with every change of the bias or of the table: a pair of their versions."""
        return super().version, self.tied_to.version

    def twin(self):
        """Return a layer with the same weights, and with gradients of its own and of a twin of the embedding."""
        return self.tied_again(self.tied_to.twin())

    def tied_again(self, embedding):
        """Return a twin that adds the gradient of the table into another twin of the embedding.

        Parameters
        ----------
        embedding : Embedding
            With the same weights.

        Returns
        -------
        TiedDense
        """
        twin = super().twin()
        twin.tied_to = embedding
        return twin

    def __call__(self, x, lengths=None, *, n_threads=None):
        """Score all tokens.

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
        return scatter(self._apply(gather(x, valid), self._pack(), n_threads), valid, self._output_shape(x))

    def forward(self, x, lengths=None, *, training=True, rng=None, n_threads=None):
        """Score all tokens and keep what the gradient needs.

        Parameters
        ----------
        x, lengths, n_threads
            As in a call. `x` must not be changed before `backward`.
        training, rng
            Without effect here.

        Returns
        -------
        output : ndarray of shape (..., output_size)
        backward : callable
            ``d_x = backward(d_output)``; adds the gradient of the bias into `grads` and that of the table into those of
            the embedding. Works once.
        """
        x = self._input(x)
        valid = valid_steps(x, lengths)
        pack = self._pack()
        weight_for_d_x = pack.weight_for_d_x(self.tied_to.params)
        x_steps = gather(x, valid)
        output = scatter(self._apply(x_steps, pack, n_threads), valid, self._output_shape(x))
        spend = self._single_use(pack.version)

        def backward(d_output):
            d_output = as_gradient("d_output", d_output, self.dtype, output.shape)
            spend()
            d_steps = gather(d_output, valid)
            threads = self._threads(n_threads, len(d_steps))
            native.add_outer(self.tied_to.grads["weight"], d_steps, x_steps, n_threads=threads)
            native.add_rows(self.grads["bias"], d_steps)
            return scatter(native.matmul(d_steps, weight_for_d_x, n_threads=threads), valid, x.shape)

        return output, backward

    def _input(self, x):
        return check_shape("x", as_array("x", x, self.dtype), ("...", "input_size"), (None, self.input_size))

    def _output_shape(self, x):
        return (*x.shape[:-1], self.output_size)

    def _apply(self, steps, pack, n_threads):
        return native.matmul(steps, pack.weight, pack.bias, n_threads=self._threads(n_threads, len(steps)))

    def _threads(self, n_threads, steps):
        return resolve(n_threads, steps * self.input_size * self.output_size, steps)

    def _pack(self):
        """Return the pack of the present version of bias and table."""
        if not (self.tied_to._repacks_always or self.tied_to._open_updates):
            return super()._pack()
        version = self.version
        pack = self._make_pack()
        pack.version = version
        return pack

    def _make_pack(self):
        return WeightPack({"weight": self.tied_to.params["weight"], "bias": self.params["bias"]})

    def _step_function(self, batch_size):
        pack, shape = self._pack(), (batch_size, self.input_size)

        def step(x_t):
            x_t = as_array("x_t", x_t, self.dtype)
            return self._apply(check_shape("x_t", x_t, ("batch_size", "input_size"), shape), pack, 1)

        return step
