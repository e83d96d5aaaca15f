r"""Scores of tokens by the table that embeds them.

.. math::
    y = E x + b

with the table E (num_embeddings, embedding_dim) of the embedding: x is in the space of the vectors that stand for
tokens, and a token's score is its vector's inner product with x.

Source: O. Press and L. Wolf, "Using the output embedding to improve language models", 2017, section 3, with U = V. The
backward pass is the chain rule; the table's gradient here is one part of it, the lookup's is the other.
"""

import numpy as np


def forward(table, bias, x):
    """Score all tokens.

    Parameters
    ----------
    table : ndarray of shape (num_embeddings, embedding_dim)
    bias : ndarray of shape (num_embeddings,)
    x : ndarray of shape (..., embedding_dim)

    Returns
    -------
    ndarray of shape (..., num_embeddings)
    """
    return np.einsum("...i,ki->...k", x, table) + bias


def backward(table, bias, x, d_output):
    """Derivatives of one scalar by the arguments of `forward`.

    Parameters
    ----------
    table, bias, x
        As in `forward`.
    d_output : ndarray of shape (..., num_embeddings)

    Returns
    -------
    d_table, d_bias, d_x : ndarray
        Of the shapes of the arguments.
    """
    d_table, d_bias, d_x = np.zeros_like(table), np.zeros_like(bias), np.zeros_like(x)
    for index in np.ndindex(x.shape[:-1]):
        for k, d in enumerate(d_output[index]):
            d_table[k] += d * x[index]
            d_bias[k] += d
            d_x[index] += d * table[k]
    return d_table, d_bias, d_x
