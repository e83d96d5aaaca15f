"""A language model of characters, bytes or words."""

import math

import numpy as np
from sklearn.callback import with_callbacks
from sklearn.utils.validation import check_is_fitted

from .._validation import check_choice, check_size
from ..losses import softmax_cross_entropy
from ..models.language import ClusteredTraining, language_network, log_likelihoods
from ._base import BaseRNN
from ._doc import with_parameters
from ._fitting import Labelled
from ._input import compute_dtype
from ._parameters import check_flag, derived_init
from ._vocabulary import END, LEVELS, UNKNOWN, Vocabulary, split_text
from ._writing import Writing

EMBEDDING_DIM = 64


@with_parameters
class RNNLanguageModel(Writing, BaseRNN):
    """Recurrent network that says, after each character, byte or word of a text, what is likely to come next.

    An embedding, recurrent layers and a softmax over all tokens. The mean negative log probability of the tokens is
    minimised. A text is cut into pieces of equal length, so that ``batch_size`` of them are read side by side, each
    from a state of 0; the state is carried from window to window of a piece, and gradients reach back within a window
    (truncated back-propagation).

    Parameters
    ----------
    level : {"character", "byte", "word"}, default="character"
        What a token is: a character; a byte of UTF-8, so that no text is unknown; a word or a punctuation mark, white
        space being left out.
    hidden_layer_sizes : int or tuple of int, default=(128,)
        Units of each recurrent layer.
    {parameters}
    embedding_dim : int or None, default=None
        Size of the vector that stands for a token. None is 64, and with ``tie_weights`` the features of the last
        hidden layer.
    tie_weights : bool, default=False
        The table of these vectors is that of the output layer too (``TiedDense``), behind a dense layer where
        ``embedding_dim`` is not the features of the last hidden layer.
    softmax : {"full", "adaptive"}, default="full"
        "adaptive" is for large vocabularies (``AdaptiveSoftmax``): the rarer a word, the fewer features tell it from
        others, and a step of training computes only the clusters of words that occur.
    max_vocabulary : int or None, default=None
        At most so many tokens, the most frequent, get an index of their own. Not of level "byte".
    min_count : int, default=1
        Tokens that ``fit`` meets less often have none. All others are one unknown token, which is learned where these
        two parameters leave any out; it is never generated. Not of level "byte".
    batch_size : int, default=32
        Pieces of text in a batch.
    bptt_window : int or None, default=64
        Steps of a window. None reads whole texts, which are then not cut.
    shuffle : bool, default=True
        Draw new batches of texts each epoch; of no effect on a single text.
    dtype : {"auto", "float32", "float64"}, default="auto"
        Type of computation; "auto" is float32.
    early_stopping : bool, default=False
        Stop by the loss on validation data, and keep the weights of the best. The data are ``X_val`` of ``fit``, else
        some of the pieces of text, which are not trained on.
    validation_fraction : float, default=0.1
        Share of these pieces, in (0, 1).

    Attributes
    ----------
    vocabulary_ : dict of str (of level "byte", bytes) to int
        Indices of the tokens, from 2 on, the most frequent first. 0 is the unknown token and 1 the end of a text.
    network_ : Network
        The trained network (batch first): tokens in, scores of the next one out, to which a softmax gives
        probabilities. A copy each time it is asked for.
    loss_curve_, grad_norm_curve_, loss_, best_loss_, validation_loss_curve_, n_iter_
        As of `RNNClassifier`; losses are in nats a token.

    See Also
    --------
    RNNTagger : Labels of the tokens of a text.

    Examples
    --------
    >>> import warnings
    >>> from fastrnn import RNNLanguageModel
    >>> model = RNNLanguageModel((16,), learning_rate_init=0.03, max_iter=60, random_state=0)
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")  # 60 epochs are few
    ...     model = model.fit("hello hello hello hello ")
    >>> "".join(model.generate("hell", 7, temperature=0))
    'o hello'
    >>> [word for word, probability in model.complete("he", k=1)]
    ['hello']
    >>> bool(model.perplexity("hello hello ") < 1.5)
    True
    """

    __init__ = derived_init(
        BaseRNN,
        added={
            "level": "character",
            "tie_weights": False,
            "softmax": "full",
            "max_vocabulary": None,
            "min_count": 1,
        },
        defaults={"hidden_layer_sizes": (128,), "batch_size": 32, "bptt_window": 64},
        removed=("bidirectional", "pooling", "conv_filters", "learn_initial_state", "network"),
    )

    bidirectional = False
    pooling = conv_filters = network = None
    learn_initial_state = False
    _per_step = True
    _scores_outputs = False

    @with_callbacks
    def fit(self, X, y=None, *, X_val=None, resume_from=None):
        """Learn a text.

        Parameters
        ----------
        X : str, or list of str
            A text, or a corpus of texts. Of level "byte" each may be bytes instead; of level "word" a text of a corpus
            may be a list of words. Texts of a corpus have nothing to do with each other: the state begins anew with
            each, and its end is a token that is learned. Of a single text the end is no token.
        y : None
            There by scikit-learn's convention, and not used.
        X_val : as X, optional
            Validation text, never trained on.
        resume_from : path, optional
            As in `RNNClassifier.fit`.

        Returns
        -------
        self
            Fitted.

        Raises
        ------
        ValueError
            Where there is no token in X, or a parameter is out of its range.
        NonFiniteLossError
            Where the loss or a gradient stops being finite.
        """
        self._check_own_parameters()
        return self._fit(X, None, None, X_val, None, None, resume_from)

    def partial_fit(self, X, y=None):
        """Train for one epoch on some text, going on from the call before; the vocabulary is that of the first call.

        Parameters
        ----------
        X, y
            As in ``fit``.

        Returns
        -------
        self
        """
        self._check_own_parameters()
        return self._fit_part(X, None, None)

    # likelihood

    def score(self, X, y=None):
        """Return the mean log probability of a token, in nats: minus the logarithm of `perplexity`.

        Parameters
        ----------
        X, y
            As in ``fit``.

        Returns
        -------
        float
        """
        total, n_tokens, _ = self._log_probability(X)
        return total / n_tokens

    def perplexity(self, X):
        """Return the perplexity of a text: the inverse of the geometric mean of its tokens' probabilities.

        Parameters
        ----------
        X : str, or list of str
            As in ``fit``. The state is 0 before a text and carried to its end. All unknown tokens count as one, with
            its probability.

        Returns
        -------
        float
        """
        return math.exp(-self.score(X))

    def bits_per_character(self, X):
        """Return the bits that the model needs for a character of a text.

        Parameters
        ----------
        X : str, or list of str
            As in ``fit``. Of level "word" white space counts as characters; of bytes each is one.

        Returns
        -------
        float
        """
        total, _, n_characters = self._log_probability(X)
        return -total / math.log(2) / n_characters

    def _log_probability(self, X):
        """Return (log probability, number of tokens, number of characters) of a text or of texts."""
        check_is_fitted(self)
        texts, is_corpus = _texts(X, "X")
        sequences = self._sequences([split_text(self._level, text) for text in texts], is_corpus)
        n_tokens = sum(map(len, sequences)) - len(sequences)
        n_characters = sum(len(text if isinstance(text, str | bytes) else " ".join(text)) for text in texts)
        if not n_tokens or not n_characters:
            raise ValueError("X holds no tokens, expected at least one")
        return float(log_likelihoods(self._trained, sequences, n_threads=self.n_threads).sum()), n_tokens, n_characters

    # fitting

    @property
    def vocabulary_(self):
        """Indices of the tokens."""
        if not hasattr(self, "_tokens"):
            raise AttributeError(f"this {type(self).__name__} has no vocabulary_ yet: call fit first")
        return self._vocabulary.indices

    @property
    def _vocabulary(self):
        return Vocabulary(self._level, self._tokens)

    @property
    def _loss(self):
        return ClusteredTraining(self._trained, self.n_threads).loss if self._is_clustered else softmax_cross_entropy

    @property
    def _is_clustered(self):
        return self.softmax == "adaptive"

    def _network_in_training(self):
        return ClusteredTraining(self._trained, self.n_threads) if self._is_clustered else self._trained

    def _check_own_parameters(self):
        check_choice("level", self.level, LEVELS)
        check_choice("softmax", self.softmax, ("full", "adaptive"))
        check_flag("tie_weights", self.tie_weights)
        check_size("min_count", self.min_count)
        if self.max_vocabulary is not None:
            check_size("max_vocabulary", self.max_vocabulary)
        check_size("batch_size", self.batch_size)
        if self.level == "byte" and (self.max_vocabulary is not None or self.min_count != 1):
            name = "min_count" if self.max_vocabulary is None else "max_vocabulary"
            raise ValueError(f"{name} is {getattr(self, name)}, which level 'byte' has not: it knows all bytes")
        if self._is_clustered and self.tie_weights:
            raise ValueError("tie_weights is True, expected False with softmax='adaptive', whose clusters have tables")
        if self._is_clustered and self.accumulate_steps != 1:
            raise ValueError(f"accumulate_steps is {self.accumulate_steps}, expected 1 with softmax='adaptive'")

    def _read(self, X, y, sample_weight, weight_name, reset, classes=None):
        texts, is_corpus = _texts(X, "X")
        if not reset and self.level != self._level:
            raise ValueError(f"level is {self.level!r}, expected {self._level!r} as in the fit before")
        split = [split_text(self.level, text) for text in texts]
        if not any(split):
            raise ValueError("X holds no tokens, expected at least one")
        if reset:
            vocabulary = Vocabulary.learned(self.level, split, self.max_vocabulary, self.min_count)
            if not vocabulary.tokens:
                raise ValueError(f"min_count is {self.min_count}, but no token of X comes so often")
            self._level, self._tokens, self._ends = self.level, _stored(vocabulary), is_corpus
            self._input_size = self.n_outputs_ = len(vocabulary)
            self._dtype = compute_dtype(self.dtype, [np.dtype(np.float32)])
        return self._pieces(self._sequences(split, is_corpus))

    def _read_validation(self, X, y, sample_weight):
        if X is None:
            return None
        try:
            return self._read(X, None, None, "", False)
        except (TypeError, ValueError) as error:
            raise type(error)(f"X_val: {error}") from error

    def _sequences(self, split, is_corpus):
        """Return the indices of texts (lists of tokens), with those of their ends: arrays of int64."""
        vocabulary = self._vocabulary
        after = [END] if is_corpus and self._ends else []
        return [np.array([END, *vocabulary.encode(tokens), *after], dtype=np.int64) for tokens in split]

    def _pieces(self, sequences):
        """Cut sequences into pieces, so that `batch_size` of them hold all, and not into less than windows."""
        inputs, targets = [], []
        total = sum(map(len, sequences)) - len(sequences)
        longest = math.inf
        if self.bptt_window is not None:
            longest = max(math.ceil(total / self.batch_size), self.bptt_window)
        for sequence in sequences:
            n_steps = len(sequence) - 1
            size = math.ceil(n_steps / max(1, math.ceil(n_steps / longest))) or 1
            for start in range(0, n_steps, size):
                stop = min(start + size, n_steps)
                inputs.append(sequence[start:stop])
                targets.append(sequence[start + 1 : stop + 1])
        return Labelled(inputs, targets, None)

    def _compose(self, sizes, rng):
        own = ("cell", "activation", "init", "dropout", "recurrent_dropout", "zoneout", "layer_norm", "proj_size")
        width = self.proj_size or sizes[-1]
        embedding_dim = self.embedding_dim
        if embedding_dim is None:
            embedding_dim = width if self.tie_weights else EMBEDDING_DIM
        network = language_network(
            self.n_outputs_,
            embedding_dim,
            hidden_layer_sizes=sizes,
            tie_weights=self.tie_weights,
            cutoffs=_cutoffs(self.n_outputs_, width) if self._is_clustered else None,
            **{name: getattr(self, name) for name in own},
            dtype=self._dtype,
            random_state=rng,
        )
        with network.updating() as params:
            params["0.weight"][UNKNOWN] = 0.0
        return network

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.string, tags.input_tags.three_d_array, tags.input_tags.two_d_array = True, False, False
        return tags


def _texts(X, name):
    """Return a list of texts, and whether X was one."""
    if isinstance(X, str | bytes | bytearray | memoryview):
        return [X], False
    if len(getattr(X, "shape", ())) == 1:  # an array, or a series of a data frame
        X = np.asarray(X, dtype=object).tolist()
    if not isinstance(X, list | tuple):
        raise TypeError(f"{name} is an object of type {type(X).__name__}, expected a str or a list of texts")
    return list(X), True


def _stored(vocabulary):
    """The tokens that the level does not say by itself."""
    return [] if vocabulary.level == "byte" else list(vocabulary.tokens)


def _cutoffs(n_tokens, width):
    """Where the clusters of an adaptive softmax begin: behind a sixteenth and a quarter of the tokens.

    The second cluster is left out where a sixteenth of the features, `width`, is none.
    """
    first, second = max(2, n_tokens // 16), max(3, n_tokens // 4)
    return [first, second] if width >= 16 and second < n_tokens else [first]
