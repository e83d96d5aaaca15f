"""Greedy and beam search against exhaustive enumeration, and rows that depend on themselves alone."""

import itertools

import numpy as np
import pytest

from fastrnn.models import beam_search, encoder_decoder, greedy_search, vector_decoder
from fastrnn.models.decoding import length_factor

N_CLASSES = 4


def network_of(seed=0, attention="additive", n_classes=N_CLASSES):
    """A small network that is sure of little."""
    network = encoder_decoder(
        3, n_classes, cell="gru", hidden_layer_sizes=(6,), attention=attention, bidirectional=True, random_state=seed
    )
    rng = np.random.default_rng(seed)
    network.load_state_dict({name: rng.normal(0, 1.0, a.shape) for name, a in network.params.items()})
    return network


def log_probability(network, source, tokens):
    """log p(tokens, end) of one source (source_len, n_features), by a pass over the whole sequence."""
    logits, _ = network((source[:, None], None, np.array([0, *tokens])[:, None]))
    logits = logits[:, 0].astype(np.float64)
    log_p = logits - np.log(np.exp(logits - logits.max(1, keepdims=True)).sum(1, keepdims=True))
    log_p -= logits.max(1, keepdims=True)
    return sum(log_p[t, token] for t, token in enumerate([*tokens, 0]))


def sources_of(n=6, seed=1, seq_len=5):
    """Sources and their lengths, padding NaN."""
    rng = np.random.default_rng(seed)
    source, lengths = rng.standard_normal((seq_len, n, 3)), rng.integers(1, seq_len + 1, n)
    source[np.arange(seq_len)[:, None] >= lengths] = np.nan
    return source, lengths


@pytest.mark.parametrize("length_penalty", [0.0, 0.6, 1.5])
@pytest.mark.parametrize("attention", [None, "additive", "multiplicative"])
def test_a_beam_that_holds_everything_finds_what_enumeration_finds(attention, length_penalty):
    network, most = network_of(attention=attention), 3
    source, lengths = sources_of()
    found = beam_search(
        network, source, lengths, beam_width=4**3, max_length=most, length_penalty=length_penalty, n_best=5
    )
    every = [tokens for n in range(most + 1) for tokens in itertools.product(range(1, N_CLASSES), repeat=n)]
    for n, length in enumerate(lengths):
        scores = [
            log_probability(network, source[:length, n], tokens) / ((5 + len(tokens) + 1) / 6) ** length_penalty
            for tokens in every
        ]
        order = np.argsort(-np.array(scores), kind="stable")[:5]
        assert [tuple(tokens.tolist()) for tokens, _ in found[n]] == [every[k] for k in order]
        np.testing.assert_allclose([score for _, score in found[n]], [scores[k] for k in order], rtol=1e-5)


def test_greedy_takes_the_likeliest_token_each_time():
    network, most = network_of(), 6
    source, lengths = sources_of()
    for n, (tokens, score) in enumerate(greedy_search(network, source, lengths, max_length=most)):
        one, written = source[: lengths[n], n : n + 1], []
        while len(written) < most:
            token = int(network((one, None, np.array([0, *written])[:, None]))[0][-1, 0].argmax())
            if token == 0:
                break
            written.append(token)
        assert tokens.tolist() == written
        np.testing.assert_allclose(score, log_probability(network, one[:, 0], written), rtol=1e-5)


@pytest.mark.parametrize("width", [2, 3, 8])
def test_a_wider_beam_never_scores_below_the_likeliest_tokens_of_a_sequence_that_ended(width):
    better = 0
    for seed in range(12):
        network = network_of(seed, n_classes=9)
        source, lengths = sources_of(8, seed)
        options = {"max_length": 12, "length_penalty": 0.0}
        greedy = greedy_search(network, source, lengths, **options)
        beams = beam_search(network, source, lengths, beam_width=width, **options)
        for (_, first), ((_, best),) in zip(greedy, beams, strict=True):
            better += best > first + 1e-6
    assert better > 5


@pytest.mark.parametrize("attention", [None, "additive"])
def test_a_source_gets_the_same_answers_alone_and_among_others(attention):
    network = network_of(attention=attention)
    source, lengths = sources_of(9, seq_len=20)
    beams = beam_search(network, source, lengths, beam_width=3, max_length=8, n_best=3)
    greedy = greedy_search(network, source, lengths, max_length=8)
    for n, length in enumerate(lengths):
        alone = source[:length, n : n + 1]
        (beam,) = beam_search(network, alone, beam_width=3, max_length=8, n_best=3)
        assert [(t.tolist(), score) for t, score in beam] == [(t.tolist(), score) for t, score in beams[n]]
        ((tokens, score),) = greedy_search(network, alone, max_length=8)
        assert (tokens.tolist(), score) == (greedy[n][0].tolist(), greedy[n][1])


def test_a_penalty_favours_longer_sequences():
    network = network_of(5)
    source, lengths = sources_of(40)
    means = []
    for penalty in (0.0, 1.0, 3.0):
        found = beam_search(network, source, lengths, beam_width=10, max_length=8, length_penalty=penalty)
        means.append(np.mean([len(beam[0][0]) for beam in found]))
    assert means[0] < means[1] < means[2]


def test_the_factor_is_that_of_the_paper():
    assert length_factor(1, 0.6) == 1.0
    assert length_factor(7, 1.0) == 2.0
    assert length_factor(7, 0.0) == 1.0


def test_sequences_are_cut_at_max_length():
    network = network_of()
    bias = network.params["head.0.bias"].copy()
    bias[0] = -50.0  # no end
    network.load_state_dict(network.state_dict() | {"head.0.bias": bias})
    source, lengths = sources_of()
    for tokens, score in greedy_search(network, source, lengths, max_length=3):
        assert len(tokens) == 3 and score < -40  # the end is forced, and has its price
    for beam in beam_search(network, source, lengths, beam_width=2, max_length=3, n_best=2):
        assert [len(tokens) for tokens, _ in beam] == [3, 3]


def test_a_vector_starts_a_sequence():
    network = vector_decoder(2, 5, hidden_layer_sizes=(4,), random_state=0)
    found = beam_search(network, np.ones((3, 2)), beam_width=2, max_length=4)
    assert len(found) == 3 and found[0][0][1] == found[2][0][1]
    assert greedy_search(network, np.zeros((0, 2)), max_length=4) == []
    assert beam_search(network, np.zeros((0, 2)), beam_width=2, max_length=4) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"beam_width": 0}, "beam_width is 0, expected"),
        ({"max_length": 0}, "max_length is 0, expected"),
        ({"n_best": 0}, "n_best is 0, expected"),
        ({"length_penalty": -1.0}, "length_penalty is -1.0, expected length_penalty >= 0"),
    ],
    ids=str,
)
def test_errors_name_the_argument(changes, message):
    with pytest.raises(ValueError, match=message):
        beam_search(network_of(), np.zeros((1, 1, 3)), **{"beam_width": 1, "max_length": 1} | changes)
