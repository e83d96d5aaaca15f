"""The table of vectors that stand for tokens."""

from __future__ import annotations

import numpy as np

from .. import init
from .._validation import as_gradient, as_tokens, check_dtype, check_shape, check_size, check_tokens_in_range
from ._base import Layer
from ._ragged import valid_steps


class Embedding(Layer):
    """A trainable vector for each of `num_embeddings` tokens.

    Parameters
    ----------
    num_embeddings : int
        Tokens are 0 <= token < num_embeddings.
    embedding_dim : int
        Size of a vector.
    dtype : {"float32", "float64"}, default="float32"
    random_state : int, numpy.random.Generator, numpy.random.RandomState or None, default=None
        Where the initial values come from: normal, of mean 0 and variance 1.
    mask_token : int, optional
        Steps of this token are none, as `Network.run` describes for its mask; 0 is Keras's ``mask_zero``. Elsewhere
        than in a `Network` it is a token like others.

    Attributes
    ----------
    params : mapping
        ``weight`` of shape (num_embeddings, embedding_dim), as in torch.nn.Embedding.
    grads : dict
        Its gradient.

    Examples
    --------
    >>> import numpy as np
    >>> import fastrnn
    >>> embedding = fastrnn.Embedding(3, 2)
    >>> embedding.load_state_dict({"weight": [[0, 1], [10, 11], [20, 21]]})
    >>> embedding(np.array([[2, 0]])).tolist()
    [[[20.0, 21.0], [0.0, 1.0]]]
    """

    def __init__(self, num_embeddings, embedding_dim, dtype="float32", random_state=None, *, mask_token=None):
        super().__init__(check_dtype(dtype))
        self.num_embeddings = check_size("num_embeddings", num_embeddings)
        self.embedding_dim = self.output_size = check_size("embedding_dim", embedding_dim)
        self.mask_token = None if mask_token is None else check_size("mask_token", mask_token, 0)
        rng = init.as_generator(random_state)
        self._parameter("weight", rng.standard_normal((self.num_embeddings, self.embedding_dim)))

    def __repr__(self):
        mask_token = "" if self.mask_token is None else f", mask_token={self.mask_token}"
        return f"Embedding({self.num_embeddings}, {self.embedding_dim}{mask_token})"

    def mask(self, x):
        """Return which steps count.

        Parameters
        ----------
        x : array_like of int
            Tokens.

        Returns
        -------
        ndarray of bool of the shape of x, or None
            None without a `mask_token`.
        """
        return None if self.mask_token is None else as_tokens("x", x) != self.mask_token

    def __call__(self, x, lengths=None, *, n_threads=None):
        """Look up vectors.

        Parameters
        ----------
        x : array_like of int of shape (seq_len, batch_size) or any other
            Tokens.
        lengths : array_like of int of shape (batch_size,), optional
            Steps of each row; what comes after is not looked up and may be any integer. The output there is 0.
        n_threads : int, optional
            Without effect here.

        Returns
        -------
        ndarray of shape (seq_len, batch_size, embedding_dim)
        """
        tokens = as_tokens("x", x)
        return self._look_up(tokens, valid_steps(tokens, lengths), self.params["weight"])

    def forward(self, x, lengths=None, *, training=True, rng=None, n_threads=None):
        """Look up vectors and keep what the gradient needs.

        Parameters
        ----------
        x, lengths, n_threads
            As in a call.
        training, rng
            Without effect here.

        Returns
        -------
        output : ndarray of shape (seq_len, batch_size, embedding_dim)
        backward : callable
            ``backward(d_output)`` adds the gradient of the table into `grads` and returns None: tokens have no
            gradient. Works once.
        """
        tokens = as_tokens("x", x)
        valid = valid_steps(tokens, lengths)
        spend = self._single_use(self.version)
        output = self._look_up(tokens, valid, self.params["weight"])

        def backward(d_output):
            d_output = as_gradient("d_output", d_output, self.dtype, output.shape)
            spend()
            if valid is None:
                _add_by_token(self.grads["weight"], tokens.reshape(-1), d_output.reshape(-1, self.embedding_dim))
            else:
                _add_by_token(self.grads["weight"], tokens[valid], d_output[valid])

        return output, backward

    def _look_up(self, tokens, valid, table):
        if valid is None:
            check_tokens_in_range("x", tokens, self.num_embeddings)
            return table[tokens]
        check_tokens_in_range("x", tokens[valid], self.num_embeddings)
        output = np.zeros((*tokens.shape, self.embedding_dim), self.dtype)
        output[valid] = table[tokens[valid]]
        return output

    def _step_function(self, batch_size):
        table = self.params["weight"].copy()  # a stepper keeps the weights that it was made with

        def step(x_t):
            tokens = check_shape("x_t", as_tokens("x_t", x_t), ("batch_size",), (batch_size,))
            return self._look_up(tokens, None, table)

        return step


def _add_by_token(grad, tokens, d_vectors):
    """Add each of `d_vectors` (steps, embedding_dim) into the row of `grad` that its token names."""
    if not tokens.size:
        return
    order = np.argsort(tokens, kind="stable")
    in_order = tokens[order]
    starts = np.flatnonzero(np.r_[True, in_order[1:] != in_order[:-1]])
    grad[in_order[starts]] += np.add.reduceat(d_vectors[order], starts, axis=0)
