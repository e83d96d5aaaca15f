"""RNNLanguageModel: text that it writes, completions and states."""

import itertools

import numpy as np
import pytest

from fastrnn.models.sampling import restricted

from test_language_model import CORPUS, TEXT, by_level, fitted, model  # isort: skip

P = np.array([0.05, 0.4, 0.15, 0.3, 0.1])


def probabilities(net, text):
    return np.exp(net.state_after(text)["log_probabilities"])


def test_restricted_by_temperature_is_a_power_of_the_probabilities():
    expected = P**2 / np.sum(P**2)
    np.testing.assert_allclose(restricted(np.log(P), 0.5), expected, rtol=1e-12)
    np.testing.assert_array_equal(restricted(np.log(P), 0), [0, 1, 0, 0, 0])
    np.testing.assert_allclose(restricted(np.log(P), 1e-3), [0, 1, 0, 0, 0], atol=1e-12)


@pytest.mark.parametrize("k", [1, 2, 3, 5, 9])
def test_top_k_leaves_the_k_likeliest(k):
    found = restricted(np.log(P), top_k=k)
    kept = np.argsort(-P)[:k]
    assert set(np.flatnonzero(found)) == set(kept)
    np.testing.assert_allclose(found[kept], P[kept] / P[kept].sum(), rtol=1e-12)


@pytest.mark.parametrize(
    "top_p, kept", [(0.01, [1]), (0.4, [1]), (0.41, [1, 3]), (0.7, [1, 3]), (0.99, range(5)), (1.0, range(5))]
)
def test_top_p_leaves_the_smallest_set_that_has_it(top_p, kept):
    assert set(np.flatnonzero(restricted(np.log(P), top_p=top_p))) == set(kept)


def test_top_p_looks_at_what_top_k_and_temperature_have_left():
    assert set(np.flatnonzero(restricted(np.log(P), top_k=2, top_p=0.5))) == {1}  # 0.4 of 0.7
    assert set(np.flatnonzero(restricted(np.log(P), temperature=5.0, top_p=0.5))) == {1, 3, 2}


@by_level
def test_greedy_text_takes_the_likeliest_token_each_time(options, text):
    net = fitted(model(**options), text)
    barred = [0] if isinstance(text, list) else [0, 1]
    tokens, written = [1], list(net.generate(n=12, temperature=0))
    indices = net.vocabulary_
    for token in written:
        scores = np.array(net.network_.run(np.array([tokens]))[0][0, -1])
        scores[barred] = -np.inf
        assert int(scores.argmax()) == indices[token]
        tokens.append(indices[token])
    assert written == list(net.generate(n=12, top_k=1, random_state=5))


@by_level
def test_seeded_streams_are_equal_and_others_differ(options, text):
    net = fitted(model(**options), text)
    one, other, third = (list(net.generate(n=40, temperature=2.0, random_state=seed)) for seed in (7, 7, 8))
    assert one == other != third


def test_drawn_tokens_come_as_often_as_they_are_probable():
    net = fitted(model(level="byte"), "abcab" * 20)
    state, rng = net.state_after("ab"), np.random.default_rng(0)
    p = probabilities(net, "ab")
    p[[0, 1]] = 0.0
    drawn = [net.vocabulary_[next(net.generate(n=1, state=state, random_state=rng))] for _ in range(2000)]
    found = np.bincount(drawn, minlength=258) / 2000
    likely = np.argsort(-p)[:3]
    assert np.all(np.abs(found - p / p.sum())[likely] < 4 * np.sqrt(0.25 / 2000))


@by_level
def test_text_continued_from_a_state_is_the_uninterrupted_one_bit_for_bit(options, text, tmp_path):
    net = fitted(model(**options, cell="gru", hidden_layer_sizes=(8, 6)), text)
    prefix = "the cat" if isinstance(text, list) else text[:5]
    draws = {seed: net.generate(prefix, 20, temperature=0.9, random_state=seed) for seed in range(30)}
    texts = {seed: list(stream) for seed, stream in draws.items()}
    seed = max(texts, key=lambda seed: len(texts[seed]))  # a corpus has texts that end at once
    whole, tokens, rng = draws[seed], texts[seed], np.random.default_rng(seed)
    first = net.generate(prefix, 3, temperature=0.9, random_state=rng)
    begun = list(first)
    np.savez(tmp_path / "state.npz", **first.state)
    second = net.generate(n=17, temperature=0.9, random_state=rng, state=np.load(tmp_path / "state.npz"))
    assert len(begun) == 3 and begun + list(second) == tokens
    assert all((second.state[name] == array).all() for name, array in whole.state.items())


@by_level
def test_state_after_a_text_is_that_after_its_parts(options, text):
    net = fitted(model(**options), text)
    words = ["the cat ", "sat on"] if isinstance(text, list) else [text[:9], text[9:15]]
    whole, parts = net.state_after("".join(words)), net.state_after(words[1], net.state_after(words[0]))
    assert list(whole) == ["log_probabilities", "h_0", "c_0"]
    assert all((parts[name] == array).all() for name, array in whole.items())


