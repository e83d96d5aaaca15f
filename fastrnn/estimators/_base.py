"""What the classifier and the regressor share: fitting, and running the network."""

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from ..init import as_generator
from ..models import many_to_one
from ..training import NonFiniteLossError
from ._fitting import Labelled, run_training, split_off_validation, unchanged_on_error
from ._input import read_sequences, read_weights
from ._parameters import Parameters, check_parameters, derived_init
from ._predicting import outputs
from ._solver import check_endless, continuation_of


class BaseRNN(Parameters):
    """Fitting and running; subclasses know the target and the loss."""

    # for subclasses

    def _read_target(self, y, reset, classes=None):
        """Check y and return the target for the loss.

        With ``reset`` also set ``n_outputs_`` and what y teaches, ``classes`` being all labels there will be.
        """
        raise NotImplementedError

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

    def fit(self, X, y, sample_weight=None, *, X_val=None, y_val=None, sample_weight_val=None):
        """Train on sequences.

        Parameters
        ----------
        X : array_like of shape (n_samples, n_timesteps) or (n_samples, n_timesteps, n_features), or list of \
arrays of shape (n_timesteps_i, n_features)
            Finite numbers; no sequence may be empty. 2-D X has one feature a step.
        y : array_like of shape (n_samples,) or (n_samples, n_outputs)
            Labels or numbers; two axes in regression, and in classification with several labels a sequence
            (0 or 1 each).
        sample_weight : array_like of shape (n_samples,), optional
            Weights >= 0. The loss of a batch is the weighted mean of its sequences' losses; a weight of 0 is
            as if the sequence had not been given. A whole number is as if it had been given that often,
            exactly so where one batch holds all, on average where several do.
        X_val, y_val, sample_weight_val : as X, y and sample_weight, optional
            Validation data, never trained on. Without them ``early_stopping`` splits off a part of X.

        Returns
        -------
        self
            Fitted.

        Raises
        ------
        ValueError
            Where X holds NaN or infinities, a sequence is empty, sizes do not fit, or a parameter is out of
            its range.
        NonFiniteLossError
            Where the loss or a gradient stops being finite. ``network_`` then holds the best weights with
            which all was finite, and predicts.
        """
        goes_on = bool(self.warm_start) and hasattr(self, "network_")
        with unchanged_on_error(self):
            data, rng = self._prepare(X, y, sample_weight, goes_on)
            validation = self._read_validation(X_val, y_val, sample_weight_val)
            if validation is None and self.early_stopping:
                labels = self._labels_to_stratify(data.target)
                data, validation = split_off_validation(data, self.validation_fraction, labels, rng)
            vars(self).pop("_continuation", None)
        history = self._train(data, validation, rng, goes_on)
        if history.stopped == "interrupt":
            warnings.warn("Training interrupted by user.", stacklevel=2)
        elif history.stopped == "max_iter":
            what = "validation score still rises" if self.early_stopping else "loss still falls"
            warnings.warn(
                f"the {what} after max_iter = {self.max_iter} epochs (by more than tol = {self.tol} "
                f"within n_iter_no_change = {self.n_iter_no_change} epochs)",
                ConvergenceWarning,
                stacklevel=2,
            )
        return self

    def _fit_part(self, X, y, sample_weight, classes=None):
        """One epoch on some data, going on from the weights and the moments of the call before."""
        if self.early_stopping:
            raise ValueError("early_stopping is True, expected False for partial_fit, which is one epoch")
        goes_on = hasattr(self, "network_")
        with unchanged_on_error(self):
            data, rng = self._prepare(X, y, sample_weight, goes_on, classes)
            check_endless(self)
            self._continuation = continuation_of(self)
        self._train(data, None, rng, goes_on, self._continuation)
        return self

    def _prepare(self, X, y, sample_weight, goes_on, classes=None):
        """Check and read everything, and make the network unless training goes on with the present one."""
        sizes = check_parameters(self)
        data = self._read(X, y, sample_weight, "sample_weight", not goes_on, classes)
        if goes_on:
            self._check_architecture(sizes)
            return data, self._later_generator()
        rng = as_generator(self.random_state)
        self.network_ = self._make_network(sizes, rng)
        return data, rng

    def _later_generator(self):
        """Random numbers for training that goes on: others than before, and decided by ``random_state`` too."""
        if isinstance(self.random_state, (int, np.integer)):
            return np.random.default_rng([int(self.random_state), self.n_iter_])
        return as_generator(self.random_state)

    def _read(self, X, y, sample_weight, weight_name, reset, classes=None):
        sequences = read_sequences(self, X, reset=reset)
        target = self._read_target(y, reset, classes)
        check_consistent_length(sequences, target)
        weight = read_weights(weight_name, sample_weight, len(target))
        return Labelled(sequences, target, self._weigh_classes(target, weight)).used()

    def _read_validation(self, X, y, sample_weight):
        if X is None and y is None and sample_weight is None:
            return None
        if X is None or y is None:
            raise ValueError(f"{'X_val' if X is None else 'y_val'} is None, expected X_val and y_val together")
        try:
            return self._read(X, y, sample_weight, "sample_weight_val", False)
        except (TypeError, ValueError) as error:
            raise type(error)(f"X_val, y_val: {error}") from error

    def _make_network(self, sizes, rng):
        return many_to_one(
            self._input_size,
            self.n_outputs_,
            cell=self.cell,
            hidden_layer_sizes=sizes,
            activation=self.activation,
            init=self.init,
            bidirectional=self.bidirectional,
            pooling=self.pooling,
            conv_filters=self.conv_filters,
            dropout=self.dropout,
            dtype=self._dtype,
            random_state=rng,
        )

    def _check_architecture(self, sizes):
        """Training goes on with a network only while the parameters describe it."""
        described, present = repr(self._make_network(sizes, np.random.default_rng(0))), repr(self.network_)
        if described != present:
            raise ValueError(
                f"the parameters describe {described}, but training goes on with {present}: "
                "expected fit with warm_start=False, which starts anew"
            )

    def _train(self, data, validation, rng, goes_on, continuation=None):
        """Train and publish what that leaves behind."""
        try:
            history = run_training(self, data, validation, rng=rng, continuation=continuation)
        except NonFiniteLossError as error:
            self._keep(error.history, validation, goes_on)
            raise
        self._keep(history, validation, goes_on)
        return history

    def _keep(self, history, validation, goes_on):
        self.loss_curve_ = (self.loss_curve_ if goes_on else []) + history.loss_curve
        self.grad_norm_curve_ = (self.grad_norm_curve_ if goes_on else []) + history.grad_norm_curve
        self.loss_ = self.loss_curve_[-1] if self.loss_curve_ else float("nan")
        self.best_loss_ = min(self.loss_curve_, default=float("nan"))
        self.n_iter_ = len(self.loss_curve_)
        self.validation_scores_ = self.validation_loss_curve_ = self.best_validation_score_ = None
        if validation is not None:
            self.validation_scores_ = history.validation_curve
            self.validation_loss_curve_ = history.validation_loss_curve
            self.best_validation_score_ = max(history.validation_curve, default=float("nan"))

    # predicting

    def _run(self, X):
        """The network's raw outputs for X: ndarray of shape (n_samples, n_outputs)."""
        check_is_fitted(self)
        sequences = read_sequences(self, X, reset=False)
        return outputs(self.network_, sequences, self.n_outputs_, self.n_threads)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags


def with_default_cell(base, cell):
    """The ``__init__`` of a subclass of ``base`` that differs in the default of ``cell`` alone."""
    return derived_init(base, defaults={"cell": cell})
