"""from_keras and accelerate beside Keras itself."""

import copy
import os
from pathlib import Path

import numpy as np
import pytest

os.environ.setdefault("KERAS_BACKEND", "torch")
keras = pytest.importorskip("keras", reason="keras is not installed: pip install fastrnn[keras]")
torch = pytest.importorskip("torch", reason="torch is not installed: pip install fastrnn[peers]")
if keras.backend.backend() != "torch":
    pytest.skip("Keras's backend is not torch", allow_module_level=True)
from keras import layers as kl
from keras_agreement import TOLERANCE, layer_error, network_error
from keras_files import models

from fastrnn.bridges import accelerate
from fastrnn.io.keras import from_keras

COUNT = int(os.environ.get("FASTRNN_KERAS_CASES", "50"))
pytestmark = pytest.mark.filterwarnings("ignore")  # Keras's own


@pytest.mark.parametrize("seed", range(COUNT))
def test_a_random_model_gives_the_outputs_of_keras(seed):
    case, error = network_error(seed)
    assert error <= TOLERANCE[case.dtype], case.words


@pytest.mark.parametrize("seed", range(COUNT))
def test_a_random_accelerated_layer_gives_the_outputs_and_gradients_of_keras(seed):
    words, dtype, error = layer_error(seed)
    assert error <= TOLERANCE[dtype], words


def test_models_of_every_layer_agree_in_every_form(rng, tmp_path):
    for model, x in models(rng):
        for weight in model.weights:
            weight.assign(rng.normal(size=weight.shape) * 0.5)
        expected = model.predict(x, verbose=0)
        for form in ("keras", "h5"):
            model.save(tmp_path / f"model.{form}")
        for source in (model, tmp_path / "model.keras", tmp_path / "model.h5"):
            np.testing.assert_allclose(from_keras(source).predict(x), expected, atol=2e-6)


# masks


def left_padded(rng):
    """Sequences of 5, 1 and 0 steps as pad_sequences pads them."""
    return keras.utils.pad_sequences([rng.integers(1, 9, n).tolist() for n in (5, 1, 0)], maxlen=5)


@pytest.mark.parametrize("returns", [True, False])
@pytest.mark.parametrize("both", [True, False])
def test_left_padding_is_masked_as_in_keras(returns, both, rng):
    layer = kl.LSTM(4, return_sequences=returns)
    model = keras.Sequential([
        *(keras.Input((None,)), kl.Embedding(9, 3, mask_zero=True), kl.Bidirectional(layer) if both else layer),
        kl.Dense(2, bias_initializer="ones"),
    ])  # fmt: skip
    tokens = left_padded(rng)
    net = from_keras(model)
    np.testing.assert_allclose(net.predict(tokens), model.predict(tokens, verbose=0), atol=1e-6)
    np.testing.assert_allclose(net.run(tokens[1])[0], model.predict(tokens[1:2], verbose=0)[0], atol=1e-6)


def test_lengths_and_a_mask_of_the_model_go_together(rng):
    model = keras.Sequential([keras.Input((None, 2)), kl.Masking(0.0), kl.GRU(3)])
    x = rng.normal(size=(2, 6, 2)).astype(np.float32)
    x[0, 2] = 0
    net = from_keras(model)
    y, _ = net.run(x, lengths=[4, 6])
    np.testing.assert_allclose(y[0], model.predict(x[:1, :4], verbose=0)[0], atol=1e-6)
    np.testing.assert_allclose(y[1], model.predict(x[1:], verbose=0)[0], atol=1e-6)


def test_a_layer_that_knows_no_masks_sees_every_step(rng):
    model = keras.Sequential([
        *(keras.Input((None,)), kl.Embedding(9, 3, mask_zero=True)),
        *(kl.Bidirectional(kl.GRU(4, return_sequences=True)), kl.GlobalMaxPooling1D()),
    ])  # fmt: skip
    tokens = left_padded(rng)
    np.testing.assert_allclose(from_keras(model).predict(tokens), model.predict(tokens, verbose=0), atol=1e-6)


