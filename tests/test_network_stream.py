"""Stream: steps and chunks give the bits of whole sequences, and rows live on their own."""

import threading

import numpy as np
import pytest
from cases import assert_same_bits, ragged_lengths

import fastrnn
from fastrnn.layers import Activation, LayerNorm
from fastrnn.models import Network


def tagger():
    layers = (LayerNorm(3), fastrnn.LSTM(3, 6, 2, random_state=0), fastrnn.GRU(6, 5, random_state=1))
    return fastrnn.Sequential(*layers, fastrnn.Dense(5, 4, random_state=2), Activation("softmax"))


def speller():
    layers = fastrnn.Embedding(7, 3, random_state=0), fastrnn.RNN(3, 5, random_state=1)
    return fastrnn.Sequential(*layers, fastrnn.Dense(5, 7, activation="relu", random_state=2))


MODELS = {"tagger": tagger, "lstm": lambda: fastrnn.LSTM(3, 6, 2, random_state=0), "speller": speller}


def sequences(name, rng, steps=12, rows=5):
    if name == "speller":
        return rng.integers(0, 7, (steps, rows))
    return rng.standard_normal((steps, rows, 3)).astype(np.float32)


@pytest.mark.parametrize("name", MODELS)
def test_steps_and_chunks_give_the_bits_of_the_whole(name, rng):
    net, x = Network(MODELS[name]()), sequences(name, rng)
    expected, state = net.run(x)
    stream = net.stream(5)
    found = [stream.step(x[0])[None], stream.process(x[1:4]), stream.step(x[4])[None], stream.process(x[5:])]
    assert_same_bits(np.concatenate(found), expected)
    for own, other in zip(stream.state, state, strict=True):
        for a, b in zip(*(part if isinstance(part, tuple) else (part,) for part in (own, other)), strict=True):
            assert_same_bits(a, b)


def test_chunks_have_the_axes_of_the_network(rng):
    x = sequences("tagger", rng)
    stream = Network(tagger(), batch_first=True).stream(5)
    y = stream.process(x.swapaxes(0, 1))
    assert_same_bits(y.swapaxes(0, 1), tagger()(x)[0])
    with pytest.raises(ValueError, match=r"chunk has shape \(4, 3, 3\), expected \(batch_size, seq_len, input_size\)"):
        stream.process(np.zeros((4, 3, 3)))


@pytest.mark.parametrize("name", MODELS)
def test_rows_are_reset_joined_and_left_on_their_own(name, rng):
    net, x = Network(MODELS[name]()), sequences(name, rng)
    stream, own = net.stream(5), [[] for _ in range(5)]
    lengths = [ragged_lengths(rng, 5, 3) for _ in range(4)]
    for part, given in zip(np.split(x, 4), lengths, strict=True):
        reset = rng.random(5) < 0.4
        stream.reset(reset if rng.random() < 0.5 else np.flatnonzero(reset))
        for n in np.flatnonzero(reset):
            own[n] = []
        y = stream.process(part, lengths=given)
        for n in range(5):
            own[n] += [(part[t, n], y[t, n]) for t in range(given[n])]
    for row in own:
        if row:
            tokens = np.stack([step for step, _ in row])
            assert_same_bits(np.stack([y for _, y in row]), net.run(tokens)[0])


def test_a_copy_goes_on_by_itself(rng):
    net, x = Network(tagger()), sequences("tagger", rng)
    stream = net.stream(5)
    stream.process(x[:6])
    other, before = stream.copy(), stream.state
    rest = other.process(x[6:])
    assert_same_bits(stream.state[1], before[1])
    assert_same_bits(stream.process(x[6:]), rest)
    stream.state = before
    assert_same_bits(stream.process(x[6:]), rest)
    stream.reset()
    assert_same_bits(stream.process(x), net.run(x)[0])


@pytest.mark.parametrize("name", ["tagger", "lstm"])
def test_out_is_filled_and_returned(name, rng):
    net, x = Network(MODELS[name]()), sequences(name, rng)
    stream, out = net.stream(5), np.empty((5, 4 if name == "tagger" else 6), np.float32)
    assert stream.step(x[0], out) is out
    assert_same_bits(out, net.run(x[:1])[0][0])
    with pytest.raises(ValueError, match="out has shape"):
        stream.step(x[0], np.empty((5, 1), np.float32))


def test_wrong_input_is_named(rng):
    stream = Network(speller()).stream(2)
    for wrong in ([1, 7], [-1, 0], np.array([0, 7])):
        with pytest.raises(ValueError, match="holds the token"):
            stream.step(wrong)
    with pytest.raises(TypeError, match="x_t has dtype float64, expected integers"):
        stream.step([0.5, 1.0])
    with pytest.raises(ValueError, match=r"where holds the row 2, expected 0 <= row < batch_size = 2"):
        stream.reset([2])
    with pytest.raises(ValueError, match=r"where has shape \(3,\)"):
        stream.reset(np.ones(3, bool))
    with pytest.raises(ValueError, match="state has 2 entries"):
        stream.state = [None, None]
    with pytest.raises(ValueError, match="it is bidirectional"):
        Network(fastrnn.GRU(3, 4, bidirectional=True)).stream()


def test_streams_of_many_threads_do_not_touch_each_other(rng):
    net, x = Network(tagger()), rng.standard_normal((6, 50, 2, 3)).astype(np.float32)
    expected, found = [net.run(part)[0] for part in x], [None] * 6

    def work(k):
        stream = net.stream(2)
        found[k] = np.stack([stream.step(step) for step in x[k]])

    threads = [threading.Thread(target=work, args=(k,)) for k in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for y, z in zip(found, expected, strict=True):
        assert_same_bits(y, z)
