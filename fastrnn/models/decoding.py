"""From the scores of an `EncoderDecoder` to sequences: the likeliest token each time, or the best of a beam."""

from __future__ import annotations

import numpy as np

from .._validation import check_size
from .ctc import log_softmax
from .encoder_decoder import BOUNDARY


def length_factor(n_tokens, length_penalty):
    """Return by what a log-probability of so many tokens, the end among them, is divided.

    Wu et al. (2016), "Google's neural machine translation system", equation (14): ((5 + n) / 6) ** length_penalty. It
    is 1 for one token, and a penalty of 0 compares sums, which favour short sequences.
    """
    return ((5.0 + n_tokens) / 6.0) ** length_penalty


def greedy_search(network, source, source_lengths=None, *, max_length, length_penalty=0.0, n_threads=None):
    """Write the likeliest token, step after step.

    Parameters
    ----------
    network : EncoderDecoder
    source, source_lengths, n_threads
        As in `EncoderDecoder.encode`.
    max_length : int
        Most tokens of a sequence, the end not counted.
    length_penalty : float, default=0.0
        Of the scores alone, see `beam_search`.

    Returns
    -------
    list of (ndarray of int, float)
        For each source its tokens, without the end, and their score, the log-probability of the end included.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn.models import greedy_search, vector_decoder
    >>> network = vector_decoder(1, 3, cell="rnn", hidden_layer_sizes=(2,))
    >>> with network.updating() as params:
    ...     params["head.0.weight"][:] = 0.0
    ...     params["head.0.bias"][:] = np.log([0.2, 0.5, 0.3])  # each time: the end, 1, 2
    >>> ((tokens, score),) = greedy_search(network, [[1.0]], max_length=3)
    >>> tokens.tolist(), round(float(np.exp(score)), 3)
    ([1, 1, 1], 0.025)
    """
    max_length = check_size("max_length", max_length)
    encoded = network.encode(source, source_lengths, n_threads=n_threads)
    if not encoded.batch_size:
        return []
    stepper, batch_size = network.stepper(encoded), encoded.batch_size
    written = np.zeros((batch_size, max_length + 1), np.int64)
    ends, score = np.full(batch_size, -1), np.zeros(batch_size)
    tokens = np.full(batch_size, BOUNDARY)
    for t in range(max_length + 1):
        if (ends >= 0).all():
            break
        log_p = log_softmax(stepper.step(tokens).astype(np.float64))
        tokens = log_p.argmax(axis=1) if t < max_length else np.full(batch_size, BOUNDARY)
        writing = ends < 0
        score[writing] += log_p[writing, tokens[writing]]
        ends[writing & (tokens == BOUNDARY)] = t
        written[:, t] = tokens
    score /= length_factor(ends + 1, length_penalty)
    return [(written[n, : ends[n]].copy(), float(score[n])) for n in range(batch_size)]


def beam_search(
    network, source, source_lengths=None, *, beam_width, max_length, length_penalty=0.6, n_best=1, n_threads=None
):
    """Follow the likeliest beginnings of sequences, and return those of the best score among their ends.

    The score of n tokens, the end among them, is log p / ((5 + n) / 6) ** length_penalty. A step keeps of each source
    the `beam_width` likeliest beginnings that go on; an end is noted where it is among as many of all.
    A source is done once no beginning can lead to a better score than the `n_best` ends that it has.

    Parameters
    ----------
    network : EncoderDecoder
    source, source_lengths, n_threads
        As in `EncoderDecoder.encode`.
    beam_width : int
    max_length : int
        Most tokens of a sequence, the end not counted.
    length_penalty : float, default=0.6
        At least 0.
    n_best : int, default=1
        How many sequences are returned of each source, at most.

    Returns
    -------
    list of list of (ndarray of int, float)
        For each source its sequences, without the end, and their scores, best first.

    References
    ----------
    Graves (2012), "Sequence transduction with recurrent neural networks"; Wu et al. (2016), "Google's neural machine
    translation system", section 7.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn.models import beam_search, vector_decoder
    >>> network = vector_decoder(1, 3, cell="rnn", hidden_layer_sizes=(2,))
    >>> with network.updating() as params:
    ...     params["head.0.weight"][:] = 0.0
    ...     params["head.0.bias"][:] = np.log([0.5, 0.3, 0.2])  # each time: the end, 1, 2
    >>> (beam,) = beam_search(network, [[1.0]], beam_width=4, max_length=3, length_penalty=0.0, n_best=3)
    >>> [(tokens.tolist(), round(float(np.exp(score)), 3)) for tokens, score in beam]
    [([], 0.5), ([1], 0.15), ([2], 0.1)]
    """
    beam_width, max_length = check_size("beam_width", beam_width), check_size("max_length", max_length)
    n_best = check_size("n_best", n_best)
    if not length_penalty >= 0:
        raise ValueError(f"length_penalty is {length_penalty}, expected length_penalty >= 0")
    encoded = network.encode(source, source_lengths, n_threads=n_threads)
    if not encoded.batch_size:
        return []
    search = _Search(encoded.batch_size, beam_width, max_length, length_penalty, n_best)
    stepper = network.stepper(encoded, beam_width)
    for t in range(max_length + 1):
        if search.done.all():
            break
        log_p = log_softmax(stepper.step(search.last_tokens()).astype(np.float64))
        stepper.select(search.advance(t, log_p))
    return search.results()


