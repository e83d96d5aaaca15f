"""Sequential: what it hands on, what it names, and what it refuses."""

import numpy as np
import pytest
from cases import assert_same_bits, ragged_lengths

import fastrnn
from fastrnn import GRU, LSTM, RNN, Dense, Dropout, Embedding, Pool, Sequential, _threads


def tagger(**keywords):
    return Sequential(
        LSTM(3, 6, bidirectional=True, random_state=0, **keywords),
        Dropout(0.5),
        GRU(12, 5, random_state=1, **keywords),
        Dense(5, 4, activation="tanh", random_state=2, **keywords),
    )


def classifier(pool="last", **keywords):
    return Sequential(
        LSTM(3, 6, num_layers=2, bidirectional=True, random_state=0, **keywords),
        Dropout(0.5),
        Pool(pool),
        Dense(12, 4, random_state=2, **keywords),
    )


def test_parameters_are_named_by_their_layer_s_place():
    network = Sequential(RNN(3, 4), Pool(), Dense(4, 2))
    names = ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"]
    expected = [f"0.{name}" for name in names] + ["2.weight", "2.bias"]
    assert list(network.params) == list(network.grads) == list(network.state_dict()) == expected
    assert network.params["2.weight"].shape == (2, 4)


def test_gradients_are_those_of_the_layers():
    network = Sequential(RNN(3, 4), Dense(4, 2))
    (output, _), backward = network.forward(np.ones((5, 2, 3)))
    backward(np.ones_like(output))
    assert network.grads["1.bias"] is network.layers[1].grads["bias"]
    assert all(grad.any() for grad in network.grads.values())
    network.zero_grad()
    assert not any(grad.any() for layer in network.layers for grad in layer.grads.values())


def test_state_dicts_load_as_a_whole_or_not_at_all():
    network, other = classifier(), classifier()
    state = {name: array + 1 for name, array in network.state_dict().items()}
    before = network.state_dict()
    broken = {**state, "3.bias": np.zeros(9)}
    with pytest.raises(ValueError, match=r"3.bias has shape \(9,\), expected \(4,\)"):
        network.load_state_dict(broken)
    del broken["3.bias"]
    with pytest.raises(ValueError, match="state_dict lacks '3.bias'"):
        network.load_state_dict(broken)
    for name, array in network.params.items():
        assert_same_bits(array, before[name])
    other.load_state_dict(state)
    for name, array in other.params.items():
        assert_same_bits(array, state[name])


def test_output_and_states_are_those_of_the_layers_one_after_another(rng):
    network = tagger()
    lstm, dropout, gru, dense = network.layers
    x, lengths = rng.standard_normal((6, 5, 3)).astype(np.float32), ragged_lengths(rng, 5, 6)
    _, states_0 = network(rng.standard_normal((6, 5, 3)))
    y, state_lstm = lstm(x, states_0[0], lengths)
    y, state_gru = gru(dropout(y, lengths), states_0[1], lengths)
    expected = dense(y, lengths)
    output, states = network(x, states_0, lengths)
    (forward_output, forward_states), _ = network.forward(x, states_0, lengths, training=False)
    for got in (output, forward_output):
        assert_same_bits(got, expected)
    for got in (states, forward_states):
        assert isinstance(got, list) and len(got) == 2
        assert_same_bits(got[0][0], state_lstm[0])
        assert_same_bits(got[0][1], state_lstm[1])
        assert_same_bits(got[1], state_gru)


def test_states_carry_a_sequence_over_a_cut(rng):
    network = Sequential(LSTM(3, 4, random_state=0), GRU(4, 5, random_state=1), Dense(5, 2, random_state=2))
    x = rng.standard_normal((7, 2, 3))
    whole, _ = network(x)
    first, states = network(x[:3])
    second, _ = network(x[3:], states)
    assert_same_bits(np.concatenate([first, second]), whole)
    assert_same_bits(network(x, [None, None])[0], whole)


