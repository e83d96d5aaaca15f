"""Plots say what the numbers say, and the numbers are those of predict."""

import subprocess
import sys
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import confusion_matrix
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline

from fastrnn import RNNClassifier, SequenceScaler
from fastrnn.inspection import (
    ConfusionOverTime,
    confusion_over_time,
    plot_attention,
    plot_confusion_over_time,
    plot_learning_curve,
)

LENGTHS = np.array([6, 3, 6, 5, 2, 6, 4, 6, 1, 6, 5, 3])
LABELS = np.array(["a", "b", "c"])


@pytest.fixture
def ragged(rng):
    return [rng.standard_normal((length, 2)) for length in LENGTHS], LABELS[np.arange(len(LENGTHS)) % 3]


def fitted(X, y, **options):
    options = {"hidden_layer_sizes": (4,), "max_iter": 3, "random_state": 0, "learning_rate_init": 0.1, **options}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return RNNClassifier(**options).fit(X, y)


@pytest.fixture
def axes():
    figure = pytest.importorskip("matplotlib.figure")
    return figure.Figure().subplots()


def line(ax, label):
    """The points of the line of that name."""
    (found,) = [line for line in ax.get_lines() if line.get_label().startswith(label)]
    return np.asarray(found.get_xdata()).tolist(), np.asarray(found.get_ydata()).tolist()


# confusion over time: the numbers


@pytest.mark.parametrize("options", [{}, {"bidirectional": True}, {"pooling": "attention"}, {"conv_filters": 3}])
def test_every_step_is_the_confusion_matrix_of_sequences_cut_there(ragged, options):
    X, y = ragged
    model = fitted(X, y, **options)
    found = confusion_over_time(model, X, y)
    assert found.steps.tolist() == [1, 2, 3, 4, 5, 6] and found.labels.tolist() == LABELS.tolist()
    for k, step in enumerate(found.steps):
        expected = confusion_matrix(y, model.predict([x[:step] for x in X]), labels=LABELS)
        np.testing.assert_array_equal(found.counts[k], expected)
    assert found.accuracy[-1] == pytest.approx(model.score(X, y))
    assert found.n_running.tolist() == [12, 11, 10, 8, 7, 5]


def test_the_answers_change_from_step_to_step(ragged):
    X, y = ragged
    counts = confusion_over_time(fitted(X, y, max_iter=30), X, y).counts
    assert (counts[0] != counts[-1]).any()


def test_one_prefix_of_every_sequence_that_goes_on_and_no_more_is_predicted(ragged):
    X, y = ragged
    asked = []

    def predict(sequences):
        asked.append([len(x) for x in sequences])
        return np.repeat("a", len(sequences))

    found = confusion_over_time(SimpleNamespace(classes_=LABELS, predict=predict), X, y, steps=[5, 2])
    assert asked == [LENGTHS.tolist(), [2] * sum(LENGTHS > 2), [5] * sum(LENGTHS > 5)]
    assert found.steps.tolist() == [2, 5]
    assert found.counts[:, :, 0].tolist() == [[4, 4, 4]] * 2 and found.counts.sum() == 24


@pytest.mark.parametrize("form", ["2d", "3d", "list of 1d", "frame"])
def test_arrays_are_cut_along_time(rng, form):
    table = rng.standard_normal((12, 5))
    y = np.arange(12) % 3
    X = {"2d": table, "3d": table[:, :, None], "list of 1d": list(table), "frame": None}[form]
    if form == "frame":
        X = pytest.importorskip("pandas").DataFrame(table, columns=[f"t{k}" for k in range(5)])
    model = fitted(X, y)
    found = confusion_over_time(model, X, y, steps=[4, 2])
    expected = [confusion_matrix(y, model.predict([row[:step, None] for row in table])) for step in (2, 4)]
    np.testing.assert_array_equal(found.counts, expected)


def test_words_are_cut_into_their_first_letters():
    words, y = ["abba", "ba", "abab", "b", "aab", "bbb"], np.array([0, 1, 0, 1, 0, 1])
    model = fitted(words, y, embedding_dim=2)
    found = confusion_over_time(model, words, y, steps=[2, 4])
    expected = [confusion_matrix(y, model.predict([word[:step] for word in words])) for step in (2, 4)]
    np.testing.assert_array_equal(found.counts, expected)
    assert found.n_running.tolist() == [5, 2]


