"""RNNForecaster: what it learns, and forecasts against loops written down a second time."""

import numpy as np
import pytest
from forecaster_cases import DIFFERENCES, FUTURE, KNOWN, MANY, PAST, STRATEGIES, assert_same, fitted, model
from sklearn.base import clone
from sklearn.metrics import r2_score

from fastrnn import RNNForecaster


def lag_of(difference):
    return {None: 0, "last": 1, "season": 3}[difference]


def naive(y, lag, k):
    """The value that is `lag` steps, or as few times as many as are known, before the step k after y."""
    step = len(y) - 1 + k
    while lag and step >= len(y):
        step -= lag
    return y[step] if lag else np.zeros(y.shape[1])


def moments(y, lag):
    d = y[lag:] - y[: len(y) - lag] if lag else y
    return d.mean(axis=0), d.std(axis=0)


def standardised(X):
    steps = np.concatenate(X)
    return lambda x: (x - steps.mean(axis=0)) / steps.std(axis=0)


# forecasts


@pytest.mark.parametrize("difference", DIFFERENCES)
def test_recursive_forecast_is_a_loop_over_the_network_that_feeds_back_what_it_says(difference):
    lag, window, horizon = lag_of(difference), 10, 7
    net = fitted(model(difference=difference, learning_rate_init=0.05), MANY, PAST)
    scaled = standardised(PAST)
    for found, y, x in zip(net.predict(horizon, [x[:horizon] for x in FUTURE]), MANY, KNOWN):
        mean, scale = moments(y, lag)
        so_far = y.copy()
        for _ in range(horizon):
            begin = len(y) - window  # of what the network has read; it goes on without forgetting
            steps = range(begin, len(so_far))
            z = [(so_far[t] - (so_far[t - lag] if lag else 0) - mean) / scale for t in steps]
            read = np.concatenate([z, scaled(x[[t + 1 for t in steps]])], axis=1)
            said = net.network_.run(read[None])[0][0, -1]
            so_far = np.concatenate([so_far, [naive(so_far, lag, 1) + mean + scale * said]])
        np.testing.assert_allclose(found, so_far[len(y) :], rtol=1e-10)


@pytest.mark.parametrize("difference", DIFFERENCES)
def test_direct_forecast_is_what_the_network_says_at_the_last_step_of_the_window(difference):
    lag, window, horizon = lag_of(difference), 10, 4
    quantiles = (0.2, 0.5, 0.9)
    net = model(strategy="direct", difference=difference, quantiles=quantiles, learning_rate_init=0.05)
    net = fitted(net, MANY, PAST)
    scaled = standardised(PAST)
    for found, y, x in zip(net.predict(X=[x[:horizon] for x in FUTURE]), MANY, KNOWN):
        mean, scale = moments(y, lag)
        steps = range(len(y) - window, len(y))
        z = [(y[t] - (y[t - lag] if lag else 0) - mean) / scale for t in steps]
        ahead = [np.concatenate([scaled(x)[t + k] for k in range(1, horizon + 1)]) for t in steps]
        said = net.network_.run(np.concatenate([z, ahead], axis=1)[None])[0][0, -1].reshape(horizon, 2, 3)
        for k in range(horizon):
            level = naive(y, lag, k + 1) + mean
            expected = np.sort(level[:, None] + scale[:, None] * said[k], axis=-1)
            np.testing.assert_allclose(found[k], expected, rtol=1e-10)
    assert_same(net.predict(2, [x[:horizon] for x in FUTURE]), [f[:2] for f in net.predict(X=[x[:4] for x in FUTURE])])


def test_a_horizon_is_the_beginning_of_a_longer_one():
    net = fitted(model())
    assert_same(net.predict(3), [f[:3] for f in net.predict(11)])
    assert_same(net.predict(), net.predict(4))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_forecast_does_not_depend_on_company(strategy):
    net = fitted(model(strategy=strategy), MANY, PAST)
    fresh = [y + 1.0 for y in MANY]
    together = net.backtest(fresh, PAST, initial=30, step=7)
    for i, y in enumerate(fresh):
        alone = net.backtest([y], [PAST[i]], initial=30, step=7)
        assert_same(alone.forecasts[0], together.forecasts[i])


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_forecasts_have_the_form_of_y(strategy):
    y, quantiles = MANY[0], (0.1, 0.9) if strategy == "direct" else None
    spread = (2,) if quantiles else ()
    options = {"strategy": strategy, "quantiles": quantiles}
    assert fitted(model(**options), y).predict().shape == (4, 2, *spread)
    assert fitted(model(**options), y[:, 0]).predict(3).shape == (3, *spread)
    assert fitted(model(**options), y[:, :1]).predict(3).shape == (3, 1, *spread)
    assert [f.shape for f in fitted(model(**options), MANY).predict()] == [(4, 2, *spread)] * 3
    assert [f.shape for f in fitted(model(**options), [y[:, 0], y[:50, 0]]).predict()] == [(4, *spread)] * 2


