"""Language models: networks that read tokens and say, after each, how likely every token is to be the next."""

from __future__ import annotations

import copy
import math

import numpy as np

from ..init import as_generator
from ..layers import AdaptiveSoftmax, Dense, Dropout, Sequential, TiedDense
from ..layers._composite import Composite
from ..training import pad_batch, sequence_lengths
from .recurrent import recurrent_layers

BATCH_BYTES = 32 * 2**20  # of the outputs of one pass of `log_likelihoods`
BATCH_ROWS = 64


def language_network(
    n_tokens,
    embedding_dim,
    *,
    hidden_layer_sizes=(128,),
    tie_weights=False,
    cutoffs=None,
    dropout=0.0,
    dtype="float32",
    random_state=None,
    **options,
):
    """Compose an Embedding, recurrent layers, and a layer that gives a number for each token.

    Parameters
    ----------
    n_tokens, embedding_dim : int
    hidden_layer_sizes : sequence of int
    tie_weights : bool
        The last layer is a ``TiedDense`` on the table of the first, behind a Dense layer where the last hidden layer
        gives another number of features than `embedding_dim`.
    cutoffs : sequence of int, optional
        The last layer is an ``AdaptiveSoftmax`` with these, and the outputs are log probabilities.
    dropout : float
        Probability by which a feature is dropped between the layers, the output layer included.
    dtype, random_state
        As in :func:`fastrnn.models.many_to_one`.
    **options
        Its others: `cell`, `activation`, `init`, `recurrent_dropout`, `zoneout`, `layer_norm`, `learn_initial_state`,
        `proj_size`.

    Returns
    -------
    network : Sequential
        Tokens (seq_len, batch_size) -> (seq_len, batch_size, n_tokens), before a softmax.

    Raises
    ------
    ValueError
        Where `tie_weights` and `cutoffs` are both given, and as in :func:`fastrnn.models.many_to_one`.

    Examples
    --------
    >>> from fastrnn.models.language import language_network
    >>> language_network(65, 16, cell="gru", hidden_layer_sizes=(32,), dropout=0.1)
    Sequential(Embedding(65, 16), Dropout(0.1), GRU(16, 32), Dropout(0.1), Dense(32, 65))
    """
    if tie_weights and cutoffs is not None:
        raise ValueError("tie_weights and cutoffs are both given, expected one of them: the clusters have own tables")
    common = {"dtype": dtype, "random_state": as_generator(random_state)}
    sizes = {"hidden_layer_sizes": hidden_layer_sizes, "embedding_dim": embedding_dim}
    layers = recurrent_layers(n_tokens, dropout=dropout, **sizes, **options, **common)
    table, width = layers[0], layers[-1].output_size
    if dropout:
        layers.append(Dropout(dropout, dtype=dtype))
    if cutoffs is not None:
        return Sequential(*layers, AdaptiveSoftmax(width, n_tokens, cutoffs, **common))
    if not tie_weights:
        return Sequential(*layers, Dense(width, n_tokens, **common))
    with table.updating() as params:
        params["weight"] /= math.sqrt(embedding_dim)  # variance 1 is much for scores
    if width != embedding_dim:
        layers.append(Dense(width, embedding_dim, **common))
    return Sequential(*layers, TiedDense(table))


def log_softmax(scores):
    """Logarithms of the softmax over the last axis, in float64.

    Parameters
    ----------
    scores : ndarray of shape (..., n_tokens)

    Returns
    -------
    ndarray of shape (..., n_tokens)
    """
    shifted = np.subtract(scores, scores.max(axis=-1, keepdims=True), dtype=np.float64)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def read_tokens(network, tokens, states=None, *, n_threads=None):
    """Read tokens and say what may come next.

    Parameters
    ----------
    network : Sequential
        As of `language_network`.
    tokens : ndarray of int of shape (seq_len, batch_size)
        At least one step.
    states : list, optional
        From where to go on.
    n_threads : int, optional

    Returns
    -------
    log_probabilities : ndarray of float64 of shape (batch_size, n_tokens)
        Of the next token.
    states : list
    """
    window = _steps_at_once(network, tokens.shape[1])
    for start in range(0, len(tokens), window):
        scores, states = network(tokens[start : start + window], states, n_threads=n_threads)
    return log_softmax(scores[-1]), states


def log_likelihoods(network, sequences, *, n_threads=None):
    """Log probabilities of sequences: of each token but the first, given those before it.

    The state is 0 before the first token and is carried through the sequence; memory is that of a part of it.

    Parameters
    ----------
    network : Sequential
    sequences : list of ndarray of int of shape (seq_len_i,)
    n_threads : int, optional

    Returns
    -------
    ndarray of float64 of shape (n_sequences,)
        In nats. A sequence has the same bits among any others.
    """
    lengths = sequence_lengths(sequences)
    order = np.argsort(lengths, kind="stable")
    found = np.zeros(len(sequences))
    for begin in range(0, len(order), BATCH_ROWS):
        indices = order[begin : begin + BATCH_ROWS]
        tokens, _ = pad_batch(sequences, indices, np.int64)
        found[indices] = _batch_log_likelihoods(network, tokens, lengths[indices], n_threads)
    return found


def _batch_log_likelihoods(network, tokens, lengths, n_threads):
    """The same of a batch (seq_len, batch_size) of tokens."""
    total, states = np.zeros(tokens.shape[1]), None
    window = _steps_at_once(network, tokens.shape[1])
    for start in range(0, len(tokens) - 1, window):
        targets = tokens[start + 1 : start + 1 + window]
        own = np.clip(lengths - 1 - start, 0, len(targets))
        scores, states = network(tokens[start : start + len(targets)], states, own, n_threads=n_threads)
        log_p = np.take_along_axis(log_softmax(scores), targets[..., None], axis=-1)[..., 0]
        log_p[np.arange(len(targets))[:, None] >= own] = 0.0
        total = np.cumsum(np.vstack([total, log_p]), axis=0)[-1]  # in the order of the steps, whatever the window
    return total


def _steps_at_once(network, batch_size):
    widest = max(layer.output_size for _, layer in network._leaves if hasattr(layer, "output_size"))
    return max(1, BATCH_BYTES // (8 * widest * max(batch_size, 1)))


class ClusteredTraining(Composite):
    """A network that ends in an `AdaptiveSoftmax`, as training takes it.

    Its outputs are what the last layer reads, and its `loss` computes only the clusters that the targets are in.
    Layers and weights are the network's own.

    Parameters
    ----------
    network : Sequential
    n_threads : int, optional
        Of `loss`.
    """

    def __init__(self, network, n_threads=None):
        super().__init__(network.dtype)
        self.network, self._n_threads = network, n_threads
        self._body, self._head = Sequential(*network.layers[:-1]), network.layers[-1]
        self.layers, self._leaves = self._body.layers, network._leaves

    def __call__(self, x, states=None, lengths=None, *, n_threads=None):
        """As `Sequential`, but what the last layer reads."""
        return self._body(x, states, lengths, n_threads=n_threads)

    def forward(self, x, states_0=None, lengths=None, **options):
        """As `Sequential.forward`, but what the last layer reads."""
        return self._body.forward(x, states_0, lengths, **options)

    def loss(self, hidden, target, sample_weight=None):
        """Return the cross-entropy and d_hidden, and add the gradients of the last layer into its `grads`."""
        return self._head.loss(hidden, target, sample_weight, n_threads=self._n_threads)

    def __deepcopy__(self, memo):
        return copy.deepcopy(self.network, memo)
