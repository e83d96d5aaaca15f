"""From one sequence to another one of another length."""

import numpy as np
from sklearn.callback import with_callbacks
from sklearn.utils.validation import check_is_fitted

from .._validation import check_choice
from ..models import encoder_decoder
from ..models.sequence_to_sequence import ATTENTIONS
from ..training import pad_batch
from ._decoder import BaseDecoder
from ._doc import with_parameters
from ._parameters import derived_init
from ._written import check_form, numbered, read_written

_OWN = (
    *("cell", "activation", "init", "bidirectional", "embedding_dim", "attention", "output_embedding_dim"),
    *("dropout", "recurrent_dropout", "zoneout", "layer_norm"),
)


@with_parameters
class RNNSeq2Seq(BaseDecoder):
    """Encoder-decoder: recurrent layers read a sequence, and others write one: unsynced many-to-many.

    The decoder begins with the encoder's last states and writes token after token, reading those that it has written,
    until it writes the end. In training it reads the right ones (teacher forcing), and the cross-entropy of each next
    token is minimised. With attention it also looks at all that the encoder has read, each time at other steps of it.

    Parameters
    ----------
    {parameters}
    attention : {None, "additive", "multiplicative"}, default=None
        How a step of the decoder is compared with those of the encoder (Bahdanau, Cho and Bengio 2015; Luong, Pham and
        Manning 2015): see :class:`fastrnn.layers.CrossAttention`.
    output_embedding_dim : int or None, default=None
        Size of the vectors of the tokens that the decoder reads; by default the first of hidden_layer_sizes.
    teacher_forcing : float or schedule, default=1.0
        Probability by which the decoder reads the right token in training, and not one drawn from what it says itself
        (scheduled sampling, Bengio et al. 2015). A schedule, such as ``fastrnn.schedules.Linear``, is asked before
        each epoch. The validation loss is always that of right tokens.
    beam_width : int, default=1
        Of ``predict``: how many beginnings of a sequence are followed; 1 takes the likeliest token each time.
    length_penalty : float, default=0.6
        The exponent by which scores of sequences of different lengths are made comparable; 0 compares their
        probabilities.
    max_length : int or None, default=None
        Most tokens of a sequence that is written; by default twice as many as the longest of ``fit`` has.

    Attributes
    ----------
    vocabulary_ : dict
        The tokens of X, with ``embedding_dim``.
    output_vocabulary_ : dict
        The tokens of y and their numbers, from 1 on, sorted; 0 is the end.
    network_ : EncoderDecoder
        The trained network, a copy each time it is asked for.
    loss_curve_, validation_loss_curve_, validation_scores_, grad_norm_curve_, n_iter_, n_features_in_
        As of `RNNClassifier`. The validation score is the share of sequences that the likeliest tokens give rightly.

    See Also
    --------
    RNNTagger : A label for every step of X.
    RNNGenerator : Sequences that start from a vector.

    Examples
    --------
    Words backwards:

    >>> import warnings
    >>> import numpy as np
    >>> from fastrnn import RNNSeq2Seq
    >>> words = ["".join(np.random.default_rng(seed).choice(list("abc"), 1 + seed % 4)) for seed in range(200)]
    >>> backwards = [word[::-1] for word in words]
    >>> options = {"embedding_dim": 8, "attention": "additive", "cell": "gru", "learning_rate_init": 0.01}
    >>> model = RNNSeq2Seq((16,), bidirectional=True, max_iter=40, random_state=0, **options)
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")  # 40 epochs are few
    ...     model = model.fit(words, backwards)
    >>> model.predict(["abca", "cb"])
    ['acba', 'bc']
    >>> (weights,) = model.attention_weights(["abca"])
    >>> weights.shape  # each letter that is written, each that is read
    (4, 4)
    """

    __init__ = derived_init(BaseDecoder, added={"attention": None})

    @with_callbacks
    def fit(self, X, y, sample_weight=None, *, X_val=None, y_val=None, sample_weight_val=None, resume_from=None):
        """Train on pairs of sequences.

        Parameters
        ----------
        X : array_like of shape (n_samples, n_timesteps) or (n_samples, n_timesteps, n_features), or list of \
arrays of shape (n_timesteps_i, n_features)
            As in `RNNClassifier.fit`; tokens with ``embedding_dim``.
        y : list of str, or list of sequences of str or of int
            What shall be written. A str is the sequence of its characters; a sequence may be empty.
        sample_weight : array_like of shape (n_samples,), optional
            Weights >= 0. The loss of a batch is the weighted mean over its tokens.
        X_val, y_val, sample_weight_val : as X, y and sample_weight, optional
            Validation data, never trained on. Without them ``early_stopping`` splits off a part of X.
        resume_from : path, optional
            As in `RNNClassifier.fit`.

        Returns
        -------
        self
            Fitted.

        Raises
        ------
        ValueError
            As in `RNNClassifier.fit`, and where y_val has tokens that y has not.
        NonFiniteLossError
            Where the loss or a gradient stops being finite.
        """
        return self._fit(X, y, sample_weight, X_val, y_val, sample_weight_val, resume_from)

    def _check_writing(self):
        super()._check_writing()
        check_choice("attention", self.attention, ATTENTIONS)

    def _compose(self, sizes, rng):
        options = {name: getattr(self, name) for name in _OWN}
        options |= {"hidden_layer_sizes": sizes, "dtype": self._dtype, "random_state": rng}
        return encoder_decoder(self._input_size, self.n_outputs_, **options)

    def attention_weights(self, X, y=None):
        """Where the decoder looks while it writes.

        Parameters
        ----------
        X : array_like or list
            As in ``fit``.
        y : list of sequences, optional
            What is written, in the form of the y of ``fit``; by default what ``predict`` gives.

        Returns
        -------
        weights : list of ndarray of shape (n_tokens_i, n_timesteps_i)
            A row for each token that is written, whose numbers add up to 1.

        Raises
        ------
        AttributeError
            Where the network has no attention.
        """
        check_is_fitted(self)
        if self._trained.attention is None:
            raise AttributeError("attention_weights is for networks with attention, but attention is None")
        sources = self._read_x(X, reset=False)
        if y is None:
            written = [beam[0][0] for beam in self._written(self._trained, sources, self.beam_width, 1)]
        else:
            rows, form = read_written(y)
            check_form(form, self._form)
            written = numbered(rows, self.output_vocabulary_)
        if len(written) != len(sources):
            raise ValueError(f"y has {len(written)} sequences, expected one for each of X, {len(sources)}")
        inputs, found = [np.concatenate([[0], row[:-1]])[: len(row)] for row in written], [None] * len(sources)
        for indices, source, lengths in self._batches(sources):
            steps, step_lengths = pad_batch(inputs, indices, np.int64)
            x = (source, lengths, steps)
            weights = self._trained.attend(x, lengths=step_lengths, n_threads=self.n_threads)
            for n, i in enumerate(indices):
                found[i] = weights[: len(inputs[i]), n, : len(sources[i])].copy()
        return found
