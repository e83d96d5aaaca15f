"""Rolling origins against loops of fit, update and predict, and their figures against the definitions."""

import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.metrics import mean_absolute_error, r2_score
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit, cross_val_score

from fastrnn import RNNForecaster
from fastrnn.metrics import mean_absolute_scaled_error, pinball_loss, root_mean_squared_error

RNG = np.random.default_rng(0)
Y = np.cumsum(RNG.standard_normal((70, 2)), axis=0) * (1, 30) + (0, 500)
X = RNG.standard_normal((70, 1))
MANY = [Y, Y[::-1] * 2, Y[5:60]]
STRATEGIES = ("recursive", "direct")

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def model(**options):
    defaults = {"hidden_layer_sizes": (5,), "cell": "gru", "max_iter": 2, "random_state": 0, "window": 8}
    return RNNForecaster(**{**defaults, "horizon": 3, "season": 5, **options})


# origins


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_backtest_is_a_loop_of_update_and_predict(strategy, early_stopping):
    net = model(strategy=strategy, early_stopping=early_stopping).fit(Y[:40], X[:40])
    report = net.backtest(Y, X, initial=40, step=4)
    known, expected = clone(net).fit(Y[:40], X[:40]), []
    for origin in range(40, 70 - 3 + 1, 4):
        expected.append(known.predict(X=X[origin : origin + 3]))
        known.update(Y[origin : origin + 4], X[origin : origin + 4])
    assert report.origins.tolist() == list(range(40, 68, 4))
    np.testing.assert_array_equal(report.forecasts, expected)
    np.testing.assert_array_equal(report.truths, [Y[o : o + 3] for o in report.origins])
    np.testing.assert_array_equal(report.persistence, [[Y[o - 1]] * 3 for o in report.origins])
    np.testing.assert_array_equal(report.seasonal_naive, [Y[o - 5 : o - 2] for o in report.origins])


def test_backtest_that_refits_is_a_loop_of_fit_and_predict():
    series = [y[:, 0].astype("float32") for y in MANY]  # of 70, 70 and 55 steps
    report = model().backtest(series, initial=50, step=4, horizon=2, refit=True)
    assert [o.tolist() for o in report.origins] == [[50, 54, 58, 62, 66], [50, 54, 58, 62, 66], [50]]
    for k, origin in enumerate(report.origins[0]):
        net = model().fit([y[:origin] for y in series])
        for i, forecast in enumerate(net.predict(2)):
            if origin in report.origins[i]:
                np.testing.assert_array_equal(report.forecasts[i][k], forecast)
    assert report.forecasts[0].dtype == np.float32


def test_seasonal_naive_repeats_the_season_over_a_longer_horizon():
    report = model(horizon=12).fit(Y[:50]).backtest(Y, initial=50)
    for row, origin in zip(report.seasonal_naive, report.origins):
        np.testing.assert_array_equal(row, [Y[origin - 5 + k % 5] for k in range(12)])
    assert model(season=None).fit(Y[:50]).evaluate(Y[50:]).seasonal_naive is None


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_evaluate_goes_on_where_fit_ended_and_changes_nothing(strategy):
    net = model(strategy=strategy).fit(Y[:40], X[:40])
    before = net.predict(X=X[40:43])
    found = net.evaluate(Y[40:], X[40:], step=2, horizon=2)
    expected = net.backtest(Y, X, initial=40, step=2, horizon=2)
    np.testing.assert_array_equal(found.forecasts, expected.forecasts)
    assert found.figures == expected.figures
    assert found.origins.tolist() == [o - 40 for o in expected.origins]
    np.testing.assert_array_equal(net.predict(X=X[40:43]), before)


def test_series_that_fit_has_not_seen_are_scaled_by_their_first_steps():
    net = model(season=None).fit([Y, 3 * Y])
    wave = np.sin(np.arange(60.0))[:, None] * (1, 2)
    one = net.backtest([wave], initial=30).forecasts[0]
    other = net.backtest([100 * wave - 40], initial=30).forecasts[0]
    np.testing.assert_allclose(100 * one - 40, other, rtol=1e-8)


def test_backtest_refuses_steps_that_fit_has_seen():
    net = model().fit(MANY)
    with pytest.raises(ValueError, match="initial is 40, expected at least 55: so many steps of series 1"):
        net.backtest([Y[::-1], Y[5:]], initial=40)
    net.backtest([Y[5:]], initial=56)
    net = model(early_stopping=True).fit(Y[:40], y_val=Y[40:50])
    for seen, least in ((Y[:45], 40), (Y, 50)):
        with pytest.raises(ValueError, match=f"expected at least {least}: so many steps of series 0"):
            net.backtest(seen, initial=30)
    model().fit(MANY).backtest([Y[1:]], initial=40)  # another series


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda net: net.backtest(Y, initial=68), "y has 70 steps, expected at least 71"),
        (lambda net: net.backtest(Y, initial=5, refit=True), "initial is 5, expected more than the 5 of a naive"),
        (lambda net: net.backtest(Y, initial=60, step=0), "step is 0, expected an integer >= 1"),
        (lambda net: net.evaluate(Y[:2]), "y has 2 steps, expected at least 3"),
        (lambda net: net.evaluate(Y[:, 0]), "y has 1 variables, expected 2 as in fit"),
        (lambda net: net.backtest(Y, X, initial=60), "X has 1 covariates, expected None as in fit"),
        (lambda net: net.backtest(Y, initial=60, horizon=0), "horizon is 0, expected an integer >= 1"),
    ],
)
def test_origins_that_cannot_be_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(model().fit(Y[:50]))


