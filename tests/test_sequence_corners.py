"""Corners of the estimators over sequences: odd forms of data, settings that change, values at the edge."""

import copy
import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

import fastrnn
from fastrnn.estimators._vocabulary import split_text, unfinished_word
from fastrnn.layers.ctc import ctc_targets
from fastrnn.losses import softmax_cross_entropy
from fastrnn.models.sampling import restricted
from fastrnn.optim import Adam
from fastrnn.training import Checkpoint, train

SMALL = {"hidden_layer_sizes": (4,), "cell": "gru", "max_iter": 2, "random_state": 0}
RNG = np.random.default_rng(0)
X = [RNG.standard_normal((n, 2)) for n in (3, 4, 1, 5, 2, 6)]
LABELS = [np.arange(len(x)) % 2 for x in X]
FLAGS = [(x > 0).astype(int) for x in X]
TABLE = RNG.standard_normal((6, 4))
WORDS = ["ab", "ba", "", "b", "a", "bab"]
SERIES = np.sin(np.arange(60) / 3)

pytestmark = pytest.mark.filterwarnings(f"ignore::{ConvergenceWarning.__module__}.{ConvergenceWarning.__name__}")


def tagger(**options):
    return fastrnn.RNNTagger(**{**SMALL, **options})


def transcriber(**options):
    return fastrnn.RNNTranscriber(**{**SMALL, **options})


def language_model(**options):
    return fastrnn.RNNLanguageModel(**{**SMALL, **options})


def forecaster(**options):
    return fastrnn.RNNForecaster(**{**SMALL, "window": 8, **options})


def assert_rows_equal(found, expected):
    assert len(found) == len(expected)
    for one, other in zip(found, expected):
        np.testing.assert_array_equal(one, other)


# forms of data


@pytest.mark.parametrize("first", [0, 1])
def test_a_row_of_floats_makes_values_of_y_wherever_it_stands(first):
    y = [row + 0.5 if i == first else row for i, row in enumerate(LABELS)]
    model = tagger().fit(X, y)
    assert not hasattr(model, "classes_") and model.predict(X)[0].dtype == np.float64


@pytest.mark.parametrize("package", ["pandas", "polars"])
def test_data_frames_of_labels_and_weights_have_a_row_for_each_sequence(package):
    frame = pytest.importorskip(package).DataFrame
    columns = list("abcd")
    y, weight = (TABLE > 0).astype(int), RNG.uniform(size=TABLE.shape)
    expected = tagger().fit(TABLE, y, weight)
    found = tagger().fit(TABLE, frame(dict(zip(columns, y.T))), frame(dict(zip(columns, weight.T))))
    assert found.loss_curve_ == expected.loss_curve_
    assert found.score(TABLE, frame(dict(zip(columns, y.T)))) == expected.score(TABLE, y)
    steps = RNG.standard_normal((6, 5, 2))
    written = transcriber().fit(steps, frame({"a": [1] * 6, "b": [2] * 6}))
    assert written.loss_curve_ == transcriber().fit(steps, [[1, 2]] * 6).loss_curve_


@pytest.mark.parametrize("package", ["pandas", "polars"])
def test_a_series_of_texts_is_a_corpus(package):
    series = pytest.importorskip(package).Series(WORDS)
    expected = language_model().fit(WORDS)
    found = language_model().fit(series)
    assert found.loss_curve_ == expected.loss_curve_ and found.score(series) == expected.score(WORDS)


def test_weights_of_samples_and_steps_may_come_as_lists_and_as_arrays():
    network = fastrnn.Sequential(fastrnn.GRU(2, 3, random_state=0), fastrnn.Dense(3, 2, random_state=1))
    X, y = RNG.standard_normal((4, 3, 2)), np.zeros((4, 3), dtype=int)
    weight, options = RNG.uniform(size=(4, 3)), {"loss": softmax_cross_entropy, "shuffle": False, "max_iter": 1}

    def losses(sample_weight):
        own = copy.deepcopy(network)
        return train(own, X, y, sample_weight=sample_weight, optimizer=Adam(0.01), **options).loss_curve

    assert losses([1.0, 2.0, 0.0, 3.0]) == losses(np.array([1.0, 2.0, 0.0, 3.0]))
    assert losses(weight) == losses(list(weight)) != losses(weight[:, 0])
    with pytest.raises(ValueError, match=r"sample_weight has shape \(\), expected \(n_samples,\) = \(4,\)"):
        losses(2.0)


def test_negative_labels_are_no_targets_of_ctc():
    with pytest.raises(ValueError, match=r"targets\[1\] holds the label -1, expected labels >= 0"):
        ctc_targets([[1], [2, -1]], [3, 3])  # -1 marks steps without a label: it would drop out


def test_combining_marks_belong_to_the_word():
    text = "le cafe\u0301, «हिन्दी» d'e\u0301te\u0301!"
    assert split_text("word", text) == ["le", "cafe\u0301", ",", "«", "हिन्दी", "»", "d'e\u0301te\u0301", "!"]
    assert split_text("word", "می\u200cخواهم.") == ["می\u200cخواهم", "."]
    assert unfinished_word("un cafe\u0301") == ("un ", "cafe\u0301")


