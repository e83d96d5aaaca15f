"""What the estimators share that write sequences of tokens."""

import copy

import numpy as np
from sklearn.utils.validation import check_is_fitted

from .._validation import check_size
from ..losses import softmax_cross_entropy
from ..models import beam_search, greedy_search
from ..schedules import Progress
from ..training import Paired, pad_batch
from ._base import BaseRNN
from ._fitting import Labelled
from ._parameters import check_number, derived_init
from ._written import check_form, in_form, numbered, read_written, vocabulary_of

ROWS = 256  # sequences that are written at once

WRITING = {
    "output_embedding_dim": None,
    "teacher_forcing": 1.0,
    "beam_width": 1,
    "length_penalty": 0.6,
    "max_length": None,
}
NOT_WRITING = ("pooling", "conv_filters", "learn_initial_state", "proj_size", "network", "bptt_window")


class TeacherForcing:
    """A hook that sets how often a decoder reads the right token, before each epoch.

    Parameters
    ----------
    setting : float or callable
        A probability, or a schedule whose factor it is, asked for the progress at the beginning of the epoch.
    max_iter : int
    """

    def __init__(self, setting, max_iter):
        self._setting, self._max_iter = setting, max_iter

    def on_epoch_start(self, moment):
        """Set it."""
        value = self._setting
        if callable(value):
            now = moment.progress
            value = value(Progress(now.epoch, now.epoch * (now.total // self._max_iter), now.total))
            if not 0.0 <= value <= 1.0:
                raise ValueError(f"teacher_forcing gives {value} for epoch {now.epoch}, expected a number in [0, 1]")
        moment.network.teacher_forcing = float(value)

    def __call__(self, moment):
        """Do nothing at an epoch's end."""


class BaseDecoder(BaseRNN):
    """Reading y, training with teacher forcing, and writing; subclasses know X and the network."""

    __init__ = derived_init(BaseRNN, added=WRITING, removed=NOT_WRITING)

    pooling = conv_filters = network = bptt_window = None
    learn_initial_state, proj_size = False, 0
    _per_step = True
    _outputs_are = "one score a token, and one for the end"

    # what BaseRNN asks for

    def _prepare(self, sizes, X, y, sample_weight, goes_on, classes=None):
        self._check_writing()
        return super()._prepare(sizes, X, y, sample_weight, goes_on, classes)

    def _check_writing(self):
        if isinstance(self.teacher_forcing, type) or not callable(self.teacher_forcing):
            check_number("teacher_forcing", self.teacher_forcing, least=0.0, most=1.0)
        elif hasattr(self.teacher_forcing, "observe"):
            raise ValueError(f"teacher_forcing is {self.teacher_forcing!r}, which watches a loss, expected another")
        check_size("beam_width", self.beam_width)
        check_number("length_penalty", self.length_penalty, least=0.0)
        for name in ("max_length", "output_embedding_dim"):
            if getattr(self, name) is not None:
                check_size(name, getattr(self, name))

    def _read_target(self, y, reset, classes=None):
        rows, form = read_written(y)
        if reset:
            self.output_vocabulary_, self._form = vocabulary_of(rows), form
            self.n_outputs_, self._longest = len(self.output_vocabulary_) + 1, max(map(len, rows))
        else:
            check_form(form, self._form)
        return numbered(rows, self.output_vocabulary_)

    @property
    def _loss(self):
        return softmax_cross_entropy

    def _train(self, data, validation, rng, goes_on, **options):
        """As of `BaseRNN`, with the decoder's inputs beside the sources, and the end behind each target."""
        options["on_epoch"] = [*(options.get("on_epoch") or ()), TeacherForcing(self.teacher_forcing, self.max_iter)]
        pairs = [None if part is None else _paired(part) for part in (data, validation)]
        try:
            return super()._train(*pairs, rng, goes_on, **options)
        finally:
            self._trained.teacher_forcing = 1.0

    def _outputs(self, network, sequences):
        """What the likeliest tokens are, for the validation score."""
        return self._written(network, sequences.parts[0], 1, 1)

    def _score_outputs(self, output, target, sample_weight):
        right = [np.array_equal(beam[0][0], row[:-1]) for beam, row in zip(output, target, strict=True)]
        return float(np.average(right, weights=sample_weight))

    @property
    def network_(self):
        """The trained network, a copy of its own: `EncoderDecoder`."""
        if not hasattr(self, "_trained"):
            raise AttributeError(f"this {type(self).__name__} has no network_ yet: call fit first")
        return copy.deepcopy(self._trained)

    # writing

    def _most(self):
        """Most tokens of a sequence."""
        return 2 * self._longest if self.max_length is None else self.max_length

    def _batches(self, sources, rows=ROWS):
        """Yield the numbers of some sources, the sources as the encoder reads them, and their lengths or None."""
        if isinstance(sources, np.ndarray) and sources.ndim == 2 and sources.dtype.kind == "f":
            for start in range(0, len(sources), rows):
                yield np.arange(start, min(start + rows, len(sources))), sources[start : start + rows], None
            return
        dtype = np.dtype(np.int64) if sources[0].dtype.kind == "i" else self._dtype
        order = np.argsort([len(source) for source in sources], kind="stable")
        for start in range(0, len(order), rows):
            indices = order[start : start + rows]
            yield indices, *pad_batch(sources, indices, dtype)

    def _written(self, network, sources, beam_width, n_best):
        """For each source its sequences as [(numbers of tokens, score)], best first."""
        found = [None] * len(sources)
        options = {"max_length": self._most(), "length_penalty": self.length_penalty, "n_threads": self.n_threads}
        for indices, source, lengths in self._batches(sources, max(1, ROWS // beam_width)):
            if beam_width == 1:
                beams = [[pair] for pair in greedy_search(network, source, lengths, **options)]
            else:
                widths = {"beam_width": beam_width, "n_best": n_best}
                beams = beam_search(network, source, lengths, **widths, **options)
            for i, beam in zip(indices, beams, strict=True):
                found[i] = beam
        return found

    def _given(self, numbers):
        return in_form(numbers, list(self.output_vocabulary_), self._form)

    def predict(self, X):
        """Write a sequence for each row of X.

        Parameters
        ----------
        X : array_like or list
            As in ``fit``. A row's answer does not depend on the others.

        Returns
        -------
        y : list of str, of list of str, or of ndarray of int64
            In the form of the y of ``fit``. With ``beam_width=1`` the likeliest token each time, else the best
            sequence of the beam.
        """
        return [beam[0][0] for beam in self.decode(X)]

    def decode(self, X, beam_width=None, n_best=1):
        """Write sequences, and say how good they are.

        Parameters
        ----------
        X : array_like or list
            As in ``fit``.
        beam_width : int, optional
            Instead of the parameter.
        n_best : int, default=1
            How many sequences to give for each row, at most ``beam_width``.

        Returns
        -------
        list of list of (sequence, float)
            For each row its sequences and their scores, best first: the log-probability of all tokens and the end,
            divided by ((5 + n) / 6) ** length_penalty, where n counts them all (Wu et al. 2016).
        """
        check_is_fitted(self)
        self._check_writing()
        beam_width = check_size("beam_width", self.beam_width if beam_width is None else beam_width)
        if check_size("n_best", n_best) > beam_width:
            raise ValueError(f"n_best is {n_best}, expected n_best <= beam_width = {beam_width}")
        beams = self._written(self._trained, self._read_x(X, reset=False), beam_width, n_best)
        return [[(self._given(numbers), score) for numbers, score in beam] for beam in beams]

    def score(self, X, y, sample_weight=None):
        """Share of the sequences that are written just as they should be.

        Parameters
        ----------
        X, y, sample_weight
            As in ``fit``; y may have other tokens, which cannot be right.

        Returns
        -------
        score : float
        """
        check_is_fitted(self)
        rows, form = read_written(y)
        check_form(form, self._form)
        found = self.predict(X)
        if len(found) != len(rows):
            raise ValueError(
                f"Found input variables with inconsistent numbers of samples: X has {len(found)}, y has {len(rows)}"
            )
        right = [list(one) == row for one, row in zip(found, rows)]
        return float(np.average(right, weights=self._read_weights("sample_weight", sample_weight, rows)))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.target_tags.one_d_labels = tags.target_tags.two_d_labels = False
        return tags


def _paired(data):
    """Samples as training takes them: the decoder reads 0 and the tokens, and says the tokens and 0."""
    inputs = [np.concatenate([[0], row]) for row in data.target]
    targets = [np.concatenate([row, [0]]) for row in data.target]
    return Labelled(Paired(data.sequences, inputs), targets, data.weight)
