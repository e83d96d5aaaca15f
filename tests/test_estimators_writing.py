"""RNNSeq2Seq and RNNGenerator: sequences of tokens that are written, under scikit-learn's contract."""

import warnings

import numpy as np
import pytest
from cases import assert_same_bits
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score

import fastrnn
from fastrnn import RNNGenerator, RNNSeq2Seq
from fastrnn.layers import CrossAttention
from fastrnn.models import EncoderDecoder, Network
from fastrnn.schedules import InverseSigmoid, Linear, Plateau
from fastrnn.training import Checkpoint

RNG = np.random.default_rng(0)
WORDS = ["".join(RNG.choice(list("abc"), length)) for length in RNG.integers(1, 5, 150)]
BACKWARDS = [word[::-1] for word in WORDS]
SERIES = [RNG.standard_normal((length, 2)) for length in RNG.integers(1, 6, 40)]
SIGNS = ["".join("+" if value > 0 else "-" for value in x[:, 0]) for x in SERIES]
VECTORS = RNG.standard_normal((40, 3))
QUADRANTS = ["".join("pn"[int(value < 0)] for value in x[: 1 + (x[2] > 0)]) for x in VECTORS]


def model(**options):
    small = {"hidden_layer_sizes": (8,), "cell": "gru", "embedding_dim": 4, "max_iter": 2, "random_state": 0}
    return RNNSeq2Seq(**small | options)


def generator(**options):
    return RNNGenerator(**{"hidden_layer_sizes": (8,), "max_iter": 2, "random_state": 0} | options)