def test_half_a_surrogate_pair_is_no_byte():
    with pytest.raises(ValueError, match=r"X holds '\\ud800' at character 2, which UTF-8 has not"):
        language_model(level="byte").fit("ab\ud800")
    model = language_model(level="byte").fit("ab\udcff")  # a byte that is no UTF-8, as Python decodes it
    assert model.perplexity("ab\udcff") == model.perplexity(b"ab\xff")


@pytest.mark.parametrize("classes", [np.array([1, 2, 3], np.uint8), np.array(["a", "b"], dtype=object), "ab"], ids=str)
def test_a_transcriber_of_given_classes_comes_back_from_its_file(classes, tmp_path):
    y = WORDS if isinstance(classes[0], str) else [[1, 2][: len(word)] for word in WORDS]
    steps = [RNG.standard_normal((6, 2)) for _ in y]
    model = transcriber().partial_fit(steps, y, classes=classes)
    fastrnn.save(model, tmp_path / "model")
    assert_rows_equal(fastrnn.load(tmp_path / "model").predict(steps), model.predict(steps))


@pytest.mark.parametrize(
    ("classes", "message"),
    [([1.0, 2.0], "classes holds 1.0"), ([], "classes is empty"), ([1, "a"], "classes holds integers and strings")],
)
def test_classes_of_a_transcriber_are_text_or_integers(classes, message):
    with pytest.raises((TypeError, ValueError), match=message):
        transcriber().partial_fit(X, [[1]] * 6, classes=classes)


def test_labels_beyond_64_bits_are_refused():
    with pytest.raises(ValueError, match=r"y\[0\] holds 9223372036854775808 at step 0, expected .* < 2\*\*63"):
        transcriber().fit(X, [[2**63]] * 6)


# settings that change


@pytest.mark.parametrize(
    ("model", "data", "changed", "message"),
    [
        (tagger(), (X, FLAGS), {"target": "values"}, "target is 'values', expected 'auto' or 'multilabel'"),
        (language_model(), ("abc abc",), {"level": "word"}, "level is 'word', expected 'character'"),
        (tagger(), (X, FLAGS), {"dtype": "float32"}, "dtype is 'float32', expected 'auto' or .* 'float64'"),
        (forecaster(), (SERIES,), {"dtype": "float32"}, "dtype is 'float32', expected 'auto' or .* 'float64'"),
    ],
    ids=["target", "level", "dtype", "dtype of a forecaster"],
)
def test_what_going_on_cannot_change_is_refused(model, data, changed, message):
    model = model.set_params(warm_start=True).fit(*data)
    before = {name: values.copy() for name, values in model.network_.params.items()}
    with pytest.raises(ValueError, match=message):
        model.set_params(**changed).fit(*data)
    assert_rows_equal(list(model.network_.params.values()), list(before.values()))


@pytest.mark.parametrize("y", [FLAGS, X], ids=["indicators", "numbers"])
def test_classes_are_refused_where_there_are_no_labels(y):
    with pytest.raises(ValueError, match=r"classes is \[0, 1\], expected None: y are (multilabel|values), not labels"):
        tagger().partial_fit(X, y, classes=[0, 1])
    model = tagger().partial_fit(X, y).partial_fit(X, y)
    assert model.n_iter_ == 2


@pytest.mark.parametrize(
    ("one", "other", "data", "message"),
    [
        (tagger(target="multilabel"), tagger(target="values"), (X, FLAGS), "loss = logistic_cross_entropy"),
        (
            forecaster(strategy="direct", quantiles=(0.1, 0.5)),
            forecaster(strategy="direct", quantiles=(0.2, 0.5)),
            (SERIES,),
            r"loss = Pinball\(quantiles=\(0.1, 0.5\)\), expected Pinball\(quantiles=\(0.2, 0.5\)\)",
        ),
    ],
    ids=["target", "quantiles"],
)
def test_a_checkpoint_of_another_loss_is_refused(one, other, data, message, tmp_path):
    one.set_callbacks(Checkpoint(tmp_path / "half")).fit(*data)
    with pytest.raises(ValueError, match=message):
        other.set_params(max_iter=4).fit(*data, resume_from=tmp_path / "half")


def _fails(moment):
    raise RuntimeError("a callback that fails")


@pytest.mark.parametrize(
    ("model", "data"),
    [
        (tagger(), (X, LABELS)),
        (language_model(), ("abc abc",)),
        (forecaster(), (SERIES,)),
        (fastrnn.RNNClassifier(**SMALL), (X, [0, 1] * 3)),
        (fastrnn.RNNSeq2Seq(**SMALL, embedding_dim=2), (WORDS[3:], WORDS[3:])),
    ],
    ids=lambda value: type(value).__name__ if hasattr(value, "fit") else "",
)
def test_training_that_goes_on_and_fails_leaves_the_weights_of_before(model, data):
    model.set_params(warm_start=True).fit(*data)
    before, n_iter = model.network_, model.n_iter_
    with pytest.raises(RuntimeError, match="a callback that fails"):
        model.set_callbacks(_fails).fit(*data)
    assert_rows_equal(list(model.network_.params.values()), list(before.params.values()))
    assert model.n_iter_ == n_iter


