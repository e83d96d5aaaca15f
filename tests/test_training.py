"""Batches of ragged sequences, and the loop that trains on them."""

import math

import numpy as np
import pytest

from fastrnn import Dense, Dropout, Sequential
from fastrnn.datasets import adding
from fastrnn.losses import softmax_cross_entropy, squared_error
from fastrnn.models import many_to_one
from fastrnn.optim import SGD, Adam
from fastrnn.training import NonFiniteLossError, batch_indices, pad_batch, sequence_lengths, train


def _task(rng, n_samples=60, n_features=2):
    """Ragged sequences whose class is told by the sign of their first step."""
    sequences = [rng.normal(size=(n, n_features)).astype("float32") for n in rng.integers(1, 9, size=n_samples)]
    target = np.array([int(x[0, 0] > 0) for x in sequences])
    return sequences, target


def _train(network, sequences, target, seed=0, loss=softmax_cross_entropy, **options):
    options = {"optimizer": Adam(0.02), "batch_size": 16, "max_iter": 5, **options}
    return train(network, sequences, target, loss=loss, rng=np.random.default_rng(seed), **options)


def _same_bits(a, b):
    return all(a[name].tobytes() == b[name].tobytes() for name in a)


# batches


@pytest.mark.parametrize("batch_size", [1, 4, 7, 50, 64])
@pytest.mark.parametrize("shuffled", [False, True])
def test_every_sample_is_in_exactly_one_batch(batch_size, shuffled, rng):
    lengths = rng.integers(1, 20, size=50)
    batches = batch_indices(lengths, batch_size, rng if shuffled else None)
    assert sorted(np.concatenate(batches).tolist()) == list(range(50))
    sizes = sorted(len(b) for b in batches)
    assert sizes[1:] == [batch_size] * (len(batches) - 1) and 0 < sizes[0] <= batch_size


def test_batches_repeat_for_one_seed_and_differ_between_epochs(rng):
    lengths = rng.integers(1, 20, size=50)
    one, two = (np.random.default_rng(3) for _ in range(2))
    first, again = batch_indices(lengths, 8, one), batch_indices(lengths, 8, two)
    assert all(np.array_equal(a, b) for a, b in zip(first, again))
    assert not np.array_equal(np.concatenate(first), np.concatenate(batch_indices(lengths, 8, one)))


def test_without_a_generator_batches_keep_the_order():
    assert [b.tolist() for b in batch_indices(np.array([5, 1, 3, 2, 4]), 2)] == [[0, 1], [2, 3], [4]]


def test_no_samples_make_no_batches(rng):
    assert batch_indices(np.zeros(0, int), 4) == [] and batch_indices(np.zeros(0, int), 4, rng) == []


def test_grouping_by_length_saves_padding(rng):
    lengths = rng.integers(1, 100, size=400)

    def padding(batches):
        return sum(int((lengths[b].max() - lengths[b]).sum()) for b in batches)

    unsorted = np.split(rng.permutation(400), 25)
    assert padding(batch_indices(lengths, 16, rng)) < 0.8 * padding(unsorted)


def test_a_padded_batch_holds_each_sequence_and_zeros_past_its_end(rng):
    sequences = [rng.normal(size=(n, 3)) for n in (4, 1, 6, 2)]
    x, lengths = pad_batch(sequences, np.array([3, 0]), "float32")
    assert x.shape == (4, 2, 3) and x.dtype == np.float32 and x.flags.c_contiguous and lengths.tolist() == [2, 4]
    assert np.array_equal(x[:2, 0], sequences[3].astype("float32")) and not x[2:, 0].any()
    assert np.array_equal(x[:, 1], sequences[0].astype("float32"))


def test_a_batch_of_equal_lengths_needs_no_lengths(rng):
    array = rng.normal(size=(5, 7, 2))
    for sequences in (array, list(array)):
        assert sequence_lengths(sequences).tolist() == [7] * 5
        x, lengths = pad_batch(sequences, np.array([4, 1]), "float64")
        assert lengths is None and np.array_equal(x, array[[4, 1]].transpose(1, 0, 2))


# learning


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_a_tiny_task_is_learnt(cell, rng):
    sequences, target = _task(rng)
    network = many_to_one(2, 2, cell=cell, hidden_layer_sizes=(12,), random_state=1)
    history = _train(network, sequences, target, max_iter=60, n_iter_no_change=60)
    x, lengths = pad_batch(sequences, np.arange(60), "float32")
    output = network(x, lengths=lengths)[0]
    assert np.mean(output.argmax(axis=1) == target) >= 0.95
    assert min(history.loss_curve) < 0.2 < history.loss_curve[0]
    assert history.n_updates == history.n_epochs * 4 == len(history.grad_norm_curve) * 4


