"""EncoderDecoder: values and gradients against plain NumPy, steps, rows, scheduled sampling, training."""

import copy

import numpy as np
import pytest
from cases import NUMERIC_TOLERANCE, as_arrays, as_state, assert_close, assert_near, assert_same_bits, assert_slopes

import fastrnn
from fastrnn.layers import GRU, LSTM, CrossAttention, Dense, Dropout, Embedding, Sequential
from fastrnn.losses import softmax, softmax_cross_entropy
from fastrnn.models import EncoderDecoder, Network, _composites, encoder_decoder, greedy_search, vector_decoder
from fastrnn.optim import Adam
from fastrnn.reference import cross_attention, stack
from fastrnn.storage import FileFormatError, write_object
from fastrnn.training import Paired, train

DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])
ATTENTIONS = pytest.mark.parametrize("attention", [None, "additive", "multiplicative"])
FORMS = pytest.mark.parametrize(
    ("cell", "bidirectional", "sizes"),
    [("lstm", True, (5, 4)), ("gru", False, (6,)), ("rnn", True, (4,)), ("lstm", False, (3, 3))],
    ids=["lstm-bi", "gru", "rnn-bi", "lstm-2"],
)
N_CLASSES = 7


def network_of(cell="gru", bidirectional=True, sizes=(6,), attention=None, dtype="float64", seed=3, **options):
    """A network whose weights are large enough for everything to matter."""
    options = {"embedding_dim": None, "dtype": dtype, "random_state": seed} | options
    network = encoder_decoder(
        4, N_CLASSES, cell=cell, bidirectional=bidirectional, hidden_layer_sizes=sizes, attention=attention, **options
    )
    rng = np.random.default_rng(seed)
    values = {name: rng.normal(0, 0.6, array.shape) for name, array in network.params.items()}
    network.load_state_dict(values)
    return network


def batch_of(rng, dtype="float64", batch_size=5, source_len=6, seq_len=4, n_features=4):
    """A ragged batch, whose padding is NaN or no token: (source, source_lengths, inputs), lengths."""
    source = rng.standard_normal((source_len, batch_size, n_features)).astype(dtype)
    source_lengths = rng.permutation(np.r_[source_len, rng.integers(1, source_len + 1, batch_size - 1)])
    lengths = rng.permutation(np.r_[seq_len, 0, rng.integers(1, seq_len + 1, batch_size - 2)])
    source[np.arange(source_len)[:, None] >= source_lengths] = np.nan
    inputs = rng.integers(1, N_CLASSES, (seq_len, batch_size))
    inputs[0] = 0
    inputs[np.arange(seq_len)[:, None] >= lengths] = -1
    return (source, source_lengths, inputs), lengths


def by_hand(network, x, lengths, cell):
    """The logits, by the reference of each part."""
    source, source_lengths, inputs = x
    params = {name: array.astype("f8") for name, array in network.params.items()}

    def of(prefix):
        return {name.removeprefix(prefix): a for name, a in params.items() if name.startswith(prefix)}

    def run(part, y, states, lengths):
        final = []
        for k, layer in enumerate(part.layers):
            if layer.is_recurrent:
                place = "encoder" if part is network.encoder else "decoder"
                state = None if states is None else states[len(final)]
                (y, state_n, _), _ = stack.forward(of(f"{place}.{k}."), y, state, lengths, cell=cell)
                final.append(as_arrays(state_n))
        return y, final

    memory, final = run(network.encoder, source.astype("f8"), None, source_lengths)
    vectors = [np.concatenate(list(array), axis=1) for state in final for array in state]
    for k, bridge in enumerate(network.bridges):
        if bridge is not None:
            weights = of(f"bridge.{k}.")
            y = vectors[k] @ weights["weight"].T + weights["bias"]
            vectors[k] = np.tanh(y) if bridge.activation == "tanh" else y
    n = 2 if cell == "lstm" else 1  # arrays of a state
    parts = [as_state([v[None] for v in vectors[k : k + n]]) for k in range(0, len(vectors), n)]
    vector = of("decoder.0.")["weight"][np.maximum(inputs, 0)]
    h, _ = run(network.decoder, vector, parts, lengths)
    if network.attention is not None:
        h, _ = cross_attention.forward(of("attention."), h, memory, source_lengths, lengths)
    head = of("head.0.")
    logits = h @ head["weight"].T + head["bias"]
    return np.where((np.arange(len(h))[:, None] < lengths)[..., None], logits, 0)


