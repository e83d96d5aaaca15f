"""RNNLanguageModel: likelihoods, training and files."""

import json
import math
import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from storage_cases import forge

import fastrnn
from fastrnn import RNNLanguageModel
from fastrnn.estimators._vocabulary import split_text
from fastrnn.losses import softmax_cross_entropy
from fastrnn.reference import lstm
from fastrnn.storage import FileFormatError, read_arrays
from fastrnn.training import Checkpoint
from fastrnn.training.samples import Samples
from fastrnn.training.validation import mean_loss

TEXT = "to be, or not to be: that is the question. " * 6
CORPUS = ["the cat sat on the mat.", "the dog sat on the rug.", "a cow ate the grass", "the cat ate"] * 4
LEVELS = {
    "characters": ({}, TEXT),
    "bytes": ({"level": "byte"}, "zwölf Boxkämpfer jagen Viktor " * 4),
    "words": ({"level": "word", "min_count": 5}, CORPUS),
    "words, tied": ({"level": "word", "tie_weights": True, "embedding_dim": 5}, CORPUS),
    "words, clustered": ({"level": "word", "softmax": "adaptive"}, CORPUS),
}
by_level = pytest.mark.parametrize("options, text", LEVELS.values(), ids=LEVELS)


def model(**options):
    defaults = {"hidden_layer_sizes": (8,), "max_iter": 3, "learning_rate_init": 0.02, "random_state": 0}
    return RNNLanguageModel(**{**defaults, **options})