def fitted(estimator, X=WORDS, y=BACKWARDS, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a few epochs
        return estimator.fit(X, y, **options)


FITTED = {
    "plain": lambda: fitted(model()),
    "additive": lambda: fitted(model(attention="additive", bidirectional=True, beam_width=3)),
    "multiplicative": lambda: fitted(model(cell="lstm", attention="multiplicative", hidden_layer_sizes=(8, 6))),
    "features": lambda: fitted(model(embedding_dim=None, dropout=0.2), SERIES, SIGNS),
    "vectors": lambda: fitted(generator(input_layer_sizes=(5,)), VECTORS, QUADRANTS),
}
DATA = {"features": (SERIES, SIGNS), "vectors": (VECTORS, QUADRANTS)}
EACH = pytest.mark.parametrize("kind", FITTED)


def answers(estimator, X):
    return [(sequence, score) for beam in estimator.decode(X) for sequence, score in beam]


# learning


@pytest.mark.parametrize("attention", [None, "additive", "multiplicative"])
def test_seq2seq_learns_to_turn_words_round(attention):
    net = model(hidden_layer_sizes=(32,), attention=attention, max_iter=60, learning_rate_init=0.01, tol=0)
    assert fitted(net).score(WORDS, BACKWARDS) > 0.95


def test_seq2seq_writes_what_features_say():
    net = model(embedding_dim=None, hidden_layer_sizes=(32,), attention="additive", bidirectional=True, max_iter=120)
    net.set_params(learning_rate_init=0.01, tol=0, batch_size=8)
    assert fitted(net, SERIES, SIGNS).score(SERIES, SIGNS) > 0.9


def test_generator_writes_what_a_vector_says():
    net = generator(hidden_layer_sizes=(32,), max_iter=150, learning_rate_init=0.02, tol=0)
    assert fitted(net, VECTORS, QUADRANTS).score(VECTORS, QUADRANTS) > 0.95


def test_attention_finds_the_letter_that_is_written():
    net = model(hidden_layer_sizes=(32,), attention="additive", bidirectional=True, max_iter=60, tol=0)
    net = fitted(net.set_params(learning_rate_init=0.01))
    words = [word for word in WORDS if len(set(word)) == len(word) > 1]
    weights = net.attention_weights(words, [word[::-1] for word in words])
    largest = np.concatenate(
        [len(word) - 1 - row.argmax(axis=1) - np.arange(len(row)) for word, row in zip(words, weights)]
    )
    assert np.mean(np.abs(largest) <= 1) > 0.8  # it or its neighbour, whose states know of it


def test_scheduled_sampling_trains_and_ends_with_right_tokens():
    net = model(
        hidden_layer_sizes=(32,), max_iter=80, learning_rate_init=0.01, tol=0, teacher_forcing=Linear(0.02, 0.3)
    )
    assert fitted(net).score(WORDS, BACKWARDS) > 0.9
    assert net.network_.teacher_forcing == 1.0


def test_teacher_forcing_is_asked_before_each_epoch():
    seen = []

    def schedule(progress):
        seen.append((progress.epoch, progress.update))
        return 0.5

    net = fitted(model(teacher_forcing=schedule, max_iter=3, batch_size=50))
    assert seen == [(0, 0), (1, 3), (2, 6)]
    assert net.loss_curve_ != fitted(model(max_iter=3, batch_size=50)).loss_curve_


def test_the_validation_loss_is_that_of_right_tokens():
    options = {"max_iter": 1, "learning_rate_init": 1e-12, "alpha": 0.0}
    losses = [
        fitted(model(teacher_forcing=share, **options), X_val=WORDS[:9], y_val=BACKWARDS[:9]).validation_loss_curve_
        for share in (0.0, 1.0)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-9)


# forms of y


@pytest.mark.parametrize(
    ("y", "kind"),
    [
        (BACKWARDS, str),
        ([list(word) for word in BACKWARDS], list),
        ([[7 * "abc".index(letter) for letter in word] for word in BACKWARDS], np.ndarray),
        ([np.array(["abc".index(letter) for letter in word]) for word in BACKWARDS], np.ndarray),
    ],
    ids=["text", "strings", "integers", "arrays"],
)
def test_predict_gives_sequences_of_the_form_of_y(y, kind):
    net = fitted(model(max_length=3), y=y)
    found = net.predict(WORDS)
    tokens = {token for row in y for token in (row.tolist() if isinstance(row, np.ndarray) else row)}
    assert {type(row) for row in found} == {kind}
    assert {token for row in found for token in row} <= tokens
    assert set(net.output_vocabulary_) == tokens
    assert 0.0 <= net.score(WORDS, y) <= 1.0
    same = [found[0], *y[1:]]
    assert net.score(WORDS[:1], same[:1]) == 1.0


def test_integers_of_an_array_are_sequences_of_one_length():
    y = RNG.integers(0, 3, (150, 2))
    net = fitted(model(), y=y)
    assert all(row.dtype == np.int64 for row in net.predict(WORDS[:3]))
    assert net.score(WORDS, y) == net.score(WORDS, list(y))


def test_an_empty_sequence_can_be_written():
    y = ["" if "a" in word else word for word in WORDS]
    net = fitted(model(hidden_layer_sizes=(32,), max_iter=60, learning_rate_init=0.01), y=y)
    assert net.predict(["aab", "aa"]) == ["", ""]


def test_tokens_that_fit_has_not_met_cannot_be_right():
    net = fitted(model())
    assert net.score(WORDS[:2], ["xyz", net.predict(WORDS[1:2])[0]]) == 0.5


# the contract


@EACH
def test_answers_do_not_depend_on_order_or_company(kind):
    net, (X, _) = FITTED[kind](), DATA.get(kind, (WORDS, BACKWARDS))
    together = answers(net, X)
    assert together == [answer for i in range(len(X)) for answer in answers(net, X[i : i + 1])]
    assert together[::-1] == answers(net, X[::-1])


@EACH
def test_an_estimator_comes_back_from_a_file_bit_for_bit(kind, tmp_path):
    net, (X, y) = FITTED[kind](), DATA.get(kind, (WORDS, BACKWARDS))
    net.set_params(teacher_forcing=InverseSigmoid(5.0))
    fastrnn.save(net, tmp_path / "writer.safetensors")
    found = fastrnn.load(tmp_path / "writer.safetensors")
    assert type(found) is type(net) and found.get_params() == net.get_params()
    assert answers(found, X) == answers(net, X)
    with pytest.raises(ValueError, match=f"{type(net).__name__}, whose network is an EncoderDecoder and no Network"):
        Network.load(tmp_path / "writer.safetensors")
    assert found.score(X, y) == net.score(X, y) and found.loss_curve_ == net.loss_curve_
    if kind in ("additive", "multiplicative"):
        for one, other in zip(found.attention_weights(X), net.attention_weights(X)):
            assert_same_bits(one, other)


def test_a_file_whose_tokens_do_not_fit_the_network_is_refused(tmp_path):
    net = fitted(model())
    net.output_vocabulary_["d"] = 4
    fastrnn.save(net, tmp_path / "writer.safetensors")
    with pytest.raises(ValueError, match="output_vocabulary_ of RNNSeq2Seq has 4 tokens, expected n_outputs_ - 1"):
        fastrnn.load(tmp_path / "writer.safetensors")


@EACH
def test_the_same_seed_gives_the_same_bits_and_another_does_not(kind):
    net, (X, y) = FITTED[kind](), DATA.get(kind, (WORDS, BACKWARDS))
    again = fitted(clone(net), X, y)
    assert answers(again, X) == answers(net, X)
    for name, array in net.network_.params.items():
        assert_same_bits(again.network_.params[name], array, name)
    assert fitted(clone(net).set_params(random_state=1), X, y).loss_curve_ != net.loss_curve_


@EACH
def test_network_is_a_copy_that_gives_the_training_loss(kind):
    net = FITTED[kind]()
    assert isinstance(net.network_, EncoderDecoder) and net.network_ is not net.network_
    attention = {"additive": "additive", "multiplicative": "multiplicative"}.get(kind)
    found = [layer.kind for layer in net.network_.layers if isinstance(layer, CrossAttention)]
    assert found == ([attention] if attention else [])


def test_the_loss_is_the_mean_over_all_tokens_and_ends():
    options = {"max_iter": 1, "batch_size": 150, "alpha": 0.0, "learning_rate_init": 1e-12, "length_penalty": 0.0}
    net = fitted(model(**options))
    network, letters = net.network_, {"a": 1, "b": 2, "c": 3}
    total = 0.0
    for word, written in zip(WORDS, BACKWARDS):
        source = np.array([net.vocabulary_[letter] for letter in word])[:, None]
        inputs = np.array([0, *(letters[letter] for letter in written)])
        logits = network((source, None, inputs[:, None]))[0][:, 0]
        log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        total -= log_p[np.arange(len(inputs)), [*inputs[1:], 0]].sum()
    assert net.loss_curve_[0] == pytest.approx(total / sum(len(word) + 1 for word in WORDS), rel=1e-9)


def test_weights_of_0_are_as_if_pairs_had_not_been_given():
    weight = np.arange(150) % 2
    strange = [word if w else "zz" for word, w in zip(WORDS, weight)]
    one = fitted(model(), strange, BACKWARDS, sample_weight=weight)
    other = fitted(model(), WORDS[1::2], BACKWARDS[1::2])
    assert "z" not in one.vocabulary_
    assert answers(one, WORDS) == answers(other, WORDS)
    right = np.array([p == y for p, y in zip(one.predict(WORDS), BACKWARDS)])
    assert one.score(WORDS, BACKWARDS, np.arange(150)) == pytest.approx(
        (right * np.arange(150)).sum() / sum(range(150))
    )


def test_decode_gives_beams_whose_first_is_predicted():
    net = fitted(model(beam_width=4, max_iter=5))
    beams = net.decode(WORDS[:20], n_best=3)
    assert [beam[0][0] for beam in beams] == net.predict(WORDS[:20])
    for beam in beams:
        assert len({sequence for sequence, _ in beam}) == 3
        assert [score for _, score in beam] == sorted((score for _, score in beam), reverse=True)
    narrow = net.decode(WORDS[:20], beam_width=1)
    assert [beam[0][0] for beam in narrow] == net.set_params(beam_width=1).predict(WORDS[:20])


def test_sequences_end_at_max_length():
    net = fitted(model(max_iter=1))
    assert max(map(len, net.predict(WORDS))) <= 8  # twice those of fit
    assert max(map(len, net.set_params(max_length=1).predict(WORDS))) <= 1


@pytest.mark.parametrize("kind", ["additive", "multiplicative"])
def test_attention_weights_are_rows_of_sum_1_for_each_token(kind):
    net = FITTED[kind]()
    weights, written = net.attention_weights(WORDS), net.predict(WORDS)
    for row, word, tokens in zip(weights, WORDS, written):
        assert row.shape == (len(tokens), len(word))
        np.testing.assert_allclose(row.sum(axis=1), 1.0, rtol=1e-6)
    given = net.attention_weights(WORDS, written)
    assert all((one == other).all() for one, other in zip(given, weights))
    alone = net.attention_weights(WORDS[3:4], ["abcab"])[0]
    assert_same_bits(alone[:2], net.attention_weights(WORDS[2:6], ["a", "abc", "cab", ""])[1][:2])


def test_the_generator_draws_sequences_by_their_probability():
    X, y = np.ones((200, 1)), ["a"] * 140 + ["bb"] * 60
    net = fitted(generator(max_iter=60, learning_rate_init=0.02, length_penalty=0.0), X, y)
    (((likeliest, score),),) = net.decode(X[:1])
    assert likeliest == "a"
    drawn = net.sample(np.ones((3000, 1)), random_state=0)
    assert abs(drawn.count("a") / 3000 - np.exp(score)) < 4 * 0.5 / np.sqrt(3000)
    assert drawn == net.sample(np.ones((3000, 1)), random_state=0)
    assert drawn != net.sample(np.ones((3000, 1)), random_state=1)
    assert set(net.sample(X, temperature=0.0)) == set(net.predict(X)) == {"a"}
    assert net.sample(np.ones((3000, 1)), temperature=0.3, random_state=0).count("a") > drawn.count("a")


def test_a_fit_goes_on_from_a_checkpoint_to_the_same_bits(tmp_path):
    options = {"teacher_forcing": Linear(0.2), "dropout": 0.2, "batch_size": 40}
    whole = fitted(model(max_iter=4, **options))
    first = model(max_iter=2, **options).set_callbacks(Checkpoint(tmp_path / "checkpoint"))
    fitted(first)
    going_on = fitted(model(max_iter=4, **options), resume_from=tmp_path / "checkpoint")
    assert going_on.loss_curve_ == whole.loss_curve_
    assert answers(going_on, WORDS) == answers(whole, WORDS)


def test_early_stopping_scores_sequences_that_are_right():
    net = fitted(model(max_iter=8, early_stopping=True, validation_fraction=0.3))
    assert len(net.validation_scores_) == len(net.validation_loss_curve_) == 8
    assert all(0 <= score <= 1 for score in net.validation_scores_)
    net = fitted(model(max_iter=2), X_val=WORDS[:20], y_val=BACKWARDS[:20])
    right = [p == y for p, y in zip(net.predict(WORDS[:20]), BACKWARDS)]
    assert net.validation_scores_[-1] == pytest.approx(np.mean(right))


def test_a_warm_start_goes_on():
    net = fitted(model(warm_start=True))
    fitted(net)
    assert net.n_iter_ == 4 and len(net.loss_curve_) == 4


def test_searches_and_cross_validation_work():
    search = GridSearchCV(model(), {"attention": [None, "additive"]}, cv=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        search.fit(WORDS, BACKWARDS)
        scores = cross_val_score(generator(), VECTORS, QUADRANTS, cv=2)
    assert search.best_params_["attention"] in (None, "additive") and len(scores) == 2


def test_parameters_without_sense_are_not_in_the_signature():
    for estimator in (model(), generator()):
        names = estimator.get_params()
        assert not {"pooling", "conv_filters", "learn_initial_state", "proj_size", "network", "bptt_window"} & set(
            names
        )
    assert not {"bidirectional", "embedding_dim", "attention"} & set(generator().get_params())
    with pytest.raises(TypeError, match="unexpected keyword argument 'pooling'"):
        RNNSeq2Seq(pooling="max")


# errors


@pytest.mark.parametrize("name", ["predict", "decode", "attention_weights"])
def test_methods_of_an_estimator_without_fit_say_so(name):
    with pytest.raises(NotFittedError):
        getattr(model(), name)(3)
    with pytest.raises(NotFittedError):
        model().score(3, None)
    with pytest.raises(AttributeError, match="no network_ yet"):
        _ = model().network_


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"attention": "dot"}, ValueError, "attention is 'dot', expected"),
        ({"teacher_forcing": 1.5}, ValueError, "teacher_forcing is 1.5, expected teacher_forcing <= 1.0"),
        ({"teacher_forcing": "linear"}, TypeError, "teacher_forcing is 'linear'"),
        ({"teacher_forcing": Plateau()}, ValueError, "teacher_forcing is Plateau.*watches a loss"),
        ({"teacher_forcing": lambda progress: 2.0}, ValueError, "teacher_forcing gives 2.0 for epoch 0"),
        ({"beam_width": 0}, ValueError, "beam_width is 0"),
        ({"length_penalty": -1.0}, ValueError, "length_penalty is -1.0, expected length_penalty >= 0.0"),
        ({"max_length": 0}, ValueError, "max_length is 0"),
        ({"output_embedding_dim": 1.5}, TypeError, "output_embedding_dim is 1.5"),
    ],
    ids=str,
)
def test_parameters_out_of_their_range_are_refused(options, error, message):
    net = model(**options)
    with pytest.raises(error, match=message):
        fitted(net)
    assert not hasattr(net, "n_iter_")