@pytest.mark.parametrize("pool", ["last", "mean", "max"])
@pytest.mark.parametrize("make", [tagger, classifier])
def test_shuffled_ragged_rows_have_the_bits_of_each_row_alone(make, pool, rng, monkeypatch):
    monkeypatch.setattr(_threads, "WORK_PER_THREAD", 1)
    network = make(pool) if make is classifier else make()
    lengths = rng.integers(1, 9, 13)
    x = rng.standard_normal((8, 13, 3)).astype(np.float32)
    padding = np.arange(8)[:, None] >= lengths
    x[padding] = np.nan
    alone = [network(x[:length, n : n + 1])[0] for n, length in enumerate(lengths)]
    for n_threads in (1, 2, 4):
        order = rng.permutation(13)
        output, _ = network(x[:, order], lengths=lengths[order], n_threads=n_threads)
        for place, n in enumerate(order):
            if make is classifier:
                assert_same_bits(output[place], alone[n][0])
            else:
                assert_same_bits(output[: lengths[n], place], alone[n][:, 0])
                assert not output[lengths[n] :, place].any()


def test_nan_in_one_row_changes_no_other(rng):
    network = classifier()
    x = rng.standard_normal((5, 4, 3)).astype(np.float32)
    expected, _ = network(x)
    x[2, 1, 0] = np.nan
    output, _ = network(x)
    assert np.isnan(output[1]).all()
    assert_same_bits(output[[0, 2, 3]], expected[[0, 2, 3]])


@pytest.mark.parametrize("make", [tagger, classifier])
@pytest.mark.parametrize(("seq_len", "batch_size"), [(0, 3), (5, 0), (0, 0)])
def test_empty_sequences_and_batches_keep_their_shape(make, seq_len, batch_size):
    network = make()
    x = np.zeros((seq_len, batch_size, 3))
    for lengths in (None, np.zeros(batch_size, int)):
        (output, _), backward = network.forward(x, lengths=lengths, training=False)
        assert output.shape == ((batch_size, 4) if make is classifier else (seq_len, batch_size, 4))
        d_x, d_states = backward(np.ones_like(output))
        assert d_x.shape == x.shape and len(d_states) == (1 if make is classifier else 2)
        assert_same_bits(network(x, lengths=lengths)[0], output)


def test_rows_of_length_0_give_the_output_of_a_pooled_0():
    network = classifier()
    output, states = network(np.full((4, 2, 3), np.nan), lengths=[0, 0])
    assert_same_bits(output, np.repeat(network.params["3.bias"][None], 2, 0))
    assert not any(state.any() for state in states[0])


def test_a_network_without_recurrent_layers_has_no_states():
    network = Sequential(Dense(3, 2, random_state=0), Dense(2, 1, random_state=1))
    output, states = network(np.ones((4, 3)))
    assert output.shape == (4, 1) and states == []
    (output, states), backward = network.forward(np.ones((4, 3)))
    d_x, d_states = backward(np.ones((4, 1)))
    assert d_x.shape == (4, 3) and states == d_states == []


def test_networks_may_be_nested(rng):
    x, lengths = rng.standard_normal((5, 4, 3)).astype(np.float32), [5, 0, 3, 1]
    flat = classifier()
    nested = Sequential(Sequential(*flat.layers[:2]), Sequential(*flat.layers[2:]))
    assert list(nested.params)[0] == "0.0.weight_ih_l0" and list(nested.params)[-1] == "1.1.bias"
    expected, states = flat(x, lengths=lengths)
    output, nested_states = nested(x, lengths=lengths)  # "last" of both directions, in a network of its own
    assert_same_bits(output, expected)
    assert_same_bits(nested_states[0][0], states[0][0])


def test_a_pool_behind_a_bidirectional_layer_is_told_so_and_stays_as_it_was(rng):
    pool = Pool("last")
    network = Sequential(GRU(3, 4, bidirectional=True, random_state=0), Dropout(0.5), pool)
    x, lengths = rng.standard_normal((5, 3, 3)), np.array([2, 5, 1])
    output, (h_n,) = network(x, lengths=lengths)
    assert_same_bits(output, np.concatenate([h_n[0], h_n[1]], axis=1))
    assert not pool.bidirectional
    behind_dense = Sequential(GRU(3, 4, bidirectional=True), Dense(8, 3), pool)
    assert_same_bits(behind_dense(x)[0], Sequential(*behind_dense.layers[:2])(x)[0][-1])


