"""The training loop: what one step does, what a run leaves behind, how it ends."""

import math

import numpy as np
import pytest

from fastrnn import Dense, Dropout, Sequential
from fastrnn.losses import softmax_cross_entropy, squared_error
from fastrnn.models import many_to_one
from fastrnn.optim import SGD, Adam
from fastrnn.training import NonFiniteLossError, pad_batch, train


def _task(rng, n_samples=60, n_features=2):
    """Ragged sequences whose class is told by the sign of their first step."""
    sequences = [rng.normal(size=(n, n_features)).astype("float32") for n in rng.integers(1, 9, size=n_samples)]
    target = np.array([int(x[0, 0] > 0) for x in sequences])
    return sequences, target


def _network(hidden_size=5, n_outputs=2, **options):
    return many_to_one(2, n_outputs, hidden_layer_sizes=(hidden_size,), random_state=0, **options)


def _train(network, sequences, target, seed=0, loss=softmax_cross_entropy, **options):
    options = {"optimizer": Adam(0.02), "batch_size": 16, "max_iter": 5, **options}
    return train(network, sequences, target, loss=loss, rng=np.random.default_rng(seed), **options)


def _same_bits(a, b):
    return all(a[name].tobytes() == b[name].tobytes() for name in a)


# a step


def test_one_update_of_plain_sgd_is_the_numeric_gradient(rng):
    sequences, target = _task(rng, 23)
    network = _network(dtype="float64")
    before = network.state_dict()
    alpha, rate, step = 0.3, 1e-3, 1e-6
    x, lengths = pad_batch(sequences, np.arange(23), "float64")

    def loss_of(state):
        network.load_state_dict(state)
        penalty = sum((w**2).sum() for w in state.values() if w.ndim == 2)
        return softmax_cross_entropy(network(x, lengths=lengths)[0], target)[0] + 0.5 * alpha / 23 * penalty

    options = {"batch_size": 99, "max_iter": 1, "alpha": alpha, "max_grad_norm": None}
    history = _train(network, sequences, target, optimizer=SGD(rate, 0.0, False), **options)
    after = network.state_dict()
    assert history.loss_curve == [pytest.approx(loss_of(before), rel=1e-12)]
    for name in before:
        index = tuple(int(rng.integers(n)) for n in before[name].shape)
        up, down = ({k: v.copy() for k, v in before.items()} for _ in range(2))
        up[name][index] += step
        down[name][index] -= step
        numeric = (loss_of(up) - loss_of(down)) / (2 * step)
        assert (before[name] - after[name])[index] / rate == pytest.approx(numeric, abs=1e-7)


def test_the_loss_curve_agrees_with_the_same_loop_in_torch(rng):
    torch = pytest.importorskip("torch", reason="compares with torch.nn and torch.optim")
    X, y = rng.normal(size=(40, 7, 3)), rng.integers(0, 4, size=40)
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


def test_clipping_by_norm_bounds_the_step_and_the_norm_before_it_is_recorded(rng):
    sequences, target = _task(rng)
    network = _network(dtype="float64")
    before = network.state_dict()
    options = {"batch_size": 60, "max_iter": 1, "max_grad_norm": 1e-3, "optimizer": SGD(1.0, 0.0, False)}
    history = _train(network, sequences, target, **options)
    moved = math.sqrt(sum(float(np.sum((network.params[name] - w) ** 2)) for name, w in before.items()))
    assert moved == pytest.approx(1e-3, rel=1e-9) and history.grad_norm_curve[0] > 1e-3


def test_clipping_by_value_bounds_every_element_of_the_step(rng):
    sequences, target = _task(rng)
    network = _network(dtype="float64")
    before = network.state_dict()
    options = {"max_grad_norm": None, "max_grad_value": 1e-4, "optimizer": SGD(1.0, 0.0, False)}
    _train(network, sequences, target, batch_size=60, max_iter=1, **options)
    assert max(abs(network.params[name] - w).max() for name, w in before.items()) == pytest.approx(1e-4)


