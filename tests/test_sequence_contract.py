"""What every estimator over sequences promises, whatever it reads and answers."""

import inspect
import pickle
import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError

import fastrnn
from fastrnn.estimators._parameters import Parameters

RNG = np.random.default_rng(0)
X = [RNG.standard_normal((int(length), 3)) for length in RNG.integers(3, 8, size=24)]
WORDS = ["".join(RNG.choice(list("abc"), int(length))) for length in RNG.integers(2, 6, size=24)]
SHOUTED = [word.upper()[::-1] for word in WORDS]
VECTORS = RNG.standard_normal((24, 4))
SERIES = [np.sin(np.arange(40) / 3 + start) + 0.1 * RNG.standard_normal(40) for start in range(3)]
SMALL = {"hidden_layer_sizes": (5,), "cell": "gru", "max_iter": 2, "random_state": 0}


def flat(values):
    """Everything in nested lists, tuples and dicts, one after another."""
    if isinstance(values, dict):
        values = list(values.values())
    if isinstance(values, list | tuple):
        return [part for value in values for part in flat(value)]
    return [values]


class Case:
    """An estimator, what it is fitted on, and its answers."""

    def __init__(self, name, data, answers, **options):
        self.name, self.data, self.answers, self.options = name, data, answers, {**SMALL, **options}

    def __repr__(self):
        return self.name

    def make(self, **options):
        return getattr(fastrnn, self.name)(**{**self.options, **options})

    def fitted(self, **options):
        return quietly(self.make(**options).fit, *self.data)


def quietly(call, *arguments):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return call(*arguments)


CASES = [
    Case(
        "RNNTagger",
        (X, [(x[:, 0] > 0).astype(int) for x in X]),
        lambda m: [m.predict(X), m.predict_proba(X)],
    ),
    Case("RNNForecaster", (SERIES,), lambda m: [m.predict(5), m.score(SERIES)]),
    Case(
        "RNNLanguageModel",
        (WORDS,),
        lambda m: [m.perplexity(WORDS[0]), "".join(m.generate("a", 20, random_state=1)), m.complete("a", 2)],
    ),
    Case("RNNSeq2Seq", (WORDS, SHOUTED), lambda m: [m.predict(WORDS), m.score(WORDS, SHOUTED)], embedding_dim=3),
    Case("RNNGenerator", (VECTORS, SHOUTED), lambda m: [m.predict(VECTORS), m.sample(VECTORS, random_state=1)]),
    Case("RNNTranscriber", (X, [word[:2] for word in SHOUTED]), lambda m: [m.predict(X), m.predict_proba(X)]),
]
every_estimator = pytest.mark.parametrize("case", CASES, ids=repr)


def assert_same(found, expected):
    found, expected = flat(found), flat(expected)
    assert len(found) == len(expected)
    for one, other in zip(found, expected):
        np.testing.assert_array_equal(one, other)


@every_estimator
def test_parameters_are_stored_as_given_and_cloned(case):
    model = case.make()
    params = model.get_params()
    assert list(params) == sorted(inspect.signature(type(model)).parameters)
    assert vars(model).keys() == params.keys()
    assert clone(model).get_params() == params
    default = type(model)()
    for name, parameter in inspect.signature(type(model)).parameters.items():
        assert getattr(default, name) is parameter.default, name
    assert default.set_params(max_iter=7).max_iter == 7


@every_estimator
def test_an_unfitted_one_says_so(case):
    with pytest.raises(NotFittedError):
        case.answers(case.make())


@every_estimator
def test_fit_returns_the_estimator_and_leaves_parameters_and_data(case):
    model, before = case.make(), pickle.dumps(case.data)
    params = model.get_params()
    with pytest.warns(ConvergenceWarning, match="after max_iter = 2 epochs"):
        assert model.fit(*case.data) is model
    assert model.get_params() == params and pickle.dumps(case.data) == before
    assert model.n_iter_ == 2 == len(model.loss_curve_) and np.isfinite(model.loss_curve_).all()


@every_estimator
def test_the_same_seed_gives_the_same_bits_on_any_number_of_threads(case):
    expected = case.answers(case.fitted(n_threads=1))
    assert_same(case.answers(case.fitted(n_threads=2)), expected)
    model = case.fitted()
    assert_same(case.answers(quietly(model.fit, *case.data)), expected)


@every_estimator
def test_another_seed_gives_other_weights(case):
    one, other = case.fitted(), case.fitted(random_state=1)
    assert any((one.network_.params[name] != other.network_.params[name]).any() for name in one.network_.params)


@every_estimator
def test_files_and_pickles_bring_back_the_same_answers(case, tmp_path):
    model = case.fitted(dropout=0.1)
    expected = case.answers(model)
    fastrnn.save(model, tmp_path / "model.safetensors")
    for found in (fastrnn.load(tmp_path / "model.safetensors"), pickle.loads(pickle.dumps(model))):
        assert type(found) is type(model)
        assert_same(case.answers(found), expected)


@every_estimator
def test_a_refused_fit_leaves_the_one_before(case):
    model = case.fitted()
    expected = case.answers(model)
    with pytest.raises((TypeError, ValueError)):
        model.fit(*[None for _ in case.data])
    assert_same(case.answers(model), expected)


@every_estimator
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"solver": "lbfgs"}, "solver is 'lbfgs'"),
        ({"learning_rate_init": -1.0}, "learning_rate_init is -1.0, expected learning_rate_init > 0"),
        ({"cell": "transformer"}, "cell is 'transformer', expected"),
        ({"hidden_layer_sizes": ()}, "hidden_layer_sizes is empty"),
        ({"max_iter": 0}, "max_iter is 0, expected"),
        ({"dropout": 1.5}, "dropout is 1.5, expected"),
    ],
)
def test_parameters_out_of_range_are_named(case, options, message):
    with pytest.raises(ValueError, match=message):
        case.make(**options).fit(*case.data)


@every_estimator
def test_options_of_other_estimators_are_refused(case):
    known = inspect.signature(type(case.make())).parameters
    absent = [name for name in inspect.signature(Parameters).parameters if name not in known]
    assert absent  # each has no use for something
    for name in absent:
        with pytest.raises(TypeError, match="unexpected keyword argument"):
            case.make(**{name: None})


@every_estimator
def test_dtype_is_that_of_the_network(case):
    for dtype in ("float32", "float64"):
        assert {array.dtype.name for array in case.fitted(dtype=dtype).network_.params.values()} == {dtype}


@every_estimator
@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_every_cell_learns_something(case, cell):
    model = case.fitted(cell=cell, max_iter=8)
    assert model.loss_curve_[-1] < model.loss_curve_[0]


@every_estimator
def test_solvers_and_schedules_of_all_estimators_work(case):
    for options in ({"solver": "sgd"}, {"solver": "rmsprop", "learning_rate": "cosine"}, {"solver": "adamw"}):
        assert np.isfinite(case.fitted(**options).loss_curve_).all()


@every_estimator
def test_training_goes_on_to_the_same_bits_from_a_checkpoint(case, tmp_path):
    from fastrnn.training import Checkpoint

    expected = case.answers(case.fitted(max_iter=4))
    quietly(case.make().set_callbacks(Checkpoint(tmp_path / "half")).fit, *case.data)
    resumed = case.make(max_iter=4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        resumed.fit(*case.data, resume_from=tmp_path / "half")
    assert_same(case.answers(resumed), expected)
