"""Truncated backpropagation through time, and networks with an output a step."""

import numpy as np
import pytest

from fastrnn import GRU, LSTM, RNN, Activation, AttentionPool, Conv1d, Dense, Dropout, Embedding, Pool, Sequential
from fastrnn.losses import softmax_cross_entropy, squared_error
from fastrnn.optim import SGD
from fastrnn.training import train

PLAIN = {"optimizer": SGD(0.1, 0.0, False), "max_grad_norm": None, "shuffle": False, "max_iter": 1}


def _tagger(cell=GRU, **options):
    return Sequential(cell(2, 4, dtype="float64", random_state=0, **options), Dense(4, 3, dtype="float64"))


def _same_bits(one, other):
    return all(one.params[name].tobytes() == w.tobytes() for name, w in other.params.items())


def _ragged(rng, lengths=(7, 3, 5, 6, 1, 7)):
    sequences = [rng.normal(size=(n, 2)) for n in lengths]
    return sequences, [rng.integers(0, 3, size=n) for n in lengths]


def _moved(network, before):
    return {name: (before[name] - w) / 0.1 for name, w in network.params.items()}


# an output a step


def test_windows_are_the_updates_of_the_same_loop_in_torch(rng):
    torch = pytest.importorskip("torch", reason="compares with torch.nn and torch.optim")
    X, y = rng.normal(size=(6, 10, 2)), rng.integers(0, 3, size=(6, 10))
    network = Sequential(LSTM(2, 4, dtype="float64", random_state=0), Dense(4, 3, dtype="float64", random_state=1))
    lstm, dense = torch.nn.LSTM(2, 4, dtype=torch.float64), torch.nn.Linear(4, 3, dtype=torch.float64)
    for module, place in ((lstm, "0."), (dense, "1.")):
        state = {k[2:]: torch.tensor(v) for k, v in network.state_dict().items() if k.startswith(place)}
        module.load_state_dict(state)
    sgd = torch.optim.SGD([*lstm.parameters(), *dense.parameters()], 0.1)
    losses = []
    for start in range(0, 6, 4):
        state = None
        for first in range(0, 10, 4):
            x = torch.tensor(X[start : start + 4, first : first + 4].swapaxes(0, 1).copy())
            target = torch.tensor(y[start : start + 4, first : first + 4].T.copy())
            sgd.zero_grad()
            output, state = lstm(x, state)
            state = tuple(part.detach() for part in state)
            loss = torch.nn.functional.cross_entropy(dense(output).reshape(-1, 3), target.reshape(-1))
            loss.backward()
            sgd.step()
            losses.append(loss.item() * target.numel())
    history = train(network, X, y, loss=softmax_cross_entropy, batch_size=4, bptt_window=4, **PLAIN)
    assert history.n_updates == 6 and history.loss_curve == [pytest.approx(sum(losses) / 60, rel=1e-10)]
    expected = {f"0.{k}": v for k, v in lstm.state_dict().items()} | {
        f"1.{k}": v for k, v in dense.state_dict().items()
    }
    for name, w in network.params.items():
        np.testing.assert_allclose(w, expected[name].numpy(), rtol=1e-9, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("between", [[], [Activation("softsign")]], ids=str)
def test_a_window_of_the_whole_sequence_is_no_window(between, rng):
    sequences, target = _ragged(rng)
    networks = [Sequential(_tagger().layers[0], *between, _tagger().layers[1]) for _ in range(2)]
    networks[1].load_state_dict(networks[0].state_dict())
    for network, window in zip(networks, (None, 7)):
        train(network, sequences, target, loss=softmax_cross_entropy, batch_size=3, bptt_window=window, **PLAIN)
    assert _same_bits(*networks)


def test_a_step_past_a_rows_end_counts_for_nothing_and_each_other_one_the_same(rng):
    """The gradient of a ragged batch is the mean over all its steps, taken row by row."""
    sequences, target = _ragged(rng)
    network = _tagger()
    before = network.state_dict()
    expected, n_steps = {name: 0.0 for name in before}, sum(map(len, sequences))
    for x, y in zip(sequences, target):
        network.zero_grad()
        (output, _), backward = network.forward(x[:, None])
        backward(softmax_cross_entropy(output, y[:, None])[1] * len(x) / n_steps)
        expected = {name: total + network.grads[name] for name, total in expected.items()}
    train(network, sequences, target, loss=softmax_cross_entropy, batch_size=6, **PLAIN)
    for name, moved in _moved(network, before).items():
        np.testing.assert_allclose(moved, expected[name], atol=1e-12)


def test_windows_that_are_joined_give_the_weighted_mean_over_all_steps_cut_at_their_borders(rng):
    sequences, target = _ragged(rng)
    weight = np.array([1.0, 2.0, 0.5, 0.0, 3.0, 1.0])
    network = _tagger()
    before = network.state_dict()
    expected, total, value = {name: 0.0 for name in before}, sum(w * len(x) for w, x in zip(weight, sequences)), 0.0
    for w, x, y in zip(weight, sequences, target):
        state = None
        for start in range(0, len(x), 3):
            network.zero_grad()
            (output, state), backward = network.forward(x[start : start + 3, None], state)
            loss, d_output = softmax_cross_entropy(output, y[start : start + 3, None])
            share = w * len(output) / total
            backward(d_output * share)
            value += loss * share
            expected = {name: part + network.grads[name] for name, part in expected.items()}
    options = {"bptt_window": 3, "accumulate_steps": 3, "sample_weight": weight, "batch_size": 5}
    history = train(network, sequences, target, loss=softmax_cross_entropy, **PLAIN, **options)
    assert history.n_updates == 1 and history.loss_curve == [pytest.approx(value, rel=1e-12)]
    for name, moved in _moved(network, before).items():
        np.testing.assert_allclose(moved, expected[name], atol=1e-12)


def test_a_convolution_that_shortens_sequences_has_as_many_targets_as_outputs(rng):
    sequences = [rng.normal(size=(n, 2)) for n in (7, 4, 9)]
    conv = Conv1d(2, 3, 3, stride=2, padding="valid", dtype="float64", random_state=0)
    network = Sequential(conv, Dense(3, 2, dtype="float64", random_state=1))
    outputs = [network(x[:, None])[0] for x in sequences]
    target = [rng.integers(0, 2, size=len(output)) for output in outputs]
    losses = [softmax_cross_entropy(o, y[:, None])[0] * len(y) for o, y in zip(outputs, target)]
    history = train(network, sequences, target, loss=softmax_cross_entropy, **PLAIN)
    assert history.loss_curve == [pytest.approx(sum(losses) / sum(map(len, target)), rel=1e-12)]


def test_tokens_go_to_an_embedding_as_integers(rng):
    tokens = [rng.integers(0, 5, size=n) for n in (4, 2, 6)]
    network = Sequential(Embedding(5, 3, random_state=0), RNN(3, 4, random_state=1), Dense(4, 5, random_state=2))
    options = {**PLAIN, "optimizer": SGD(0.5), "max_iter": 40}
    history = train(network, tokens, tokens, loss=softmax_cross_entropy, bptt_window=2, **options)
    assert history.loss_curve[-1] < 0.3 * history.loss_curve[0]


def test_a_target_with_other_steps_than_its_sequence_is_named(rng):
    sequences, target = _ragged(rng)
    target[2] = target[2][:-1]
    with pytest.raises(ValueError, match=r"target\[2\] has 4 steps, expected 5, those of the network's output"):
        train(_tagger(), sequences, target, loss=softmax_cross_entropy, **PLAIN)


# the output of the last step


@pytest.mark.parametrize("cell", [RNN, GRU, LSTM])
@pytest.mark.parametrize("window", [1, 3, 20])
def test_a_last_output_has_the_gradient_of_its_last_steps_from_a_fixed_state(cell, window, rng):
    sequences = [rng.normal(size=(n, 2)) for n in (9, 2, 5, 3, 4)]
    target = rng.normal(size=(5, 1))
    network = Sequential(
        cell(2, 3, num_layers=2, dtype="float64", random_state=0), Pool("last"), Dense(3, 1, dtype="float64")
    )
    before = network.state_dict()
    states = [network(x[: max(len(x) - window, 0), None])[1] for x in sequences]

    def loss_of(weights):
        network.load_state_dict(weights)
        rows = [network(x[max(len(x) - window, 0) :, None], s)[0] for x, s in zip(sequences, states)]
        return squared_error(np.concatenate(rows), target)[0]

    value = loss_of(before)
    history = train(network, sequences, target, loss=squared_error, batch_size=5, bptt_window=window, **PLAIN)
    assert history.loss_curve == [pytest.approx(value, rel=1e-12)]
    for name, moved in _moved(network, before).items():
        index = tuple(int(rng.integers(n)) for n in moved.shape)
        up, down = ({k: v.copy() for k, v in before.items()} for _ in range(2))
        up[name][index] += 1e-6
        down[name][index] -= 1e-6
        assert moved[index] == pytest.approx((loss_of(up) - loss_of(down)) / 2e-6, abs=1e-7), name


def test_sequences_of_one_length_are_cut_as_ragged_ones_are(rng):
    X, target = rng.normal(size=(5, 8, 2)), rng.normal(size=(5, 1))
    networks = []
    for sequences in (X, [*X, rng.normal(size=(6, 2))]):
        networks.append(Sequential(GRU(2, 3, random_state=0), Pool("last"), Dense(3, 1, random_state=1)))
        weight = np.r_[np.ones(5), 0.0][: len(sequences)]
        y = np.r_[target, [[9.0]]][: len(sequences)]
        train(networks[-1], sequences, y, loss=squared_error, bptt_window=3, sample_weight=weight, **PLAIN)
    assert _same_bits(*networks)


# networks without windows


@pytest.mark.parametrize(
    "layers, words",
    [
        (
            [GRU(2, 3, bidirectional=True), Pool("last")],
            r"layer 0 \(GRU\(2, 3, bidirectional=True\)\) is bidirectional",
        ),
        ([GRU(2, 3), Pool("mean")], r"layer 1 \(Pool\('mean'\)\) needs all steps at once, expected Pool\('last'\)"),
        ([GRU(2, 3), AttentionPool(3)], r"layer 1 \(AttentionPool\(.*\)\) does not work on one step at a time"),
        ([Sequential(GRU(2, 3), Dropout(0.1)), Pool("max")], r"layer 1 \(Pool\('max'\)\) needs all steps at once"),
    ],
)
def test_a_network_that_needs_all_steps_at_once_has_no_windows(layers, words, rng):
    with pytest.raises(ValueError, match=f"bptt_window is set, but {words}"):
        train(
            Sequential(*layers),
            rng.normal(size=(4, 5, 2)),
            np.zeros((4, 3)),
            loss=squared_error,
            optimizer=SGD(),
            rng=rng,
            bptt_window=2,
        )


def test_a_window_of_no_steps_is_refused(rng):
    with pytest.raises(ValueError, match="bptt_window is 0, expected an integer >= 1"):
        train(_tagger(), *_ragged(rng), loss=softmax_cross_entropy, bptt_window=0, **PLAIN)
