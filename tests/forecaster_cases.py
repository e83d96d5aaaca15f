"""Series, and small forecasters of them."""

import warnings

import numpy as np

from fastrnn import RNNForecaster

RNG = np.random.default_rng(0)
LENGTHS = (60, 47, 80)
MANY = [np.cumsum(RNG.standard_normal((n, 2)), axis=0) * (1, 50) + (5, 1000) for n in LENGTHS]
KNOWN = [RNG.standard_normal((n + 20, 3)) for n in LENGTHS]  # 20 steps more than the series
PAST, FUTURE = [x[:n] for x, n in zip(KNOWN, LENGTHS)], [x[n:] for x, n in zip(KNOWN, LENGTHS)]
STRATEGIES = ("recursive", "direct")
DIFFERENCES = (None, "last", "season")


def model(**options):
    defaults = {"hidden_layer_sizes": (5,), "cell": "gru", "max_iter": 2, "random_state": 0, "window": 10}
    return RNNForecaster(**{**defaults, "horizon": 4, "season": 3, **options})


def fitted(estimator, y=MANY, X=None, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a few epochs
        return estimator.fit(y, X, **options)


def assert_same(found, expected):
    assert len(found) == len(expected)
    for one, other in zip(found, expected):
        np.testing.assert_array_equal(one, other)
