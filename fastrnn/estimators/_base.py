"""What the classifier and the regressor share: the parameters, fitting, and running the network."""

import inspect
import math
import warnings
from numbers import Real

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from .._validation import check_choice, check_fraction, check_size
from ..init import as_generator
from ..models import CELLS, many_to_one
from ..optim import SGD, Adam, AdamW, RMSprop
from ..training import NonFiniteLossError, pad_batch, sequence_lengths, train
from ._input import read_sequences

SOLVERS = ("adam", "adamw", "rmsprop", "sgd")
PREDICT_BYTES = 32 * 2**20  # of the padded input and the recurrent outputs of one batch of predictions


class BaseRNN(BaseEstimator):
    """Parameters and training; subclasses know the target and the loss."""

    def __init__(
        self,
        hidden_layer_sizes=(64,),
        activation="tanh",
        *,
        cell="lstm",
        init="default",
        bidirectional=False,
        pooling="last",
        dropout=0.0,
        solver="adam",
        alpha=0.0001,
        batch_size="auto",
        learning_rate_init=0.003,
        max_iter=100,
        shuffle=True,
        random_state=None,
        tol=1e-4,
        verbose=False,
        momentum=0.9,
        nesterovs_momentum=True,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-8,
        n_iter_no_change=10,
        max_grad_norm=1.0,
        max_grad_value=None,
        dtype="auto",
        n_threads=None,
    ):
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.cell = cell
        self.init = init
        self.bidirectional = bidirectional
        self.pooling = pooling
        self.dropout = dropout
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate_init = learning_rate_init
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.max_grad_norm = max_grad_norm
        self.max_grad_value = max_grad_value
        self.dtype = dtype
        self.n_threads = n_threads

    # for subclasses

    def _read_target(self, y):
        """Check y: (target for the loss, number of network outputs, loss)."""
        raise NotImplementedError

    # fitting

    def fit(self, X, y):
        """Train on sequences.

        Parameters
        ----------
        X : array_like of shape (n_samples, n_timesteps) or (n_samples, n_timesteps, n_features), or list of \
arrays of shape (n_timesteps_i, n_features)
            Finite numbers; no sequence may be empty. 2-D X has one feature a step.
        y : array_like of shape (n_samples,) or, in regression, (n_samples, n_outputs)

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
        sizes = self._check_parameters()
        before = vars(self).copy()
        try:
            sequences = read_sequences(self, X, reset=True)
            target, n_outputs, loss = self._read_target(y)
            check_consistent_length(sequences, target)
            rng = as_generator(self.random_state)
            self.network_ = self._make_network(sizes, n_outputs, rng)
        except Exception:  # an estimator that was fitted goes on as it was
            vars(self).clear()
            vars(self).update(before)
            raise
        self.n_outputs_ = n_outputs
        try:
            history = train(
                self.network_,
                sequences,
                target,
                loss=loss,
                optimizer=self._make_optimizer(),
                batch_size=self._settle_batch_size(len(sequences)),
                max_iter=self.max_iter,
                shuffle=self.shuffle,
                rng=rng,
                alpha=0.0 if self.solver == "adamw" else self.alpha,
                max_grad_norm=self.max_grad_norm,
                max_grad_value=self.max_grad_value,
                tol=self.tol,
                n_iter_no_change=self.n_iter_no_change,
                n_threads=self.n_threads,
                verbose=bool(self.verbose),
            )
        except NonFiniteLossError as error:
            self._keep(error.history)
            raise
        self._keep(history)
        if history.stopped == "interrupt":
            warnings.warn("Training interrupted by user.", stacklevel=2)
        elif history.stopped == "max_iter":
            warnings.warn(
                f"the loss still falls after max_iter = {self.max_iter} epochs (by more than tol = {self.tol} "
                f"within n_iter_no_change = {self.n_iter_no_change} epochs)",
                ConvergenceWarning,
                stacklevel=2,
            )
        return self

    def _make_network(self, sizes, n_outputs, rng):
        return many_to_one(
            self._input_size,
            n_outputs,
            cell=self.cell,
            hidden_layer_sizes=sizes,
            activation=self.activation,
            init=self.init,
            bidirectional=self.bidirectional,
            pooling=self.pooling,
            dropout=self.dropout,
            dtype=self._dtype,
            random_state=rng,
        )

    def _keep(self, history):
        """Publish what the training left behind."""
        self.loss_curve_ = history.loss_curve
        self.grad_norm_curve_ = history.grad_norm_curve
        self.loss_ = history.loss_curve[-1] if history.loss_curve else float("nan")
        self.best_loss_ = min(history.loss_curve, default=float("nan"))
        self.n_iter_ = history.n_epochs

    def _settle_batch_size(self, n_samples):
        if self.batch_size == "auto":  # sixteen updates an epoch where batches of 16 to 200 allow it
            return min(n_samples, 200, max(16, n_samples // 16))
        return min(n_samples, self.batch_size)

    def _make_optimizer(self):
        rate = self.learning_rate_init
        if self.solver == "sgd":
            return SGD(rate, self.momentum, bool(self.nesterovs_momentum and self.momentum))
        if self.solver == "rmsprop":
            return RMSprop(rate, epsilon=self.epsilon)
        if self.solver == "adam":
            return Adam(rate, self.beta_1, self.beta_2, self.epsilon)
        return AdamW(rate, self.beta_1, self.beta_2, self.epsilon, weight_decay=self.alpha, decay_vectors=False)

    def _check_parameters(self):
        """Check all parameters; return the hidden sizes as a tuple."""
        sizes = self.hidden_layer_sizes
        sizes = tuple(sizes) if isinstance(sizes, (tuple, list, np.ndarray)) else (sizes,)
        if not sizes:
            raise ValueError("hidden_layer_sizes is empty, expected at least one size")
        sizes = tuple(check_size(f"hidden_layer_sizes[{k}]", size) for k, size in enumerate(sizes))
        check_choice("cell", self.cell, tuple(CELLS))
        check_choice("activation", self.activation, ("tanh", "relu"))
        if self.activation != "tanh" and self.cell != "rnn":
            raise ValueError(f"activation is {self.activation!r}, which cell 'rnn' has and {self.cell!r} has not")
        check_choice("init", self.init, ("default", "glorot", "orthogonal", "identity"))
        check_choice("pooling", self.pooling, ("last", "mean", "max"))
        if self.solver == "lbfgs":
            raise ValueError("solver is 'lbfgs', which needs the whole data in one batch and is not offered")
        check_choice("solver", self.solver, SOLVERS)
        check_fraction("dropout", self.dropout)
        if not (isinstance(self.batch_size, str) and self.batch_size == "auto"):
            check_size("batch_size", self.batch_size)
        check_size("max_iter", self.max_iter)
        check_size("n_iter_no_change", self.n_iter_no_change)
        if self.n_threads is not None:
            check_size("n_threads", self.n_threads)
        _check_number("learning_rate_init", self.learning_rate_init, above=0.0)
        _check_number("epsilon", self.epsilon, above=0.0)
        _check_number("alpha", self.alpha, least=0.0)
        _check_number("tol", self.tol)
        _check_number("momentum", self.momentum, least=0.0, most=1.0)
        _check_number("beta_1", self.beta_1, least=0.0, below=1.0)
        _check_number("beta_2", self.beta_2, least=0.0, below=1.0)
        for name in ("max_grad_norm", "max_grad_value"):
            if getattr(self, name) is not None:
                _check_number(name, getattr(self, name), above=0.0)
        return sizes

    # predicting

    def _run(self, X):
        """The network's raw outputs for X: ndarray of shape (n_samples, n_outputs)."""
        check_is_fitted(self)
        sequences = read_sequences(self, X, reset=False)
        lengths = sequence_lengths(sequences)
        order = np.argsort(lengths, kind="stable")
        output = np.empty((len(lengths), self.n_outputs_), dtype=self._dtype)
        for indices in _bounded_batches(order, lengths, self._bytes_per_step()):
            x, batch_lengths = pad_batch(sequences, indices, self._dtype)
            output[indices] = self.network_(x, lengths=batch_lengths, n_threads=self.n_threads)[0]
        return output

    def _bytes_per_step(self):
        """Memory that one step of one sequence takes: its input and the widest pair of recurrent outputs."""
        sizes = [layer.output_size for layer in self.network_.layers if layer.is_recurrent]
        return self._dtype.itemsize * (self._input_size + 2 * max(sizes))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags


