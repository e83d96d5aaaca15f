"""RNNTranscriber: labels of sequences that nobody has aligned; and the rate of wrong ones."""

import itertools
import warnings
from functools import cache

import numpy as np
import pytest
from ctc_enumeration import labellings, loss_and_gradient
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score

import fastrnn
from fastrnn import RNNTranscriber, Sequential
from fastrnn.layers import Conv1d, Dense
from fastrnn.metrics import edit_distance, label_error_rate
from fastrnn.training import Checkpoint

LETTERS = "abc"


def held(word, rng):
    """Each letter for two to four steps, with a pause of one after each, and noise."""
    steps = [step for letter in word for step in [LETTERS.index(letter)] * rng.integers(2, 5) + [3]]
    return np.eye(4)[steps or [3, 3]] + 0.2 * rng.standard_normal((len(steps or [3, 3]), 4))


def words(seed, n, least=1):
    rng = np.random.default_rng(seed)
    return ["".join(rng.choice(list(LETTERS), rng.integers(least, 6))) for _ in range(n)]


RNG = np.random.default_rng(0)
Y = words(1, 24)
X = [held(word, RNG) for word in Y]
FORMS = {
    "text": Y,
    "strings": [[f"<{letter}>" for letter in word] for word in Y],
    "integers": [[7 * LETTERS.index(letter) for letter in word] for word in Y],
}


def model(**options):
    return RNNTranscriber(**{"hidden_layer_sizes": (6,), "cell": "gru", "max_iter": 3, "random_state": 0, **options})


