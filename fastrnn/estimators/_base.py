"""What the classifier and the regressor share: fitting, and running the network."""

import warnings

import numpy as np
from sklearn.callback import CallbackSupportMixin, with_callbacks
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from ..init import as_generator
from ..models import Network
from ..training import NonFiniteLossError
from ..training.windows import check_windows
from ._callbacks import FitTasks, as_callbacks
from ._fitting import Labelled, run_training, split_off_validation, unchanged_on_error
from ._input import read_sequences, read_weights
from ._network import check_dtype, check_same, composed, make_network, reads_vectors, table_of
from ._parameters import Parameters, check_parameters, derived_init
from ._predicting import outputs
from ._solver import check_endless, continuation_of
from ._tokens import read_indices, read_tokens


class BaseRNN(CallbackSupportMixin, Parameters):
    """Fitting and running; subclasses know the target and the loss."""

    # for subclasses

    _outputs_are = ""  # what the network's outputs are, in an error
    _per_step = False  # whether the network has an output a step
    _scores_outputs = True  # else the validation score is minus the loss
    _reads_vectors = False  # whether a row of 2-D X is a vector of features, for a network without any time

    def _read_target(self, y, reset, classes=None):
        """Check y and return the target for the loss.

        With ``reset`` also set ``n_outputs_`` and what y teaches, ``classes`` being all labels there will be.
        """
        raise NotImplementedError

    def _check_fit(self, sequences, target):
        """Check that sequences and target fit each other."""
        check_consistent_length(sequences, target)

    def _read_weights(self, name, weight, sequences):
        """Check the weights of samples; None where all count alike."""
        return read_weights(name, weight, len(sequences))

    def _weight_of_sequences(self, weight):
        """Weights a sequence, of which 0 are as if not given: they teach no vocabulary."""
        return weight

    def _compose(self, sizes, rng):
        """The network that the parameters describe, for the sizes of X and y that were read."""
        return composed(self, sizes, rng)

    def _network_in_training(self):
        """The network as ``train`` takes it, with outputs that `_loss` reads."""
        return self._trained

    @property
    def _loss(self):
        """``loss(output, target, sample_weight) -> (value, d_output)``."""
        raise NotImplementedError

    def _score_outputs(self, output, target, sample_weight):
        """The figure of merit on raw outputs, higher is better."""
        raise NotImplementedError

    def _weigh_classes(self, target, weight):
        """The weights of samples, times those of their classes."""
        return weight

    def _labels_to_stratify(self, target):
        """Classes in whose proportions validation data are split off, or None."""
        return None

    # fitting

    def set_callbacks(self, *callbacks):
        """Set what is called while ``fit`` runs (``partial_fit`` calls nothing).

        Parameters
        ----------
        *callbacks : objects of scikit-learn's callback protocol, or hooks of fastrnn.training
            Of :mod:`sklearn.callback`, such as ``ProgressBar`` and ``ScoringMonitor``: told of one task a fit and
            one an epoch; returning True from the end of an epoch stops the fit. Of :mod:`fastrnn.training`:
            ``Checkpoint``, ``CSVLog``, ``LearningRateSchedule``, ``ReduceOnPlateau``, or a callable that takes
            an ``EpochEnd``. Without any, those set before are removed. A clone has the same objects; a file that
            ``fastrnn.save`` writes has none.

        Returns
        -------
        self

        Raises
        ------
        TypeError
            Where one is neither.

        Examples
        --------
        >>> from fastrnn import RNNRegressor
        >>> from fastrnn.datasets import adding
        >>> X, y = adding(40, 5, random_state=0)
        >>> model = RNNRegressor((4,), random_state=0)
        >>> model.set_callbacks(lambda moment: moment.history.n_epochs == 3).fit(X, y).n_iter_
        3
        """
        return super().set_callbacks(*as_callbacks(callbacks))

    @with_callbacks
    def fit(self, X, y, sample_weight=None, *, X_val=None, y_val=None, sample_weight_val=None, resume_from=None):
        """Train on sequences.

        Parameters
        ----------
        X : array_like of shape (n_samples, n_timesteps) or (n_samples, n_timesteps, n_features), or list of \
arrays of shape (n_timesteps_i, n_features)
            Finite numbers; no sequence may be empty. 2-D X has one feature a step. With ``embedding_dim`` tokens:
            integers or strings of shape (n_samples, n_timesteps), a list of such sequences, or a list of str,
            each of which is the sequence of its characters.
        y : array_like of shape (n_samples,) or (n_samples, n_outputs)
            Labels or numbers; two axes in regression, and in classification with several labels a sequence
            (0 or 1 each).
        sample_weight : array_like of shape (n_samples,), optional
            Weights >= 0. The loss of a batch is the weighted mean of its sequences' losses; a weight of 0 is
            as if the sequence had not been given. A whole number is as if it had been given that often,
            exactly so where one batch holds all, on average where several do.
        X_val, y_val, sample_weight_val : as X, y and sample_weight, optional
            Validation data, never trained on. Without them ``early_stopping`` splits off a part of X.
        resume_from : path, optional
            A file that the callback ``fastrnn.training.Checkpoint`` wrote in a fit of the same data and parameters,
            ``max_iter`` excepted, which may be larger: training goes on from there, and ends with the bits with
            which it would have ended uninterrupted. ``random_state`` has to be an integer where
            ``early_stopping`` splits off validation data.

        Returns
        -------
        self
            Fitted.

        Raises
        ------
        ValueError
            Where X holds NaN or infinities, a sequence is empty, sizes do not fit, a parameter is out of its
            range, or ``resume_from`` is the file of another training or damaged.
        NonFiniteLossError
            Where the loss or a gradient stops being finite. ``network_`` then holds the best weights with
            which all was finite, and predicts.
        """
        return self._fit(X, y, sample_weight, X_val, y_val, sample_weight_val, resume_from)

    def _fit(self, X, y, sample_weight, X_val, y_val, sample_weight_val, resume_from):
        """``fit``, which subclasses describe with their own y."""
        sizes = check_parameters(self)
        tasks = FitTasks(self, X, y, sample_weight)
        goes_on = bool(self.warm_start) and hasattr(self, "_trained")
        with unchanged_on_error(self):
            data, rng = self._prepare(sizes, X, y, sample_weight, goes_on)
            validation = self._read_validation(X_val, y_val, sample_weight_val)
            if validation is None and self.early_stopping:
                labels = self._labels_to_stratify(data.target)
                data, validation = split_off_validation(data, self.validation_fraction, labels, rng)
            vars(self).pop("_continuation", None)
            hooks = tasks.hooks(lambda history: self._learned(history, validation, goes_on))
            history = self._train(data, validation, rng, goes_on, on_epoch=hooks, resume_from=resume_from)
        self._say_how_it_ended(history)
        tasks.end()
        return self

    def _say_how_it_ended(self, history):
        """Warn where training stopped before it converged."""
        if history.stopped == "interrupt":
            warnings.warn("Training interrupted by user.", stacklevel=5)
        elif history.stopped == "max_iter":
            what = "validation score still rises" if self.early_stopping else "loss still falls"
            warnings.warn(
                f"the {what} after max_iter = {self.max_iter} epochs (by more than tol = {self.tol} "
                f"within n_iter_no_change = {self.n_iter_no_change} epochs)",
                ConvergenceWarning,
                stacklevel=5,
            )

    def _fit_part(self, X, y, sample_weight, classes=None):
        """One epoch on some data, going on from the weights and the moments of the call before."""
        if self.early_stopping:
            raise ValueError("early_stopping is True, expected False for partial_fit, which is one epoch")
        sizes = check_parameters(self)
        goes_on = hasattr(self, "_trained")
        with unchanged_on_error(self):
            data, rng = self._prepare(sizes, X, y, sample_weight, goes_on, classes)
            check_endless(self)
            self._continuation = continuation_of(self)
            self._train(data, None, rng, goes_on, continuation=self._continuation)
        return self

    def _prepare(self, sizes, X, y, sample_weight, goes_on, classes=None):
        """Check and read everything, and make the network unless training goes on with the present one."""
        data = self._read(X, y, sample_weight, "sample_weight", not goes_on, classes)
        if goes_on:
            check_dtype(self.dtype, self._trained, "the network that training goes on with")
            check_same(make_network(self, sizes, np.random.default_rng(0)), self._trained)
            rng = self._later_generator()
        else:
            rng = as_generator(self.random_state)
            self._trained = make_network(self, sizes, rng)
        if self.bptt_window is not None:
            check_windows(self._trained)
        return data, rng

    def _later_generator(self):
        """Random numbers for training that goes on: others than before, and decided by ``random_state`` too."""
        if isinstance(self.random_state, (int, np.integer)):
            return np.random.default_rng([int(self.random_state), self.n_iter_])
        return as_generator(self.random_state)

    def _read(self, X, y, sample_weight, weight_name, reset, classes=None):
        sequences = self._read_x(X, reset, self._weight_of_sequences(sample_weight), weight_name)
        target = self._read_target(y, reset, classes)
        self._check_fit(sequences, target)
        weight = self._read_weights(weight_name, sample_weight, sequences)
        return Labelled(sequences, target, self._weigh_classes(target, weight)).used()

    def _read_x(self, X, reset, sample_weight=None, weight_name=""):
        """X as the network reads it: features, or tokens where it begins with an Embedding."""
        if reset:
            for name in ("vocabulary_", "feature_names_in_", "_reads_vectors"):  # of another fit
                vars(self).pop(name, None)
        if self.embedding_dim is not None if reset else hasattr(self, "vocabulary_"):
            return read_tokens(self, X, reset=reset, sample_weight=sample_weight, weight_name=weight_name)
        network = self.network if reset else self._trained
        table = None if network is None else table_of(network)
        if reset and network is not None and not self._per_step and reads_vectors(network):
            self._reads_vectors = True
        if table is None:
            return self._one_step_each(read_sequences(self, X, reset=reset))
        return read_indices(self, X, table.num_embeddings, reset=reset, dtype=network.dtype)

    def _one_step_each(self, sequences):
        """Check that there is no time where the network knows none."""
        longest = max(map(len, sequences)) if self._reads_vectors else 1
        if longest > 1:
            raise ValueError(
                f"X has sequences of up to {longest} steps, expected n_timesteps = 1: network has no recurrent layer "
                "and no pooling, and maps one vector to one output"
            )
        return sequences

    def _read_validation(self, X, y, sample_weight):
        if X is None and y is None and sample_weight is None:
            return None
        if X is None or y is None:
            raise ValueError(f"{'X_val' if X is None else 'y_val'} is None, expected X_val and y_val together")
        try:
            return self._read(X, y, sample_weight, "sample_weight_val", False)
        except (TypeError, ValueError) as error:
            raise type(error)(f"X_val, y_val: {error}") from error

    def _train(self, data, validation, rng, goes_on, **options):
        """Train and publish what that leaves behind."""
        try:
            history = run_training(self, data, validation, rng=rng, **options)
        except NonFiniteLossError as error:
            vars(self).update(self._learned(error.history, validation, goes_on))
            raise
        vars(self).update(self._learned(history, validation, goes_on))
        return history

    def _learned(self, history, validation, goes_on):
        """The attributes that a training with this history leaves behind, by name."""
        losses = (self.loss_curve_ if goes_on else []) + history.loss_curve
        watched = validation is not None
        return {
            "loss_curve_": losses,
            "grad_norm_curve_": (self.grad_norm_curve_ if goes_on else []) + history.grad_norm_curve,
            "loss_": losses[-1] if losses else float("nan"),
            "best_loss_": min(losses, default=float("nan")),
            "n_iter_": len(losses),
            "validation_scores_": list(history.validation_curve) if watched else None,
            "validation_loss_curve_": list(history.validation_loss_curve) if watched else None,
            "best_validation_score_": max(history.validation_curve, default=float("nan")) if watched else None,
        }

    @property
    def network_(self):
        """The trained network, a copy of its own: `Network`, batch first."""
        if not hasattr(self, "_trained"):
            raise AttributeError(f"this {type(self).__name__} has no network_ yet: call fit first")
        return Network(self._trained, batch_first=True)

    # predicting

    def _run(self, X):
        """The network's raw outputs for X: ndarray of shape (n_samples, n_outputs), or one for each step."""
        check_is_fitted(self)
        return self._outputs(self._trained, self._read_x(X, reset=False))

    def _outputs(self, network, sequences):
        return outputs(network, sequences, self.n_outputs_, self.n_threads)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        reads_tokens = self.embedding_dim is not None
        tags.input_tags.three_d_array = not reads_tokens
        tags.input_tags.string = tags.input_tags.categorical = reads_tokens
        return tags


def with_default_cell(base, cell):
    """The ``__init__`` of a subclass of ``base`` that differs in the default of ``cell`` alone."""
    return derived_init(base, defaults={"cell": cell})
