"""RNNForecaster under the contract of estimators: seeds, files, parameters, and what is said of wrong input."""

import copy

import numpy as np
import pytest
from forecaster_cases import FUTURE, MANY, PAST, STRATEGIES, assert_same, fitted, model
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError

import fastrnn
from fastrnn import RNNForecaster
from fastrnn.estimators import _storage
from fastrnn.training import Checkpoint


def test_same_seed_gives_the_same_bits_and_another_does_not():
    one, other, third = (fitted(model(random_state=seed), MANY, PAST) for seed in (0, 0, 1))
    future = [x[:4] for x in FUTURE]
    assert_same(one.predict(X=future), other.predict(X=future))
    assert any((a != b).any() for a, b in zip(one.predict(X=future), third.predict(X=future)))


def test_compute_type_follows_y_and_X():
    assert fitted(model(), [y.astype("float32") for y in MANY]).predict()[0].dtype == np.float32
    y32 = [y.astype("float32") for y in MANY]
    assert fitted(model(), y32, PAST).network_.dtype == np.float64
    assert fitted(model(dtype="float32"), MANY).predict()[0].dtype == np.float32


def test_update_goes_on_from_what_came():
    net = fitted(model(strategy="direct"), [y[:-9] for y in MANY], [x[:-9] for x in PAST])
    weights = net.network_.state_dict()
    once = net.update([y[-9:] for y in MANY], [x[-9:] for x in PAST]).predict(X=[x[:4] for x in FUTURE])
    net = fitted(model(strategy="direct"), [y[:-9] for y in MANY], [x[:-9] for x in PAST])
    for k in range(9):
        net.update([y[len(y) - 9 + k :][:1] for y in MANY], [x[len(x) - 9 + k :][:1] for x in PAST])
    assert_same(once, net.predict(X=[x[:4] for x in FUTURE]))
    net.update([y[:0] for y in MANY], [x[:0] for x in PAST])
    assert_same(once, net.predict(X=[x[:4] for x in FUTURE]))
    assert all((weights[name] == value).all() for name, value in net.network_.state_dict().items())


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("with_x", [False, True])
def test_forecaster_comes_back_from_a_file_bit_for_bit(strategy, with_x, tmp_path):
    X, future = (PAST, [x[:4] for x in FUTURE]) if with_x else (None, None)
    options = {"quantiles": (0.25, 0.5)} if strategy == "direct" else {"difference": "season"}
    net = fitted(model(strategy=strategy, **options), MANY, X)
    fastrnn.save(net, tmp_path / "forecaster.safetensors")
    found = fastrnn.load(tmp_path / "forecaster.safetensors")
    assert type(found) is RNNForecaster and found.get_params() == net.get_params()
    assert_same(found.predict(X=future), net.predict(X=future))
    new = [y[:7] for y in MANY]
    known = [x[:7] for x in FUTURE] if with_x else None
    assert found.score(new, known) == net.score(new, known)
    assert_same(found.update(new, known).predict(X=future), net.update(new, known).predict(X=future))
    with pytest.raises(ValueError, match="initial is 20, expected at least 60"):
        found.backtest(MANY, X, initial=20)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda fitted: fitted.update(n_series_=2), "the numbers of series"),
        (lambda fitted: fitted.update(n_covariates_=1), "n_variables_, n_covariates_"),
        (lambda fitted: fitted.update(_tails=[[], []]), "the set of arrays has the unexpected ._tails.0.0"),
        (lambda fitted: fitted.update(_tails=3), "_tails of RNNForecaster is 3, expected the last steps of series"),
        (lambda fitted: fitted.update(_settled={"dict": []}), "_settled of RNNForecaster is {}"),
        (lambda fitted: fitted.pop("_seen"), "lacks .'_seen'."),
    ],
)
def test_files_that_hold_another_thing_are_refused(change, message):
    arrays = {}
    description = _storage.describe(fitted(model()), arrays)
    change(description["fitted"])
    with pytest.raises(ValueError, match=message):
        _storage.restore(description, arrays)


