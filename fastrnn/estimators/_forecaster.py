"""What comes next in one or many series."""

import zlib
from dataclasses import asdict

import numpy as np
from sklearn.callback import with_callbacks
from sklearn.metrics import r2_score
from sklearn.utils.validation import check_is_fitted

from .._validation import check_choice, check_quantiles, check_size
from ..losses import squared_error
from ._base import BaseRNN
from ._callbacks import FitTasks
from ._doc import with_parameters
from ._fitting import unchanged_on_error
from ._forecasting import Pinball, Plan, Scaling, context_at, forecasts, learn_scaling, training_windows
from ._input import compute_dtype
from ._parameters import check_parameters, derived_init
from ._rolling import RollingOrigins
from ._series import Layout, Panel, check_lengths, check_like, check_range, read_future, read_panel
from ._steps import joined, per_step

_ADDED = {
    **{"horizon": 1, "strategy": "recursive", "quantiles": None, "scale": "series", "difference": None, "season": None},
    **{"window": 64, "stride": None},
}


@with_parameters
class RNNForecaster(RollingOrigins, BaseRNN):
    """Recurrent network that says how series go on: one or many, of one or several variables, with known covariates.

    The network reads ``window`` steps of a series and says, at every one of them, what comes next. It is trained on
    windows cut from all series (these are the sequences that the parameters below speak of), with half the mean squared
    error, or with the pinball loss of ``quantiles``, over all steps of a window. Series are scaled by what the training
    part says of them, and forecasts come back in the units of y.

    Parameters
    ----------
    {parameters}
    horizon : int, default=1
        Steps that ``predict`` gives where it is not told otherwise; of strategy "direct" those that are learnt.
    strategy : {"recursive", "direct"}, default="recursive"
        "recursive" learns the next step, and feeds what it says back for any horizon. "direct" learns the next
        ``horizon`` steps at once, and reads the covariates of all of them.
    quantiles : sequence of float in (0, 1) or None, default=None
        Learn these quantiles of what comes, in ascending order, in place of its mean. With strategy "direct" alone:
        a fed back quantile would say nothing about the quantiles of later steps.
    scale : {"series", "common", None}, default="series"
        Every variable is brought to mean 0 and variance 1 in each series, or in all series together, or stays as it
        is. Covariates, with either, by their mean and variance in all series together.
    difference : {"last", "season", None}, default=None
        Read and learn differences, to the step before or to that of one season before, so that the network says how
        far the naive forecast is off: for series that drift away from all levels seen in training.
    season : int or None, default=None
        Steps of a season: of ``difference``, of the seasonal naive forecast beside every figure, and of MASE.
    window : int, default=64
        Steps that are read before a forecast, or all where there are fewer; longest training sequence.
    stride : int or None, default=None
        Steps from one training window to the next on average, at most half of ``window``; None is an eighth of it.
    network : Sequential or None, default=None
        A network to train instead of the one that the parameters above describe, which then must have their defaults.
        It maps (seq_len, batch_size, n_variables + steps_at_once * n_covariates) to an output a step, steps_at_once *
        n_variables * n_quantiles numbers in this order of axes, where steps_at_once is ``horizon`` for "direct" and 1
        for "recursive". It must not see what comes later.
    early_stopping : bool, default=False
        Stop by the score on validation data, and keep the weights of the best: R^2 of the scaled values, mean over
        outputs; with quantiles, minus the pinball loss. The data are ``y_val, X_val`` of ``fit``, else the end of each
        series, of which nothing is in the scaling.
    validation_fraction : float, default=0.1
        Share of each series that this end has, in (0, 1), and at least steps_at_once steps.

    Attributes
    ----------
    n_series_, n_variables_, n_covariates_ : int
        Of ``fit``.
    {attributes}

    See Also
    --------
    RNNTagger : Numbers or labels for every step of a sequence that is known.

    Examples
    --------
    >>> import warnings
    >>> import numpy as np
    >>> from fastrnn import RNNForecaster
    >>> t = np.arange(240)
    >>> y = 20 + 5 * np.sin(2 * np.pi * t / 12) + np.random.default_rng(0).normal(scale=0.5, size=240)
    >>> options = {"cell": "gru", "learning_rate_init": 0.01, "max_iter": 40, "random_state": 0}
    >>> model = RNNForecaster((16,), horizon=12, season=12, window=24, **options)
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")  # 40 epochs are few
    ...     model = model.fit(y[:200])
    >>> model.predict().shape, model.predict(30).shape
    ((12,), (30,))
    >>> report = model.evaluate(y[200:])
    >>> report.figures["MAE"]["model"] < report.figures["MAE"]["seasonal_naive"] < report.figures["MAE"]["persistence"]
    True
    """

    __init__ = derived_init(
        BaseRNN,
        added=_ADDED,
        removed=("bidirectional", "pooling", "embedding_dim", "conv_filters", "bptt_window"),
    )

    pooling = embedding_dim = conv_filters = bptt_window = None
    bidirectional = False
    _per_step = True
    _outputs_are = "one number for each step, variable and quantile that are forecast at once"

    # fitting

    @with_callbacks
    def fit(self, y, X=None, *, y_val=None, X_val=None, resume_from=None):
        """Train on series.

        Parameters
        ----------
        y : array_like of shape (n_timesteps,) or (n_timesteps, n_variables), or a list of such series
            One series, or many of any lengths, finite and a step apart. Data frames too, a column each variable. A list
            of numbers is one series.
        X : array_like of shape (n_timesteps,) or (n_timesteps, n_covariates), or a list of such, optional
            Covariates that are known beforehand, of the same steps: of a calendar, prices, plans.
        y_val, X_val : as y and X, optional
            Validation data, never trained on: how each series goes on. Without them ``early_stopping`` holds back the
            end of each series. ``predict`` goes on from the end of y in any case.
        resume_from : path, optional
            As in `RNNClassifier.fit`.

        Returns
        -------
        self
            Fitted.

        Raises
        ------
        ValueError
            Where y or X holds NaN or infinities, a series is too short, lengths do not fit, a parameter is out of its
            range, or ``resume_from`` is the file of another training or damaged.
        NonFiniteLossError
            Where the loss or a gradient stops being finite.
        """
        return self._fit(y, X, y_val, X_val, resume_from)

    def _fit(self, y, X, y_val, X_val, resume_from):
        sizes = check_parameters(self)
        plan = self._settle()
        tasks = FitTasks(self, y, X, None)
        goes_on = bool(self.warm_start) and hasattr(self, "_trained")
        with unchanged_on_error(self):
            (windows, validation), rng = self._prepare(sizes, (y, y_val), (X, X_val), plan, goes_on)
            hooks = tasks.hooks(lambda history: self._learned(history, validation, goes_on))
            history = self._train(windows, validation, rng, goes_on, on_epoch=hooks, resume_from=resume_from)
        self._say_how_it_ended(history)
        tasks.end()
        return self

    def _settle(self):
        """Check the parameters that other estimators do not have; return the `Plan`."""
        horizon, window = check_size("horizon", self.horizon), check_size("window", self.window)
        check_choice("strategy", self.strategy, ("recursive", "direct"))
        check_choice("scale", self.scale, ("series", "common", None))
        check_choice("difference", self.difference, ("last", "season", None))
        season = None if self.season is None else check_size("season", self.season, 2)
        if self.difference == "season" and season is None:
            raise ValueError("season is None, expected its number of steps with difference = 'season'")
        quantiles = None if self.quantiles is None else tuple(check_quantiles(self.quantiles).tolist())
        if quantiles and list(quantiles) != sorted(set(quantiles)):
            raise ValueError(f"quantiles is {self.quantiles!r}, expected each above the one before")
        if quantiles and self.strategy == "recursive":
            raise ValueError(
                f"quantiles is {self.quantiles!r}, expected None with strategy = 'recursive', which feeds one value "
                "back; strategy = 'direct' gives quantiles"
            )
        stride = max(1, window // 8) if self.stride is None else check_size("stride", self.stride)
        if stride > max(1, window // 2):
            raise ValueError(f"stride is {stride}, expected at most half of window = {window}")
        if self.network is not None:
            try:
                self.network.stepper(1)
            except ValueError as error:
                raise ValueError(f"network sees what comes later: {error}") from None
        lag = {None: 0, "last": 1, "season": season}[self.difference]
        return Plan(horizon, self.strategy, quantiles, lag, season, window, stride, self.scale)

    def _read(self, y, X, plan, weight_name, reset, classes=None):
        """Windows for training and for validation (or None), from (y, y_val) and (X, X_val)."""
        (y, y_val), (X, X_val) = y, X
        panel, known = read_panel(y, X), None
        if reset:
            self._dtype = compute_dtype(self.dtype, [np.float32 if panel.is_float32 else np.float64])
            self._dtype = self._dtype if self.network is None else self.network.dtype
            check_range(panel, self._dtype)
        else:
            check_like(panel, self._layout)
            _check_goes_on(plan, self._plan)
            known = self._scaling
        training, whole = self._split(panel, y_val, X_val, plan)
        scaling = learn_scaling(training, plan, known)
        self._adopt(panel, panel if whole is None else whole, plan, scaling)
        windows = training_windows(training, scaling, plan, self._dtype)
        if whole is None:
            return windows, None
        return windows, training_windows(whole, scaling, plan, self._dtype, training.lengths)

    def _split(self, panel, y_val, X_val, plan):
        """The part to train on, and with validation data that part together with them."""
        whole = None
        if y_val is not None:
            held = read_panel(y_val, X_val, "y_val", "X_val")
            check_like(held, panel.layout, len(panel), "y_val", "X_val")
            check_lengths("y_val", held, plan.leads)
            whole = panel.joined(held)
        elif X_val is not None:
            raise ValueError("y_val is None, expected y_val and X_val together")
        elif self.early_stopping:
            held = [max(int(np.ceil(self.validation_fraction * n)), plan.leads) for n in panel.lengths]
            whole, panel = panel, panel.cut([max(0, n - h) for n, h in zip(panel.lengths, held)])
        check_lengths("y", panel, plan.shortest, what=" for training" if self.early_stopping and y_val is None else "")
        return panel, whole

    def _adopt(self, panel, whole, plan, scaling):
        """Keep what a fitted forecaster needs of its series, and how to know them again, with validation data too."""
        layout = panel.layout
        self._settled = {"plan": asdict(plan), "layout": asdict(layout), "scaling": asdict(scaling)}
        known = {(i, len(y), zlib.crc32(y.tobytes())) for part in (panel, whole) for i, y in enumerate(part.y)}
        self._seen = sorted(known)
        self._remember(panel.y, panel.x, plan)
        self.n_series_, self.n_variables_, self.n_covariates_ = len(panel), layout.n_variables, layout.n_covariates
        self._input_size, self.n_outputs_ = plan.sizes(layout)
        self.n_features_in_ = layout.n_variables

    def _remember(self, y, x, plan):
        self._tails = [[part[-plan.memory :].copy() for part in parts] for parts in (y, x)]

    @property
    def _plan(self):
        return Plan(**self._settled["plan"])

    @property
    def _layout(self):
        return Layout(**self._settled["layout"])

    @property
    def _scaling(self):
        return Scaling(**self._settled["scaling"])

    # what BaseRNN asks for

    @property
    def _loss(self):
        quantiles = self._plan.quantiles
        return Pinball(quantiles) if quantiles else squared_error

    def _score_outputs(self, output, target, sample_weight):
        output, target, weight = joined(output), joined(target), per_step(sample_weight, target)
        if self._plan.quantiles:
            return -self._loss(output, target, *(() if weight is None else (weight,)))[0]
        counts = slice(None) if weight is None else weight > 0.0
        return r2_score(target[counts], output[counts])

    # answers

    def predict(self, horizon=None, X=None):
        """What comes after the end of each series of ``fit``, and of what ``update`` added.

        Parameters
        ----------
        horizon : int, optional
            Steps; by default those of ``fit``, of which strategy "direct" has no more.
        X : array_like of shape (horizon, n_covariates), or a list of such, optional
            Known covariates of these steps, where ``fit`` had some; for strategy "direct", which reads all of them at
            once, those of the horizon of ``fit`` in any case.

        Returns
        -------
        y : ndarray of shape (horizon,) or (horizon, n_variables), as y of ``fit``; or a list of such
            With quantiles one axis more, (..., n_quantiles), ascending. In the units of y. A series' forecast does not
            depend on the others.

        Raises
        ------
        ValueError
            Where the horizon is longer than that of "direct", or X does not fit it.
        """
        check_is_fitted(self)
        plan, layout, scaling = self._plan, self._layout, self._scaling
        n_steps = self._steps(horizon)
        future = read_future(X, layout, self.n_series_, plan.rows(n_steps))
        contexts = [
            context_at(y, np.concatenate([x, ahead]), len(y), len(ahead), scaling.mean[i], scaling.scale[i], plan)
            for i, (y, x, ahead) in enumerate(zip(*self._tails, future))
        ]
        found = forecasts(self, contexts, scaling, n_steps)
        if layout.flat:
            found = found[:, :, 0]
        return found[0] if layout.single else list(found)

    def _steps(self, horizon):
        plan = self._plan
        n_steps = plan.horizon if horizon is None else check_size("horizon", horizon)
        if plan.strategy == "direct" and n_steps > plan.horizon:
            raise ValueError(f"horizon is {n_steps}, expected at most that of fit, {plan.horizon}, with 'direct'")
        return n_steps

    def update(self, y, X=None):
        """Take note of steps that have come, without training: ``predict`` goes on from there.

        Parameters
        ----------
        y, X
            How each series of ``fit`` went on, in the form of ``fit``; a part may be empty.

        Returns
        -------
        self
        """
        whole = self._continued(y, X)
        self._remember(whole.y, whole.x, self._plan)
        return self

    def _continued(self, y, X):
        """What is remembered of the series, and how they go on."""
        check_is_fitted(self)
        panel = read_panel(y, X)
        check_like(panel, self._layout, self.n_series_)
        return Panel(*self._tails, panel.layout, panel.is_float32).joined(panel)


def _check_goes_on(plan, present):
    """Check that inputs and outputs of a network mean what they meant to the fit before."""
    for name in ("strategy", "leads", "quantiles", "lag", "scale"):
        new, old = getattr(plan, name), getattr(present, name)
        if new != old:
            shown = {"leads": "horizon", "lag": "the lag of difference"}.get(name, name)
            raise ValueError(f"{shown} is {new!r}, expected {old!r} as in the fit before, with warm_start=True")
