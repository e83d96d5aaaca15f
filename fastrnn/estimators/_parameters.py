"""The parameters that all estimators share, and what they may be."""

import inspect
import math
from numbers import Real

import numpy as np
from sklearn.base import BaseEstimator

from .._validation import check_choice, check_fraction, check_size
from ..models import CELLS
from ..models.recurrent import POOLINGS
from ._network import check_network

SOLVERS = ("adam", "adamw", "rmsprop", "sgd")
LEARNING_RATES = ("constant", "invscaling", "adaptive", "step", "exponential", "cosine", "onecycle", "plateau")


class Parameters(BaseEstimator):
    """Holds the parameters, nothing else."""

    def __init__(
        self,
        hidden_layer_sizes=(64,),
        activation="tanh",
        *,
        cell="lstm",
        init="default",
        bidirectional=False,
        pooling="last",
        embedding_dim=None,
        conv_filters=None,
        dropout=0.0,
        recurrent_dropout=0.0,
        zoneout=0.0,
        layer_norm=False,
        learn_initial_state=False,
        proj_size=0,
        network=None,
        solver="adam",
        alpha=0.0001,
        batch_size="auto",
        learning_rate="constant",
        learning_rate_init=0.003,
        power_t=0.5,
        max_iter=100,
        shuffle=True,
        random_state=None,
        tol=1e-4,
        verbose=False,
        warm_start=False,
        momentum=0.9,
        nesterovs_momentum=True,
        early_stopping=False,
        validation_fraction=0.1,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-8,
        n_iter_no_change=10,
        max_grad_norm=1.0,
        max_grad_value=None,
        accumulate_steps=1,
        bptt_window=None,
        dtype="auto",
        n_threads=None,
    ):
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.cell = cell
        self.init = init
        self.bidirectional = bidirectional
        self.pooling = pooling
        self.embedding_dim = embedding_dim
        self.conv_filters = conv_filters
        self.dropout = dropout
        self.recurrent_dropout = recurrent_dropout
        self.zoneout = zoneout
        self.layer_norm = layer_norm
        self.learn_initial_state = learn_initial_state
        self.proj_size = proj_size
        self.network = network
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.max_grad_norm = max_grad_norm
        self.max_grad_value = max_grad_value
        self.accumulate_steps = accumulate_steps
        self.bptt_window = bptt_window
        self.dtype = dtype
        self.n_threads = n_threads


def check_parameters(estimator):
    """Check all parameters; return the hidden sizes as a tuple."""
    sizes = estimator.hidden_layer_sizes
    sizes = tuple(sizes) if isinstance(sizes, (tuple, list, np.ndarray)) else (sizes,)
    if not sizes:
        raise ValueError("hidden_layer_sizes is empty, expected at least one size")
    sizes = tuple(check_size(f"hidden_layer_sizes[{k}]", size) for k, size in enumerate(sizes))
    _check_choices(estimator)
    for name in ("dropout", "recurrent_dropout", "zoneout"):
        check_fraction(name, getattr(estimator, name))
    for name in ("bidirectional", "layer_norm", "learn_initial_state"):
        check_flag(name, getattr(estimator, name))
    check_size("proj_size", estimator.proj_size, 0)
    if not (isinstance(estimator.batch_size, str) and estimator.batch_size == "auto"):
        check_size("batch_size", estimator.batch_size)
    for name in ("max_iter", "n_iter_no_change", "accumulate_steps"):
        check_size(name, getattr(estimator, name))
    for name in ("n_threads", "bptt_window", "embedding_dim"):
        if getattr(estimator, name) is not None:
            check_size(name, getattr(estimator, name))
    _check_numbers(estimator)
    _check_windows(estimator)
    check_network(estimator)
    return sizes