def test_fit_warns_where_it_is_called_that_the_loss_still_falls():
    with pytest.warns(ConvergenceWarning, match="the loss still falls after max_iter = 2 epochs") as caught:
        model(tol=0.0).fit(MANY)
    assert caught[0].filename == __file__


def test_clone_callbacks_and_warm_start():
    net = fitted(model(max_iter=5, tol=-1.0).set_callbacks(lambda moment: moment.history.n_epochs == 3))
    assert net.n_iter_ == 3 and clone(net).get_params() == net.get_params()
    for scale in ("series", "common", None):
        net = fitted(model(warm_start=True, scale=scale))
        assert len(fitted(net).loss_curve_) == 4
    with pytest.raises(ValueError, match="y has 1 variables, expected 2 as in fit"):
        fitted(net, MANY[0][:, 0])
    for changed in ({"strategy": "direct"}, {"scale": "common"}, {"difference": "last"}):
        with pytest.raises(ValueError, match="expected .* as in the fit before, with warm_start=True"):
            fitted(copy.deepcopy(net).set_params(**changed))
    with pytest.raises(ValueError, match="the parameters describe"):
        fitted(net.set_params(hidden_layer_sizes=(7,)))
    assert len(net.predict()) == 3  # the refused fits have left it as it was


def test_training_resumes_with_the_bits_of_the_uninterrupted_one(tmp_path):
    path = tmp_path / "half"
    whole = fitted(model(max_iter=4))
    fitted(model(max_iter=2).set_callbacks(Checkpoint(path)))
    assert_same(fitted(model(max_iter=4), resume_from=path).predict(), whole.predict())


def test_network_may_be_given_but_must_not_look_ahead():
    own = fastrnn.Sequential(fastrnn.GRU(2 + 3, 6, dtype="float64"), fastrnn.Dense(6, 2, dtype="float64"))
    net = fitted(model(hidden_layer_sizes=(64,), cell="lstm", network=own), MANY, PAST)
    assert net.network_.layers[0].hidden_size == 6 and net.predict(X=[x[:4] for x in FUTURE])[0].shape == (4, 2)
    own = fastrnn.Sequential(fastrnn.GRU(2, 6, bidirectional=True), fastrnn.Dense(12, 2))
    with pytest.raises(ValueError, match="network sees what comes later: .*bidirectional"):
        fitted(model(hidden_layer_sizes=(64,), cell="lstm", network=own))


def test_options_that_make_no_sense_are_not_there():
    for name in ("bidirectional", "pooling", "embedding_dim", "conv_filters", "bptt_window"):
        assert name not in model().get_params()
        with pytest.raises(TypeError, match=f"unexpected keyword argument '{name}'"):
            RNNForecaster(**{name: None})


def test_without_fit_there_is_nothing_to_say():
    calls = {
        "predict": (),
        "update": (MANY,),
        "evaluate": (MANY,),
        "score": (MANY,),
    }
    for name, arguments in calls.items():
        with pytest.raises(NotFittedError):
            getattr(model(), name)(*arguments)
    with pytest.raises(NotFittedError):
        model().backtest(MANY, initial=30)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"horizon": 0}, ValueError, "horizon is 0, expected an integer >= 1"),
        ({"strategy": "both"}, ValueError, "strategy is 'both', expected one of 'recursive', 'direct'"),
        ({"scale": True}, ValueError, "scale is True, expected one of 'series', 'common', None"),
        ({"difference": "first"}, ValueError, "difference is 'first'"),
        ({"difference": "season", "season": None}, ValueError, "season is None, expected its number of steps"),
        ({"season": 1}, ValueError, "season is 1, expected an integer >= 2"),
        ({"quantiles": (0.5,)}, ValueError, r"quantiles is \(0.5,\), expected None with strategy = 'recursive'"),
        ({"quantiles": (0.5, 1.0), "strategy": "direct"}, ValueError, r"expected a sequence of numbers in \(0, 1\)"),
        ({"quantiles": (0.5, 0.1), "strategy": "direct"}, ValueError, "expected each above the one before"),
        ({"stride": 6}, ValueError, "stride is 6, expected at most half of window = 10"),
        ({"window": 2.5}, TypeError, "window is 2.5"),
    ],
)
def test_parameters_out_of_range_are_named(options, error, message):
    with pytest.raises(error, match=message):
        fitted(model(**options))


