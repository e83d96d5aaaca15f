"""The figures of the classic tasks are taken as they say, shown at a tiny size."""

import importlib
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fastrnn import LSTM, Dense
from fastrnn.datasets import adding as draw_adding
from fastrnn.datasets import anbncn as draw_anbncn
from fastrnn.datasets import embedded_reber as draw_reber
from fastrnn.datasets import timer as draw_timer
from fastrnn.layers import Sequential
from fastrnn.losses import logistic_cross_entropy, squared_error
from fastrnn.optim import RMSprop
from fastrnn.training import train

ROOT = Path(__file__).resolve().parents[1]
if not (ROOT / "benchmarks" / "learning" / "anbncn.py").exists():
    pytest.skip("the benchmarks are in the repository only", allow_module_level=True)


def load(name):
    """Import a benchmark without shadowing the installed package by the source tree."""
    sys.path.append(str(ROOT))
    try:
        return importlib.import_module(f"benchmarks.learning.{name}")
    finally:
        sys.path.remove(str(ROOT))


adding_hochreiter, anbncn, anbncn_own, embedded_reber, small_tasks = map(
    load, ("adding_hochreiter", "anbncn", "anbncn_own", "embedded_reber", "small_tasks")
)


# a^n b^n c^n


def test_seeds_side_by_side_learn_what_each_learns_alone():
    recipe = anbncn.Recipe("RMSprop", {"learning_rate": 0.01}, batch_size=1)
    joined, losses = anbncn.learn([4, 5, 6], recipe, epochs=2, n_strings=30, longest=6)
    _, X, y = draw_anbncn(30, high=6, random_state=0)
    rng = np.random.default_rng(5)
    alone = Sequential(LSTM(3, 3, random_state=rng), Dense(3, 4, activation="sigmoid", random_state=rng))
    options = {"loss": squared_error, "optimizer": RMSprop(0.01), "batch_size": 1, "shuffle": False}
    train(alone, X, y, **options, max_iter=2, max_grad_norm=None, n_threads=1)
    for name, value in alone.params.items():
        found = anbncn._block(np.array(joined.params[name]), name, 1, 3)
        np.testing.assert_allclose(found, anbncn._gates(np.array(value), name), atol=2e-5, err_msg=name)
    assert losses[1] > 0.0


def test_batches_of_ragged_strings_have_the_gradient_of_their_steps():
    recipe = anbncn.Recipe("Adam", {"learning_rate": 0.1}, batch_size=4, init="glorot", forget_bias=2.0)
    network, masks = anbncn.first_networks([0, 1], recipe)
    assert (network.params["0.bias_ih_l0"].reshape(4, 6)[1] == 2.0).all()
    assert all((value[masks[name] == 0] == 0).all() for name, value in network.params.items())
    _, X, y = draw_anbncn(4, high=5, random_state=1)
    assert len({len(x) for x in X}) > 1
    errors = anbncn._gradients(network, X, y)
    grads = {name: grad.copy() for name, grad in network.grads.items()}
    total = sum(len(x) for x in X)
    network.zero_grad()
    expected = np.zeros(2)
    for x, target in zip(X, y):
        (output, _), backward = network.forward(x[:, None])
        error = output.reshape(-1, 2, 4) - target[:, None]
        backward((error / (4 * total)).reshape(output.shape))
        expected += np.square(error).sum(axis=(0, 2)) / (4 * total)
    np.testing.assert_allclose(errors, expected, rtol=1e-5)
    for name, grad in network.grads.items():
        np.testing.assert_allclose(grads[name], grad, atol=1e-6, err_msg=name)


class Counter:
    """Stands for two networks side by side: the first is right up to n = 6, the second up to n = 53."""

    def __call__(self, x, lengths, n_threads):
        output = np.zeros((*x.shape[:2], 2, 4), np.float32)
        for row, length in enumerate(lengths):
            n = length // 3
            _, _, (target,) = draw_anbncn(1, low=n, high=n)
            output[:length, row] = target[:, None]
            for k, farthest in enumerate((6, 53)):
                output[length - 1, row, k, 3] = 0.9 if n <= farthest else 0.4
        return output.reshape(*x.shape[:2], 8), None


def test_the_first_failure_is_the_smallest_n_that_is_wrong_at_any_step():
    assert anbncn.first_failures(Counter(), 2, farthest=120).tolist() == [7, 54]
    assert anbncn.first_failures(Counter(), 2, farthest=50).tolist() == [7, 51]


def test_a_second_recipe_names_what_the_package_has():
    network, losses = anbncn.learn([0], anbncn_own.RECIPE, epochs=2, n_strings=20, longest=3)
    assert np.isfinite(losses).all() and len(losses) == 1


# Reber