@DTYPES
@ATTENTIONS
@FORMS
def test_scores_are_those_of_the_parts_computed_by_hand(cell, bidirectional, sizes, attention, dtype, rng):
    network = network_of(cell, bidirectional, sizes, attention, dtype)
    x, lengths = batch_of(rng, dtype)
    logits, states = network(x, lengths=lengths)
    assert_close(logits, by_hand(network, x, lengths, cell), dtype, "d_logits")  # as many products as of a gradient
    assert len(states) == len(sizes)
    (again, _), _ = network.forward(x, lengths=lengths)
    assert_same_bits(again, logits)


@ATTENTIONS
@FORMS
def test_gradients_are_the_slopes_of_the_loss(cell, bidirectional, sizes, attention, rng):
    network = network_of(cell, bidirectional, sizes, attention)
    x, lengths = batch_of(rng)
    d_logits = rng.standard_normal((4, 5, N_CLASSES))
    for _ in range(2):  # gradients are added up
        d_source, _ = network.forward(x, lengths=lengths)[1](d_logits, wants_x=True)

    def loss():
        return float((network(x, lengths=lengths)[0] * d_logits).sum())

    for name, grad in network.grads.items():
        with network.updating() as params:
            assert_slopes(loss, params[name], grad / 2, f"d_{name}", rng)
    padding = np.arange(len(x[0]))[:, None] >= x[1]
    assert (d_source[padding] == 0).all()
    x[0][padding] = 0
    assert_slopes(loss, x[0], d_source, "d_source", rng)


def test_every_parameter_gets_a_numeric_gradient_of_every_element(rng):
    network = network_of("lstm", True, (2,), "additive")
    x, lengths = batch_of(rng, batch_size=3)
    d_logits = rng.standard_normal((4, 3, N_CLASSES))
    network.forward(x, lengths=lengths)[1](d_logits)
    for name, grad in network.grads.items():
        with network.updating() as params:
            array, expected = params[name], np.empty(grad.shape)
            for index in np.ndindex(grad.shape):
                kept, losses = array[index], []
                for step in (1e-6, -1e-6):
                    array[index] = kept + step
                    losses.append(float((network(x, lengths=lengths)[0] * d_logits).sum()))
                array[index] = kept
                expected[index] = (losses[0] - losses[1]) / 2e-6
        assert_near(grad, expected, NUMERIC_TOLERANCE, f"d_{name}")


@pytest.mark.parametrize("front", [(), (5,)], ids=["vector", "dense"])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_gradients_of_a_decoder_that_starts_from_a_vector(cell, front, rng):
    network = vector_decoder(3, 5, cell=cell, hidden_layer_sizes=(4, 3), input_layer_sizes=front, dtype="float64")
    vectors, inputs, lengths = rng.standard_normal((6, 3)), rng.integers(0, 5, (4, 6)), [4, 0, 2, 1, 3, 4]
    d_logits = rng.standard_normal((4, 6, 5))
    d_vectors, _ = network.forward((vectors, None, inputs), lengths=lengths)[1](d_logits, wants_x=True)

    def loss():
        return float((network((vectors, None, inputs), lengths=lengths)[0] * d_logits).sum())

    assert_slopes(loss, vectors, d_vectors, "d_vectors", rng)
    for name, grad in network.grads.items():
        with network.updating() as params:
            assert_slopes(loss, params[name], grad, f"d_{name}", rng)


@DTYPES
@ATTENTIONS
def test_a_row_has_the_same_bits_alone_and_in_a_batch(attention, dtype, rng):
    network = network_of("lstm", True, (20,), attention, dtype)
    (source, source_lengths, inputs), lengths = batch_of(rng, dtype, batch_size=9, source_len=25)
    logits, _ = network((source, source_lengths, inputs), lengths=lengths)
    for n, (t, u) in enumerate(zip(source_lengths, lengths)):
        if u:
            alone, _ = network((source[:t, n : n + 1], None, inputs[:u, n : n + 1]))
            assert_same_bits(alone[:, 0], logits[:u, n])