def test_forms_of_the_same_series_give_the_same_bits():
    y, x = MANY[0][:, 0], PAST[0][:, 0]
    expected = fitted(model(), y, x).predict(X=FUTURE[0][:4, 0])
    for series, known in ((y.tolist(), x.tolist()), (y[:, None], x[:, None])):
        net = fitted(model(), series, known)
        np.testing.assert_array_equal(net.predict(X=FUTURE[0][:4, :1]).reshape(-1), expected)
    (found,) = fitted(model(), [y], [x]).predict(X=[FUTURE[0][:4, 0]])
    np.testing.assert_array_equal(found, expected)
    three_axes = np.stack([MANY[0][:40], MANY[2][:40]])
    assert_same(fitted(model(), three_axes).predict(), fitted(model(), list(three_axes)).predict())


def test_data_frames_are_read_by_column_and_their_names_compared():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(MANY[0], columns=["warm", "wet"], index=pandas.date_range("2024-01-01", periods=60))
    net = fitted(model(), frame)
    np.testing.assert_array_equal(net.predict(), fitted(model(), MANY[0]).predict())
    assert "wet" in str(net.evaluate(frame.iloc[:9]))
    with pytest.raises(ValueError, match=r"y has the columns \['wet', 'warm'\], expected those of fit, \['wa"):
        net.update(frame[["wet", "warm"]])
    assert fitted(model(), frame["warm"]).predict().shape == (4,)


# training


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("difference", DIFFERENCES)
def test_loss_is_the_mean_over_every_step_of_every_window(strategy, difference):
    lag, leads = lag_of(difference), 4 if strategy == "direct" else 1
    net = model(strategy=strategy, difference=difference, stride=4, max_iter=1, alpha=0.0, batch_size=999)
    net = fitted(net.set_params(learning_rate_init=1e-12), MANY, PAST)
    scaled, errors = standardised(PAST), []
    for y, x in zip(MANY, PAST):
        mean, scale = moments(y, lag)
        last = len(y) - 1 - leads  # the last step from which all leads are known
        ends = [last - 4 * k - int(4 * (k * 0.6180339887498949 % 1)) for k in range(20)]
        ends = [end for end in ends if end > lag + 9] + [lag + 9]
        for end in ends:
            steps = range(end - 9, end + 1)
            z = [(y[t] - (y[t - lag] if lag else 0) - mean) / scale for t in steps]
            ahead = [np.concatenate([scaled(x)[t + k] for k in range(1, leads + 1)]) for t in steps]
            said = net.network_.run(np.concatenate([z, ahead], axis=1)[None])[0][0]
            for t, row in zip(steps, said):
                truth = [(y[t + k] - naive(y[: t + 1], lag, k) - mean) / scale for k in range(1, leads + 1)]
                errors.append(row - np.concatenate(truth))
    assert net.loss_curve_[0] == pytest.approx(0.5 * np.mean(np.square(errors)), rel=1e-8)


def test_validation_loss_counts_every_forecast_of_the_validation_part_once():
    y, y_val = [y[:-15] for y in MANY], [y[-15:] for y in MANY]
    net = model(strategy="direct", stride=1, max_iter=1, learning_rate_init=1e-12, alpha=0.0)
    net = fitted(net, y, y_val=y_val)
    report = net.evaluate(y_val)
    errors = [
        (said - truth) / part.std(axis=0) for said, truth, part in zip(report.forecasts, report.truths, y, strict=True)
    ]
    expected = 0.5 * np.mean(np.square(np.concatenate(errors)))
    assert net.validation_loss_curve_[0] == pytest.approx(expected, rel=1e-8)
    scaled = [
        [((p - part.mean(axis=0)) / part.std(axis=0)).reshape(-1, 8) for part, p in zip(y, parts)]
        for parts in (report.truths, report.forecasts)
    ]
    assert net.validation_scores_[0] == pytest.approx(r2_score(*map(np.concatenate, scaled)), rel=1e-8)
    for stride in (3, 5):  # other windows, the same forecasts, with fewer steps before some
        other = fitted(clone(net).set_params(stride=stride), y, y_val=y_val)
        assert other.validation_loss_curve_[0] == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize("scale", ["series", "common"])
def test_training_does_not_look_at_the_validation_part(scale):
    results = []
    for factor in (1.0, 1e6):
        y = [np.concatenate([y[:-12], y[-12:] * factor]) for y in (MANY[2], MANY[2] ** 2)]
        X = [np.concatenate([x[:-12], x[-12:] * factor]) for x in (PAST[2], PAST[2])]
        options = {"early_stopping": True, "validation_fraction": 0.15, "scale": scale, "max_iter": 3}
        net = fitted(model(strategy="direct", **options), y, X)  # of 80 steps, 12 are for validation
        results.append((net.loss_curve_, net.validation_loss_curve_))
    assert results[0][0] == results[1][0]
    assert results[0][1] != results[1][1]


def test_validation_data_of_ones_own_are_as_those_held_back():
    y, X = MANY[2], PAST[2]
    held = fitted(model(early_stopping=True, validation_fraction=0.2, max_iter=4), y, X)
    given = fitted(model(early_stopping=True, max_iter=4), y[:64], X[:64], y_val=y[64:], X_val=X[64:])
    assert held.validation_scores_ == given.validation_scores_ and held.loss_curve_ == given.loss_curve_
    np.testing.assert_array_equal(held.predict(X=FUTURE[2][:4]), given.update(y[64:], X[64:]).predict(X=FUTURE[2][:4]))


