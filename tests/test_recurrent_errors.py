"""Wrong calls: the error names the argument, what was expected in symbols and numbers, and what came."""

import re

import numpy as np
import pytest
from cases import CELLS, ENGINES, Case, as_arrays, as_state, assert_all_same_bits, build, data, run_layer

import fastrnn

T, N, I, H = 4, 3, 5, 6
X = np.linspace(-1.0, 1.0, T * N * I).reshape(T, N, I)
RAGGED_LIST = [[[1.0] * I] * N, [[1.0] * I]]

WRONG_X = {
    "one axis": (
        np.zeros(I),
        ValueError,
        "x has shape (5,), expected (seq_len, batch_size, input_size) = (seq_len, batch_size, 5)",
    ),
    "four axes": (
        np.zeros((1, T, N, I)),
        ValueError,
        "x has shape (1, 4, 3, 5), expected (seq_len, batch_size, input_size) = (seq_len, batch_size, 5)",
    ),
    "a number": (1.0, ValueError, "x has shape (), expected (seq_len, batch_size, input_size)"),
    "input_size": (
        X[:, :, :4],
        ValueError,
        "x has shape (4, 3, 4), expected (seq_len, batch_size, input_size) = (seq_len, batch_size, 5)",
    ),
    "input_size, unbatched": (
        X[:, 0, :4],
        ValueError,
        "x has shape (4, 4), expected (seq_len, input_size) = (seq_len, 5)",
    ),
    "complex": (X + 1j, TypeError, "x has dtype complex128, expected real numbers"),
    "object": (X.astype(object), TypeError, "x has dtype object, expected real numbers"),
    "text": (np.full(X.shape, "a"), TypeError, "x has dtype <U1, expected real numbers"),
    "bytes": (np.full(X.shape, b"a"), TypeError, "x has dtype |S1, expected real numbers"),
    "dates": (np.zeros(X.shape, "M8[s]"), TypeError, "x has dtype datetime64[s], expected real numbers"),
    "lists of different lengths": (RAGGED_LIST, ValueError, "x cannot be read as one array"),
    "nothing": (None, TypeError, "x has dtype object, expected real numbers"),
}
WRONG_LENGTHS = {
    "negative": ([1, -1, 2], ValueError, "lengths[1] is -1, expected 0 <= length <= seq_len = 4"),
    "beyond T": ([1, 2, 5], ValueError, "lengths[2] is 5, expected 0 <= length <= seq_len = 4"),
    "beyond int64": (np.array([1, 2, 2**64 - 1], np.uint64), ValueError, "lengths[2] is 18446744073709551615"),
    "float": ([1.0, 2.0, 3.0], TypeError, "lengths has dtype float64, expected integers"),
    "bool": ([True, True, False], TypeError, "lengths has dtype bool, expected integers"),
    "object": (np.array([1, 2, None]), TypeError, "lengths has dtype object, expected integers"),
    "text": (["1", "2", "3"], TypeError, "lengths has dtype <U1, expected integers"),
    "too few": ([1, 2], ValueError, "lengths has shape (2,), expected (batch_size,) = (3,)"),
    "two axes": ([[1, 2, 3]], ValueError, "lengths has shape (1, 3), expected (batch_size,) = (3,)"),
    "a number": (4, ValueError, "lengths has shape (), expected (batch_size,) = (3,)"),
}


def small_case(cell, engine="native", **changes):
    return Case(cell, engine=engine, seq_len=T, batch_size=N, input_size=I, hidden_size=H, **changes)


@pytest.fixture
def working(request):
    """A layer and its data; at the end of the test the layer must still compute what it did."""
    case = small_case(*request.param) if isinstance(request.param, tuple) else small_case(request.param)
    layer, given = build(case), data(case)
    before = run_layer(layer, given)
    layer.zero_grad()
    yield layer, given
    assert_all_same_bits(run_layer(layer, given), before)