def test_a_mask_behind_go_backwards_is_refused_where_keras_does_not_reverse_it():
    model = keras.Sequential([
        *(keras.Input((None,)), kl.Embedding(9, 3, mask_zero=True)),
        *(kl.GRU(4, return_sequences=True, go_backwards=True), kl.GRU(2)),
    ])  # fmt: skip
    with pytest.raises(ValueError, match="under a mask that is not reversed"):
        from_keras(model)


# states


def test_states_of_a_functional_model_stand_beside_its_output(rng):
    given = keras.Input((None, 3))
    model = keras.Model(given, kl.Bidirectional(kl.LSTM(4, return_state=True))(given))
    x = rng.normal(size=(2, 5, 3)).astype(np.float32)
    y, *states = model.predict(x, verbose=0)
    found, ((h_n, c_n),) = from_keras(model).run(x)
    np.testing.assert_allclose(found, y, atol=1e-6)
    for k, part in enumerate((h_n[0], c_n[0], h_n[1], c_n[1])):
        np.testing.assert_allclose(part, states[k], atol=1e-6)


def test_a_stream_goes_on_as_a_stateful_model(rng):
    model = keras.Sequential([keras.Input(batch_shape=(2, 3, 4)), kl.GRU(5, stateful=True, return_sequences=True)])
    net = from_keras(model)
    assert any("is stateful in Keras" in note for note in net.notes)
    stream = net.stream(2)
    for _ in range(3):
        x = rng.normal(size=(2, 3, 4)).astype(np.float32)
        np.testing.assert_allclose(stream.process(x), model.predict(x, verbose=0), atol=1e-6)


def test_half_precision_is_told(rng):
    layer = kl.GRU(3, dtype="mixed_float16")
    layer.build((None, None, 2))
    net = from_keras(layer)
    assert net.dtype == np.float32 and any("computes in mixed_float16 in Keras" in note for note in net.notes)


def test_bidirectional_with_its_directions_exchanged(rng):
    layers = [kl.LSTM(3, return_sequences=True, go_backwards=back) for back in (True, False)]
    model = keras.Sequential([keras.Input((None, 2)), kl.Bidirectional(layers[0], backward_layer=layers[1])])
    x = rng.normal(size=(2, 5, 2)).astype(np.float32)
    np.testing.assert_allclose(from_keras(model).predict(x), model.predict(x, verbose=0), atol=1e-6)


@pytest.mark.parametrize("form", ["keras", "h5"])
def test_models_in_models_are_opened(form, rng, tmp_path):
    inner = keras.Sequential([keras.Input((None, 3)), kl.GRU(4, return_sequences=True), kl.Dense(2)])
    inner.layers[0].trainable = False
    given = keras.Input((None, 3))
    outer = keras.Model(given, kl.LSTM(3)(inner(kl.Dense(3, activation="tanh")(given))))
    x = rng.normal(size=(2, 5, 3)).astype(np.float32)
    outer.save(tmp_path / f"model.{form}")
    for source in (outer, tmp_path / f"model.{form}"):
        np.testing.assert_allclose(from_keras(source).predict(x), outer.predict(x, verbose=0), atol=1e-6)


# accelerated layers


def trained(fast, epochs=2):
    """Return the losses of a small model, trained with or without our kernels."""
    keras.utils.set_random_seed(3)
    model = keras.Sequential([
        *(keras.Input((None,)), kl.Embedding(9, 4, mask_zero=True)),
        *(kl.Bidirectional(kl.LSTM(6, return_sequences=True)), kl.GRU(5, dropout=0.2), kl.Dense(1)),
    ])  # fmt: skip
    model.compile(keras.optimizers.Adam(0.01), "mse")
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 9, (32, 7)), rng.normal(size=(32, 1))
    if fast:
        accelerate(model)
    keras.utils.set_random_seed(4)
    return model, model.fit(x, y, batch_size=8, epochs=epochs, verbose=0).history["loss"]


def test_a_model_trains_with_the_same_losses():
    np.testing.assert_allclose(trained(True)[1], trained(False)[1], rtol=1e-5)


