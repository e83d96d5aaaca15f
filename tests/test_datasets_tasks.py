"""The generators of classic tasks, against rules and physics written down a second time."""

import re
from collections import Counter
from itertools import combinations

import numpy as np
import pytest

from fastrnn import datasets
from fastrnn.datasets import (
    anbncn,
    bouncing_balls,
    embedded_reber,
    hello,
    mackey_glass,
    temporal_order,
    three_letter_words,
    timer,
)
from fastrnn.datasets._balls import RADIUS, SIDE, SPEED, fly

# The graph of the Reber grammar as a regular expression: states 2, 4, 3 and the way back to 2; then all from state 0.
LOWER = "T*V(?:PXT*V)*(?:V|PS)"
REBER = re.compile(f"B(?:TS*X(?:S|X{LOWER})|P{LOWER})E")
EMBEDDED = re.compile(f"B(?:T{REBER.pattern}T|P{REBER.pattern}P)E")
SYMBOLS = "BTSXPVE"


def letters(one_hot, symbols):
    assert (one_hot.sum(axis=-1) == 1).all() and set(np.unique(one_hot)) <= {0.0, 1.0}
    return "".join(symbols[k] for k in one_hot.argmax(axis=-1))


def sets(many_hot, symbols):
    return ["".join(symbols[k] for k in row.nonzero()[0]) for row in many_hot]


# Reber


def test_every_reber_string_is_of_the_language():
    strings, X, legal = embedded_reber(2000, random_state=0)
    assert len(strings) == len(X) == len(legal) == 2000
    for string, x in zip(strings, X):
        assert EMBEDDED.fullmatch(string), string
        assert letters(x, SYMBOLS) == string[:-1] and x.dtype == np.float32
    assert max(map(len, strings)) > 25


@pytest.mark.parametrize("string", ["BTBTXSEPE", "BTBTXXETE", "BTBPVPSET", "BPBPTTVEPE", "BTBXSETE"])
def test_strings_that_the_grammar_does_not_have_are_none_to_the_checker(string):
    assert not EMBEDDED.fullmatch(string)


def test_legal_letters_are_those_with_which_some_string_goes_on():
    strings, _, legal = embedded_reber(20000, random_state=1)
    followers = {}
    for string in strings:
        for t in range(1, min(len(string), 9)):
            followers.setdefault(string[:t], set()).add(string[t])
    for string, allowed in zip(strings[:3000], legal):
        assert len(allowed) == len(string) - 1
        for t, row in enumerate(sets(allowed, SYMBOLS)[:6], 1):
            assert set(row) == followers[string[:t]], string[:t]
        for t, row in enumerate(sets(allowed, SYMBOLS), 1):
            assert string[t] in row
        assert sets(allowed[-2:], SYMBOLS) == [string[1], "E"]


def test_both_branches_of_the_reber_graph_are_equally_likely():
    strings, *_ = embedded_reber(4000, random_state=2)
    counts = Counter(string[1] + string[3] for string in strings)
    assert set(counts) == {"TT", "TP", "PT", "PP"}
    # deviation of a count: sqrt(4000 * 3 / 16) = 27
    assert all(abs(count - 1000) < 120 for count in counts.values())
    # a loop of probability 1/2 is left at once, once in two
    loops = [re.match("B.BTS*", s).end() - 4 for s in strings if s[3] == "T"]
    assert np.mean(loops) == pytest.approx(1.0, abs=0.15)


def test_excluded_reber_strings_do_not_come():
    strings, *_ = embedded_reber(256, random_state=0)
    others, X, legal = embedded_reber(256, exclude=strings, random_state=0)
    assert len(others) == len(X) == len(legal) == 256 and not set(strings) & set(others)


# a^n b^n c^n