@DTYPES
@ATTENTIONS
@pytest.mark.parametrize("n_beams", [1, 3])
def test_steps_have_the_bits_of_a_whole_sequence(n_beams, attention, dtype, rng):
    network = network_of("lstm", True, (9, 6), attention, dtype)
    (source, source_lengths, _), _ = batch_of(rng, dtype)
    inputs = rng.integers(0, N_CLASSES, (4, n_beams, 5))
    stepper = network.stepper(network.encode(source, source_lengths), n_beams)
    steps = np.stack([stepper.step(tokens.reshape(-1)) for tokens in inputs]).reshape(4, n_beams, 5, -1)
    for b in range(n_beams):
        logits, _ = network((source, source_lengths, inputs[:, b]))
        assert_same_bits(steps[:, b], logits)


def test_rows_of_a_stepper_go_on_from_where_others_stand(rng):
    network = network_of("lstm", True, (6,), "additive")
    (source, source_lengths, _), _ = batch_of(rng)
    stepper = network.stepper(network.encode(source, source_lengths), 2)
    stepper.step(np.r_[np.full(5, 1), np.full(5, 2)])
    stepper.select(np.r_[5:10, 0:5])  # the second beam of each source first
    logits = stepper.step(np.full(10, 3))
    expected, _ = network((source, source_lengths, np.repeat([[2], [3]], 5, axis=1)))
    assert_same_bits(logits[:5], expected[1])


# scheduled sampling


def test_with_teacher_forcing_1_nothing_is_drawn(rng):
    network = network_of(attention="additive")
    x, lengths = batch_of(rng)
    generator = np.random.default_rng(0)
    before = generator.bit_generator.state
    (logits, _), _ = network.forward(x, lengths=lengths, rng=generator)
    assert generator.bit_generator.state == before
    assert_same_bits(logits, network(x, lengths=lengths)[0])


def test_tokens_are_drawn_from_what_the_network_says_of_the_tokens_before(rng):
    network = network_of("gru", False, (6,))
    network.teacher_forcing, rows = 0.0, 40_000
    source = np.repeat(rng.standard_normal((3, 1, 4)), rows, axis=1)
    inputs = np.full((3, rows), 1)
    inputs[0] = 0
    mixed = network._mixed(source, None, inputs, None, np.random.default_rng(1), None)
    logits, _ = network((source[:, :1], None, mixed[:, :1]))
    expected = softmax(logits[0, 0, 1:])  # the end is no input
    found = np.bincount(mixed[1], minlength=N_CLASSES)[1:] / rows
    assert np.abs(found - expected).max() < 4 * 0.5 / np.sqrt(rows)
    after = mixed[2][mixed[1] == 2]
    expected = softmax(network((source[:, :1], None, np.array([[0], [2]])))[0][1, 0, 1:])
    found = np.bincount(after, minlength=N_CLASSES)[1:] / len(after)
    assert np.abs(found - expected).max() < 4 * 0.5 / np.sqrt(len(after))


def test_the_share_of_right_tokens_is_teacher_forcing(rng):
    network = network_of("gru", False, (6,))
    network.teacher_forcing, rows = 0.7, 20_000
    logits_of_1 = network.params["head.0.bias"].copy()
    logits_of_1[1] = -1e9  # never drawn
    network.load_state_dict(network.state_dict() | {"head.0.bias": logits_of_1})
    inputs = np.full((2, rows), 1)
    mixed = network._mixed(np.zeros((1, rows, 4)), None, inputs, None, np.random.default_rng(1), None)
    assert (mixed[0] == 1).all()
    assert abs((mixed[1] == 1).mean() - 0.7) < 4 * 0.5 / np.sqrt(rows)