@pytest.mark.parametrize(
    ("y", "error", "message"),
    [
        (None, ValueError, "requires y to be passed, but the target y is None"),
        ("abc", TypeError, "y is 'abc' .*expected a list of sequences"),
        (["", ""], ValueError, "y has no tokens"),
        ([3, 4], ValueError, r"y\[0\] is 3 \(int\), expected a str or a sequence"),
        ([["a", 1], ["b"]], TypeError, r"y\[0\] holds integers and strings"),
        (["a", ["b"]], TypeError, "y holds strings and text"),
        ([[1.5], [2]], TypeError, r"y\[0\] holds 1.5 \(float\) at step 0"),
        ([[1, -2], [2]], ValueError, r"y\[0\] holds -2 at step 1, expected integers >= 0"),
        ([np.zeros((2, 2), int), [1]], ValueError, r"y\[0\] has shape \(2, 2\)"),
        (["a"], ValueError, "inconsistent numbers of samples"),
    ],
    ids=str,
)
def test_errors_about_y_name_the_place(y, error, message):
    with pytest.raises(error, match=message):
        fitted(model(), ["ab", "b"], y)


def test_later_y_must_be_of_the_form_and_the_tokens_of_fit():
    net = fitted(model())
    with pytest.raises(TypeError, match="y holds strings, expected text, as in fit"):
        net.score(WORDS[:1], [["a"]])
    with pytest.raises(ValueError, match="X_val, y_val: y.0. has the token 'z' at step 1, expected one of the 3"):
        fitted(model(), X_val=["ab"], y_val=["az"])
    with pytest.raises(ValueError, match="X has 1, y has 2"):
        net.score(WORDS[:1], ["a", "b"])
    with pytest.raises(ValueError, match="n_best is 2, expected n_best <= beam_width = 1"):
        net.decode(WORDS[:1], n_best=2)
    with pytest.raises(AttributeError, match="attention is None"):
        net.attention_weights(WORDS[:1])


def test_the_generator_refuses_what_is_no_table_of_finite_numbers():
    with pytest.raises(ValueError, match="NaN"):
        fitted(generator(), np.full((40, 3), np.nan), QUADRANTS)
    with pytest.raises(ValueError, match="2 features, but RNNGenerator is expecting 3"):
        fitted(generator(), VECTORS, QUADRANTS).predict(VECTORS[:, :2])
    with pytest.raises(TypeError, match="input_layer_sizes is 5"):
        fitted(generator(input_layer_sizes=5), VECTORS, QUADRANTS)