def test_updating_hands_out_all_parameters():
    network = classifier()
    versions = network.version
    with network.updating() as params:
        assert list(params) == list(network.params)
        for array in params.values():
            array[...] = 0
    assert not any(array.any() for array in network.params.values())
    assert network.version != versions
    assert not network(np.ones((3, 2, 3)))[0].any()


def test_float64_networks_work_in_float64():
    network = classifier(dtype="float64")
    assert network.dtype == np.float64
    assert network(np.ones((3, 2, 3), np.float32))[0].dtype == np.float64
    assert Sequential(Dropout(0.5), Pool()).dtype is None


@pytest.mark.parametrize(
    ("layers", "error", "message"),
    [
        (lambda: [], ValueError, "Sequential got no layers, expected at least one"),
        (
            lambda: [Dense(3, 2), np.tanh],
            TypeError,
            r"layers\[1\] is an object of type ufunc, expected a fastrnn layer",
        ),
        (
            lambda: [LSTM(3, 4, batch_first=True)],
            ValueError,
            r"layer 0 \(LSTM\) has batch_first=True, expected False: a Sequential is time-major",
        ),
        (
            lambda: [LSTM(3, 4, bidirectional=True), Dropout(), Dense(4, 2)],
            ValueError,
            r"layer 2 \(Dense\) has input_size = 4, expected output_size of layer 0 \(LSTM\) = 8",
        ),
        (lambda: [Dense(3, 3), Embedding(3, 3)], ValueError, r"layer 1 \(Embedding\) takes tokens, expected it to be"),
        (
            lambda: [Pool(), GRU(3, 4)],
            ValueError,
            r"layer 1 \(GRU\) needs a time axis, which layer 0 \(Pool\) has consumed",
        ),
        (lambda: [Pool(), Pool()], ValueError, r"layer 1 \(Pool\) needs a time axis"),
        (lambda: [Dense(3, 3)] * 2, ValueError, r"layer 1 \(Dense\) is the same object as layer 0 \(Dense\)"),
        (
            lambda: [Dense(3, 3), Dense(3, 3, dtype="float64")],
            ValueError,
            r"layer 1 \(Dense\) has dtype float64, expected that of layer 0 \(Dense\), float32",
        ),
    ],
)
def test_layers_that_do_not_follow_one_another_are_refused(layers, error, message):
    with pytest.raises(error, match=message):
        Sequential(*layers())


@pytest.mark.parametrize(
    ("keywords", "error", "message"),
    [
        ({"lengths": [1, 9]}, ValueError, r"lengths\[1\] is 9, expected 0 <= length <= seq_len = 4"),
        ({"lengths": [1.0, 2.0]}, TypeError, "lengths has dtype float64, expected integers"),
        ({"states": []}, ValueError, "states has 0 entries, expected one per recurrent layer = 2"),
        ({"states": np.array([4, 3])}, TypeError, "states is an object of type ndarray, expected a list"),
        ({"x": np.zeros((4, 2, 5))}, ValueError, r"x has shape \(4, 2, 5\), expected .* = \(seq_len, batch_size, 3\)"),
        ({"x": np.zeros((4, 2, 3), complex)}, TypeError, "x has dtype complex128"),
    ],
)
def test_errors_name_the_argument_and_the_network_goes_on(keywords, error, message):
    network = tagger()
    x = np.ones((4, 2, 3))
    expected, _ = network(x)
    with pytest.raises(error, match=message):
        network(**{"x": x, **keywords})
    renamed = {"states_0" if name == "states" else name: value for name, value in keywords.items()}
    with pytest.raises(error, match=message.replace("states ", "states_0 ")):
        network.forward(**{"x": x, "training": False, **renamed})
    assert_same_bits(network(x)[0], expected)


def test_masks_need_a_generator():
    with pytest.raises(ValueError, match="rng is None, expected a numpy.random.Generator"):
        tagger().forward(np.ones((4, 2, 3)))


# stepping