def test_gradients_with_drawn_tokens_are_those_of_a_pass_over_them(rng):
    network = network_of("lstm", True, (6,), "multiplicative")
    (source, source_lengths, inputs), lengths = batch_of(rng)
    mixed_with = copy.deepcopy(network)
    mixed_with.teacher_forcing = 0.4
    generator = np.random.default_rng(5)
    mixed = mixed_with._mixed(source, source_lengths, inputs, lengths, np.random.default_rng(5), None)
    assert (mixed != inputs)[inputs >= 0].any()
    d_logits = rng.standard_normal((4, 5, N_CLASSES))
    mixed_with.forward((source, source_lengths, inputs), lengths=lengths, rng=generator)[1](d_logits)
    network.forward((source, source_lengths, mixed), lengths=lengths)[1](d_logits)
    for name, grad in network.grads.items():
        assert_same_bits(mixed_with.grads[name], grad, name)
    assert_same_bits(  # none is drawn for validation
        mixed_with.forward((source, source_lengths, inputs), lengths=lengths, training=False)[0][0],
        network((source, source_lengths, inputs), lengths=lengths)[0],
    )
    with pytest.raises(ValueError, match="rng is None"):
        mixed_with.forward((source, source_lengths, inputs), lengths=lengths)


# training, copies, files


@pytest.mark.parametrize("attention", [None, "additive"])
def test_training_learns_to_turn_words_round(attention):
    rng = np.random.default_rng(0)
    words = [rng.integers(1, 6, rng.integers(1, 5)) for _ in range(300)]
    network = encoder_decoder(
        6, 6, embedding_dim=8, hidden_layer_sizes=(32,), cell="gru", attention=attention, random_state=0
    )
    pairs = Paired(words, [np.r_[0, word[::-1]] for word in words])
    targets = [np.r_[word[::-1], 0] for word in words]
    options = {"loss": softmax_cross_entropy, "optimizer": Adam(0.01), "rng": rng, "max_iter": 40}
    history = train(network, pairs, targets, n_iter_no_change=40, **options)
    assert history.loss_curve[-1] < 0.1 < 1 < history.loss_curve[0]
    short = [word for word in words if len(word) == 3]
    found = greedy_search(network, np.array(short).T, max_length=9)
    assert np.mean([tokens.tolist() == word[::-1].tolist() for (tokens, _), word in zip(found, short)]) > 0.9


def test_a_copy_is_trained_on_its_own(rng):
    network = network_of(attention="additive")
    other = copy.deepcopy(network)
    with other.updating() as params:
        params["encoder.0.weight_ih_l0"] += 1
    assert (other.encoder.layers[0].params["weight_ih_l0"] != network.encoder.layers[0].params["weight_ih_l0"]).all()
    assert other.layers[0] is other.encoder.layers[0]


@ATTENTIONS
@FORMS
def test_a_file_gives_back_the_network(cell, bidirectional, sizes, attention, rng, tmp_path):
    network = network_of(cell, bidirectional, sizes, attention, embedding_dim=3, dropout=0.25)
    network.teacher_forcing = 0.5
    fastrnn.save(network, tmp_path / "network.safetensors")
    again = fastrnn.load(tmp_path / "network.safetensors")
    assert repr(again) == repr(network) and again.teacher_forcing == 1.0  # of a training, not of a network
    x = (rng.integers(0, 4, (6, 5)), None, rng.integers(0, N_CLASSES, (4, 5)))
    assert_same_bits(again(x)[0], network(x)[0])
    with pytest.raises(ValueError, match="holds an EncoderDecoder, which reads two sequences and is no Network"):
        Network.load(tmp_path / "network.safetensors")


def test_a_file_with_parts_that_do_not_fit_is_refused(tmp_path):
    arrays, network = {}, EncoderDecoder(**parts())
    description = _composites.describe(network, arrays)
    for changes, message in (
        ({"head": None}, "head is an object of type NoneType"),
        ({"bridges": None}, "the bridges of an EncoderDecoder are None, expected a list"),
        ({"bridges": []}, "bridges has 0 entries"),
        ({"encoder": {"class": "Pool", "config": {}}}, "encoder is an object of type Pool"),
        ({"tail": None}, "tail"),
    ):
        kept = {name: array for name, array in arrays.items() if name.partition(".")[0] not in changes}
        write_object(tmp_path / "forged", description | changes, kept)
        with pytest.raises(FileFormatError, match=message):
            fastrnn.load(tmp_path / "forged")


