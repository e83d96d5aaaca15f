"""Scores of tokens by the table that embeds them."""

from __future__ import annotations

import numpy as np

from ._affine import Affine
from .embedding import Embedding


class TiedDense(Affine):
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

    @property
    def _owner(self):
        return self.tied_to

    def _pack(self):
        """Return the pack of the present version of bias and table."""
        if not (self.tied_to._repacks_always or self.tied_to._open_updates):
            return super()._pack()
        version = self.version
        pack = self._make_pack()
        pack.version = version
        return pack