def test_weights_stay_the_same_objects_and_undo_puts_the_loops_back(rng):
    model, _ = trained(False, epochs=1)
    tokens = rng.integers(0, 9, (3, 7))
    before, expected = list(model.weights), model.predict(tokens, verbose=0)
    assert accelerate(model) is model
    assert all(a is b for a, b in zip(model.weights, before, strict=True))
    loops = [layer for layer in model._flatten_layers() if "inner_loop" in layer.__dict__]
    assert len(loops) == 3
    np.testing.assert_allclose(model.predict(tokens, verbose=0), expected, atol=1e-6)
    accelerate(model, undo=True)
    assert not any("inner_loop" in layer.__dict__ for layer in model._flatten_layers())
    assert (model.predict(tokens, verbose=0) == expected).all()


def test_an_accelerated_model_is_saved_and_copied_as_a_plain_one(tmp_path, rng):
    model, _ = trained(True, epochs=1)
    tokens = rng.integers(0, 9, (3, 7))
    model.save(tmp_path / "model.keras")
    for other in (keras.saving.load_model(tmp_path / "model.keras"), copy.deepcopy(model)):
        assert not any("inner_loop" in layer.__dict__ for layer in other._flatten_layers())
        np.testing.assert_allclose(other.predict(tokens, verbose=0), model.predict(tokens, verbose=0), atol=1e-6)


def test_new_weights_are_seen_at_once(rng):
    layer, twin = kl.GRU(4), kl.GRU(4)
    x = rng.normal(size=(2, 5, 3)).astype(np.float32)
    layer(x), twin(x)
    accelerate(layer)
    for _ in range(2):
        twin.set_weights([rng.normal(size=weight.shape) for weight in twin.weights])
        layer.set_weights(twin.get_weights())
        np.testing.assert_allclose(layer(x).detach(), twin(x).detach(), atol=1e-6)


def test_a_stateful_layer_goes_back_through_its_own_batch(rng):
    layer = accelerate(kl.LSTM(3, stateful=True))
    x = torch.tensor(rng.normal(size=(2, 4, 2)), dtype=torch.float32, requires_grad=True)
    layer(x)
    layer(x).sum().backward()
    assert torch.isfinite(x.grad).all() and x.grad.abs().max() > 0


def test_recurrent_dropout_is_refused_in_training_only(rng):
    layer = kl.LSTM(4, recurrent_dropout=0.5)
    x = rng.normal(size=(2, 5, 3)).astype(np.float32)
    expected = layer(x, training=False).detach()
    accelerate(layer)
    np.testing.assert_allclose(layer(x, training=False).detach(), expected, atol=1e-6)
    with pytest.raises(NotImplementedError, match="has recurrent_dropout=0.5, which is not accelerated in training"):
        layer(x, training=True)


def test_a_derived_class_is_left_alone_with_a_warning():
    class Mine(kl.LSTM):
        pass

    model = keras.Sequential([keras.Input((None, 2)), Mine(3, return_sequences=True, name="mine"), kl.GRU(2)])
    with pytest.warns(UserWarning, match=r"left alone.* mine \(Mine\)"):
        accelerate(model)


def test_a_model_without_such_layers_is_refused():
    with pytest.raises(ValueError, match="Sequential without a layer to swap, expected an LSTM, GRU or SimpleRNN"):
        accelerate(keras.Sequential([keras.Input((3,)), kl.Dense(2)]))


def test_half_precision_is_refused():
    with pytest.raises(TypeError, match=r"gru.* computes in float16, expected float32 or float64"):
        accelerate(kl.GRU(3, dtype="mixed_float16", name="gru"))


def test_the_example_of_the_page_runs(tmp_path, monkeypatch):
    page = (Path(__file__).parent.parent / "docs" / "from-keras.md").read_text()
    keras.Sequential([keras.Input((None, 12)), kl.LSTM(4, return_sequences=True)]).save(tmp_path / "model.keras")
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(page.split("```python\n")[1].split("```")[0], names)
    assert names["y"].shape == (8, 100, 4) and not names["y"].any()  # every step of the zeros is masked
    assert names["y_t"].shape == (1, 4)