def test_series_of_other_levels_and_units_are_learned_alike():
    wave = np.sin(0.5 * np.arange(80))
    net = fitted(model(max_iter=5), [wave, 1000 * wave + 5e4])
    one, other = net.predict(6)
    np.testing.assert_allclose(1000 * one + 5e4, other, rtol=1e-7)


def test_common_scale_is_that_of_all_series_together():
    net = fitted(model(scale="common"), MANY)
    steps = np.concatenate(MANY)
    mean, scale = steps.mean(axis=0), steps.std(axis=0)
    for found, y in zip(net.predict(1), MANY):
        said = net.network_.run(((y[-10:] - mean) / scale)[None])[0][0, -1]
        np.testing.assert_allclose(found[0], mean + scale * said, rtol=1e-10)


def test_scale_none_leaves_the_numbers_as_they_are():
    y = np.sin(np.arange(40.0))
    net = fitted(model(scale=None), y)
    assert net.predict(1)[0] == pytest.approx(float(net.network_.run(y[-10:][None, :, None])[0][0, -1, 0]), rel=1e-12)


def test_a_constant_variable_is_forecast_as_what_it_is():
    y = np.stack([np.sin(np.arange(50.0)), np.full(50, 7.25)], axis=1)
    assert np.isfinite(fitted(model(), y).predict(5)).all()
    drift = fitted(model(difference="last", alpha=0.0, max_iter=60, learning_rate_init=0.02), y)
    assert np.abs(drift.predict(5)[:, 1] - 7.25).max() < 0.2


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_noisy_season_is_learned_better_than_the_season_before(strategy):
    rng, t = np.random.default_rng(1), np.arange(700)
    y = 100 + 10 * np.sin(2 * np.pi * t / 12) + rng.normal(scale=2.0, size=700)
    net = RNNForecaster((16,), cell="gru", horizon=12, strategy=strategy, season=12, window=24, random_state=0)
    net = fitted(net.set_params(learning_rate_init=0.01, max_iter=25), y[:500])
    mae = net.evaluate(y[500:]).figures["MAE"]
    assert mae["model"] < 0.85 * mae["seasonal_naive"] < 0.85 * mae["persistence"]  # sqrt(1/2) is perfect


def test_covariates_of_the_horizon_are_used():
    rng = np.random.default_rng(2)
    X = rng.integers(0, 2, 600).astype(float)
    y = 5 * X + rng.normal(scale=0.1, size=600)
    for strategy in STRATEGIES:
        net = RNNForecaster((8,), cell="gru", horizon=3, strategy=strategy, window=8, random_state=0)
        net = fitted(net.set_params(learning_rate_init=0.02, max_iter=30), y[:500], X[:500])
        assert net.score(y[500:], X[500:]) > 0.95


def test_quantiles_cover_what_they_say():
    rng, t = np.random.default_rng(3), np.arange(3000)
    y = 3 * np.sin(2 * np.pi * t / 10) + rng.normal(size=3000)
    quantiles = (0.1, 0.5, 0.8)
    net = RNNForecaster((12,), cell="gru", horizon=3, strategy="direct", quantiles=quantiles, window=20, stride=10)
    net = fitted(net.set_params(random_state=0, learning_rate_init=0.01, max_iter=30), y[:2000])
    report = net.evaluate(y[2000:])
    for q in quantiles:
        assert report.coverage[q] == pytest.approx(q, abs=0.04)
    assert (np.diff(report.forecasts, axis=-1) >= 0).all()
    below = np.mean(report.truths <= report.forecasts[..., 0])
    assert report.coverage[0.1] == pytest.approx(below)


def test_phase_is_seen_in_the_series_and_not_counted_from_the_start_of_a_window():
    rng, t = np.random.default_rng(3), np.arange(1600)
    y = 3 * np.sin(2 * np.pi * t / 10) + rng.normal(size=1600)
    net = RNNForecaster((12,), cell="gru", window=20, stride=10, random_state=0, learning_rate_init=0.01, max_iter=40)
    # 0.8 is perfect; windows that all began in the same phase gave 1.4
    assert fitted(net, y[:1000]).evaluate(y[1000:]).figures["MAE"]["model"] < 1.0


def test_intervals_of_a_random_walk_widen_with_the_root_of_the_lead():
    y = [np.cumsum(np.random.default_rng(seed).normal(size=400)) for seed in range(6)]
    options = {"quantiles": (0.1, 0.9), "difference": "last", "strategy": "direct", "horizon": 9, "window": 12}
    net = RNNForecaster((8,), cell="gru", random_state=0, learning_rate_init=0.01, max_iter=20, stride=6, **options)
    width = np.mean([np.diff(f, axis=-1)[:, 0] for f in fitted(net, y).predict()], axis=0)
    assert width[0] == pytest.approx(2 * 1.2816, rel=0.2)
    assert width[8] / width[0] == pytest.approx(3.0, rel=0.2)