def fitted(estimator, x=X, y=Y, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a few epochs
        return estimator.fit(x, y, **options)


@cache
def trained():
    """One that makes mistakes."""
    return fitted(model(hidden_layer_sizes=(8,), max_iter=25, learning_rate_init=0.03))


def posteriors(estimator, x=X):
    return estimator.predict_proba(x)


def assert_same(found, expected):
    assert len(found) == len(expected)
    for one, other in zip(found, expected):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("form", FORMS)
def test_transcriber_learns_to_write_down_what_it_reads_in_the_form_of_y(form):
    y = FORMS[form]
    net = fitted(model(hidden_layer_sizes=(12,), max_iter=60, learning_rate_init=0.03, n_iter_no_change=60), y=y)
    found = net.predict(X)
    if form == "integers":
        assert all(type(row) is np.ndarray and row.dtype == np.int64 for row in found)
        found = [row.tolist() for row in found]
    assert np.mean([one == other for one, other in zip(found, y)]) > 0.9
    assert net.score(X, y) > 0.97


def test_sequences_without_labels_are_learned_too():
    y = words(2, 40, least=0)
    rng = np.random.default_rng(3)
    x = [held(word, rng) for word in y]
    net = fitted(model(hidden_layer_sizes=(12,), max_iter=40, learning_rate_init=0.03), x, y)
    assert y.count("") > 3
    assert np.mean([one == other for one, other in zip(net.predict(x), y)]) > 0.9


def test_posteriors_have_the_blank_first_and_answers_follow_from_them():
    net = trained()
    assert net.classes_.tolist() == ["a", "b", "c"] and net.n_outputs_ == 4
    for answer, rows, x in zip(net.predict(X), posteriors(net), X):
        assert rows.shape == (len(x), 4)
        np.testing.assert_allclose(rows.sum(axis=1), 1.0, rtol=1e-12)
        best = [k for k, _ in itertools.groupby(rows.argmax(axis=1)) if k]
        assert answer == "".join(LETTERS[k - 1] for k in best)


@pytest.mark.parametrize("beam_width", [1, 4])
def test_answers_do_not_depend_on_order_or_company(beam_width):
    net = clone(trained()).set_params(bidirectional=True, beam_width=beam_width)
    net = fitted(net)
    assert_same(posteriors(net), [posteriors(net, [x])[0] for x in X])
    assert net.predict(X) == [net.predict([x])[0] for x in X]
    assert net.predict(X[::-1]) == net.predict(X)[::-1]


def test_arrays_give_arrays_with_the_rows_that_lists_give():
    x = RNG.standard_normal((5, 9, 3))
    net = fitted(model(), x, Y[:5])
    assert posteriors(net, x).shape == (5, 9, 4)
    assert_same(posteriors(net, x), posteriors(net, list(x)))
    assert net.predict(x) == net.predict(list(x))


def short(seed, n=8):
    """Few steps and two labels, so that all paths can be gone through."""
    rng = np.random.default_rng(seed)
    x = [rng.standard_normal((int(n_steps), 2)) for n_steps in rng.integers(2, 6, n)]
    return x, [rng.integers(0, 2, rng.integers(0, 2)).tolist() + [int(k % 2)] for k in range(n)]


@pytest.mark.parametrize("batch_size", [8, 3])
def test_loss_is_the_mean_over_sequences_in_nats(batch_size):
    x, y = short(0)
    y = [row[: len(steps) // 2] for row, steps in zip(y, x)]
    net = fitted(model(max_iter=1, batch_size=batch_size, alpha=0.0, learning_rate_init=1e-12), x, y)
    with np.errstate(divide="ignore"):
        rows = [np.log(p) for p in posteriors(net, x)]
    expected = np.array([loss_and_gradient(p, [k + 1 for k in row], 0)[0] for p, row in zip(rows, y)])
    assert net.loss_curve_[0] == pytest.approx(expected.mean(), rel=1e-9)
    assert net.log_loss(x, y) == pytest.approx(expected.mean(), rel=1e-12)
    weights = np.arange(1.0, 9.0)
    assert net.log_loss(x, y, weights) == pytest.approx(np.average(expected, weights=weights), rel=1e-12)
    weighted = fitted(clone(net), x, y, sample_weight=weights)
    assert weighted.loss_curve_[0] == pytest.approx(np.average(expected, weights=weights), rel=1e-9)


def test_penalty_is_that_of_mlpclassifier():
    one, other = (fitted(model(max_iter=1, batch_size=24, learning_rate_init=1e-12, alpha=a)) for a in (0.0, 2.0))
    squares = sum((w**2).sum() for name, w in one._trained.params.items() if w.ndim == 2)
    assert other.loss_curve_[0] - one.loss_curve_[0] == pytest.approx(squares / 24, rel=1e-6)


def test_sequences_of_weight_0_are_as_if_not_given():
    weight = np.ones(24)
    weight[::3] = 0.0
    kept = np.flatnonzero(weight)
    one = fitted(model(batch_size=30), sample_weight=weight)
    other = fitted(model(batch_size=30), [X[i] for i in kept], [Y[i] for i in kept])
    assert_same(posteriors(one), posteriors(other))


def test_same_seed_gives_the_same_bits_and_another_does_not():
    one, other, third = (fitted(model(random_state=seed)) for seed in (0, 0, 1))
    assert_same(posteriors(one), posteriors(other))
    assert any((a != b).any() for a, b in zip(posteriors(one), posteriors(third)))


# decoding


def test_a_wide_beam_finds_the_likeliest_labels_and_greedy_decoding_need_not():
    x, y = short(4, 30)
    net = fitted(model(max_iter=4), x, [row if 2 * len(row) <= len(s) else row[:1] for row, s in zip(y, x)])
    greedy, beam = net.predict(x), clone(net).set_params(beam_width=100)
    vars(beam).update({key: value for key, value in vars(net).items() if key not in net.get_params()})
    likeliest = []
    for rows in posteriors(net, x):
        found = labellings(np.log(rows), 0)
        likeliest.append([k - 1 for k in max(found, key=found.get)])
    assert [row.tolist() for row in beam.predict(x)] == likeliest
    assert [row.tolist() for row in greedy] != likeliest


@pytest.mark.parametrize(("form", "kind"), [("text", str), ("strings", tuple), ("integers", tuple)])
def test_a_language_model_is_asked_with_prefixes_in_the_form_of_y_and_obeyed(form, kind):
    net = fitted(model(hidden_layer_sizes=(8,), max_iter=25, learning_rate_init=0.03, beam_width=5), y=FORMS[form])
    labels, asked = net.classes_.tolist(), []

    def never_the_first_label(prefix):
        asked.append(prefix)
        return [-np.inf, -0.7, -0.7]

    free = net.predict(X)
    bound = net.set_params(language_model=never_the_first_label).predict(X)
    assert any(labels[0] in list(row) for row in free) and not any(labels[0] in list(row) for row in bound)
    assert {type(prefix) for prefix in asked} == {kind} and max(map(len, asked)) > 1
    assert {type(label) for prefix in asked for label in prefix} == {type(labels[0])}


def test_weight_and_bonus_move_answers_as_they_should():
    net = clone(trained()).set_params(beam_width=4)
    net = fitted(net)
    length = {bonus: sum(map(len, net.set_params(length_bonus=bonus).predict(X))) for bonus in (-4.0, 0.0, 4.0)}
    assert length[-4.0] < length[0.0] < length[4.0]
    net.set_params(length_bonus=0.0)
    free = net.predict(X)
    net.set_params(language_model=lambda prefix: np.log([0.9, 0.05, 0.05]), lm_weight=0.0)
    assert net.predict(X) == free
    few, many = (sum(row.count("a") for row in net.set_params(lm_weight=w).predict(X)) for w in (0.0, 3.0))
    shares = [n / sum(map(len, net.set_params(lm_weight=w).predict(X))) for n, w in ((few, 0.0), (many, 3.0))]
    assert shares[1] > shares[0]


# what else fit can do


def test_a_network_that_shortens_sequences_counts_its_own_steps():
    layers = [
        Conv1d(4, 6, 2, stride=2, padding="valid", dtype="float64", random_state=0),
        fastrnn.GRU(6, 8, bidirectional=True, dtype="float64", random_state=1),
        Dense(16, 4, dtype="float64", random_state=2),
    ]
    slow = [np.repeat(x, 2, axis=0) for x in X]
    net = RNNTranscriber(network=Sequential(*layers), max_iter=40, learning_rate_init=0.03, random_state=0)
    fitted(net, slow, Y)
    assert [len(rows) for rows in posteriors(net, slow)] == [len(x) // 2 for x in slow]
    assert net.score(slow, Y) > 0.9
    with pytest.raises(
        ValueError, match=r"y\[1\] has 2 labels and 1 of them like the one before, expected .* <= 2, th"
    ):
        net.fit([slow[0], np.zeros((5, 4))], ["ab", "cc"])
    assert fitted(net, [slow[0], np.zeros((6, 4))], ["ab", "cc"]).n_iter_ > 0


def test_tokens_are_read_and_written():
    y = words(5, 60)
    x = ["".join(letter.upper() * (2 + k % 3) + "-" for k, letter in enumerate(word)) for word in y]
    net = fitted(model(embedding_dim=4, hidden_layer_sizes=(12,), max_iter=40, learning_rate_init=0.03), x, y)
    assert net.predict(["AAA-BB-BBBB-", "CC-AA-"]) == ["abb", "ca"]


def test_early_stopping_scores_by_edit_distances_of_the_likeliest_alignment():
    options = {"hidden_layer_sizes": (8,), "max_iter": 25, "learning_rate_init": 0.03}
    validation = {"X_val": X[12:], "y_val": Y[12:]}
    net = fitted(model(early_stopping=True, n_iter_no_change=25, **options), X[:12], Y[:12], **validation)
    assert net.best_validation_score_ == pytest.approx(net.score(X[12:], Y[12:]), abs=1e-12) and net.score(X, Y) > 0
    assert net.validation_loss_curve_[np.argmax(net.validation_scores_)] == pytest.approx(
        net.log_loss(X[12:], Y[12:]), rel=1e-9
    )


def test_partial_fit_and_warm_start_go_on():
    net = model()
    for _ in range(3):
        net.partial_fit(X, Y, classes="abcd")
    assert net.n_iter_ == 3 and net.classes_.tolist() == ["a", "b", "c", "d"]
    assert fitted(fitted(model(warm_start=True))).n_iter_ == 6
    with pytest.raises(TypeError, match="y holds integers, expected text, as in fit"):
        net.partial_fit(X, FORMS["integers"])
    net = model().partial_fit(X[:2], [[], []], classes=[3, 1])
    assert net.partial_fit(X[:1], [[1, 3]]).predict(X[:1])[0].dtype == np.int64
    with pytest.raises(ValueError, match="classes is None"):
        model().partial_fit(X, Y)


def test_resumed_fit_ends_with_the_same_bits(tmp_path):
    whole = fitted(model(max_iter=4))
    fitted(model(max_iter=2).set_callbacks(Checkpoint(tmp_path / "half")))
    resumed = fitted(model(max_iter=4), resume_from=tmp_path / "half")
    assert_same(posteriors(resumed), posteriors(whole))


def test_transcriber_goes_through_cross_validation_and_grid_search():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert np.isfinite(cross_val_score(model(), X, Y, cv=3)).all()
        search = GridSearchCV(model(), {"cell": ["gru", "rnn"]}, cv=2).fit(X, Y)
    assert search.best_params_["cell"] in ("gru", "rnn")


@pytest.mark.parametrize("form", FORMS)
def test_transcriber_comes_back_from_a_file_bit_for_bit(form, tmp_path):
    net = fitted(model(dropout=0.1, beam_width=3, length_bonus=0.5), y=FORMS[form])
    fastrnn.save(net, tmp_path / "net.safetensors")
    found = fastrnn.load(tmp_path / "net.safetensors")
    assert type(found) is RNNTranscriber and found.get_params() == net.get_params()
    assert_same(posteriors(found), posteriors(net))
    assert_same(found.predict(X), net.predict(X))


@pytest.mark.parametrize(
    ("attribute", "value", "message"),
    [
        ("classes_", np.array(["a", "b"]), "RNNTranscriber has 2 classes and 4 outputs, expected 3"),
        ("_form", "integers", "_form of RNNTranscriber is 'integers', expected that of its classes_"),
        ("_form", "verse", "_form of RNNTranscriber is 'verse', expected a form"),
    ],
)
def test_a_file_that_does_not_fit_together_is_refused(attribute, value, message, tmp_path, monkeypatch):
    net = fitted(model())
    setattr(net, attribute, value)
    monkeypatch.setattr("fastrnn.estimators._storage._check_fitted", lambda name, learned: None)
    fastrnn.save(net, tmp_path / "net.safetensors")
    monkeypatch.undo()
    with pytest.raises(ValueError, match=message):
        fastrnn.load(tmp_path / "net.safetensors")


def test_a_language_model_cannot_be_saved(tmp_path):
    net = fitted(model(beam_width=2, language_model=lambda prefix: np.zeros(3)))
    with pytest.raises(TypeError, match="language_model is or holds an object of type builtins.function"):
        fastrnn.save(net, tmp_path / "net.safetensors")


WRONG = [
    ({"y": Y[:5]}, ValueError, r"inconsistent numbers of samples: \[24, 5\]"),
    ({"y": [*Y[:-1], "a" * 99]}, ValueError, r"y\[23\] has 99 labels and 98 of them like the one before, expected n_l"),
    ({"y": "abc"}, TypeError, "y is 'abc'"),
    ({"y": None}, ValueError, "y is None"),
    ({"y": [""] * 24}, ValueError, "y has no tokens"),
    ({"y": [*Y[:-1], [1]]}, TypeError, "y holds integers and text, expected sequences of one kind"),
    ({"y": Y, "sample_weight": [-1.0] * 24}, ValueError, r"sample_weight\[0\] is negative"),
    ({"y": Y, "X_val": X[:1], "y_val": ["z"]}, ValueError, r"X_val, y_val: y\[0\] has the token 'z'"),
    (
        {"y": Y, "X_val": X[:1], "y_val": ["abcabcabcabcabcabcabc"]},
        ValueError,
        r"X_val, y_val: y\[0\] has 21 labels, e",
    ),
]


@pytest.mark.parametrize(("arguments", "error", "message"), WRONG)
def test_wrong_input_is_named(arguments, error, message):
    with pytest.raises(error, match=message):
        model().fit(X, **arguments)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"beam_width": 0}, ValueError, "beam_width is 0, expected an integer >= 1"),
        ({"language_model": len}, ValueError, "beam_width is 1, expected more with language_model"),
        ({"length_bonus": 1.0}, ValueError, "beam_width is 1, expected more with length_bonus"),
        ({"beam_width": 2, "language_model": 3}, TypeError, "language_model is an object of type int, expected a call"),
        ({"lm_weight": -1.0}, ValueError, "lm_weight is -1.0, expected lm_weight >= 0"),
        ({"length_bonus": np.inf}, ValueError, "length_bonus is inf, expected a finite number"),
    ],
)
def test_options_of_decoding_are_checked_in_fit_and_in_predict(options, error, message):
    with pytest.raises(error, match=message):
        model(**options).fit(X, Y)
    net = clone(trained()).partial_fit(X, Y, classes="abc").set_params(**options)
    with pytest.raises(error, match=message):
        net.predict(X)