def each_cell(*cells):
    return pytest.mark.parametrize("working", cells or CELLS, indirect=True)


def each_cell_and_engine():
    pairs = [(cell, engine) for cell in CELLS for engine in ENGINES]
    return pytest.mark.parametrize("working", pairs, indirect=True, ids=["-".join(pair) for pair in pairs])


def refuses(error, message):
    return pytest.raises(error, match=re.escape(message))


def call_and_forward(layer):
    """Inference and training read their arguments alike."""
    return layer, layer.forward


@each_cell_and_engine()
@pytest.mark.parametrize("wrong", WRONG_X)
def test_wrong_x_is_refused(working, wrong):
    layer, _ = working
    x, error, message = WRONG_X[wrong]
    for use in call_and_forward(layer):
        with refuses(error, message):
            use(x)


@each_cell_and_engine()
@pytest.mark.parametrize("wrong", WRONG_LENGTHS)
def test_wrong_lengths_are_refused(working, wrong):
    layer, _ = working
    lengths, error, message = WRONG_LENGTHS[wrong]
    for use in call_and_forward(layer):
        with refuses(error, message):
            use(X, None, lengths)


@each_cell()
def test_wrong_initial_state_is_refused(working):
    layer, given = working
    h_0, *c_0 = as_arrays(given.state_0)
    for wrong, error in [
        (h_0[:, :2], ValueError),
        (h_0[:, :, :-1], ValueError),
        (h_0[0], ValueError),
        (np.concatenate([h_0, h_0]), ValueError),
        (h_0 + 1j, TypeError),
        (h_0.astype(object), TypeError),
    ]:
        message = f"h_0 has shape {wrong.shape}, expected (" if error is ValueError else f"h_0 has dtype {wrong.dtype}"
        for use in call_and_forward(layer):
            with refuses(error, message):
                use(given.x, as_state([wrong, *c_0]))


def test_message_about_a_wrong_state_says_what_was_expected_in_symbols_and_numbers():
    lstm = fastrnn.LSTM(5, 64, num_layers=2)
    x, state = np.zeros((3, 8, 5)), np.zeros((2, 8, 64))
    for name, pair in [("h_0", (state[..., :32], state)), ("c_0", (state, state[..., :32]))]:
        expected = "expected (num_layers, batch_size, hidden_size) = (2, 8, 64)"
        with refuses(ValueError, f"{name} has shape (2, 8, 32), {expected}"):
            lstm(x, pair)
    projected = fastrnn.LSTM(5, 64, proj_size=16)
    with refuses(ValueError, "h_0 has shape (1, 8, 64), expected (num_layers, batch_size, proj_size) = (1, 8, 16)"):
        projected(x, (state[:1], state[:1]))
    gru = fastrnn.GRU(5, 64, bidirectional=True)
    with pytest.raises(ValueError, match=r"\(1, 8, 64\), expected \(.*, batch_size, hidden_size\) = \(2, 8, 64\)"):
        gru(x, state[:1])
    with refuses(ValueError, "h_0 has shape (2, 1, 64), expected ("):
        gru(x[:, 0], state[:, :1])  # one sequence without a batch axis has states without one


@each_cell("rnn-tanh", "rnn-relu", "gru-after", "gru-before")
def test_pair_of_states_is_refused_where_there_are_no_cells(working):
    layer, given = working
    for use in call_and_forward(layer):
        with refuses(TypeError, "h_0 is a tuple, expected one array"):
            use(given.x, (given.state_0, given.state_0))


@each_cell("lstm", "lstm-proj")
def test_lstm_refuses_a_state_that_is_no_pair(working):
    layer, given = working
    h_0, c_0 = given.state_0
    for wrong in (h_0, (h_0,), (h_0, c_0, c_0)):
        for use in call_and_forward(layer):
            with refuses(TypeError, "expected a pair (h_0, c_0)"):
                use(given.x, wrong)


