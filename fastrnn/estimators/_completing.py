"""The likeliest next words of a language model."""

import numpy as np

from ..models.language import read_tokens

BEAM = 64  # beginnings of words that are pursued at once, or four for each word that is asked for
MAX_LETTERS = 64


def likeliest(log_probabilities, candidates, k):
    """Return [(index, probability)] of the k likeliest candidates, given that it is one of them.

    Parameters
    ----------
    log_probabilities : ndarray of shape (n_tokens,)
    candidates : ndarray of int of shape (n_candidates,)
    k : int
    """
    if not len(candidates):
        return []
    log_p = log_probabilities[candidates] - _log_sum(log_probabilities[candidates])
    best = np.argsort(-log_p, kind="stable")[:k]
    return [(int(candidates[j]), float(np.exp(log_p[j]))) for j in best]


def spelled_words(network, log_probabilities, states, within, k, *, begun, n_threads=None):
    """Spell the likeliest words, letter by letter within a beam.

    Beginnings of words can only lose probability, so that the search ends when none could be among the k best.

    Parameters
    ----------
    network : Sequential
    log_probabilities : ndarray of shape (n_tokens,)
        Of the next token.
    states : list
    within : ndarray of bool of shape (n_tokens,)
        Which tokens are letters; any other ends a word.
    k : int
    begun : bool
        Whether the word has begun, so that it may end without another letter. Else probabilities are those given that
        a letter comes.
    n_threads : int, optional

    Returns
    -------
    list of (tuple of int, float)
        Letters and probability, best first.
    """
    letters, others = np.flatnonzero(within), np.flatnonzero(~within)
    if not len(letters):
        return []
    log_p, spelled = log_probabilities[None], [()]
    score = np.zeros(1) if begun else -_log_sum(log_p[:, letters])
    finished = [(score[0] + _log_sum(log_p[0, others]), ())] if begun else []
    for _ in range(MAX_LETTERS):
        grown = (score[:, None] + log_p[:, letters]).ravel()
        best = np.argsort(-grown, kind="stable")[: max(BEAM, 4 * k)]
        best = best[grown[best] > (finished[k - 1][0] if len(finished) >= k else -np.inf)]
        if not len(best):
            break
        rows, columns = np.divmod(best, len(letters))
        tokens, score = letters[columns], grown[best]
        spelled = [(*spelled[row], int(token)) for row, token in zip(rows, tokens)]
        log_p, states = read_tokens(network, tokens[None], _rows_of(states, rows), n_threads=n_threads)
        finished += zip(score + _log_sum(log_p[:, others]), spelled)
        finished = sorted(finished, key=lambda pair: -pair[0])[:k]
    return [(word, float(np.exp(value))) for value, word in finished]


def _rows_of(states, rows):
    """Return states (num_layers, batch_size, ...) of some rows of the batch."""
    return [tuple(a[:, rows] for a in state) if isinstance(state, tuple) else state[:, rows] for state in states]


def _log_sum(log_p):
    """Logarithm of the sum of probabilities over the last axis."""
    largest = log_p.max(axis=-1, keepdims=True)
    return np.log(np.exp(log_p - largest).sum(axis=-1)) + largest[..., 0]
