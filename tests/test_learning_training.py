"""The training loop: batches, stopping, the weights that it leaves, reproducibility."""

import numpy as np
import pytest

from fastrnn.init import as_generator
from fastrnn.losses import softmax_cross_entropy, squared_error
from fastrnn.models import many_to_one
from fastrnn.optim import SGD, Adam
from fastrnn.training import NonFiniteLossError, batch_indices, pad_batch, sequence_lengths, train


def ragged(rng, n=23, inputs=3):
    return [rng.standard_normal((int(t), inputs)) for t in rng.integers(1, 9, size=n)]


def test_every_sample_is_in_exactly_one_batch(rng):
    lengths = rng.integers(1, 20, size=53)
    batches = batch_indices(lengths, 8, rng)
    assert sorted(np.concatenate(batches)) == list(range(53))
    assert sorted(len(b) for b in batches) == [5, 8, 8, 8, 8, 8, 8]


def test_batches_depend_on_the_seed_alone(rng):
    lengths = rng.integers(1, 20, size=53)
    first, second, other = (batch_indices(lengths, 8, as_generator(seed)) for seed in (5, 5, 6))
    assert all((a == b).all() for a, b in zip(first, second))
    assert not all(len(a) == len(b) and (a == b).all() for a, b in zip(first, other))


def test_grouping_by_length_saves_padding(rng):
    lengths = rng.integers(1, 100, size=512)
    padded = sum(len(b) * lengths[b].max() for b in batch_indices(lengths, 16, rng))
    at_random = sum(len(b) * lengths[b].max() for b in np.split(rng.permutation(512), 32))
    assert padded < 0.85 * at_random


def test_padded_batch_holds_each_sequence_in_its_column(rng):
    sequences = ragged(rng)
    x, lengths = pad_batch(sequences, np.array([4, 0, 7]), np.float32)
    assert x.dtype == np.float32 and x.flags.c_contiguous
    for column, i in enumerate([4, 0, 7]):
        n = len(sequences[i])
        assert lengths[column] == n
        np.testing.assert_array_equal(x[:n, column], sequences[i].astype(np.float32))
        assert not x[n:, column].any()
    block = rng.standard_normal((5, 4, 2))
    x, lengths = pad_batch(block, np.array([3, 1]), np.float64)
    assert lengths is None
    np.testing.assert_array_equal(x[:, 0], block[3])
    assert sequence_lengths(block).tolist() == [4] * 5


def setup(rng, dtype="float64", **options):
    X = ragged(rng)
    y = np.array([x[:, 0].mean() for x in X])[:, None].astype(dtype)
    return many_to_one(3, 1, hidden_layer_sizes=(5,), dtype=dtype, random_state=0, **options), X, y


def test_one_update_of_plain_sgd_is_the_numeric_gradient(rng):
    network, X, y = setup(rng)
    before = network.state_dict()
    alpha, rate, step = 0.3, 1e-3, 1e-6

    def loss_of(state):
        network.load_state_dict(state)
        x, lengths = pad_batch(X, np.arange(len(X)), np.float64)
        penalty = sum((w**2).sum() for w in state.values() if w.ndim == 2)
        return squared_error(network(x, lengths=lengths)[0], y)[0] + 0.5 * alpha / len(X) * penalty

    optimizer = SGD(rate, momentum=0.0, nesterov=False)
    options = {"alpha": alpha, "max_iter": 1, "batch_size": 99, "shuffle": False, "max_grad_norm": None}
    history = train(network, X, y, loss=squared_error, optimizer=optimizer, **options)
    after = network.state_dict()
    assert history.loss_curve == [pytest.approx(loss_of(before), rel=1e-12)]
    for name in before:
        index = tuple(int(rng.integers(n)) for n in before[name].shape)
        up, down = ({k: v.copy() for k, v in before.items()} for _ in range(2))
        up[name][index] += step
        down[name][index] -= step
        numeric = (loss_of(up) - loss_of(down)) / (2 * step)
        assert (before[name] - after[name])[index] / rate == pytest.approx(numeric, abs=1e-7)


def fit_bits(seed, n_threads, dtype="float32"):
    network, X, y = setup(np.random.default_rng(9), dtype, dropout=0.2, bidirectional=True)
    options = {"batch_size": 6, "max_iter": 4, "rng": as_generator(seed), "n_threads": n_threads}
    train(network, X, y, loss=squared_error, optimizer=Adam(0.01), **options)
    return np.concatenate([w.ravel() for w in network.state_dict().values()])


def test_weights_depend_on_the_seed_and_not_on_threads(exact_threads):
    first = fit_bits(1, 1)
    for n_threads in (1, 2, 4):
        np.testing.assert_array_equal(fit_bits(1, n_threads), first)
    assert (fit_bits(2, 1) != first).any()


