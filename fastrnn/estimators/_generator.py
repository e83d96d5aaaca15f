"""From a vector to a sequence."""

import numpy as np
from sklearn.callback import with_callbacks
from sklearn.utils.validation import check_is_fitted, validate_data

from .._validation import check_size
from ..init import as_generator
from ..models import sample_sequences, vector_decoder
from ._decoder import BaseDecoder
from ._doc import with_parameters
from ._input import compute_dtype
from ._parameters import check_number, derived_init

_OWN = (
    *("cell", "activation", "init", "input_layer_sizes", "output_embedding_dim"),
    *("dropout", "recurrent_dropout", "zoneout", "layer_norm"),
)


@with_parameters
class RNNGenerator(BaseDecoder):
    """Recurrent network that writes a sequence about a vector: one-to-many.

    Dense layers make the decoder's first states of the vector, such as the features of an image, a class (one-hot), or
    a point. The decoder then writes token after token, reading those that it has written, until it writes the end. In
    training it reads the right ones (teacher forcing), and the cross-entropy of each next token is minimised.

    Parameters
    ----------
    {parameters}
    input_layer_sizes : sequence of int, default=()
        Units of dense layers with relu that read the vector first.
    output_embedding_dim : int or None, default=None
        Size of the vectors of the tokens that the decoder reads; by default the first of hidden_layer_sizes.
    teacher_forcing, beam_width, length_penalty, max_length
        As of `RNNSeq2Seq`.

    Attributes
    ----------
    output_vocabulary_ : dict
        The tokens of y and their numbers, from 1 on, sorted; 0 is the end.
    network_ : EncoderDecoder
        The trained network, a copy each time it is asked for.
    loss_curve_, validation_loss_curve_, validation_scores_, grad_norm_curve_, n_iter_, n_features_in_
        As of `RNNClassifier`. The validation score is the share of sequences that the likeliest tokens give rightly.

    See Also
    --------
    RNNSeq2Seq : The same from a sequence.

    References
    ----------
    Vinyals, Toshev, Bengio and Erhan (2015), "Show and tell: a neural image caption generator".

    Examples
    --------
    The digits of a number in binary, from two of its properties:

    >>> import warnings
    >>> import numpy as np
    >>> from fastrnn import RNNGenerator
    >>> numbers = np.arange(1, 17)
    >>> X = (numbers[:, None] >> np.arange(5) & 1).astype(float)  # its bits, the least one first
    >>> model = RNNGenerator((24,), cell="gru", learning_rate_init=0.02, max_iter=150, tol=0.0, random_state=0)
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     model = model.fit(X, [f"{number:b}" for number in numbers])
    >>> model.predict(X[[1, 4, 15]])
    ['10', '101', '10000']
    """

    __init__ = derived_init(BaseDecoder, added={"input_layer_sizes": ()}, removed=("bidirectional", "embedding_dim"))

    bidirectional, embedding_dim = False, None

    @with_callbacks
    def fit(self, X, y, sample_weight=None, *, X_val=None, y_val=None, sample_weight_val=None, resume_from=None):
        """Train on vectors and what shall be written about them.

        Parameters
        ----------
        X : array_like of shape (n_samples, n_features)
            Finite numbers.
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
            Where X holds NaN or infinities, sizes do not fit, a parameter is out of its range, or y_val has tokens
            that y has not.
        NonFiniteLossError
            Where the loss or a gradient stops being finite.
        """
        return self._fit(X, y, sample_weight, X_val, y_val, sample_weight_val, resume_from)

    def _check_writing(self):
        super()._check_writing()
        if not isinstance(self.input_layer_sizes, (tuple, list, np.ndarray)):
            raise TypeError(f"input_layer_sizes is {self.input_layer_sizes!r}, expected a sequence of int")
        for k, size in enumerate(self.input_layer_sizes):
            check_size(f"input_layer_sizes[{k}]", size)

    def _read_x(self, X, reset, sample_weight=None, weight_name=""):
        """X as the network reads it."""
        X = validate_data(self, X, reset=reset, dtype="numeric" if reset else self._dtype)
        if reset:
            self._dtype = compute_dtype(self.dtype, [X.dtype])
            self._input_size, self._fitted_on_2d = X.shape[1], True
        return np.ascontiguousarray(X, dtype=self._dtype)

    def _compose(self, sizes, rng):
        options = {name: getattr(self, name) for name in _OWN}
        options |= {"hidden_layer_sizes": sizes, "dtype": self._dtype, "random_state": rng}
        return vector_decoder(self._input_size, self.n_outputs_, **options)

    def sample(self, X, temperature=1.0, random_state=None):
        """Draw a sequence for each row of X, token after token.

        Parameters
        ----------
        X : array_like of shape (n_samples, n_features)
        temperature : float, default=1.0
            By which scores are divided before a token is drawn from their softmax; 0 takes the likeliest.
        random_state : None, int, Generator or RandomState

        Returns
        -------
        y : list of str, of list of str, or of ndarray of int64
            In the form of the y of ``fit``.
        """
        check_is_fitted(self)
        check_number("temperature", temperature, least=0.0)
        self._check_writing()
        vectors, rng = self._read_x(X, reset=False), as_generator(random_state)
        options = {"max_length": self._most(), "temperature": temperature, "rng": rng, "n_threads": self.n_threads}
        return [self._given(numbers) for numbers in sample_sequences(self._trained, vectors, **options)]