def test_stream_is_endless_without_n_and_ends_with_a_text_of_a_corpus():
    net = fitted(model())
    assert len(list(itertools.islice(net.generate(random_state=0), 500))) == 500
    names = fitted(model(max_iter=60, n_iter_no_change=60), ["ab", "abab"])
    assert len("".join(names.generate(random_state=0))) < 100
    assert list(names.generate(n=0)) == []


def test_any_bytes_go_round(tmp_path):
    data = bytes(range(256)) * 2
    net = fitted(model(level="byte", hidden_layer_sizes=(32,), max_iter=150, n_iter_no_change=150), data)
    assert b"".join(net.generate(data[:1], 40, temperature=0)) == data[1:41]
    assert np.isfinite(net.perplexity(data)) and net.perplexity("\udc80é") > 1.0
    assert net.perplexity("é") == net.perplexity("é".encode())
    assert len(net.vocabulary_) == 256 and net.state_after(b"\xff")["log_probabilities"].shape == (258,)


def all_words(net, begun, letters, longest):
    """Probabilities of all words of at most so many further letters, one by one."""
    rest = [i for token, i in net.vocabulary_.items() if token not in letters] + [0, 1]
    found = {}
    for n in range(0 if begun else 1, longest + 1):
        for word in itertools.product(letters, repeat=n):
            text, p = begun, 1.0
            for letter in word:
                p *= probabilities(net, text)[net.vocabulary_[letter]]
                text += letter
            found[text] = p * probabilities(net, text)[rest].sum()
    if not begun:
        first = probabilities(net, "")[[net.vocabulary_[letter] for letter in letters]].sum()
        found = {word: p / first for word, p in found.items()}
    return found


@pytest.mark.parametrize("begun", ["", "a"])
def test_spelled_completions_are_the_likeliest_of_all_words(begun):
    net = fitted(model(max_iter=15), "ab. ba, aab ab " * 8)
    expected = all_words(net, begun, "ab", 6)
    best = sorted(expected, key=expected.get, reverse=True)[:4]
    found = net.complete(begun, k=4)
    assert [word for word, _ in found] == best
    np.testing.assert_allclose([p for _, p in found], [expected[word] for word in best], rtol=1e-5)


def test_words_complete_from_the_vocabulary():
    net = fitted(model(level="word", max_iter=40), CORPUS)
    p = probabilities(net, "the")
    vocabulary = net.vocabulary_
    words = [word for word in vocabulary if word != "."]
    total = sum(p[vocabulary[word]] for word in words)
    expected = sorted(((word, p[vocabulary[word]] / total) for word in words), key=lambda pair: -pair[1])[:3]
    found = net.complete("the ", k=3)
    assert [word for word, _ in found] == [word for word, _ in expected]
    np.testing.assert_allclose([q for _, q in found], [q for _, q in expected], rtol=1e-10)
    assert {word for word, _ in net.complete("the c")} == {"cat", "cow"}
    assert sum(q for _, q in net.complete("the c")) == pytest.approx(1.0)
    assert net.complete("the xyz") == [] and net.complete(["the"], k=3) == found


def test_completion_of_bytes_spells_letters_of_several_bytes():
    net = fitted(
        model(level="byte", hidden_layer_sizes=(16,), max_iter=120, n_iter_no_change=120), "schöne blüten " * 8
    )
    assert net.complete("sch")[0][0] == "schöne" == net.complete(b"sch")[0][0]


@pytest.mark.parametrize(
    "options, error, message",
    [
        ({"temperature": -1.0}, ValueError, "temperature is -1.0, expected a finite number >= 0"),
        ({"temperature": "hot"}, TypeError, r"temperature is 'hot' \(str\), expected a number"),
        ({"top_k": 0}, ValueError, "top_k is 0, expected an integer >= 1"),
        ({"top_p": 0.0}, ValueError, "top_p is 0.0, expected 0 < top_p <= 1"),
        ({"n": -1}, ValueError, "n is -1, expected an integer >= 0"),
        ({"prefix": 3}, TypeError, "prefix is an object of type int, expected str"),
        ({"state": {"h_0": 1}}, ValueError, "state lacks 'log_probabilities', 'c_0'"),
    ],
)
def test_argument_of_generate_out_of_range_is_named_at_once(options, error, message):
    net = fitted(model())
    with pytest.raises(error, match=message):
        net.generate(**options)


def test_state_of_another_model_is_refused():
    state = fitted(model(hidden_layer_sizes=(5,))).state_after("to")
    with pytest.raises(ValueError, match=r"h_0 has shape \(1, 1, 5\), expected \(1, 1, 8\)"):
        fitted(model()).generate(state=state)


def test_text_with_unknown_characters_can_be_read_on():
    net = fitted(model())
    assert set("".join(net.generate("ž€", 20, random_state=0))) <= set(TEXT)
