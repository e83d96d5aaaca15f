"""Decoding of a network's outputs by a hidden Markov model: posteriors over priors, and Viterbi."""

import numpy as np

from .._validation import as_array, as_tokens, check_lengths, check_shape, check_size, check_tokens_in_range
from .ctc import check_logits, log_softmax

_ROUNDING = 1e-3  # by which probabilities may miss a sum of 1


class HMMDecoder:
    """The likeliest sequence of states, one a step, of a network that judges each step.

    The network gives p(state | step); what a hidden Markov model wants is p(step | state), which by Bayes' rule is
    p(state | step) / p(state) times a factor that all states share (Bourlard & Morgan 1994, "Connectionist speech
    recognition: a hybrid approach"). The path is then

        argmax log p(s_1) + sum_t [log p(s_t | x_t) - prior_scale log p(s_t)] + sum_t>1 log p(s_t | s_t-1)

    found by Viterbi's algorithm (Rabiner 1989, "A tutorial on hidden Markov models", equations 32 to 35).

    Parameters
    ----------
    n_states : int
        Classes of the network.
    smoothing : float, default=1.0
        Added to each count before counts become probabilities. With 0, what the data lack is impossible.
    prior_scale : float, default=1.0
        0 takes the posteriors as they are; between 0 and 1, rare states are favoured less.

    Attributes
    ----------
    log_initial_ : ndarray of shape (n_states,)
        Of the states that sequences begin with.
    log_transition_ : ndarray of shape (n_states, n_states)
        Of column after row. All -inf in the row of a state that nothing follows in the data, where smoothing is 0.
    log_prior_ : ndarray of shape (n_states,)
        Of a step's state.

    Examples
    --------
    States come in runs, and so one doubtful step does not end a run:

    >>> import numpy as np
    >>> from fastrnn.models.hmm import HMMDecoder
    >>> decoder = HMMDecoder(2).fit([[0, 0, 0, 0, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0, 0, 0]])
    >>> logits = np.log([[0.9, 0.1], [0.4, 0.6], [0.9, 0.1], [0.1, 0.9]])
    >>> decoder.decode(logits[:, None])
    [array([0, 0, 0, 1])]

    Behind an estimator, whose labels are numbers of states in the order of its ``classes_``:

    >>> import warnings
    >>> from fastrnn import RNNTagger
    >>> rng = np.random.default_rng(0)
    >>> y = [np.repeat(rng.integers(0, 3, 8), 6) for _ in range(30)]
    >>> X = [np.eye(3)[states] + rng.standard_normal((len(states), 3)) for states in y]
    >>> tagger = RNNTagger((8,), cell="rnn", learning_rate_init=0.02, max_iter=40, random_state=0)
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")  # 40 epochs are few
    ...     tagger = tagger.fit(X[:20], y[:20])
    >>> decoder = HMMDecoder(len(tagger.classes_)).fit(y[:20])
    >>> paths = decoder.decode_proba(tagger.predict_proba(X[20:]))
    >>> right = np.concatenate(paths) == np.concatenate(y[20:])
    >>> bool(right.mean() > tagger.score(X[20:], y[20:]) + 0.02)
    True
    """

    def __init__(self, n_states, smoothing=1.0, prior_scale=1.0):
        self.n_states = check_size("n_states", n_states)
        self.smoothing = _check_at_least_0("smoothing", smoothing)
        self.prior_scale = _check_at_least_0("prior_scale", prior_scale)

    def fit(self, states):
        """Estimate the probabilities by counting.

        Parameters
        ----------
        states : sequence of array_like of int of shape (seq_len_i,)
            Sequences with the state of each step, 0 <= state < n_states.

        Returns
        -------
        HMMDecoder
            This object.
        """
        n = self.n_states
        initial, pairs, prior = np.zeros(n), np.zeros((n, n)), np.zeros(n)
        for k, sequence in enumerate(states):
            name = f"states[{k}]"
            sequence = check_shape(name, as_tokens(name, sequence), ("seq_len",), (None,))
            check_tokens_in_range(name, sequence, n)
            initial += np.bincount(sequence[:1], minlength=n)
            pairs += np.bincount(sequence[:-1] * n + sequence[1:], minlength=n * n).reshape(n, n)
            prior += np.bincount(sequence, minlength=n)
        if not prior.any():
            raise ValueError("states holds no step, expected one at least")
        self.log_initial_ = self._log_share(initial)
        self.log_transition_ = self._log_share(pairs)
        self.log_prior_ = self._log_share(prior)
        return self

    def decode(self, logits, lengths=None):
        """Return the likeliest states of each sequence.

        Parameters
        ----------
        logits : array_like of shape (seq_len, batch_size, n_states)
            Before the softmax; log posteriors, which a softmax leaves as they are, will do too.
        lengths : array_like of int of shape (batch_size,), optional

        Returns
        -------
        list of ndarray of int64 of shape (length_i,)

        Raises
        ------
        ValueError
            Where no path has a probability above 0.
        """
        self._check_fitted()
        logits = as_array("logits", logits, np.float64)
        check_shape("logits", logits, ("seq_len", "batch_size", "n_states"), (None, None, self.n_states))
        lengths = check_lengths(lengths, logits.shape[0], logits.shape[1])
        rows = [logits[: None if lengths is None else lengths[n], n] for n in range(logits.shape[1])]
        return [self._path(f"logits[:, {n}]", row) for n, row in enumerate(rows)]

    def decode_proba(self, probabilities):
        """Return the likeliest states of each sequence of posteriors.

        Parameters
        ----------
        probabilities : list of array_like of shape (seq_len_i, n_states)
            As ``predict_proba`` of an `RNNTagger` gives them, or that of an `RNNClassifier` for the windows of one
            recording after the other. Each row adds up to 1.

        Returns
        -------
        list of ndarray of int64 of shape (seq_len_i,)

        Raises
        ------
        ValueError
            Where no path has a probability above 0, or a row is no distribution.
        """
        self._check_fitted()
        paths = []
        for k, rows in enumerate(probabilities):
            name = f"probabilities[{k}]"
            rows = as_array(name, rows, np.float64)
            check_shape(name, rows, ("seq_len", "n_states"), (None, self.n_states))
            wrong = np.flatnonzero(~((rows >= 0.0).all(axis=1) & (np.abs(rows.sum(axis=1) - 1.0) < _ROUNDING)))
            if wrong.size:
                raise ValueError(
                    f"{name}[{wrong[0]}] adds up to {rows[wrong[0]].sum():.6g} and has the least value "
                    f"{rows[wrong[0]].min():.6g}, expected probabilities that add up to 1"
                )
            with np.errstate(divide="ignore"):
                paths.append(self._path(name, np.log(rows)))
        return paths

    def log_likelihood(self, logits):
        """Return log p(state | step) - prior_scale log p(state), and -inf for states that the data lack.

        Parameters
        ----------
        logits : array_like of shape (seq_len, n_states)

        Returns
        -------
        ndarray of float64 of shape (seq_len, n_states)
        """
        self._check_fitted()
        logits = as_array("logits", logits, np.float64)
        check_shape("logits", logits, ("seq_len", "n_states"), (None, self.n_states))
        check_logits(logits)
        known = self.log_prior_ > -np.inf
        prior = np.where(known, self.log_prior_, 0.0)
        return np.where(known, log_softmax(logits) - self.prior_scale * prior, -np.inf)

    def _path(self, name, logits):
        path, score = viterbi(self.log_initial_, self.log_transition_, self.log_likelihood(logits))
        if score == -np.inf:
            raise ValueError(
                f"{name} has no path of a probability above 0, expected one; smoothing is {self.smoothing}"
            )
        return path

    def _log_share(self, counts):
        counts = counts + self.smoothing
        total = counts.sum(axis=-1, keepdims=True)
        with np.errstate(divide="ignore"):
            return np.log(counts / np.where(total > 0.0, total, 1.0))

    def _check_fitted(self):
        if not hasattr(self, "log_prior_"):
            raise ValueError("HMMDecoder has no probabilities yet, expected a call of fit before")