def test_a_part_that_fails_within_its_epoch_leaves_what_the_next_one_goes_on_from(monkeypatch):
    from fastrnn.training.run import Run

    update, options = Run.update, {"batch_size": 2}
    model, other = (tagger(**options).partial_fit(X, FLAGS) for _ in range(2))

    def breaks_off(run, max_iter):
        update(run, max_iter)
        raise MemoryError

    with monkeypatch.context() as patch, pytest.raises(MemoryError):
        patch.setattr(Run, "update", breaks_off)
        model.partial_fit(X, FLAGS)
    for one in (model, other):
        one.partial_fit(X, FLAGS)
    assert_rows_equal(list(model.network_.params.values()), list(other.network_.params.values()))


# values at the edge


def test_labels_that_fit_has_not_met_count_as_wrong_and_have_no_likelihood():
    model = tagger().fit(X, LABELS)
    right = model.predict(X)
    half = [np.where(np.arange(len(row)) % 2, row, 7) for row in right]
    expected = sum(len(row) // 2 for row in right) / sum(map(len, right))
    assert model.score(X, half) == pytest.approx(expected)
    with pytest.raises(ValueError, match="y has the label 7"):
        model.log_loss(X, half)


@pytest.mark.parametrize("name", ["RNNTagger", "RNNClassifier"])
def test_weights_of_classes_that_leave_nothing_are_refused(name):
    y = LABELS if name == "RNNTagger" else [0, 1] * 3
    with pytest.raises(ValueError, match="all weights are zero"):
        getattr(fastrnn, name)(**SMALL, class_weight={0: 0.0, 1: 0.0}).fit(X, y)


@pytest.mark.parametrize("weight", [-1.0, np.nan, np.inf])
@pytest.mark.parametrize("name", ["RNNTagger", "RNNClassifier"])
def test_weights_of_classes_are_named_where_they_are_no_weights(name, weight):
    y = LABELS if name == "RNNTagger" else [0, 1] * 3
    with pytest.raises(ValueError, match=rf"class_weight\[1\] is {weight}, expected"):
        getattr(fastrnn, name)(**SMALL, class_weight={1: weight}).fit(X, y)


@pytest.mark.parametrize(
    ("model", "data", "validation"),
    [
        (tagger(), (X, [x[:, 0] for x in X]), ([[[1.0, 2.0]]], [[0.5]])),
        (transcriber(), (X[3:], WORDS[3:]), (X[:2], ["", ""])),
        (fastrnn.RNNRegressor(**SMALL), (X, np.arange(6.0)), (X[:1], [1.0])),
    ],
    ids=["one number", "no labels", "one sequence"],
)
def test_early_stopping_by_a_score_that_is_nan_is_refused(model, data, validation):
    """It would take no epoch for a better one, and give back the weights from before training."""
    model.set_params(early_stopping=True)
    with warnings.catch_warnings(), pytest.raises(ValueError, match="the validation score is NaN"):
        warnings.simplefilter("ignore")  # scikit-learn's, of R^2
        model.fit(*data, X_val=validation[0], y_val=validation[1])


def test_a_forecaster_is_not_stopped_by_a_single_value():
    with warnings.catch_warnings(), pytest.raises(ValueError, match="the validation score is NaN"):
        warnings.simplefilter("ignore")
        forecaster(early_stopping=True).fit(SERIES[:8])


def test_a_temperature_near_zero_takes_the_likeliest():
    log_p = np.log([0.2, 0.5, 0.3])
    for temperature in (0.0, 1e-320, 1e-4):
        assert restricted(log_p, temperature).tolist() == [0.0, 1.0, 0.0]
    np.testing.assert_allclose(restricted(log_p, 2.0), np.sqrt([0.2, 0.5, 0.3]) / np.sqrt([0.2, 0.5, 0.3]).sum())


def test_a_state_with_nan_is_refused():
    model = language_model().fit("abc abc")
    state = model.state_after("a")
    with pytest.raises(ValueError, match=r"state\['h_0'\] contains NaN"):
        model.generate(state=state | {"h_0": state["h_0"] * np.nan})


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_weights_with_nan_write_nothing(temperature):
    model = language_model().fit("abc abc")
    with model._trained.updating() as params:
        params["2.bias"][3] = np.nan
    with pytest.raises(ValueError, match="scores contain NaN"):
        next(model.generate("a", temperature=temperature))


def test_series_that_the_type_of_computation_cannot_say_are_refused():
    with pytest.raises(ValueError, match=r"y holds 1e\+100, too large for float32"):
        forecaster(dtype="float32").fit(SERIES / np.abs(SERIES).max() * 1e100)
    assert np.isfinite(forecaster(dtype="float32").fit(SERIES * 1e30).predict(3)).all()