def test_pipelines_and_searches_are_asked_as_they_are(ragged):
    X, y = ragged
    pipeline = make_pipeline(SequenceScaler(), RNNClassifier((4,), max_iter=2, random_state=0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        search = GridSearchCV(pipeline, {"rnnclassifier__cell": ["gru"]}, cv=2).fit(X, y)
    found = confusion_over_time(search, X, y, steps=[3])
    expected = confusion_matrix(y, search.predict([x[:3] for x in X]), labels=LABELS)
    np.testing.assert_array_equal(found.counts[0], expected)


def test_a_number_of_steps_is_spread_from_the_first_to_the_last(rng):
    model = SimpleNamespace(classes_=np.array([0, 1]), predict=lambda X: np.zeros(len(X), int))
    X, y = np.zeros((2, 101, 1)), [0, 1]
    assert confusion_over_time(model, X, y, steps=5).steps.tolist() == [1, 26, 51, 76, 101]
    assert confusion_over_time(model, X, y, steps=1).steps.tolist() == [101]
    assert len(confusion_over_time(model, X, y).steps) == 32


def test_shares_and_recall_agree_with_the_counts():
    counts = np.array([[[3, 1, 0], [2, 4, 0], [0, 0, 0]]])
    found = ConfusionOverTime(np.array([1]), LABELS, counts, np.array([10]))
    assert found.accuracy.tolist() == [0.7]
    assert found.predicted_shares.tolist() == [[0.5, 0.5, 0.0]]
    np.testing.assert_allclose(found.recall, [[0.75, 4 / 6, np.nan]])


@pytest.mark.parametrize(
    "change, error, message",
    [
        ({"steps": [0, 2]}, ValueError, r"steps holds 0, expected 1 <= step <= longest sequence = 6"),
        ({"steps": [7]}, ValueError, r"steps holds 7, expected 1 <= step <= longest sequence = 6"),
        ({"steps": [1.5]}, TypeError, r"steps has dtype float64, expected integers"),
        ({"steps": []}, ValueError, r"steps has shape \(0,\), expected \(n_steps,\)"),
        ({"steps": 0}, ValueError, r"steps is 0, expected an integer >= 1"),
        ({"y": np.repeat("d", 12)}, ValueError, r"y has the label 'd', expected one of the classes \['a', 'b', 'c'\]"),
        ({"y": np.repeat("a", 11)}, ValueError, r"y has 11 labels, expected one a sequence = 12"),
        ({"y": np.full((12, 1), "a")}, ValueError, r"y has shape \(12, 1\), expected \(n_samples,\), one class"),
        ({"estimator": object()}, TypeError, r"estimator is object, which has no classes_, expected a fitted class"),
    ],
)
def test_wrong_arguments_are_named(ragged, change, error, message):
    X, y = ragged
    model = SimpleNamespace(classes_=LABELS, predict=lambda X: np.repeat("a", len(X)))
    with pytest.raises(error, match=message):
        confusion_over_time(**{"estimator": model, "X": X, "y": y, **change})


def test_classifiers_of_several_labels_are_refused(ragged):
    X = ragged[0]
    y = np.eye(3, dtype=int)[np.arange(12) % 3]
    with pytest.raises(ValueError, match=r"predict\(X\) has shape \(12, 3\), expected \(n_samples,\), one class"):
        confusion_over_time(fitted(X, y), X, y)


def test_what_predict_refuses_is_told_of_the_sequence_that_was_passed(ragged):
    X, y = ragged
    model = fitted(X, y)
    X[7] = X[7].copy()
    X[7][2, 1] = np.nan
    with pytest.raises(ValueError, match=r"X contains NaN at sample 7, step 2, feature 1 \(1 in all\)"):
        confusion_over_time(model, X, y)


# confusion over time: the picture


def test_bands_end_at_the_accuracy_and_at_one(ragged, axes):
    X, y = ragged
    model = fitted(X, y, max_iter=30)
    found = confusion_over_time(model, X, y)
    assert plot_confusion_over_time(model, X, y, ax=axes) is axes
    assert line(axes, "accuracy") == (found.steps.tolist(), found.accuracy.tolist())
    assert line(axes, "not ended")[1] == (found.n_running / 12).tolist()
    bands = axes.collections
    assert [band.get_label() for band in bands[:3]] == ["a", "b", "c"] and len(bands) == 6
    for right, wrong in zip(bands[:3], bands[3:]):
        np.testing.assert_array_equal(right.get_facecolor()[:, :3], wrong.get_facecolor()[:, :3])
        assert right.get_facecolor()[0, 3] == 1.0 > wrong.get_facecolor()[0, 3]
    np.testing.assert_allclose(upper_edge(bands[2]), found.accuracy)
    np.testing.assert_allclose(upper_edge(bands[5]), 1.0)
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == ["not ended", "accuracy", "c", "b", "a"]


def upper_edge(band):
    """The largest height of a band at each abscissa."""
    points = band.get_paths()[0].vertices
    return [points[points[:, 0] == x, 1].max() for x in np.unique(points[:, 0])]


def test_sequences_of_equal_length_have_no_line_of_ends(axes):
    model = SimpleNamespace(classes_=np.arange(12), predict=lambda X: np.zeros(len(X), int))
    plot_confusion_over_time(model, np.zeros((12, 4, 1)), np.arange(12), ax=axes)
    assert [found.get_label() for found in axes.get_lines()] == ["accuracy"]
    colors = {tuple(band.get_facecolor()[0]) for band in axes.collections[:12]}
    assert len(colors) == 12  # a colour of its own for each of many classes


# the learning curve


def test_curves_are_those_of_the_estimator(ragged, axes):
    X, y = ragged
    model = SimpleNamespace(
        loss_curve_=[3.0, 1.0, 2.0],
        validation_loss_curve_=[4.0, 5.0, 6.0],
        validation_scores_=[0.1, 0.5, 0.5],
        early_stopping=True,
    )
    assert plot_learning_curve(model, ax=axes) is axes
    assert line(axes, "training loss") == ([1, 2, 3], [3.0, 1.0, 2.0])
    assert line(axes, "validation loss") == ([1, 2, 3], [4.0, 5.0, 6.0])
    right = axes.figure.axes[1]
    assert line(right, "validation score") == ([1, 2, 3], [0.1, 0.5, 0.5])
    assert line(axes, "best epoch (2)")[0] == [2, 2]
    assert len(right.get_legend().get_texts()) == 4


@pytest.mark.parametrize(
    "early_stopping, scores, best",
    [(True, [0.1, 0.2, 0.9, 0.9], 3), (False, [0.1, 0.2, 0.9, 0.9], 2), (True, None, 2), (True, [0.3, 0.1], 3)],
    ids=["highest score", "smallest loss", "no validation data", "validation in the last call alone"],
)
def test_best_epoch_is_that_of_the_weights(early_stopping, scores, best, axes):
    model = SimpleNamespace(loss_curve_=[3, 1, 2, 1], validation_scores_=scores, early_stopping=early_stopping)
    plot_learning_curve(model, ax=axes)
    assert line(axes, f"best epoch ({best})")[0] == [best, best]


@pytest.mark.parametrize("early_stopping, rate", [(False, 5.0), (True, 0.5)])
def test_marked_epoch_is_the_one_whose_weights_fit_kept(ragged, axes, early_stopping, rate):
    X, y = ragged
    options = {"X_val": X, "y_val": y} if early_stopping else {}
    settings = {"hidden_layer_sizes": (4,), "learning_rate_init": rate, "random_state": 0, "n_iter_no_change": 50}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = RNNClassifier(early_stopping=early_stopping, max_iter=12, **settings).fit(X, y, **options)
        plot_learning_curve(model, ax=axes)
        best = line(axes, "best epoch")[0][0]
        assert best < 12  # a rate so large that the last epoch is not the best
        until_best = RNNClassifier(early_stopping=early_stopping, max_iter=best, **settings).fit(X, y, **options)
    np.testing.assert_array_equal(until_best.predict_proba(X), model.predict_proba(X))


def test_scikit_learns_own_network_is_drawn_too(rng, axes):
    model = MLPClassifier((3,), early_stopping=True, max_iter=5, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(rng.standard_normal((40, 2)), np.arange(40) % 2)
    plot_learning_curve(model, ax=axes)
    assert line(axes, "training loss")[1] == model.loss_curve_
    assert line(axes.figure.axes[1], "validation score")[1] == model.validation_scores_
    assert line(axes, "best epoch")[0][0] == 1 + model.validation_scores_.index(model.best_validation_score_)


def test_what_has_no_curve_is_refused(axes):
    with pytest.raises(TypeError, match="estimator is SequenceScaler, which has no loss_curve_, expected a fitted"):
        plot_learning_curve(SequenceScaler(), ax=axes)
    with pytest.raises(ValueError, match="loss_curve_ of SimpleNamespace is empty, expected at least one complete"):
        plot_learning_curve(SimpleNamespace(loss_curve_=[]), ax=axes)
    assert not axes.lines


# matplotlib


def test_without_axes_a_new_figure_is_made():
    pytest.importorskip("matplotlib").use("Agg", force=False)
    from matplotlib import pyplot

    ax = plot_learning_curve(SimpleNamespace(loss_curve_=[1.0, 0.5]))
    assert ax.figure.number in pyplot.get_fignums()
    pyplot.close(ax.figure)


def test_missing_matplotlib_is_an_error_that_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"pip install fastrnn\[plot\]"):
        plot_learning_curve(SimpleNamespace(loss_curve_=[1.0]))


def test_numbers_need_neither_matplotlib_nor_scikit_learn():
    code = (
        "import sys, numpy as np\n"
        "from types import SimpleNamespace\n"
        "from fastrnn.inspection import confusion_over_time\n"
        "model = SimpleNamespace(classes_=np.array([0]), predict=lambda X: np.zeros(len(X), int))\n"
        "confusion_over_time(model, np.zeros((1, 3, 1)), [0])\n"
        "assert not {'matplotlib', 'sklearn'} & set(sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr


# attention


def test_attention_is_drawn_with_a_row_for_each_token_that_was_written(axes):
    weights = np.array([[0.9, 0.1], [0.2, 0.8], [0.0, 1.0]])
    ax = plot_attention(weights, "ax", [3, 7, 5], ax=axes)
    np.testing.assert_array_equal(ax.get_images()[0].get_array(), weights)
    assert ax.get_images()[0].get_clim() == (0.0, 1.0)  # pictures of different sentences are comparable
    assert [label.get_text() for label in ax.get_xticklabels()] == ["a", "x"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["3", "7", "5"]


def test_attention_weights_that_do_not_fit_the_tokens_are_refused(axes):
    with pytest.raises(ValueError, match=r"weights has shape \(2, 3\), expected \(len\(written\), len\(source\)\)"):
        plot_attention(np.zeros((2, 3)), "ab", "abc", ax=axes)