def test_answers_of_a_language_model_are_checked():
    net = fitted(model(beam_width=2)).set_params(language_model=lambda prefix: np.zeros(2))
    with pytest.raises(
        ValueError, match=r"language_model\(prefix\) has shape \(2,\), expected \(n_classes,\) = \(3,\)"
    ):
        net.predict(X)
    with pytest.raises(ValueError, match="expected logarithms of probabilities"):
        net.set_params(language_model=lambda prefix: np.ones(3)).predict(X)


def test_options_without_a_meaning_are_refused():
    for name, value in {"pooling": "mean", "bptt_window": 3, "class_weight": None}.items():
        with pytest.raises(TypeError, match=f"unexpected keyword argument '{name}'"):
            RNNTranscriber(**{name: value})
        assert name not in RNNTranscriber().get_params()
    for method in ("predict", "predict_proba"):
        with pytest.raises(NotFittedError):
            getattr(model(beam_width=0), method)(X)


# measures


def distance_by_definition(one, other):
    if not one or not other:
        return len(one) + len(other)
    changed = distance_by_definition(one[1:], other[1:]) + (one[0] != other[0])
    return min(changed, distance_by_definition(one[1:], other) + 1, distance_by_definition(one, other[1:]) + 1)


@pytest.mark.parametrize("seed", range(20))
def test_edit_distance_is_the_least_over_all_ways(seed):
    rng = np.random.default_rng([20, seed])
    one, other = (rng.integers(0, 3, rng.integers(0, 7)).tolist() for _ in range(2))
    assert edit_distance(one, other) == distance_by_definition(one, other)
    assert edit_distance(np.array(other, dtype=int), one) == distance_by_definition(one, other)


def test_rates_are_distances_over_lengths():
    assert label_error_rate(["abcd", ["x"]], ["abd", ["x", "y"]]) == pytest.approx(2 / 5)
    assert label_error_rate(["a"], ["bbb"]) == 3.0
    assert np.isnan(label_error_rate([""], ["a"]))
    with pytest.raises(ValueError, match="predicted has 2 sequences, expected those of target, 1"):
        label_error_rate(["a"], ["a", "b"])


def test_score_is_1_less_the_label_error_rate_also_of_unknown_labels():
    net = trained()
    found = net.predict(X)
    assert 0 < net.score(X, Y) == 1 - label_error_rate(Y, found)
    strange = ["z" * len(word) for word in Y]
    assert net.score(X, strange) == 1 - label_error_rate(strange, found) <= 0
    weights = np.arange(24.0)
    wrong = [edit_distance(*pair) for pair in zip(Y, found)]
    expected = 1 - (weights @ wrong) / (weights @ [len(word) for word in Y])
    assert net.score(X, Y, weights) == pytest.approx(expected, rel=1e-12)