def speaker(**keywords):
    return Sequential(
        LSTM(3, 6, num_layers=2, random_state=0, **keywords),
        Dropout(0.5),
        GRU(6, 5, random_state=1, **keywords),
        Dense(5, 4, activation="sigmoid", random_state=2, **keywords),
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("batch_size", [1, 5])
def test_steps_have_the_bits_of_one_call(batch_size, dtype, rng):
    network = speaker(dtype=dtype)
    x = rng.standard_normal((6, batch_size, 3))
    expected, states = network(x)
    stepper = network.stepper(batch_size)
    for _ in range(2):
        outputs = [stepper.step(x_t) for x_t in x]
        assert_same_bits(np.stack(outputs), expected)
        assert_same_bits(stepper.state[0][1], states[0][1])
        assert_same_bits(stepper.state[1], states[1])
        stepper.reset()
        assert not stepper.state[1].any()


def test_steps_fill_out_and_hand_out_no_buffer(rng):
    network = speaker()
    stepper, other = network.stepper(), network.stepper()
    out = np.empty((1, 4), np.float32)
    for x_t in rng.standard_normal((4, 1, 3)):
        y = other.step(x_t)
        assert stepper.step(x_t, out) is out
        assert_same_bits(out, y)
        y[...] = 9
        other.state[1][...] = 9
    with pytest.raises(ValueError, match=r"out has shape \(4,\), expected \(batch_size, output_size\) = \(1, 4\)"):
        stepper.step(x_t, np.empty(4, np.float32))


def test_a_stepper_keeps_the_weights_that_it_was_made_with(rng):
    network = Sequential(Embedding(5, 3, random_state=0), GRU(3, 4, random_state=1), Dense(4, 5, random_state=2))
    tokens = rng.integers(0, 5, (6, 2))
    expected, _ = network(tokens)
    stepper = network.stepper(2)
    with network.updating() as params:
        for array in params.values():
            array += 1
    assert_same_bits(np.stack([stepper.step(step) for step in tokens]), expected)


def test_layers_without_steps_are_named():
    with pytest.raises(ValueError, match=r"layer 1 \(Pool\) has no stepper: it needs the whole sequence"):
        Sequential(GRU(3, 4), Pool()).stepper()
    with pytest.raises(ValueError, match=r"layer 0 \(GRU\) has no stepper: it is bidirectional"):
        Sequential(GRU(3, 4, bidirectional=True)).stepper()


def test_wrong_steps_are_named_and_change_no_state(rng):
    stepper = speaker().stepper(2)
    stepper.step(rng.standard_normal((2, 3)))
    before = stepper.state
    with pytest.raises(ValueError, match=r"x_t has shape \(1, 3\), expected \(batch_size, input_size\) = \(2, 3\)"):
        stepper.step(np.ones((1, 3)))
    assert_same_bits(stepper.state[1], before[1])
    tokens = Sequential(Embedding(5, 3), Dense(3, 2)).stepper(2)
    with pytest.raises(ValueError, match=r"x_t has shape \(1,\), expected \(batch_size,\) = \(2,\)"):
        tokens.step([1])
    with pytest.raises(ValueError, match="batch_size is 0, expected an integer >= 1"):
        speaker().stepper(0)


def test_repr_shows_the_layers():
    network = Sequential(Dense(3, 4, activation="relu"), Dropout(0.1), Pool("mean"), Dense(4, 2))
    assert repr(network) == "Sequential(Dense(3, 4, activation='relu'), Dropout(0.1), Pool('mean'), Dense(4, 2))"
    assert len(network) == 4 and fastrnn.Sequential is Sequential


@pytest.mark.parametrize("first", [GRU(3, 4, bidirectional=True, random_state=0), Dense(3, 8)], ids=repr)
def test_gradient_of_the_input_is_left_out_where_nobody_wants_it(first):
    network = Sequential(first, LSTM(8, 5, random_state=1), Dense(5, 2, random_state=2))
    x = np.random.default_rng(0).standard_normal((6, 4, 3)).astype(np.float32)
    found = []
    for wants_x in (True, False):
        network.zero_grad()
        (output, _), backward = network.forward(x, lengths=[6, 2, 5, 1])
        d_x, _ = backward(np.ones_like(output), wants_x=wants_x)
        found.append({name: grad.copy() for name, grad in network.grads.items()})
    assert d_x is None
    assert all(np.array_equal(found[0][name], found[1][name]) for name in found[0])