@each_cell("rnn-tanh", "gru-after")
def test_cells_are_refused_where_there_are_none(working):
    layer, given = working
    with refuses(ValueError, "return_cells is True, expected False"):
        layer(given.x, return_cells=True)


@each_cell()
def test_wrong_gradient_is_refused_and_the_backward_can_still_be_used(working):
    layer, given = working
    _, backward = layer.forward(*given.arguments)
    d_h_n, *d_c_n = as_arrays(given.d_state_n)
    shape = given.d_output.shape
    with refuses(ValueError, f"d_output has shape {(T - 1, *shape[1:])}, expected "):
        backward(given.d_output[1:], given.d_state_n)
    with refuses(TypeError, "d_output has dtype complex128"):
        backward(given.d_output + 1j, given.d_state_n)
    with refuses(ValueError, f"d_h_n has shape {(1, 2, shape[2])}, expected ("):
        backward(given.d_output, as_state([d_h_n[:, :2], *d_c_n]))
    assert not any(grad.any() for grad in layer.grads.values())
    backward(given.d_output, given.d_state_n)
    assert all(grad.any() for grad in layer.grads.values())


@each_cell()
def test_wrong_number_of_threads_is_refused(working):
    layer, given = working
    for use in call_and_forward(layer):
        with refuses(ValueError, "n_threads is 0, expected an integer >= 1"):
            use(given.x, n_threads=0)
        with refuses(TypeError, "n_threads is 1.5 (float), expected an integer >= 1"):
            use(given.x, n_threads=1.5)


@each_cell()
def test_wrong_state_dict_is_refused_and_changes_nothing(working):
    layer, _ = working
    right = layer.state_dict()
    first = next(iter(right))
    with refuses(ValueError, f"state_dict lacks {first!r}"):
        layer.load_state_dict({name: w for name, w in right.items() if name != first})
    with refuses(ValueError, "state_dict has the unexpected 'weight_ih_l1'"):
        layer.load_state_dict({**right, "weight_ih_l1": right[first]})
    with refuses(ValueError, f"{first} has shape (1, 1), expected {right[first].shape}"):
        layer.load_state_dict({**right, first: np.zeros((1, 1))})
    with refuses(TypeError, f"state_dict[{first!r}] has dtype complex128"):
        layer.load_state_dict({**right, first: right[first] + 0j})
    with pytest.raises(ValueError, match="read-only"):
        layer.params[first][...] = 0.0


@pytest.mark.parametrize(
    "keywords, error, message",
    [
        ({"hidden_size": 0}, ValueError, "hidden_size is 0, expected an integer >= 1"),
        ({"input_size": -1}, ValueError, "input_size is -1, expected an integer >= 1"),
        ({"hidden_size": 2.0}, TypeError, "hidden_size is 2.0 (float), expected an integer >= 1"),
        ({"num_layers": 0}, ValueError, "num_layers is 0, expected an integer >= 1"),
        ({"dropout": 1.5}, ValueError, "dropout is 1.5, expected a number in [0, 1]"),
        ({"dtype": "float16"}, ValueError, "dtype is 'float16', expected 'float32' or 'float64'"),
        ({"engine": "cuda"}, ValueError, "engine is 'cuda', expected one of 'native', 'blas'"),
        ({"proj_size": 6}, ValueError, "proj_size is 6, expected proj_size < hidden_size = 6"),
        ({"no_such_option": 1}, TypeError, "no_such_option"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_wrong_option_is_refused_when_the_layer_is_made(keywords, error, message):
    with refuses(error, message):
        fastrnn.LSTM(**({"input_size": I, "hidden_size": H} | keywords))


def test_wrong_nonlinearity_is_refused_when_the_layer_is_made():
    with refuses(ValueError, "nonlinearity is 'sigmoid', expected one of 'tanh', 'relu'"):
        fastrnn.RNN(I, H, nonlinearity="sigmoid")