def test_agrees_with_the_same_loop_in_torch(rng):
    torch = pytest.importorskip("torch", reason="compares with torch.nn and torch.optim (extra: peers)")
    X, y = rng.standard_normal((40, 7, 3)), rng.integers(0, 4, size=40)
    network = many_to_one(3, 4, hidden_layer_sizes=(6,), dtype="float64", random_state=0)
    lstm, dense = torch.nn.LSTM(3, 6, dtype=torch.float64), torch.nn.Linear(6, 4, dtype=torch.float64)
    for module, place in ((lstm, "0."), (dense, "2.")):
        state = {k[2:]: torch.tensor(v) for k, v in network.state_dict().items() if k.startswith(place)}
        module.load_state_dict(state)
    adam = torch.optim.Adam([*lstm.parameters(), *dense.parameters()], 0.01)
    expected = []
    for _ in range(5):
        total = 0.0
        for start in range(0, 40, 16):
            adam.zero_grad()
            output, _ = lstm(torch.tensor(X[start : start + 16].transpose(1, 0, 2).copy()))
            loss = torch.nn.functional.cross_entropy(dense(output[-1]), torch.tensor(y[start : start + 16]))
            loss.backward()
            adam.step()
            total += loss.item() * len(y[start : start + 16])
        expected.append(total / 40)
    options = {"batch_size": 16, "max_iter": 5, "shuffle": False, "max_grad_norm": None}
    history = train(network, X, y, loss=softmax_cross_entropy, optimizer=Adam(0.01), **options)
    np.testing.assert_allclose(history.loss_curve, expected, rtol=1e-10)


def test_ends_with_the_weights_of_the_best_epoch(rng):
    network, X, y = setup(rng)
    seen = []

    def note(history):
        seen.append(network.state_dict())
        return len(seen) == 12

    optimizer = SGD(1.5, momentum=0.9)  # far too fast: the loss goes up and down
    history = train(network, X, y, loss=squared_error, optimizer=optimizer, rng=as_generator(0), on_epoch=note)
    assert history.stopped == "callback" and history.n_epochs == 12
    best = int(np.argmin(history.loss_curve))
    assert history.best_epoch == best + 1
    for name, w in network.state_dict().items():
        np.testing.assert_array_equal(w, seen[best][name])


def test_stops_when_the_loss_no_longer_falls(rng):
    network, X, y = setup(rng)
    options = {"tol": 1e9, "n_iter_no_change": 3, "rng": as_generator(0)}
    history = train(network, X, y, loss=squared_error, optimizer=Adam(), **options)
    assert history.stopped == "tol" and history.n_epochs == 4


def test_non_finite_loss_stops_and_keeps_the_best_weights(rng):
    network, X, y = setup(rng, "float32")
    calls, kept = [], []

    def breaks_at_ninth(output, target):
        calls.append(1)
        value, d_output = squared_error(output, target)
        return (float("nan") if len(calls) == 9 else value), d_output

    options = {"batch_size": 8, "max_iter": 10, "rng": as_generator(0)}
    with pytest.raises(NonFiniteLossError, match="loss is nan .* at epoch 3, batch 3; the largest input is") as caught:
        train(
            network, X, y, loss=breaks_at_ninth, optimizer=Adam(), **options,
            on_epoch=lambda history: kept.append(network.state_dict()),
        )  # fmt: skip
    best = int(np.argmin(caught.value.history.loss_curve))
    assert caught.value.history.n_epochs == 2 and f"end of epoch {best + 1}" in str(caught.value)
    for name, w in network.state_dict().items():
        np.testing.assert_array_equal(w, kept[best][name])


def test_weights_that_were_never_seen_finite_are_not_kept(rng):
    network, X, y = setup(rng, "float32")
    before = network.state_dict()
    options = {"batch_size": 99, "max_iter": 10, "rng": as_generator(0), "max_grad_norm": None}
    with pytest.raises(NonFiniteLossError, match="epoch 2, batch 1.* weights are those from before training"):
        train(network, X, y, loss=squared_error, optimizer=SGD(1e38, 0.0, False), **options)
    for name, w in network.state_dict().items():
        np.testing.assert_array_equal(w, before[name])


def test_interruption_keeps_the_best_weights(rng):
    network, X, y = setup(rng)
    calls = []

    def interrupts(output, target):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return squared_error(output, target)

    history = train(network, X, y, loss=interrupts, optimizer=Adam(), rng=as_generator(0))
    assert history.stopped == "interrupt" and history.n_epochs == 3
    assert all(np.isfinite(w).all() for w in network.state_dict().values())


def test_shuffling_needs_a_generator(rng):
    network, X, y = setup(rng)
    with pytest.raises(ValueError, match="rng is None, expected a numpy.random.Generator"):
        train(network, X, y, loss=squared_error, optimizer=Adam())