def test_the_adding_problem_of_ten_steps_is_learnt_far_below_answering_one():
    X, y = adding(400, 10, random_state=0)
    network = many_to_one(2, 1, cell="gru", hidden_layer_sizes=(16,), random_state=0)
    history = _train(network, X, y[:, None], loss=squared_error, max_iter=40, n_iter_no_change=40)
    assert 2.0 * min(history.loss_curve) < 0.02 < 1 / 6


def test_the_first_loss_of_a_whole_batch_is_that_of_the_untrained_network(rng):
    sequences, target = _task(rng)
    network = many_to_one(2, 2, hidden_layer_sizes=(4,), dtype="float64", random_state=0)
    x, lengths = pad_batch(sequences, np.arange(60), "float64")
    value, _ = softmax_cross_entropy(network(x, lengths=lengths)[0], target)
    penalty = sum(float(np.sum(w**2)) for w in network.params.values() if w.ndim == 2)
    history = _train(network, sequences, target, batch_size=60, max_iter=1, alpha=0.3)
    assert history.loss_curve[0] == pytest.approx(value + 0.5 * 0.3 / 60 * penalty, rel=1e-12)


def test_one_step_of_plain_descent_moves_against_the_clipped_gradient(rng):
    sequences, target = _task(rng)
    network = many_to_one(2, 2, hidden_layer_sizes=(4,), dtype="float64", random_state=0)
    before = network.state_dict()
    history = _train(
        network, sequences, target, batch_size=60, max_iter=1, max_grad_norm=1e-3, optimizer=SGD(1.0, 0.0, False)
    )
    moved = math.sqrt(sum(float(np.sum((network.params[name] - w) ** 2)) for name, w in before.items()))
    assert moved == pytest.approx(1e-3, rel=1e-9) and history.grad_norm_curve[0] > 1e-3


def test_clipping_by_value_bounds_every_step(rng):
    sequences, target = _task(rng)
    network = many_to_one(2, 2, hidden_layer_sizes=(4,), dtype="float64", random_state=0)
    before = network.state_dict()
    options = {"max_grad_norm": None, "max_grad_value": 1e-4, "optimizer": SGD(1.0, 0.0, False)}
    _train(network, sequences, target, batch_size=60, max_iter=1, **options)
    assert max(abs(network.params[name] - w).max() for name, w in before.items()) == pytest.approx(1e-4)


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
        network = many_to_one(2, 2, hidden_layer_sizes=(6,), dropout=0.3, random_state=1)
        _train(network, sequences, target, seed=seed)
        weights.append(network.state_dict())
    assert _same_bits(weights[0], weights[1]) and not _same_bits(weights[0], weights[2])


def test_a_list_of_equal_lengths_trains_like_the_array(rng):
    X = rng.normal(size=(20, 6, 2)).astype("float32")
    target = rng.integers(0, 2, size=20)
    networks = [many_to_one(2, 2, hidden_layer_sizes=(5,), random_state=0) for _ in range(2)]
    for network, sequences in zip(networks, (X, list(X))):
        _train(network, sequences, target)
    assert _same_bits(networks[0].state_dict(), networks[1].state_dict())


# when it ends


def test_it_ends_with_the_weights_of_the_best_epoch(rng):
    sequences, target = _task(rng)
    network = many_to_one(2, 2, hidden_layer_sizes=(5,), random_state=0)
    snapshots = []

    def keep(history):
        snapshots.append(network.state_dict())

    history = _train(network, sequences, target, max_iter=12, optimizer=Adam(0.3), on_epoch=keep)
    assert history.best_epoch == int(np.argmin(history.loss_curve)) + 1
    assert _same_bits(network.state_dict(), snapshots[history.best_epoch - 1])


def test_it_stops_where_the_loss_no_longer_falls(rng):
    sequences, target = _task(rng)
    network = many_to_one(2, 2, hidden_layer_sizes=(5,), random_state=0)
    history = _train(network, sequences, target, max_iter=50, optimizer=SGD(1e-9), n_iter_no_change=3)
    assert history.stopped == "tol" and history.n_epochs == 4


def test_a_callback_may_stop_it(rng):
    sequences, target = _task(rng)
    network = many_to_one(2, 2, hidden_layer_sizes=(5,), random_state=0)
    history = _train(network, sequences, target, max_iter=50, on_epoch=lambda h: h.n_epochs == 2)
    assert history.stopped == "callback" and history.n_epochs == 2