class Letters:
    """Stands for a network that answers with the legal letters, but for the last letter but one of `wrong`."""

    def __init__(self, strings, legal, wrong=()):
        self.answers = {}
        for string, allowed in zip(strings, legal):
            answer = allowed.copy()
            if string in wrong:
                answer[-2] = 1.0 - answer[-2]
            self.answers[string[:-1]] = answer

    def __call__(self, x, n_threads):
        word = "".join("BTSXPVE"[k] for k in x[:, 0].argmax(axis=1))
        return self.answers[word][:, None], None


def test_a_string_counts_where_all_its_steps_are_right():
    strings, X, legal = draw_reber(40, random_state=0)
    assert embedded_reber.share_of_right_strings(Letters(strings, legal), X, legal) == 1.0
    wrong = strings[3]
    share = embedded_reber.share_of_right_strings(Letters(strings, legal, [wrong]), X, legal)
    assert share == 1.0 - strings.count(wrong) / 40


def test_a_trial_of_the_reber_grammar_looks_after_every_pass_and_gives_up():
    found = embedded_reber.solve(0, n_strings=16, most=40)
    assert not found.succeeded and found.n_strings == 48 and 0.0 <= found.share < 1.0


# adding


class Adder:
    """Stands for a network that adds what is marked, and is off by so much in the first sequences."""

    dtype = np.dtype(np.float32)

    def __init__(self, *errors):
        self.errors = list(errors)

    def __call__(self, x, lengths, n_threads):
        output = 0.5 + (x[..., 0] * (x[..., 1] == 1.0)).sum(axis=0) / 4.0
        for row in range(min(len(output), len(self.errors))):
            output[row] += self.errors.pop(0)
        return output[:, None], None


def test_answers_farther_off_than_the_tolerance_are_wrong():
    X, y = draw_adding(30, 20, variant="original", random_state=0)
    assert adding_hochreiter.wrong(Adder(), X, y) == 0
    assert adding_hochreiter.wrong(Adder(0.039, -0.039, 0.041, -0.041, np.nan), X, y, at_once=7) == 3


def test_the_first_forget_gates_remember_for_up_to_t_steps():
    network = adding_hochreiter.first_network(100, np.random.default_rng(0))
    i, f, _, _ = network.params["0.bias_ih_l0"].reshape(4, 4)
    assert (f >= 0.0).all() and (f <= np.log(99.0)).all() and f.max() > 2.0
    np.testing.assert_array_equal(i, -f)
    assert not network.params["0.bias_hh_l0"].any()


def test_an_unsolved_adding_problem_says_so_after_what_it_was_given():
    found = adding_hochreiter.solve(20, 0, most=300)
    assert found.n_sequences == 512 and found.n_wrong > 3 and not found.solved


# small tasks


def test_after_hell_comes_o():
    letter, probability = small_tasks.complete_hell(0)
    assert letter == "o" and probability > 0.9


def test_some_words_are_not_enough_to_count_vowels():
    accuracy, _ = small_tasks.count_vowels(0, {**small_tasks.WORDS, "max_iter": 2}, n_words=300)
    assert 0.4 < accuracy < 1.0


def test_the_error_of_a_timer_is_the_largest_at_a_counted_step():
    X, y, counted = draw_timer(3, 400, longest=100, random_state=0)

    class Clock:
        """Right but for an error of 0.1 at an uncounted step of the first row and at a counted one of the second."""

        def __call__(self, x, n_threads):
            answer = np.clip(y / 0.5, 1e-6, 1.0 - 1e-6).T.copy()
            for row, step in ((0, np.flatnonzero(~counted[0])[0]), (1, np.flatnonzero(counted[1])[5])):
                answer[step, row] = abs(y[row, step] - 0.1) / 0.5
            return np.log(answer / (1.0 - answer))[:, :, None], None

    np.testing.assert_allclose(small_tasks.timer_errors(Clock(), X, y, counted), [0.0, 0.1, 0.0], atol=1e-5)


def test_a_timer_of_short_pulses_learns():
    settings = small_tasks.Timer(n_cells=6, batch_size=4, n_steps=120, n_updates=3)
    short, _ = small_tasks.time_pulses(0, settings, longest=100, n_sequences=2, n_steps=300)
    assert short.shape == (2,) and (short > 0.05).all()
    X, y, counted = draw_timer(4, 120, longest=20, random_state=0)
    losses = []
    for n_updates in (1, 60):
        network = small_tasks.learn_timer(0, replace(settings, n_updates=n_updates), longest=20)
        output, _ = network(np.ascontiguousarray(X.swapaxes(0, 1)))
        losses.append(logistic_cross_entropy(output, (y.T / 0.5)[:, :, None])[0])
    assert losses[1] < 0.8 * losses[0]
