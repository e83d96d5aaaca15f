"""RNNTagger: labels, sets of labels and numbers for every step."""

import warnings

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score

import fastrnn
from fastrnn import RNNTagger

RNG = np.random.default_rng(0)
X = [RNG.standard_normal((int(length), 3)) for length in RNG.integers(1, 8, size=24)]
LABELS = [np.where(x[:, 0] > 0, "up", np.where(x[:, 1] > 0, "left", "right")) for x in X]
INDICATORS = [(x[:, :2] > 0).astype(int) for x in X]
VALUES = [np.cumsum(x[:, 0]) for x in X]
PAIRS = [np.stack([np.cumsum(x[:, 0]), x[:, 1]], axis=1) for x in X]
TARGETS = {"labels": LABELS, "indicators": INDICATORS, "values": VALUES, "pairs of values": PAIRS}
# what each kind of y is compared by
METHODS = {"labels": ("predict", "predict_proba", "decision_function"), "values": ("predict",)}


def model(**options):
    return RNNTagger(**{"hidden_layer_sizes": (6,), "cell": "gru", "max_iter": 3, "random_state": 0, **options})


def fitted(estimator, x=X, y=LABELS, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a few epochs
        return estimator.fit(x, y, **options)


def answers(estimator, x):
    kind = "values" if estimator._target == "values" else "labels"
    return [rows for name in METHODS[kind] for rows in getattr(estimator, name)(x)]


def assert_same(found, expected):
    assert len(found) == len(expected)
    for one, other in zip(found, expected):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("y", TARGETS.values(), ids=TARGETS)
def test_tagger_learns_what_can_be_seen_at_each_step(y):
    net = fitted(model(hidden_layer_sizes=(16,), max_iter=150, learning_rate_init=0.02, n_iter_no_change=150), y=y)
    assert net.score(X, y) > 0.97


@pytest.mark.parametrize("y", TARGETS.values(), ids=TARGETS)
def test_predict_gives_one_array_per_sequence_of_the_form_of_y(y):
    net = fitted(model(), y=y)
    found = net.predict(X)
    assert [row.shape for row in found] == [row.shape for row in y]
    assert {row.dtype.kind for row in found} == {y[0].dtype.kind}


@pytest.mark.parametrize("y", TARGETS.values(), ids=TARGETS)
def test_answers_do_not_depend_on_order_or_company(y):
    net = fitted(model(bidirectional=True), y=y)
    together = answers(net, X)
    alone = [answers(net, [x]) for x in X]
    assert_same(together, [alone[i][k] for k in range(len(alone[0])) for i in range(len(X))])


@pytest.mark.parametrize("y", TARGETS.values(), ids=TARGETS)
def test_tagger_comes_back_from_a_file_bit_for_bit(y, tmp_path):
    net = fitted(model(dropout=0.1), y=y)
    fastrnn.save(net, tmp_path / "tagger.safetensors")
    found = fastrnn.load(tmp_path / "tagger.safetensors")
    assert type(found) is RNNTagger and found.get_params() == net.get_params()
    assert_same(answers(found, X), answers(net, X))
    assert found.score(X, y) == net.score(X, y)


def test_arrays_give_arrays_with_the_rows_that_lists_give():
    x = RNG.standard_normal((5, 4, 3))
    y = (x[..., 0] > 0).astype(int)
    net = fitted(model(), x, y)
    assert net.predict(x).shape == (5, 4) and net.predict_proba(x).shape == (5, 4, 2)
    assert_same(net.predict(x), net.predict(list(x)))
    assert net.score(x, y) == net.score(list(x), list(y))


def test_same_seed_gives_the_same_bits_and_another_does_not():
    one, other, third = (fitted(model(random_state=seed)) for seed in (0, 0, 1))
    assert_same(answers(one, X), answers(other, X))
    assert any((a != b).any() for a, b in zip(one.decision_function(X), third.decision_function(X)))


def test_loss_is_the_mean_over_valid_steps():
    net = fitted(model(max_iter=1, batch_size=24, alpha=0.0, learning_rate_init=1e-12))
    steps = [
        p[k, list(net.classes_).index(label)]
        for p, row in zip(net.predict_proba(X), LABELS)
        for k, label in enumerate(row)
    ]
    assert net.loss_curve_[0] == pytest.approx(-np.mean(np.log(steps)), rel=1e-9)
    assert net.log_loss(X, LABELS) == pytest.approx(-np.mean(np.log(steps)), rel=1e-9)


def test_log_loss_of_several_labels_is_summed_over_them():
    net = fitted(model(), y=INDICATORS)
    losses = [-np.log(np.where(y, p, 1 - p)).sum(axis=1) for p, y in zip(net.predict_proba(X), INDICATORS)]
    assert net.log_loss(X, INDICATORS) == pytest.approx(np.concatenate(losses).mean(), rel=1e-9)


def test_score_counts_each_step_by_its_weight():
    net = fitted(model())
    weights = [RNG.random(len(x)) for x in X]
    right = np.concatenate([p == y for p, y in zip(net.predict(X), LABELS)])
    w = np.concatenate(weights)
    assert net.score(X, LABELS, weights) == pytest.approx((w * right).sum() / w.sum())
    assert net.score(X, LABELS) == pytest.approx(right.mean())


def test_steps_of_weight_0_are_as_if_they_had_other_labels():
    weights = [(np.arange(len(x)) % 2).astype(float) for x in X]
    weights[0][:] = 1.0
    changed = [np.where(w == 0, "left", y) for y, w in zip(LABELS, weights)]
    one, other = (fitted(model(), y=y, sample_weight=weights) for y in (LABELS, changed))
    assert_same(answers(one, X), answers(other, X))
    assert any((a != b).any() for a, b in zip(one.decision_function(X), fitted(model()).decision_function(X)))


def test_weights_of_sequences_weigh_all_their_steps():
    weights = RNG.integers(1, 4, size=24).astype(float)
    one = fitted(model(), sample_weight=weights)
    other = fitted(model(), sample_weight=[np.full(len(x), w) for x, w in zip(X, weights)])
    for a, b in zip(one.decision_function(X), other.decision_function(X)):
        np.testing.assert_allclose(a, b, rtol=1e-9)


def test_balanced_labels_have_the_same_weight_in_sum():
    y = [np.where(np.arange(len(x)) == 0, "first", "later") for x in X]
    labels = np.concatenate(y)
    factor = {label: len(labels) / (2 * (labels == label).sum()) for label in ("first", "later")}
    one, other = fitted(model(class_weight="balanced"), y=y), fitted(model(class_weight=factor), y=y)
    assert_same(answers(one, X), answers(other, X))


def test_tokens_can_be_tagged_with_characters():
    words = ["abba", "cab", "b", "acca"]
    y = ["".join("V" if letter == "a" else "C" for letter in word) for word in words]
    net = fitted(model(embedding_dim=3, max_iter=80, n_iter_no_change=80, learning_rate_init=0.05), words, y)
    assert "".join(net.predict(["abacab"])[0]) == "VCVCVC"


def test_early_stopping_partial_fit_and_warm_start_work_on_steps():
    net = fitted(model(early_stopping=True, max_iter=4))
    assert len(net.validation_scores_) == 4
    net = model()
    for _ in range(3):
        net.partial_fit(X, LABELS, classes=["left", "right", "up"])
    assert net.n_iter_ == 3
    assert fitted(fitted(model(warm_start=True))).n_iter_ == 6
    with pytest.raises(ValueError, match="classes is None"):
        model().partial_fit(X, LABELS)
    assert model().partial_fit(X, VALUES).n_iter_ == 1


def test_resumed_fit_ends_with_the_same_bits(tmp_path):
    from fastrnn.training import Checkpoint

    whole = fitted(model(max_iter=4))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        half = model(max_iter=2).set_callbacks(Checkpoint(tmp_path / "half"))
        half.fit(X, LABELS)
        resumed = model(max_iter=4).fit(X, LABELS, resume_from=tmp_path / "half")
    assert_same(answers(resumed, X), answers(whole, X))


def test_tagger_goes_through_cross_validation_and_grid_search():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert len(cross_val_score(model(), X, LABELS, cv=3)) == 3
        search = GridSearchCV(model(), {"cell": ["gru", "rnn"]}, cv=2).fit(X, LABELS)
    assert search.best_params_["cell"] in ("gru", "rnn")


def test_bptt_window_as_long_as_the_sequences_changes_nothing():
    one, other = (fitted(model(bptt_window=window, max_iter=1, batch_size=24)) for window in (None, 7))
    for a, b in zip(one.decision_function(X), other.decision_function(X)):
        np.testing.assert_allclose(a, b, rtol=1e-9)


def test_a_network_of_ones_own_is_trained_and_one_with_a_pool_refused():
    layers = [fastrnn.GRU(3, 4, dtype="float64", random_state=0), fastrnn.Dense(4, 3, dtype="float64", random_state=0)]
    own = fastrnn.Sequential(*layers)
    net = fitted(RNNTagger(network=own, max_iter=2, random_state=0))
    assert net.score(X, LABELS) > 0
    pooled = fastrnn.Sequential(layers[0].twin(), fastrnn.Pool("last"), layers[1].twin())
    with pytest.raises(ValueError, match="one output a sequence, expected an output a step"):
        RNNTagger(network=pooled).fit(X, LABELS)


WRONG = [
    ({"y": LABELS[:5]}, ValueError, "inconsistent numbers of samples: X has 24, y has 5"),
    ({"y": [*LABELS[:-1], np.array(["up"] * 99)]}, ValueError, r"y\[23\] has 99 steps, expected those of X\[23\]"),
    ({"y": [*VALUES[:-1], np.full(len(X[-1]), np.nan)]}, ValueError, "y contains NaN at sample 23, step 0"),
    ({"y": [*VALUES[:-1], LABELS[-1]]}, TypeError, r"y\[23\] has dtype <U5, expected that of y\[0\]"),
    ({"y": np.arange(24)}, ValueError, r"y\[0\] has shape \(\), expected \(n_timesteps,\)"),
    ({"y": "abc"}, ValueError, "y is 'abc'"),
    ({"y": [2 * row for row in INDICATORS]}, ValueError, "expected 0 or 1 for each of the n_labels = 2"),
    ({"y": LABELS, "sample_weight": [np.ones(99)] * 24}, ValueError, r"sample_weight\[0\] has shape \(99,\)"),
]


@pytest.mark.parametrize(("arguments", "error", "message"), WRONG)
def test_wrong_input_is_named(arguments, error, message):
    with pytest.raises(error, match=message):
        model().fit(X, **arguments)


def test_options_without_a_meaning_are_refused():
    with pytest.raises(TypeError, match="unexpected keyword argument 'pooling'"):
        RNNTagger(pooling="mean")
    assert "pooling" not in RNNTagger().get_params()
    with pytest.raises(ValueError, match="class_weight is 'balanced', expected None: y are values"):
        model(class_weight="balanced").fit(X, VALUES)
    with pytest.raises(AttributeError, match="predict_proba is for labels"):
        fitted(model(), y=VALUES).predict_proba(X)
    with pytest.raises(NotFittedError):
        model().predict(X)
    with pytest.raises(ValueError, match="target is 'colour', expected"):
        model(target="colour").fit(X, LABELS)


def test_target_says_what_y_is_where_its_type_does_not():
    as_labels = fitted(model(target="labels"), y=[np.round(v) for v in VALUES])
    assert len(as_labels.classes_) > 3
    as_numbers = fitted(model(target="values"), y=INDICATORS)
    assert as_numbers.predict(X)[0].dtype.kind == "f"


# generating


def roll():
    """Pieces in which each frame is the one before, shifted by one key."""
    pieces = []
    for start in range(12):
        keys = (start + np.arange(8)) % 6
        pieces.append(np.eye(6)[keys])
    return pieces


def test_music_goes_on_as_it_was_learned():
    pieces = roll()
    net = model(hidden_layer_sizes=(24,), max_iter=300, learning_rate_init=0.02, n_iter_no_change=300)
    fitted(net, [p[:-1] for p in pieces], [p[1:].astype(int) for p in pieces])
    made = net.generate(12, prefix=pieces[0][:2], temperature=0.0)
    assert made.dtype == np.int64 and made.argmax(axis=1).tolist() == [(2 + k) % 6 for k in range(12)]
    assert (made.sum(axis=1) == 1).all()


def test_generated_sequences_follow_the_seed_and_the_model():
    pieces = roll()
    net = fitted(model(), [p[:-1] for p in pieces], [p[1:].astype(int) for p in pieces])
    one, same, other = (net.generate(30, random_state=seed) for seed in (0, 0, 1))
    assert (one == same).all() and (one != other).any()
    # drawn step by step from the probabilities that predict_proba gives for what was drawn before
    draws = np.random.default_rng(0)
    read = np.concatenate([np.zeros((1, 6)), one[:-1]])
    expected = [draws.random(6) < p for p in net.predict_proba([read])[0]]
    assert (one == expected).all()


def test_numbers_are_fed_back():
    net = fitted(model(), [p[:-1] for p in roll()], [p[1:].astype(float) for p in roll()])
    made = net.generate(4)
    read = np.concatenate([np.zeros((1, 6)), made[:-1]])
    np.testing.assert_allclose(net.predict([read])[0], made, rtol=1e-12)


def test_generate_refuses_outputs_that_are_no_inputs():
    with pytest.raises(ValueError, match="generate feeds outputs back as inputs, but the model reads 3 features"):
        fitted(model()).generate(3)
    net = fitted(model(bidirectional=True), [p[:-1] for p in roll()], [p[1:].astype(int) for p in roll()])
    with pytest.raises(ValueError, match="bidirectional"):
        net.generate(3)