def viterbi(log_initial, log_transition, log_emission):
    """Likeliest path through a hidden Markov model.

    Parameters
    ----------
    log_initial : array_like of shape (n_states,)
    log_transition : array_like of shape (n_states, n_states)
        Of column after row.
    log_emission : array_like of shape (seq_len, n_states)

    Returns
    -------
    path : ndarray of int64 of shape (seq_len,)
        Of equally likely ones that with the smaller states, from the end on.
    score : float
        Log of its joint probability; 0.0 of an empty one, -inf where every path is impossible.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn.models.hmm import viterbi
    >>> stay = np.log([[0.9, 0.1], [0.1, 0.9]])
    >>> path, score = viterbi(np.log([0.5, 0.5]), stay, np.log([[0.8, 0.2], [0.4, 0.6], [0.8, 0.2]]))
    >>> path.tolist(), round(float(np.exp(score)), 5)
    ([0, 0, 0], 0.10368)
    """
    log_emission = as_array("log_emission", log_emission, np.float64)
    check_shape("log_emission", log_emission, ("seq_len", "n_states"), (None, None))
    seq_len, n = log_emission.shape
    log_initial = check_shape("log_initial", as_array("log_initial", log_initial, np.float64), ("n_states",), (n,))
    log_transition = as_array("log_transition", log_transition, np.float64)
    check_shape("log_transition", log_transition, ("n_states", "n_states"), (n, n))
    path = np.zeros(seq_len, np.int64)
    if not seq_len:
        return path, 0.0
    best = log_initial + log_emission[0]
    came_from = np.zeros((seq_len, n), np.int64)
    for t in range(1, seq_len):
        through = best[:, None] + log_transition
        came_from[t] = through.argmax(axis=0)
        best = through.max(axis=0) + log_emission[t]
    path[-1] = best.argmax()
    for t in range(seq_len - 1, 0, -1):
        path[t - 1] = came_from[t, path[t]]
    return path, float(best.max())


def _check_at_least_0(name, value):
    number = float(value)
    if not 0.0 <= number < np.inf:
        raise ValueError(f"{name} is {number}, expected a number >= 0")
    return number