def _check_windows(estimator):
    """Truncated back-propagation is for networks that hand the last state on, and does not reach the first one."""
    if estimator.bptt_window is None:
        return
    pooling = "last" if estimator.pooling is not None else None
    needed = {"pooling": pooling, "bidirectional": False, "conv_filters": None, "learn_initial_state": False}
    for name, expected in needed.items():
        value = getattr(estimator, name)
        if value != expected:
            raise ValueError(f"{name} is {value!r}, expected {expected!r} with bptt_window = {estimator.bptt_window}")


def check_flag(name, value):
    if not isinstance(value, (bool, int, np.bool_)) or value not in (0, 1):
        raise TypeError(f"{name} is {value!r} ({type(value).__name__}), expected True or False")


def _check_choices(estimator):
    check_choice("cell", estimator.cell, tuple(CELLS))
    check_choice("activation", estimator.activation, ("tanh", "relu"))
    if estimator.activation != "tanh" and estimator.cell != "rnn":
        raise ValueError(f"activation is {estimator.activation!r}, which cell 'rnn' has and {estimator.cell!r} has not")
    check_choice("init", estimator.init, ("default", "glorot", "orthogonal", "identity"))
    if estimator.pooling is not None:
        check_choice("pooling", estimator.pooling, POOLINGS)
    if estimator.solver == "lbfgs":
        raise ValueError("solver is 'lbfgs', which needs the whole data in one batch and is not offered")
    check_choice("solver", estimator.solver, SOLVERS)
    if isinstance(estimator.learning_rate, type) or not callable(estimator.learning_rate):
        try:
            check_choice("learning_rate", estimator.learning_rate, LEARNING_RATES)
        except ValueError as error:
            raise ValueError(f"{error} or an object of fastrnn.schedules") from None


def _check_numbers(estimator):
    bounds = {
        "learning_rate_init": {"above": 0.0},
        "power_t": {"least": 0.0},
        "epsilon": {"above": 0.0},
        "alpha": {"least": 0.0},
        "tol": {},
        "momentum": {"least": 0.0, "most": 1.0},
        "beta_1": {"least": 0.0, "below": 1.0},
        "beta_2": {"least": 0.0, "below": 1.0},
        "validation_fraction": {"above": 0.0, "below": 1.0},
    }
    for name in ("max_grad_norm", "max_grad_value"):
        if getattr(estimator, name) is not None:
            bounds[name] = {"above": 0.0}
    for name, bound in bounds.items():
        check_number(name, getattr(estimator, name), **bound)


def check_number(name, value, *, above=None, least=None, below=None, most=None):
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


def derived_init(base, *, added=None, defaults=None, removed=()):
    """The ``__init__`` of a subclass of ``base`` with further parameters, without some, or with other defaults.

    Parameters
    ----------
    base : class
    added : dict of str to object, optional
        Parameters that ``base`` does not have, and their defaults.
    defaults : dict of str to object, optional
        Other defaults of parameters that it has.
    removed : sequence of str
        Parameters of ``base`` that the subclass does not have; it has them as attributes of the class instead.
    """
    added, defaults = added or {}, defaults or {}
    signature = inspect.signature(base.__init__)
    known = [p for p in signature.parameters.values() if p.name not in removed]
    positional = [p.name for p in known if p.kind is p.POSITIONAL_OR_KEYWORD][1:]

    def __init__(self, *args, **kwargs):
        for name in removed:
            if name in kwargs:
                raise TypeError(f"{type(self).__name__}.__init__() got an unexpected keyword argument {name!r}")
        own = {name: kwargs.pop(name, default) for name, default in added.items()}
        unsaid = {name: default for name, default in defaults.items() if name not in positional[: len(args)]}
        base.__init__(self, *args, **{**unsaid, **kwargs})
        for name in removed:
            delattr(self, name)
        for name, value in own.items():
            setattr(self, name, value)

    parameters = [p.replace(default=defaults.get(p.name, p.default)) for p in known]
    parameters += [inspect.Parameter(n, inspect.Parameter.KEYWORD_ONLY, default=d) for n, d in added.items()]
    __init__.__signature__ = signature.replace(parameters=parameters)
    return __init__