def test_an_interrupt_keeps_what_was_learnt(rng):
    sequences, target = _task(rng)
    network = many_to_one(2, 2, hidden_layer_sizes=(5,), random_state=0)
    calls = []

    def loss(output, target):
        calls.append(0)
        if len(calls) == 10:  # in the third epoch of four batches
            raise KeyboardInterrupt
        return softmax_cross_entropy(output, target)

    history = _train(network, sequences, target, loss=loss)
    assert history.stopped == "interrupt" and history.n_epochs == 2 and history.best_epoch in (1, 2)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_good_weights(bad, rng):
    sequences, target = _task(rng)
    network = many_to_one(2, 2, hidden_layer_sizes=(5,), random_state=0)
    calls, snapshots = [], []

    def loss(output, target):
        calls.append(0)
        value, d_output = softmax_cross_entropy(output, target)
        return (bad if len(calls) == 11 else value), d_output

    def keep(history):
        snapshots.append(network.state_dict())

    with pytest.raises(NonFiniteLossError, match=r"the loss is (nan|inf) .* at epoch 3, batch 3;") as caught:
        _train(network, sequences, target, loss=loss, on_epoch=keep)
    history = caught.value.history
    assert history.n_epochs == 2 and history.best_epoch in (1, 2)
    assert f"those of the end of epoch {history.best_epoch}" in str(caught.value)
    assert "smaller learning rate" in str(caught.value)
    assert _same_bits(network.state_dict(), snapshots[history.best_epoch - 1])


def test_a_gradient_that_is_not_finite_stops_before_the_weights_are_touched(rng):
    sequences, target = _task(rng)
    network = many_to_one(2, 2, hidden_layer_sizes=(5,), random_state=0)
    before = network.state_dict()

    def loss(output, target):
        value, d_output = softmax_cross_entropy(output, target)
        d_output[0, 0] = np.nan
        return value, d_output

    with pytest.raises(NonFiniteLossError, match="norm of the gradient nan at epoch 1, batch 1") as caught:
        _train(network, sequences, target, loss=loss)
    assert "those from before training" in str(caught.value) and caught.value.history.best_epoch == 0
    assert _same_bits(network.state_dict(), before)


def test_a_last_update_that_goes_astray_is_not_kept(rng):
    sequences, target = _task(rng)
    network = many_to_one(2, 1, hidden_layer_sizes=(5,), random_state=0)
    y = target[:, None].astype("float32")
    options = {"loss": squared_error, "batch_size": 60, "optimizer": SGD(1e30, 0.0, False), "max_grad_norm": None}
    with np.errstate(over="ignore", invalid="ignore"), pytest.raises(NonFiniteLossError):
        _train(network, sequences, y, max_iter=30, **options)
    assert all(np.isfinite(w).all() for w in network.params.values())
    x, lengths = pad_batch(sequences, np.arange(60), "float32")
    assert np.isfinite(network(x, lengths=lengths)[0]).all()


@pytest.mark.parametrize("shuffle, dropout", [(True, 0.0), (False, 0.5)])
def test_shuffling_and_dropout_ask_for_a_generator(shuffle, dropout, rng):
    sequences, target = _task(rng)
    network = many_to_one(2, 2, hidden_layer_sizes=(5,), dropout=dropout, random_state=0)
    with pytest.raises(ValueError, match="rng is None, expected a numpy.random.Generator"):
        train(network, sequences, target, loss=softmax_cross_entropy, optimizer=Adam(), shuffle=shuffle)


def test_without_shuffling_and_dropout_no_generator_is_needed(rng):
    sequences, target = _task(rng)
    network = many_to_one(2, 2, hidden_layer_sizes=(5,), random_state=0)
    history = train(
        network, sequences, target, loss=softmax_cross_entropy, optimizer=Adam(), shuffle=False, max_iter=2
    )
    assert history.n_epochs == 2


def test_the_progress_bar_names_epochs_and_loss(rng, capsys):
    sequences, target = _task(rng)
    _train(many_to_one(2, 2, hidden_layer_sizes=(5,), random_state=0), sequences, target, verbose=True)
    shown = capsys.readouterr().err
    assert "fit: 100%" in shown and "5/5" in shown and "loss=" in shown
    _train(many_to_one(2, 2, hidden_layer_sizes=(5,), random_state=0), sequences, target)
    assert capsys.readouterr().err == ""


def test_many_to_one_puts_dropout_between_layers_and_before_the_last():
    network = many_to_one(3, 2, hidden_layer_sizes=(4, 5), dropout=0.1, random_state=0)
    assert isinstance(network, Sequential) and isinstance(network.layers[-1], Dense)
    assert [isinstance(layer, Dropout) for layer in network.layers] == [False, True, False, False, True, False]


def test_many_to_one_names_an_unknown_cell():
    with pytest.raises(ValueError, match="cell is 'tcn', expected one of 'lstm', 'gru', 'rnn'"):
        many_to_one(3, 2, cell="tcn")