# figures


def by_hand(report, training, name):
    """Means over variables of the metrics of one series."""
    truths, said = report.truths.reshape(-1, 2), getattr(report, name).reshape(-1, 2)
    scaled = [mean_absolute_scaled_error(truths[:, v], said[:, v], training[:, v], season=5) for v in range(2)]
    return {
        "MAE": mean_absolute_error(truths, said),
        "RMSE": np.mean([root_mean_squared_error(truths[:, v], said[:, v]) for v in range(2)]),
        "MASE": np.mean(scaled),
        "R2": r2_score(truths, said),
    }


def test_figures_are_those_of_the_definitions_for_the_model_and_both_naive_forecasts():
    report = model().fit(Y[:40]).backtest(Y, initial=40)
    names = {"model": "forecasts", "persistence": "persistence", "seasonal_naive": "seasonal_naive"}
    for column, name in names.items():
        for metric, value in by_hand(report, Y[:40], name).items():
            assert report.figures[metric][column] == pytest.approx(value, rel=1e-10), (metric, column)
            assert report.by_variable[metric][column].mean() == pytest.approx(value, rel=1e-10)
    assert sorted(report.figures["MAE"]) == sorted(names)


def test_a_constant_series_has_figures_too():
    y = np.stack([Y[:, 0], np.full(70, 3.0)], axis=1)
    figures = model().fit(y[:40]).evaluate(y[40:]).by_variable
    assert figures["R2"]["persistence"][1] == 1.0 and figures["R2"]["model"][1] == 0.0
    assert figures["MASE"]["model"][1] == np.inf and np.isnan(figures["MASE"]["persistence"][1])


def test_figures_of_many_series_join_errors_and_average_what_has_no_units():
    net = model().fit([y[:40] for y in MANY])
    report = net.evaluate([y[40:] for y in MANY])
    alone = [net.backtest([y], initial=40) for y in MANY]
    weights = [len(a.forecasts[0]) for a in alone]
    for metric, together in (("MAE", weights), ("MASE", None), ("R2", None)):
        expected = np.average([a.figures[metric]["model"] for a in alone], weights=together)
        assert report.figures[metric]["model"] == pytest.approx(expected, rel=1e-10)


def test_quantiles_are_measured_by_the_pinball_loss_and_their_middle_by_the_rest():
    quantiles = (0.1, 0.45, 0.8)
    net = model(strategy="direct", quantiles=quantiles).fit(Y[:40, 0])
    report = net.evaluate(Y[40:, 0])
    assert report.figures["pinball"]["model"] == pytest.approx(pinball_loss(report.truths, report.forecasts, quantiles))
    flat = np.repeat(report.persistence[..., None], 3, axis=-1)
    assert report.figures["pinball"]["persistence"] == pytest.approx(pinball_loss(report.truths, flat, quantiles))
    middle = report.forecasts[..., 1]
    assert report.figures["MAE"]["model"] == pytest.approx(np.abs(report.truths - middle).mean())
    assert net.score(Y[40:, 0]) == pytest.approx(r2_score(report.truths.ravel(), middle.ravel()))


def test_report_prints_the_model_beside_the_naive_forecasts_for_each_variable():
    report = model().fit(Y[:40]).backtest(Y, initial=40)
    lines = str(report).splitlines()
    assert lines[0].split() == ["model", "persistence", "seasonal_naive"]
    assert [line.split()[0] for line in lines[1:]] == ["MAE"] * 2 + ["RMSE"] * 2 + ["MASE"] * 2 + ["R2"] * 2
    assert float(lines[2].split()[-1]) == pytest.approx(report.by_variable["MAE"]["seasonal_naive"][1], rel=1e-3)


# scikit-learn


def test_score_is_what_time_series_cross_validation_asks_for():
    cv = TimeSeriesSplit(3)
    expected = [model().fit(Y[a], X[a]).score(Y[b], X[b]) for a, b in cv.split(Y)]
    np.testing.assert_array_equal(cross_val_score(model(), Y, X, cv=cv), expected)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        search = GridSearchCV(model(), {"window": [4, 8], "difference": [None, "last"]}, cv=cv).fit(Y)
    assert search.best_estimator_.predict().shape == (3, 2)
    assert search.best_score_ == max(search.cv_results_["mean_test_score"])