# a run


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_a_tiny_task_is_learnt(cell, rng):
    sequences, target = _task(rng)
    network = _network(12, cell=cell)
    history = _train(network, sequences, target, max_iter=60, n_iter_no_change=60)
    x, lengths = pad_batch(sequences, np.arange(60), "float32")
    output = network(x, lengths=lengths)[0]
    assert np.mean(output.argmax(axis=1) == target) >= 0.95
    assert min(history.loss_curve) < 0.2 < history.loss_curve[0]
    assert history.n_updates == history.n_epochs * 4 == len(history.grad_norm_curve) * 4


@pytest.mark.parametrize("n_threads", [2, 4])
@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_weights_are_bit_for_bit_the_same_on_any_number_of_threads(cell, n_threads, exact_threads, rng):
    sequences, target = _task(rng)
    weights = []
    for threads in (1, n_threads):
        options = {"cell": cell, "hidden_layer_sizes": (9, 5), "bidirectional": True, "dropout": 0.2}
        network = many_to_one(2, 2, random_state=1, **options)
        _train(network, sequences, target, max_iter=3, batch_size=21, n_threads=threads)
        weights.append(network.state_dict())
    assert _same_bits(*weights)


def test_one_seed_gives_the_same_bits_and_another_seed_does_not(rng):
    sequences, target = _task(rng)
    weights = []
    for seed in (4, 4, 5):
        network = _network(dropout=0.3)
        _train(network, sequences, target, seed=seed)
        weights.append(network.state_dict())
    assert _same_bits(weights[0], weights[1]) and not _same_bits(weights[0], weights[2])


def test_a_list_of_equal_lengths_trains_like_the_array(rng):
    X = rng.normal(size=(20, 6, 2)).astype("float32")
    target = rng.integers(0, 2, size=20)
    networks = [_network(), _network()]
    for network, sequences in zip(networks, (X, list(X))):
        _train(network, sequences, target)
    assert _same_bits(networks[0].state_dict(), networks[1].state_dict())


@pytest.mark.parametrize("shuffle, dropout", [(True, 0.0), (False, 0.5)])
def test_shuffling_and_dropout_ask_for_a_generator(shuffle, dropout, rng):
    sequences, target = _task(rng)
    with pytest.raises(ValueError, match="rng is None, expected a numpy.random.Generator"):
        train(
            _network(dropout=dropout), sequences, target, loss=softmax_cross_entropy, optimizer=Adam(), shuffle=shuffle
        )


def test_the_progress_bar_names_epochs_and_loss(rng, capsys):
    sequences, target = _task(rng)
    _train(_network(), sequences, target, verbose=True)
    shown = capsys.readouterr().err
    assert "fit: 100%" in shown and "5/5" in shown and "loss=" in shown
    _train(_network(), sequences, target)
    assert capsys.readouterr().err == ""


# when it ends


class _Snapshots(list):
    """The weights at the end of each epoch; as `on_epoch` it stops after `last`."""

    def __init__(self, network, last=None):
        self.network, self.last = network, last

    def __call__(self, history):
        self.append(self.network.state_dict())
        return len(self) == self.last


def _loss_that_on_call(number, answer):
    """Cross-entropy, but `answer(value, d_output)` on the call of that number."""
    calls = []

    def loss(output, target):
        calls.append(0)
        found = softmax_cross_entropy(output, target)
        return answer(*found) if len(calls) == number else found

    return loss


def test_it_ends_with_the_weights_of_the_best_epoch(rng):
    sequences, target = _task(rng)
    network = _network()
    snapshots = _Snapshots(network, last=12)
    options = {"max_iter": 50, "n_iter_no_change": 99, "on_epoch": snapshots}
    history = _train(network, sequences, target, optimizer=SGD(5.0, 0.9), **options)  # too fast: up and down
    assert history.stopped == "callback" and history.n_epochs == 12
    assert history.best_epoch == int(np.argmin(history.loss_curve)) + 1 < 12
    assert _same_bits(network.state_dict(), snapshots[history.best_epoch - 1])