def spoiled(value):
    y = [y.copy() for y in MANY]
    y[1][17, 1] = value
    return y


@pytest.mark.parametrize(
    ("y", "X", "message"),
    [
        (spoiled(np.nan), None, r"y\[1\] contains NaN at step 17, column 1 \(1 in all\)"),
        (spoiled(np.inf), None, r"y\[1\] contains inf at step 17, column 1"),
        (MANY, [x[:40] for x in PAST], r"X\[0\] has 40 steps, expected those of y\[0\], 60"),
        (MANY, PAST[:2], "X has 2 series, expected 3, those of y"),
        (MANY, PAST[0], "X is one array, expected a list of 3, one for each series of y"),
        (MANY[0], PAST[:1], "X is a list of 1, expected one array, as y is one series"),
        ([MANY[0], MANY[1][:, 0]], None, r"y\[1\] has shape \(47,\), expected \(n_timesteps, \*\(2,\)\) as y\[0\] has"),
        ([], None, "y is empty, expected at least one series"),
        (np.zeros((3, 4, 5, 6)), None, r"y has shape \(3, 4, 5, 6\)"),
        (MANY[0][:3], None, "y has 3 steps, expected at least 4"),
    ],
)
def test_what_is_wrong_with_series_is_named(y, X, message):
    with pytest.raises(ValueError, match=message):
        fitted(model(), y, X)


def test_what_is_no_number_is_named():
    for y in ("text", None, np.array(["a", "b"]), [["a", "b"]]):
        with pytest.raises(TypeError, match=r"^y(\[0\])? "):
            fitted(model(), y)


def test_validation_parts_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match="y_val is None, expected y_val and X_val together"):
        fitted(model(), MANY, PAST, X_val=FUTURE)
    with pytest.raises(ValueError, match=r"y_val\[0\] has 2 steps, expected at least 4"):
        fitted(model(strategy="direct"), MANY, y_val=[y[:2] for y in MANY])
    with pytest.raises(ValueError, match="X_val is None, expected 3 covariates as in fit"):
        fitted(model(), MANY, PAST, y_val=MANY)
    with pytest.raises(ValueError, match="y has 6 steps for training, expected at least 8"):
        fitted(model(strategy="direct", difference="season", early_stopping=True), MANY[0][:10])


def test_what_is_wrong_with_the_horizon_is_named():
    net = fitted(model(strategy="direct"), MANY[0], PAST[0])
    with pytest.raises(ValueError, match=r"X is None, expected the covariates of the horizon, of shape .* = \(4, 3\)"):
        net.predict()
    with pytest.raises(ValueError, match=r"X has shape \(3, 3\), expected \(n_rows, n_covariates\) = \(4, 3\)"):
        net.predict(3, FUTURE[0][:3])
    with pytest.raises(ValueError, match="horizon is 5, expected at most that of fit, 4, with 'direct'"):
        net.predict(5, FUTURE[0][:5])
    with pytest.raises(ValueError, match="X is given, expected None: fit had no covariates"):
        fitted(model(), MANY[0]).predict(X=FUTURE[0])
    with pytest.raises(ValueError, match="y is a list of 3, expected one array, as y of fit is one series"):
        net.update(MANY, PAST)
    with pytest.raises(ValueError, match="X is None, expected 3 covariates as in fit"):
        net.update(MANY[0])