def _bounded_batches(order, lengths, bytes_per_step):
    """Cut samples, sorted by length, into batches whose padded size stays within PREDICT_BYTES."""
    start = 0
    while start < len(order):
        # the longest comes last: a size that fits for the longest sequence of all fits everywhere,
        # and short batches grow by asking for their own longest
        stop = start + 1
        while stop < len(order):
            larger = min(2 * stop - start, len(order))
            if (larger - start) * int(lengths[order[larger - 1]]) * bytes_per_step > PREDICT_BYTES:
                break
            stop = larger
        yield order[start:stop]
        start = stop


def _check_number(name, value, *, above=None, least=None, below=None, most=None):
    """Check that a parameter is a finite real number within its bounds."""
    if isinstance(value, bool) or not isinstance(value, (Real, np.floating, np.integer)):
        raise TypeError(f"{name} is {value!r} ({type(value).__name__}), expected a number")
    bounds = [
        (above, ">", lambda bound: value > bound),
        (least, ">=", lambda bound: value >= bound),
        (below, "<", lambda bound: value < bound),
        (most, "<=", lambda bound: value <= bound),
    ]
    for bound, symbol, holds in bounds:
        if bound is not None and not holds(bound):
            raise ValueError(f"{name} is {value}, expected {name} {symbol} {bound}")
    if not math.isfinite(value):
        raise ValueError(f"{name} is {value}, expected a finite number")


def with_default_cell(base, cell):
    """The ``__init__`` of a subclass of ``base`` that differs in the default of ``cell`` alone."""
    signature = inspect.signature(base.__init__)

    def __init__(self, *args, **kwargs):
        base.__init__(self, *args, **{"cell": cell, **kwargs})

    parameters = [p.replace(default=cell) if p.name == "cell" else p for p in signature.parameters.values()]
    __init__.__signature__ = signature.replace(parameters=parameters)
    return __init__