def test_the_letters_that_may_follow_in_a_n_b_n_c_n_are_those_of_its_prefixes():
    numbers, X, y = anbncn(40, low=1, high=12, random_state=0)
    language = {n: "a" * n + "b" * n + "c" * n + "T" for n in range(1, 30)}
    for n, x, target in zip(numbers, X, y):
        word = letters(x, "abc")
        assert word + "T" == language[n]
        for t, row in enumerate(sets(target, "abcT"), 1):
            goes_on = {whole[t] for whole in language.values() if whole.startswith(word[:t])}
            assert set(row) == goes_on, word[:t]


def test_n_covers_its_range_evenly():
    numbers, X, _ = anbncn(5000, random_state=0)
    assert numbers.dtype == np.int64 and [len(x) for x in X] == (3 * numbers).tolist()
    counts = np.bincount(numbers)[1:]
    assert len(counts) == 50 and counts.min() > 60 and counts.max() < 145  # 100 ± 4.5 deviations
    assert anbncn(3, low=7, high=7)[0].tolist() == [7, 7, 7]


# temporal order


def test_the_class_of_a_temporal_order_is_told_by_its_two_capitals():
    X, y = temporal_order(800, random_state=0)
    classes = {"AA": 0, "AB": 1, "BA": 2, "BB": 3}
    lengths, places = [], []
    for x, label in zip(X, y):
        word = letters(x, "ABcdef")
        capitals = [k for k, letter in enumerate(word) if letter.isupper()]
        assert len(capitals) == 2 and classes["".join(word[k] for k in capitals)] == label
        lengths.append(len(word))
        places.append([k / len(word) for k in capitals])
    assert (min(lengths), max(lengths)) == (50, 200)
    places = np.array(places)
    assert (places >= [0.1, 0.5]).all() and (places < [0.2, 0.6]).all()
    assert (places.max(axis=0) > [0.19, 0.59]).all() and (places.min(axis=0) < [0.105, 0.505]).all()
    assert np.bincount(y).min() > 150


@pytest.mark.parametrize("length", range(10, 32))
def test_temporal_order_has_room_for_its_capitals_at_every_length(length):
    X, _ = temporal_order(60, low=length, high=length, random_state=length)
    found = {k for x in X for k in np.flatnonzero(x[:, :2].any(axis=1))}
    expected = {k for k in range(length) if 0.1 <= k / length < 0.2 or 0.5 <= k / length < 0.6}
    assert found == expected


# signals


@pytest.mark.parametrize("tau", [17, 30])
def test_mackey_glass_obeys_its_equation(tau):
    series = mackey_glass(3000, tau=tau, random_state=0)
    y = np.arctanh(series) + 1.0
    late = y[:-tau]
    # one kept step is ten Euler steps, in which the delayed value moves from y(t - tau) to y(t - tau + 1)
    k = np.arange(10)[:, None] / 10.0
    delayed = late[:-1] * (1.0 - k) + late[1:] * k
    now = y[tau:-1].copy()
    for part in delayed:
        now += 0.1 * (0.2 * part / (1.0 + part**10) - 0.1 * now)
    np.testing.assert_allclose(now, y[tau + 1 :], atol=2e-3)
    assert series.std() > 0.15


def test_mackey_glass_by_a_plain_loop_over_euler_steps_is_the_same():
    tau, washout = 5, 20
    history = 1.2 + np.random.default_rng(3).uniform(-0.1, 0.1, size=tau * 10 + 1)
    y = {k - tau * 10: value for k, value in enumerate(history)}
    for k in range((washout + 40) * 10):
        late = y[k - tau * 10]
        y[k + 1] = y[k] + 0.1 * (0.2 * late / (1 + late**10) - 0.1 * y[k])
    expected = [np.tanh(y[10 * t] - 1.0) for t in range(washout + 1, washout + 41)]
    np.testing.assert_allclose(mackey_glass(40, tau=tau, washout=washout, random_state=3), expected, rtol=1e-12)


