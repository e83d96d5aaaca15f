"""Callbacks of estimators: scikit-learn's protocol and the hooks of training, through one ``set_callbacks``."""

import csv
import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.callback import ScoringMonitor
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

import fastrnn
from fastrnn.estimators import RNNClassifier, RNNRegressor, SequenceScaler
from fastrnn.schedules import Exponential
from fastrnn.training import Checkpoint, CSVLog, LearningRateSchedule, NonFiniteLossError, ReduceOnPlateau

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

SMALL = {"hidden_layer_sizes": (4,), "max_iter": 4, "random_state": 0, "n_threads": 1}


@pytest.fixture
def data(rng):
    return [rng.normal(size=(int(t), 2)) for t in rng.integers(1, 7, size=24)], np.arange(24) % 2


class Recorder:
    """Takes note of all that scikit-learn's protocol tells it."""

    def __init__(self, stop_after=None, fail=False):
        self.told, self.fitted, self.stop_after, self.fail = [], [], stop_after, fail

    def _note(self, what, context):
        self.told.append((what, context.task_name, context.task_id, context.max_subtasks))

    def setup(self, estimator, context):
        self._note("setup", context)

    def teardown(self, estimator, context):
        self._note("teardown", context)

    def on_fit_task_begin(self, estimator, context, *, X=None, y=None, metadata=None):
        self.given = X, y, metadata
        self._note("begin", context)

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        self._note("end", context)
        self.fitted.append(fitted_estimator)
        if self.fail:
            raise RuntimeError("failed")
        return context.task_name == "epoch" and context.task_id + 1 == self.stop_after


# scikit-learn's protocol


def test_a_callback_is_told_of_one_task_a_fit_and_one_an_epoch(data):
    recorder = Recorder()
    X, y = data
    RNNClassifier(**SMALL).set_callbacks(recorder).fit(X, y, sample_weight=np.ones(24))
    fit = ("fit", 0, 4)
    epochs = [(what, "epoch", k, 0) for k in range(4) for what in ("begin", "end")]
    assert recorder.told == [("setup", *fit), ("begin", *fit), *epochs, ("end", *fit), ("teardown", *fit)]
    assert recorder.given[0] is X and recorder.given[1] is y and list(recorder.given[2]) == ["sample_weight"]


def test_what_a_callback_is_given_predicts_as_a_fit_that_had_ended_there(data):
    X, y = data
    recorder = Recorder()
    options = {**SMALL, "learning_rate_init": 0.05, "alpha": 0.0}
    model = RNNClassifier(**options).set_callbacks(recorder).fit(X, y, X_val=X[:6], y_val=y[:6])
    for epoch, given in enumerate(recorder.fitted[:4], 1):
        shorter = RNNClassifier(**{**options, "max_iter": epoch}).fit(X, y, X_val=X[:6], y_val=y[:6])
        assert np.argmin(shorter.loss_curve_) == epoch - 1  # its weights are those of its last epoch
        np.testing.assert_array_equal(given.predict_proba(X), shorter.predict_proba(X))
        assert given.loss_curve_ == shorter.loss_curve_ and given.n_iter_ == epoch
        assert given.validation_scores_ == shorter.validation_scores_
    np.testing.assert_array_equal(recorder.fitted[4].predict_proba(X), model.predict_proba(X))


def test_watching_changes_nothing(data):
    plain, watched = RNNClassifier(**SMALL).fit(*data), RNNClassifier(**SMALL).set_callbacks(Recorder()).fit(*data)
    np.testing.assert_array_equal(watched.predict_proba(data[0]), plain.predict_proba(data[0]))
    assert {key for key in vars(watched) if key not in vars(plain)} == {"_skl_callbacks"}


def test_true_from_a_callback_stops_and_no_one_is_warned(data, recwarn):
    recorder = Recorder(stop_after=2)
    model = RNNRegressor(**SMALL).set_callbacks(recorder).fit(*data)
    assert model.n_iter_ == 2 and not recwarn.list
    assert recorder.told[-2:] == [("end", "fit", 0, 4), ("teardown", "fit", 0, 4)]


def test_a_failing_callback_is_torn_down_and_the_estimator_goes_on_as_it_was(data):
    X, y = data
    model = RNNClassifier(**SMALL).fit(X, y)
    before, recorder = model.predict_proba(X), Recorder(fail=True)
    with pytest.raises(RuntimeError, match="failed"):
        model.set_callbacks(recorder).fit(X, y)
    assert recorder.told[-1][0] == "teardown"
    np.testing.assert_array_equal(model.set_callbacks().predict_proba(X), before)
    assert not any(name.startswith(("_callback", "_skl")) for name in vars(model))