def fitted(estimator, text=TEXT, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a few epochs
        return estimator.fit(text, **options)


def log_probabilities(net, tokens):
    """Of each token but the first, by the reference, in float64."""
    weights = {name: array.astype(np.float64) for name, array in net.network_.params.items()}
    own = {name[2:-3]: array for name, array in weights.items() if name.startswith("1.")}
    x = weights["0.weight"][np.array(tokens[:-1])][:, None]
    zeros = np.zeros((1, own["weight_hh"].shape[1]))
    states, _ = lstm.forward(own, x, (zeros, zeros))
    logits = states[0][1:, 0] @ weights["2.weight"].T + weights["2.bias"]
    log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return log_p[np.arange(len(tokens) - 1), tokens[1:]]


def test_perplexity_is_that_of_the_reference_after_an_end_of_text():
    net = fitted(model(dtype="float64"))
    text = "not to question that"
    log_p = log_probabilities(net, [1, *(net.vocabulary_[letter] for letter in text)])
    assert net.score(text) == pytest.approx(log_p.mean(), rel=1e-12)
    assert net.perplexity(text) == pytest.approx(math.exp(-log_p.mean()), rel=1e-12)
    assert net.bits_per_character(text) == pytest.approx(-log_p.sum() / math.log(2) / len(text), rel=1e-12)


def test_perplexity_of_a_corpus_counts_the_ends_of_its_texts_and_forgets_between_them():
    net = fitted(model(dtype="float64", level="word"), CORPUS)
    vocabulary = net.vocabulary_
    texts = [["the", "cat"], ["a", "cow", "sat"]]
    log_p = [log_probabilities(net, [1, *map(vocabulary.get, words), 1]) for words in texts]
    expected = np.concatenate(log_p)
    assert net.score([" ".join(words) for words in texts]) == pytest.approx(expected.mean(), rel=1e-12)
    assert net.score(texts) == net.score([" ".join(words) for words in texts])
    characters = len("the cat") + len("a cow sat")
    assert net.bits_per_character(texts) == pytest.approx(-expected.sum() / math.log(2) / characters, rel=1e-12)
    alone = log_probabilities(net, [1, vocabulary["the"], vocabulary["cat"]])
    assert net.score("the cat") == pytest.approx(alone.mean(), rel=1e-12)  # a piece of text has no end


@by_level
def test_likelihood_of_a_text_has_the_same_bits_in_any_company(options, text):
    net = fitted(model(**options), text)
    texts = CORPUS[:4] if isinstance(text, list) else [text[:50], text[3:9], text[:20]]
    sequences = [net._sequences([split_text(net.level, one)], True)[0] for one in texts]
    alone = [fastrnn.models.language.log_likelihoods(net._trained, [sequence])[0] for sequence in sequences]
    together = fastrnn.models.language.log_likelihoods(net._trained, sequences[::-1])[::-1]
    np.testing.assert_array_equal(together, alone)
    assert net.score(texts) == pytest.approx(sum(alone) / (sum(map(len, sequences)) - len(texts)), rel=1e-13)


@by_level
def test_windows_of_memory_do_not_change_a_likelihood(options, text, monkeypatch):
    net = fitted(model(**options), text)
    whole = net.score(text)
    monkeypatch.setattr(fastrnn.models.language, "BATCH_BYTES", 1)
    assert net.score(text) == whole


@by_level
def test_model_comes_back_from_a_file_bit_for_bit(options, text, tmp_path):
    net = fitted(model(**options, dropout=0.1), text)
    fastrnn.save(net, tmp_path / "model.safetensors")
    found = fastrnn.load(tmp_path / "model.safetensors")
    assert type(found) is RNNLanguageModel and found.get_params() == net.get_params()
    assert found.vocabulary_ == net.vocabulary_
    assert found.score(text) == net.score(text)
    assert list(found.generate(n=20, random_state=3)) == list(net.generate(n=20, random_state=3))
    assert found.complete(k=3) == net.complete(k=3)
    one, other = (fitted(m.set_params(warm_start=True), text) for m in (net, found))
    assert one.loss_curve_ == other.loss_curve_


@pytest.mark.parametrize(
    "old, new, message",
    [
        ({"_tokens": ["b", "a", "c"]}, {"_tokens": ["b", "a"]}, "_tokens of RNNLanguageModel are 2, expected two less"),
        ({"_tokens": ["b", "a", "c"]}, {"_tokens": ["b", "a", "a"]}, "expected a list of different tokens"),
        ({"_level": "character"}, {"_level": "letter"}, "expected a level of tokens"),
    ],
)
def test_file_whose_vocabulary_fits_nothing_is_refused(old, new, message, tmp_path):
    path = tmp_path / "model.safetensors"
    fastrnn.save(fitted(model(), "bbbaac"), path)
    arrays, metadata = read_arrays(path)
    before, after = (json.dumps(part)[1:-1] for part in (old, new))
    config = json.dumps(json.loads(metadata["config"]))
    assert config.count(before) == 1
    forge(path, config.replace(before, after), arrays)
    with pytest.raises(FileFormatError, match=message):
        fastrnn.load(path)


@by_level
def test_same_random_state_gives_the_same_bits_on_any_number_of_threads(options, text):
    one, other = (fitted(model(**options, n_threads=n, dropout=0.2), text) for n in (1, 2))
    assert one.loss_curve_ == other.loss_curve_ and one.score(text) == other.score(text)


@by_level
def test_network_gives_the_scores_that_the_model_goes_by(options, text):
    net = fitted(model(**options), text)
    network = net.network_
    scores, _ = network.run(np.array([[1]]))
    log_p = net.state_after("")["log_probabilities"]
    np.testing.assert_allclose(log_p, scores[0, 0] - np.log(np.exp(scores[0, 0]).sum()), rtol=0, atol=1e-5)
    np.testing.assert_array_equal(network.stream(1).step(np.array([1]))[0], scores[0, 0])


@pytest.mark.parametrize("softmax", ["full", "adaptive"])
def test_training_loss_is_the_mean_over_tokens_of_the_state_carried_through_pieces(softmax):
    net = fitted(model(softmax=softmax, max_iter=1, learning_rate_init=1e-30, alpha=0.0, batch_size=1, bptt_window=7))
    assert net.loss_ == pytest.approx(-net.score(TEXT), rel=1e-5)
    cut = fitted(model(softmax=softmax, max_iter=1, learning_rate_init=1e-30, alpha=0.0, batch_size=2, bptt_window=7))
    half = -(-len(TEXT) // 2)
    state = cut.state_after("")
    _, states = fastrnn.models.sampling.unpack_state(cut._trained, state)
    assert abs(cut.loss_ + cut.score(TEXT)) > 1e-6, "the second piece begins from a state of 0"
    assert len(cut._pieces(cut._sequences([list(TEXT)], False)).sequences[0]) == half and len(states) == 1


def test_training_by_clusters_goes_the_way_of_the_full_log_probabilities():
    """One update by `AdaptiveSoftmax.loss` against one by its honest backward."""
    net = fitted(model(softmax="adaptive", solver="sgd", momentum=0.0, alpha=0.0, max_iter=1, dtype="float64",
                       bptt_window=None, max_grad_norm=None, learning_rate_init=0.5))  # fmt: skip
    start = model(softmax="adaptive", dtype="float64", learning_rate_init=1e-30, max_iter=1, alpha=0.0)
    network = fitted(start)._trained
    tokens = start._sequences([list(TEXT)], False)[0]
    (log_p, _), backward = network.forward(tokens[:-1, None])
    network.zero_grad()
    d = np.zeros_like(log_p)
    d[np.arange(len(d)), 0, tokens[1:]] = -1.0 / len(d)
    backward(d)
    for name, array in network.params.items():
        expected = array - 0.5 * network.grads[name]
        np.testing.assert_allclose(net._trained.params[name], expected, rtol=0, atol=1e-10, err_msg=name)


def test_hello_is_learned():
    net = fitted(model(hidden_layer_sizes=(12,), max_iter=100), "hello")
    assert "".join(net.generate("hell", 1, temperature=0)) == "o"
    assert net.perplexity("hello") < 1.3


def test_corpus_of_names_is_learned_with_its_ends():
    net = fitted(model(hidden_layer_sizes=(24,), max_iter=150, n_iter_no_change=150), ["anna", "otto", "eve"])
    names = {"".join(net.generate(random_state=seed, top_p=0.5)) for seed in range(20)}
    assert names <= {"anna", "otto", "eve"} and len(names) > 1


def test_unknown_tokens_are_one_token_that_is_learned_where_words_are_rare():
    texts = [f"see {word} run" for word in ("anna", "bob", "carol", "dave", "eve", "fred")] * 3
    net = fitted(model(level="word", min_count=4, max_iter=80, n_iter_no_change=80), texts)
    assert list(net.vocabulary_) == ["run", "see"]
    assert net.perplexity(["see zoe run"]) < 1.2
    assert net.score(["see zoe run"]) == net.score(["see anna run"])
    assert set(net.generate(n=30, random_state=0)) <= {"run", "see"}
    largest = model(level="word", max_vocabulary=2)
    assert list(fitted(largest, texts).vocabulary_) == ["run", "see"]


def test_vocabulary_is_sorted_by_frequency_and_then_by_token():
    assert list(fitted(model(), "bbaac").vocabulary_.items()) == [("a", 2), ("b", 3), ("c", 4)]


@pytest.mark.parametrize("softmax", ["full", "adaptive"])
def test_validation_text_chooses_the_epoch(softmax):
    net = fitted(model(early_stopping=True, max_iter=5, softmax=softmax), X_val=TEXT[:40])
    assert len(net.validation_loss_curve_) == net.n_iter_
    assert net.best_validation_score_ == pytest.approx(-min(net.validation_loss_curve_))
    assert net.score(TEXT[:40]) == pytest.approx(net.best_validation_score_, rel=1e-5)


@pytest.mark.parametrize("weighted", [False, True], ids=["lengths", "weights"])
def test_validation_loss_by_windows_is_that_of_whole_sequences(weighted):
    rng = np.random.default_rng(0)
    lengths = (9, 4, 1, 12)
    network = fastrnn.models.many_to_many(3, 5, hidden_layer_sizes=(6,), dtype="float64", random_state=0)
    x, y = [rng.standard_normal((n, 3)) for n in lengths], [rng.integers(0, 5, n) for n in lengths]
    weights = [rng.integers(0, 2, n).astype(float) for n in lengths] if weighted else None
    samples = Samples(network, x, y, weights)
    whole, *cut = (mean_loss(network, samples, softmax_cross_entropy, 3, window=n) for n in (None, 1, 4, 50))
    np.testing.assert_allclose(cut, whole, rtol=1e-13)


def test_early_stopping_splits_pieces_off():
    net = fitted(model(early_stopping=True, batch_size=8, bptt_window=4, validation_fraction=0.25))
    assert len(net.validation_loss_curve_) == net.n_iter_


def test_partial_fit_is_an_epoch_with_the_first_vocabulary():
    net = model().partial_fit("abab" * 10)
    before = net.score("abab")
    for _ in range(5):
        net.partial_fit("abab" * 10 + "z")
    assert net.n_iter_ == 6 and list(net.vocabulary_) == ["a", "b"] and net.score("abab") > before


@pytest.mark.parametrize("softmax", ["full", "adaptive"])
def test_resumed_fit_ends_with_the_bits_of_an_uninterrupted_one(softmax, tmp_path):
    path = tmp_path / "checkpoint"
    fitted(model(max_iter=2, softmax=softmax).set_callbacks(Checkpoint(path)))
    resumed = fitted(model(max_iter=4, softmax=softmax), resume_from=path)
    whole = fitted(model(max_iter=4, softmax=softmax))
    assert resumed.loss_curve_ == whole.loss_curve_ and resumed.score(TEXT) == whole.score(TEXT)


class Look:
    """A callback of scikit-learn's protocol that scores each model that it is given."""

    def __init__(self):
        self.scores = []

    def setup(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        self.scores.append(fitted_estimator.score(TEXT))

    def teardown(self, estimator, context):
        pass


@pytest.mark.parametrize("softmax", ["full", "adaptive"])
def test_callback_is_given_a_model_that_works(softmax):
    look = Look()
    net = fitted(model(softmax=softmax).set_callbacks(look))
    assert len(look.scores) == net.n_iter_ + 1 and look.scores[-1] == net.score(TEXT)


def test_grid_search_scores_texts_that_were_left_out():
    grid = {"learning_rate_init": [1e-6, 0.05]}
    search = fitted(GridSearchCV(model(level="word", max_iter=10), grid, cv=3, error_score="raise"), CORPUS)
    assert search.best_params_ == {"learning_rate_init": 0.05} and -10 < search.best_score_ < 0


def test_clone_has_the_parameters_and_nothing_learned():
    net = fitted(model(level="byte", tie_weights=True))
    copy = clone(net)
    assert copy.get_params() == net.get_params()
    for method in (
        copy.score,
        copy.perplexity,
        copy.bits_per_character,
        copy.generate,
        copy.complete,
        copy.state_after,
    ):
        with pytest.raises(NotFittedError):
            method(3)
    with pytest.raises(AttributeError, match="no vocabulary_ yet: call fit first"):
        copy.vocabulary_  # noqa: B018


@pytest.mark.parametrize(
    "options, message",
    [
        ({"level": "letter"}, "level is 'letter', expected one of 'character', 'byte', 'word'"),
        ({"softmax": "sampled"}, "softmax is 'sampled', expected one of 'full', 'adaptive'"),
        ({"level": "byte", "max_vocabulary": 9}, "max_vocabulary is 9, which level 'byte' has not"),
        ({"level": "byte", "min_count": 2}, "min_count is 2, which level 'byte' has not"),
        ({"min_count": 0}, "min_count is 0, expected an integer >= 1"),
        ({"min_count": 10**6}, "min_count is 1000000, but no token of X comes so often"),
        ({"softmax": "adaptive", "tie_weights": True}, "tie_weights is True, expected False with softmax='adaptive'"),
        ({"softmax": "adaptive", "accumulate_steps": 2}, "accumulate_steps is 2, expected 1 with softmax='adaptive'"),
    ],
)
def test_parameter_out_of_range_is_named(options, message):
    with pytest.raises(ValueError, match=message.replace("(", "\\(")):
        fitted(model(**options))


@pytest.mark.parametrize(
    "options, text, error, message",
    [
        ({}, "", ValueError, "X holds no tokens"),
        ({}, [], ValueError, "X holds no tokens"),
        ({"level": "word"}, " \n", ValueError, "X holds no tokens"),
        ({}, b"abc", TypeError, "X is an object of type bytes, expected str with level='character'"),
        ({}, 3, TypeError, "X is an object of type int, expected a str or a list of texts"),
        ({}, ["a", 3], TypeError, "X is an object of type int, expected str with level='character'"),
        ({"level": "word"}, [["a", 3]], TypeError, r"X holds 3 \(int\), expected words, each a str"),
        ({"batch_size": "auto"}, "abc", TypeError, "batch_size is 'auto'"),
    ],
)
def test_text_of_another_kind_is_named(options, text, error, message):
    with pytest.raises(error, match=message):
        fitted(model(**options), text)


def test_options_that_make_no_sense_are_none():
    for name in ("bidirectional", "pooling", "conv_filters", "learn_initial_state", "network"):
        assert name not in model().get_params()
        with pytest.raises(TypeError, match=f"unexpected keyword argument '{name}'"):
            RNNLanguageModel(**{name: None})