def test_the_timer_is_up_for_as_long_as_its_second_input_says():
    X, y, counted = timer(20, 5000, random_state=0)
    assert X.shape == (20, 5000, 2) and y.shape == counted.shape == (20, 5000)
    levels = set()
    for x, target, sure in zip(X, y, counted):
        pulses = np.flatnonzero(x[:, 0])
        expected, uncounted = np.zeros(5000), set()
        for pulse in pulses:
            on_time = round(1000 * float(x[pulse, 1]))
            levels.add(on_time)
            assert not expected[pulse]  # pulses never overlap
            expected[pulse + 1 : pulse + 1 + on_time] = 0.5
            margin = max(10, on_time // 20)
            uncounted |= set(range(pulse + 1 - margin, pulse + 1 + margin))
            uncounted |= set(range(pulse + 1 + on_time - margin, pulse + 1 + on_time + margin))
        np.testing.assert_array_equal(target, expected)
        assert set(np.flatnonzero(~sure)) == {k for k in uncounted if 0 <= k < 5000}
        changes = np.flatnonzero(np.diff(x[:, 1])) + 1
        assert set(changes) <= set(pulses)
    assert levels == set(range(100, 1001, 100))


# letters


def test_hello_asks_for_o_after_hell():
    X, y = hello()
    assert X.shape == (1, 4, 4) and letters(X[0], "helo") == "hell"
    assert "".join("helo"[k] for k in y[0]) == "ello"


def test_three_letter_words_are_all_words_with_the_right_label():
    words, X, y = three_letter_words()
    assert len(set(words)) == len(words) == 26**3
    for word, tokens, label in zip(words, X, y):
        assert [ord(letter) - ord("a") for letter in word] == tokens.tolist()
        assert label == (len(re.findall("[aeiou]", word)) == 1)
    assert int(y.sum()) == 3 * 5 * 21 * 21


# balls


@pytest.mark.parametrize("n_balls", [1, 2, 3])
def test_balls_keep_their_energy_and_stay_in_the_box_and_apart(n_balls):
    positions = bouncing_balls(20, 200, n_balls=n_balls, random_state=0).reshape(20, 200, n_balls, 2)
    assert positions.min() >= RADIUS - 1e-6 and positions.max() <= SIDE - RADIUS + 1e-6
    for i, j in combinations(range(n_balls), 2):
        assert np.linalg.norm(positions[:, :, i] - positions[:, :, j], axis=-1).min() >= 2 * RADIUS - 1e-5
    speed = np.sqrt((np.diff(positions.astype(float), axis=1) ** 2).sum(axis=(2, 3)))
    assert speed.max() <= SPEED + 1e-5  # a frame with a collision covers less
    assert (abs(speed - SPEED) < 1e-5).mean() > 0.6


def state(n_balls, seed):
    rng = np.random.default_rng(seed)
    x = np.array([[2.0, 2.0], [7.5, 3.0], [4.0, 7.0]])[:n_balls]
    return x, rng.standard_normal((n_balls, 2))


@pytest.mark.parametrize("seed", range(5))
def test_collisions_keep_energy_and_time_runs_backwards(seed):
    x, v = state(3, seed)
    first, energy = x.copy(), np.sum(v**2)
    fly(x, v, np.zeros((30, 3, 2)))
    assert np.sum(v**2) == pytest.approx(energy, rel=1e-12)
    assert not np.allclose(x, first)
    v *= -1.0
    fly(x, v, np.zeros((30, 3, 2)))
    np.testing.assert_allclose(x, first, atol=1e-7)


def test_balls_agree_with_small_steps_of_time():
    n_small, seq_len = 2000, 25
    x, v = np.array([[2.0, 4.0], [7.5, 5.0]]), np.array([[0.4, 0.1], [-0.2, -0.15]])
    y, w = x.copy(), v.copy()
    positions = np.zeros((seq_len, 2, 2))
    fly(x, v, positions)
    bounces = 0
    for frame in range(1, seq_len):
        for _ in range(n_small):
            y += w / n_small
            outside = ((y < RADIUS) & (w < 0)) | ((y > SIDE - RADIUS) & (w > 0))
            w[outside] *= -1.0
            apart = y[0] - y[1]
            near = np.hypot(*apart)
            if near < 2 * RADIUS and (w[0] - w[1]) @ apart < 0:
                swap = (w[0] - w[1]) @ apart / near**2 * apart
                w += [-swap, swap]
                bounces += 1
        np.testing.assert_allclose(positions[frame], y, atol=0.01)
    assert bounces


def test_a_head_on_collision_swaps_velocities():
    x, v = np.array([[2.0, 5.0], [8.0, 5.0]]), np.array([[0.3, 0.0], [-0.1, 0.0]])
    positions = np.zeros((13, 2, 2))
    fly(x, v, positions)  # 3.6 apart: they touch after 9 frames, the first at x = 4.7
    np.testing.assert_allclose(positions[9, :, 0], [4.7, 7.1])
    np.testing.assert_allclose(positions[12, :, 0], [4.4, 8.0])
    np.testing.assert_allclose(v, [[-0.1, 0.0], [0.3, 0.0]], atol=1e-15)


def test_frames_show_the_balls_where_they_are():
    options = {"n_samples": 3, "seq_len": 20, "n_balls": 1, "random_state": 4}
    frames = bouncing_balls(**options, output="frames")
    positions = bouncing_balls(**options)
    assert frames.shape == (3, 20, 15, 15) and frames.min() >= 0.0 and 0.9 < frames.max() <= 1.0
    middles = (np.arange(15) + 0.5) / 1.5
    mass = frames.sum(axis=(2, 3))
    columns, rows = (frames.sum(axis=axis) @ middles / mass for axis in (2, 3))
    np.testing.assert_allclose(np.stack([columns, rows], axis=-1), positions, atol=0.05)


# all


GENERATORS = {
    "adding": (3, 20),
    "anbncn": (3,),
    "bouncing_balls": (3, 5),
    "embedded_reber": (3,),
    "mackey_glass": (30,),
    "temporal_order": (3,),
    "timer": (3, 30),
}


def flat(result):
    if isinstance(result, str):
        return result.encode()
    return b"".join(map(flat, result)) if isinstance(result, list | tuple) else np.asarray(result).tobytes()


@pytest.mark.parametrize("name", GENERATORS)
def test_generators_repeat_themselves_for_one_random_state_and_share_a_generator(name):
    draw, arguments = getattr(datasets, name), GENERATORS[name]
    first, again, other = (flat(draw(*arguments, random_state=seed)) for seed in (1, 1, 2))
    assert first == again != other
    rng = np.random.default_rng(1)
    assert flat(draw(*arguments, random_state=rng)) == first != flat(draw(*arguments, random_state=rng))


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: embedded_reber(-1), "n_samples is -1, expected an integer >= 0"),
        (lambda: anbncn(3, low=0), "low is 0, expected an integer >= 1"),
        (lambda: anbncn(3, low=5, high=4), "high is 4, expected an integer >= 5"),
        (lambda: temporal_order(3, low=9), "low is 9, expected an integer >= 10"),
        (lambda: mackey_glass(0), "seq_len is 0, expected an integer >= 1"),
        (lambda: mackey_glass(9, tau=0), "tau is 0, expected an integer >= 1"),
        (lambda: timer(1, 50, longest=105), "longest is 105, expected a multiple of 10"),
        (lambda: bouncing_balls(1, 5, n_balls=4), "n_balls is 4, expected 1 <= n_balls <= 3"),
        (lambda: bouncing_balls(1, 5, output="video"), "output is 'video', expected one of 'positions', 'frames'"),
    ],
)
def test_bad_arguments_of_generators_are_named(call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call()