def test_callbacks_are_torn_down_where_the_data_are_refused_or_a_loss_is_not_finite(data):
    X, y = data
    recorder = Recorder()
    model = RNNRegressor(**{**SMALL, "batch_size": 8}).set_callbacks(recorder)
    with pytest.raises(ValueError, match="X contains NaN"):
        model.fit([x * np.nan for x in X], y)
    assert recorder.told[-1][0] == "teardown"
    with pytest.raises(NonFiniteLossError):
        model.set_params(solver="sgd", learning_rate_init=1e38, max_grad_norm=None, dtype="float32").fit(X, y)
    assert recorder.told[-1][0] == "teardown" and np.isfinite(model.predict(X)).all()


def test_the_scoring_monitor_logs_the_score_of_every_epoch(data):
    X, y = data
    monitor = ScoringMonitor(scoring=["accuracy", "neg_log_loss"])
    model = RNNClassifier(**SMALL).set_callbacks(monitor).fit(X, y)
    rows = monitor.get_logs().data
    assert [(row["task_name"], row["task_id"]) for row in rows] == [("fit", 0)] + [("epoch", k) for k in range(4)]
    assert rows[0]["accuracy"] == model.score(X, y)
    losses = [-row["neg_log_loss"] for row in rows[1:]]
    assert len(set(losses)) == 4 and losses[-1] < losses[0]


def test_the_progress_bar_counts_epochs_also_in_a_search(data, capfd):
    pytest.importorskip("rich", reason="scikit-learn's bar needs it")
    from sklearn.callback import ProgressBar

    RNNClassifier(**SMALL).set_callbacks(ProgressBar()).fit(*data)
    assert "RNNClassifier - fit" in capfd.readouterr().out
    pipeline = make_pipeline(SequenceScaler(), RNNClassifier(**SMALL))
    search = GridSearchCV(pipeline, {"rnnclassifier__alpha": [0.0, 0.1]}, cv=2)
    with pytest.warns(UserWarning, match="SequenceScaler does not support callbacks"):
        search.set_callbacks(ProgressBar(max_propagation_depth=None)).fit(*data)
    assert "RNNClassifier - fit" in capfd.readouterr().out


def test_a_clone_has_the_same_callbacks_and_a_search_calls_them_for_each_fit(data):
    recorder = Recorder()
    model = RNNClassifier(**SMALL).set_callbacks(recorder)
    clone(model).fit(*data)
    assert [what for what, *_ in recorder.told].count("setup") == 1
    GridSearchCV(model, {"alpha": [0.0, 0.1]}, cv=2).fit(*data)
    assert [what for what, *_ in recorder.told].count("setup") == 1 + 2 * 2 + 1


# hooks of training


def test_the_ready_made_hooks_of_training_are_callbacks_too(data, tmp_path):
    X, y = data
    hooks = [CSVLog(tmp_path / "log.csv"), LearningRateSchedule(Exponential(0.5)), ReduceOnPlateau(0.1, 0, 10.0)]
    model = RNNClassifier(**SMALL).set_callbacks(*hooks, Checkpoint(tmp_path / "run"), Recorder())
    model.fit(X, y, X_val=X[:6], y_val=y[:6])
    with open(tmp_path / "log.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["loss"]) for row in rows] == model.loss_curve_
    assert [float(row["validation_score"]) for row in rows] == model.validation_scores_
    rates = [float(row["learning_rate"]) for row in rows]
    np.testing.assert_allclose(rates, [0.003, 0.0015, 0.000075, 0.00000375], rtol=1e-9)
    assert fastrnn.storage.read_arrays(tmp_path / "run")[1]["format"] == "fastrnn training checkpoint"


def test_any_callable_that_takes_the_end_of_an_epoch_is_one(data):
    losses = []
    model = RNNRegressor(**SMALL).set_callbacks(lambda moment: losses.append(moment.watched))
    assert model.fit(*data).loss_curve_ == losses and len(losses) == 4
    assert model.set_callbacks().fit(*data) and len(losses) == 4
    clone(model.set_callbacks(losses.append)).fit(*data)
    assert len(losses) == 8


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("log.csv", r"callbacks\[1\] is 'log.csv', expected an object of"),
        (CSVLog, r"callbacks\[1\] is the class CSVLog"),
    ],
)
def test_what_is_no_callback_is_named_and_those_before_stay(wrong, words, data):
    recorder = Recorder()
    model = RNNClassifier(**SMALL).set_callbacks(recorder)
    with pytest.raises(TypeError, match=words):
        model.set_callbacks(Recorder(), wrong)
    model.fit(*data)
    assert recorder.told


def test_a_pickle_has_the_callbacks_and_a_file_has_none(data, tmp_path):
    model = RNNClassifier(**SMALL).set_callbacks(CSVLog(tmp_path / "log.csv")).fit(*data)
    (tmp_path / "log.csv").unlink()
    fastrnn.save(model, tmp_path / "model")
    fastrnn.load(tmp_path / "model").fit(*data)
    assert not (tmp_path / "log.csv").exists()
    pickle.loads(pickle.dumps(model)).fit(*data)
    assert (tmp_path / "log.csv").exists()


def test_partial_fit_calls_nothing(data):
    recorder = Recorder()
    RNNRegressor(**SMALL).set_callbacks(recorder).partial_fit(*data)
    assert not recorder.told