def test_backward_works_once_and_not_after_an_update(rng):
    network = network_of()
    x, lengths = batch_of(rng)
    (logits, _), backward = network.forward(x, lengths=lengths)
    backward(logits)
    with pytest.raises(RuntimeError, match="used before"):
        backward(logits)
    (logits, _), backward = network.forward(x, lengths=lengths)
    network.zero_grad()
    with network.updating() as params:
        params["bridge.0.bias"] += 1
    with pytest.raises(RuntimeError, match="have changed"):
        backward(logits)
    assert not any(grad.any() for grad in network.grads.values())


# errors


def parts(**changes):
    """Parts that fit each other, with changes."""
    given = {
        "encoder": Sequential(GRU(3, 4)),
        "decoder": Sequential(Embedding(5, 2), GRU(2, 4)),
        "head": Sequential(Dense(4, 5)),
        "bridges": [None],
    }
    return given | changes


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bridges": []}, "bridges has 0 entries, expected one per array of a state: \\[4\\]"),
        ({"encoder": Sequential(GRU(3, 6))}, r"bridges\[0\] is None, expected Dense\(6, 4\)"),
        ({"encoder": Sequential(LSTM(3, 4))}, "the encoder has 2 arrays of states, expected as many as the decoder, 1"),
        ({"bridges": [Dense(3, 4)]}, r"bridges\[0\] is Dense\(3, 4\), expected one with input_size = 4"),
        ({"bridges": [Dense(4, 3)]}, r"bridges\[0\] is Dense\(4, 3\), expected a Dense with output_size = 4"),
        ({"decoder": Sequential(GRU(2, 4))}, "decoder begins with GRU.*expected an Embedding"),
        ({"decoder": Sequential(Embedding(5, 2), Dense(2, 4))}, "expected one with a recurrent layer"),
        ({"decoder": Sequential(Embedding(5, 2), GRU(2, 2, bidirectional=True))}, "does not work on one step"),
        ({"decoder": Sequential(Embedding(5, 2), GRU(2, 4, learn_initial_state=True))}, "learns its initial state"),
        ({"head": Sequential(Dense(4, 6))}, "head gives 6 classes, expected num_embeddings .* = 5"),
        ({"head": Sequential(Dense(3, 5))}, "head begins with .*expected input_size = 4"),
        ({"head": Sequential(Dense(4, 5, dtype="float64"))}, "head.0 has dtype float64"),
        ({"attention": CrossAttention(4, 3)}, r"attention has .* = \(4, 3\), expected \(4, 4\)"),
        ({"encoder": None, "bridges": [Dense(3, 4)], "attention": CrossAttention(4, 3)}, "hands on a vector"),
    ],
    ids=str,
)
def test_parts_that_do_not_fit_are_refused(changes, message):
    EncoderDecoder(**parts())
    with pytest.raises(ValueError, match=message):
        EncoderDecoder(**parts(**changes))


def test_things_that_are_no_parts_are_refused():
    with pytest.raises(TypeError, match="encoder is an object of type GRU, expected a Sequential"):
        EncoderDecoder(**parts(encoder=GRU(3, 4)))
    with pytest.raises(TypeError, match="attention is an object of type Dropout"):
        EncoderDecoder(**parts(attention=Dropout()))
    network = EncoderDecoder(**parts())
    with pytest.raises(TypeError, match="x is an object of type ndarray, expected \\(source"):
        network(np.zeros((3, 2, 3)))
    with pytest.raises(ValueError, match="states is given"):
        network((np.zeros((3, 2, 3)), None, np.zeros((1, 2), int)), [None])
    with pytest.raises(ValueError, match="attention is None"):
        network.attend((np.zeros((3, 2, 3)), None, np.zeros((1, 2), int)))
    with pytest.raises(ValueError, match=r"inputs has shape \(1, 3\), expected .*batch_size"):
        network((np.zeros((3, 2, 3)), None, np.zeros((1, 3), int)))