class _Search:
    """The beams of all sources: sums of log-probabilities and the tokens written, likeliest first."""

    def __init__(self, batch_size, beam_width, max_length, length_penalty, n_best):
        self._most, self._penalty, self._n_best = max_length, length_penalty, n_best
        self._sums = np.full((batch_size, beam_width), -np.inf)
        self._sums[:, 0] = 0.0
        self._written = np.full((batch_size, beam_width, max_length + 1), BOUNDARY)  # slot 0: before the first
        self._t = 0
        self._found = [[] for _ in range(batch_size)]  # (score, tokens), best first
        self.done = np.zeros(batch_size, np.bool_)

    def last_tokens(self):
        """The last token of each row, as a `DecoderStepper` counts rows."""
        return np.ascontiguousarray(self._written[:, :, self._t].T).reshape(-1)

    def advance(self, t, log_p):
        """Take the step after t tokens, and return the rows from whose states the next one goes on."""
        batch_size, width = self._sums.shape
        log_p = log_p.reshape(width, batch_size, -1).swapaxes(0, 1)
        if t == self._most:  # no room but for the end
            log_p[:, :, np.arange(log_p.shape[2]) != BOUNDARY] = -np.inf
        total = (self._sums[:, :, None] + log_p).reshape(batch_size, -1)
        order = np.argsort(-total, axis=1, kind="stable")[:, : 2 * width]  # at most `width` of them are ends
        beams, tokens = np.divmod(order, log_p.shape[2])
        sums = np.take_along_axis(total, order, axis=1)
        for n in np.flatnonzero(~self.done):
            for k in range(min(width, order.shape[1])):
                if tokens[n, k] == BOUNDARY and sums[n, k] > -np.inf:
                    self._note(n, sums[n, k], self._written[n, beams[n, k], 1 : t + 1])
        return self._go_on(t, beams, tokens, sums)

    def _go_on(self, t, beams, tokens, sums):
        batch_size, width = self._sums.shape
        ends = tokens == BOUNDARY
        first = np.argsort(ends, axis=1, kind="stable")[:, :width]  # the likeliest that are no ends
        sums = np.where(np.take_along_axis(ends, first, axis=1), -np.inf, np.take_along_axis(sums, first, axis=1))
        beams, tokens = (np.take_along_axis(array, first, axis=1) for array in (beams, tokens))
        if first.shape[1] < width:  # fewer classes than beams
            missing = ((0, 0), (0, width - first.shape[1]))
            sums = np.pad(sums, missing, constant_values=-np.inf)
            beams, tokens = np.pad(beams, missing), np.pad(tokens, missing)
        self._sums, self._t = sums, min(t + 1, self._most)
        self._written = np.take_along_axis(self._written, beams[:, :, None], axis=1)
        self._written[:, :, self._t] = tokens
        bound = sums.max(axis=1) / length_factor(self._most + 1, self._penalty)
        for n in np.flatnonzero(~self.done):
            found = self._found[n]
            self.done[n] = bound[n] == -np.inf or (len(found) == self._n_best and found[-1][0] >= bound[n])
        return np.ascontiguousarray((beams * batch_size + np.arange(batch_size)[:, None]).T).reshape(-1)

    def _note(self, n, log_p, tokens):
        score = float(log_p / length_factor(len(tokens) + 1, self._penalty))
        self._found[n].append((score, tokens.copy()))
        self._found[n].sort(key=lambda pair: -pair[0])
        del self._found[n][self._n_best :]

    def results(self):
        """See `beam_search`."""
        return [[(tokens, score) for score, tokens in found] for found in self._found]


def sample_sequences(network, source, source_lengths=None, *, max_length, temperature=1.0, rng, n_threads=None):
    """Draw token after token from the softmax of the scores.

    Parameters
    ----------
    network : EncoderDecoder
    source, source_lengths, n_threads
        As in `EncoderDecoder.encode`.
    max_length : int
        Most tokens of a sequence, the end not counted.
    temperature : float, default=1.0
        By which scores are divided; 0 takes the likeliest token.
    rng : numpy.random.Generator

    Returns
    -------
    list of ndarray of int
        For each source its tokens, without the end.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn.models import sample_sequences, vector_decoder
    >>> network = vector_decoder(1, 3, cell="rnn", hidden_layer_sizes=(2,))
    >>> with network.updating() as params:
    ...     params["head.0.weight"][:] = 0.0
    ...     params["head.0.bias"][:] = np.log([0.5, 0.3, 0.2])  # each time: the end, 1, 2
    >>> rng = np.random.default_rng(0)
    >>> drawn = sample_sequences(network, np.ones((1000, 1)), max_length=3, rng=rng)
    >>> round(sum(len(tokens) == 0 for tokens in drawn) / 1000, 1)
    0.5
    """
    max_length = check_size("max_length", max_length)
    if not temperature >= 0:
        raise ValueError(f"temperature is {temperature}, expected temperature >= 0")
    encoded = network.encode(source, source_lengths, n_threads=n_threads)
    if not encoded.batch_size:
        return []
    stepper, written = network.stepper(encoded), []
    tokens, ended = np.full(encoded.batch_size, BOUNDARY), np.zeros(encoded.batch_size, np.bool_)
    while len(written) < max_length and not ended.all():
        scores = stepper.step(tokens).astype(np.float64)
        if temperature:  # the largest of scores with Gumbel noise is one from their softmax
            scores = scores / temperature + rng.gumbel(size=scores.shape)
        tokens = np.where(ended, BOUNDARY, scores.argmax(axis=1))
        ended |= tokens == BOUNDARY
        written.append(tokens)
    lengths = (np.array(written) != BOUNDARY).sum(axis=0)
    return [np.array(written)[: lengths[n], n] for n in range(encoded.batch_size)]