def test_it_stops_where_the_loss_no_longer_falls(rng):
    sequences, target = _task(rng)
    history = _train(_network(), sequences, target, max_iter=50, optimizer=SGD(1e-9), n_iter_no_change=3)
    assert history.stopped == "tol" and history.n_epochs == 4


def test_an_interrupt_keeps_the_weights_of_the_best_epoch(rng):
    sequences, target = _task(rng)
    network = _network()
    snapshots = _Snapshots(network)

    def interrupt(value, d_output):
        raise KeyboardInterrupt

    loss = _loss_that_on_call(10, interrupt)  # in the third epoch of four batches
    history = _train(network, sequences, target, loss=loss, on_epoch=snapshots)
    assert history.stopped == "interrupt" and history.n_epochs == 2
    assert _same_bits(network.state_dict(), snapshots[int(np.argmin(history.loss_curve))])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_good_weights(bad, rng):
    sequences, target = _task(rng)
    network = _network()
    snapshots = _Snapshots(network)
    loss = _loss_that_on_call(11, lambda value, d_output: (bad, d_output))
    words = f"the loss is {bad} .* at epoch 3, batch 3; the largest input is "
    with pytest.raises(NonFiniteLossError, match=words) as caught:
        _train(network, sequences, target, loss=loss, on_epoch=snapshots)
    history = caught.value.history
    assert history.n_epochs == 2 and history.best_epoch in (1, 2)
    assert f"those of the end of epoch {history.best_epoch}" in str(caught.value)
    assert "smaller learning rate" in str(caught.value)
    assert _same_bits(network.state_dict(), snapshots[history.best_epoch - 1])


def test_a_gradient_that_is_not_finite_stops_before_the_weights_are_touched(rng):
    sequences, target = _task(rng)
    network = _network()
    before = network.state_dict()
    loss = _loss_that_on_call(1, lambda value, d_output: (value, np.full_like(d_output, np.nan)))
    with pytest.raises(NonFiniteLossError, match="norm of the gradient nan at epoch 1, batch 1") as caught:
        _train(network, sequences, target, loss=loss)
    assert "those from before training" in str(caught.value) and caught.value.history.best_epoch == 0
    assert _same_bits(network.state_dict(), before)


def test_weights_that_were_never_seen_finite_are_not_kept(rng):
    sequences, target = _task(rng)
    network = _network(n_outputs=1)
    before = network.state_dict()
    options = {"loss": squared_error, "batch_size": 60, "optimizer": SGD(1e38, 0.0, False), "max_grad_norm": None}
    with pytest.raises(NonFiniteLossError, match="epoch 2, batch 1.* weights are those from before training"):
        _train(network, sequences, target[:, None], **options)
    assert _same_bits(network.state_dict(), before)


def test_infinite_weights_after_the_last_update_are_not_kept(rng):
    sequences, target = _task(rng)
    network = _network()
    before = network.state_dict()
    options = {"batch_size": 60, "max_iter": 1, "max_grad_norm": None}
    with np.errstate(over="ignore", invalid="ignore"):
        history = _train(network, sequences, target, optimizer=SGD(1e39, 0.0, False), **options)
    assert history.stopped == "max_iter" and history.best_epoch == 0
    assert _same_bits(network.state_dict(), before)


# the network that the estimators train


def test_many_to_one_puts_dropout_between_layers_and_before_the_last():
    network = many_to_one(3, 2, hidden_layer_sizes=(4, 5), dropout=0.1, random_state=0)
    assert isinstance(network, Sequential) and isinstance(network.layers[-1], Dense)
    assert [isinstance(layer, Dropout) for layer in network.layers] == [False, True, False, False, True, False]


def test_many_to_one_names_an_unknown_cell():
    with pytest.raises(ValueError, match="cell is 'tcn', expected one of 'lstm', 'gru', 'rnn'"):
        many_to_one(3, 2, cell="tcn")
