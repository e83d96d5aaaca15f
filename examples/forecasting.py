"""A week of weather, forecast every day of a year: temperatures, wind and rain in Seattle.

Trains a recurrent forecaster on three years of daily weather, with the season of the year as known covariates, once for
the mean (one step, fed back) and once for quantiles (seven days at once), and prints their errors over all origins of
the fourth year beside those of persistence and of the same day of the year before. Draws some forecasts with their
intervals, and the error by day. The data are those of the package vega_datasets where it is installed (Seattle, 2012 to
2015, National Centers for Environmental Information), else generated.
"""

import csv

import numpy as np
from common import parser, save, subplots, table, timed

from fastrnn import RNNForecaster

VARIABLES = ("temp_max", "temp_min", "wind", "rain")
WEEK, YEAR = 7, 365
QUANTILES = (0.1, 0.5, 0.9)
LABELS = {"model": "model", "persistence": "the day before", "seasonal_naive": "the year before"}


def read_weather():
    """Return (name of the data, ndarray of shape (n_days, 4)), rain as log(1 + mm)."""
    try:
        from vega_datasets import data
    except ImportError:
        return "generated weather (vega_datasets is not installed)", generated_weather()
    with open(data.seattle_weather.filepath, encoding="utf-8") as file:
        days = list(csv.DictReader(file))
    columns = ("temp_max", "temp_min", "wind", "precipitation")
    weather = np.array([[float(day[column]) for column in columns] for day in days])
    weather[:, 3] = np.log1p(weather[:, 3])
    return "Seattle weather, 2012 to 2015", weather


def generated_weather(n_days=1461):
    """A year's cycle, and around it a state of the weather that lasts some days and moves all variables."""
    rng = np.random.default_rng(0)
    state = np.zeros((n_days, 2))
    for day in range(1, n_days):
        state[day] = 0.75 * state[day - 1] + rng.normal(size=2)
    warmth = -np.cos(2 * np.pi * (np.arange(n_days) - 20) / 365.25)
    noise = rng.normal(size=(n_days, 4))
    maximum = 16 + 8 * warmth + 2.5 * state[:, 0] + noise[:, 0]
    minimum = 8 + 5 * warmth + 1.5 * state[:, 0] + noise[:, 1]
    wind = np.exp(1.1 + 0.2 * state[:, 1] + 0.2 * noise[:, 2])
    rain = np.maximum(0.0, 0.6 * state[:, 1] - 0.8 * warmth + noise[:, 3])
    return np.stack([maximum, minimum, wind, rain], axis=1)


def calendar(n_days):
    """Covariates that are known beforehand: the place in the year, ndarray of shape (n_days, 4)."""
    angles = 2 * np.pi * np.arange(n_days)[:, None] * (1, 2) / 365.25
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1)


def trained(weather, known, stop, small, **options):
    """Return a forecaster fitted to the days before `stop`; the end of them says when to stop."""
    settings = {"cell": "gru", "dropout": 0.2, "early_stopping": True, "random_state": 0, "max_iter": 40}
    settings |= {"window": 28, "stride": 2, "horizon": WEEK, "season": YEAR}
    settings |= {"hidden_layer_sizes": (8,), "max_iter": 6, "stride": 7} if small else {"hidden_layer_sizes": (32,)}
    model = RNNForecaster(**settings, **options)
    with timed(f"training, strategy {model.strategy!r}"):
        return model.fit(weather[:stop], known[:stop])


def show(report):
    """Print mean absolute errors of the model and of both naive forecasts."""
    errors, scaled = report.by_variable["MAE"], report.figures["MASE"]
    rows = {variable: tuple(errors[name][k] for name in LABELS) for k, variable in enumerate(VARIABLES)}
    rows["MASE, mean of all"] = tuple(scaled[name] for name in LABELS)
    print(f"forecasts: {', '.join(LABELS.values())}")
    table("mean absolute error", rows, "{:6.2f}")


def draw(report, first_day, path):
    """Save a picture of forecasts with their intervals, and of the error by day of the forecast."""
    figure, (above, below) = subplots(2, 1, figsize=(10.0, 6.4))
    days = report.origins - first_day
    above.plot(days, report.truths[:, 0, 0], color="black", linewidth=0.8, label="what came")
    weeks = np.flatnonzero(days % WEEK == 0)
    for k in weeks:
        ahead = days[k] + np.arange(WEEK)
        low, middle, high = report.forecasts[k, :, 0].T
        above.fill_between(ahead, low, high, color="tab:blue", alpha=0.25, linewidth=0)
        label = "forecast of a week, 80 % interval" if k == weeks[0] else None
        above.plot(ahead, middle, color="tab:blue", label=label)
    above.set(xlabel="day of the test year", ylabel="highest temperature, °C")
    above.legend(loc="upper left")
    made = {"model": report.forecasts[..., 1], "persistence": report.persistence}
    for name, said in (made | {"seasonal_naive": report.seasonal_naive}).items():
        error = np.abs(said[..., 0] - report.truths[..., 0]).mean(axis=0)
        below.plot(np.arange(1, WEEK + 1), error, marker="o", label=LABELS[name])
    below.set(xlabel="days ahead", ylabel="mean absolute error, °C", ylim=(0, None))
    below.grid(alpha=0.3)
    below.legend()
    save(figure, path)


def main(argv=None):
    """Train, forecast, print, draw."""
    options = parser(__doc__, "forecasting.png").parse_args(argv)
    name, weather = read_weather()
    known, stop = calendar(len(weather)), len(weather) - YEAR
    print(f"{name}: {stop} days to learn from, a week forecast from every day of the {YEAR} after\n")
    for way in ({"strategy": "recursive"}, {"strategy": "direct", "quantiles": QUANTILES}):
        model = trained(weather, known, stop, options.small, **way)
        report = model.backtest(weather, known, initial=stop)
        show(report)
    share = report.coverage[QUANTILES[-1]] - report.coverage[QUANTILES[0]]
    print(f"{share:.0%} of what came lies between the quantiles {QUANTILES[0]} and {QUANTILES[-1]}\n")
    draw(report, stop, options.picture)


if __name__ == "__main__":
    main()
