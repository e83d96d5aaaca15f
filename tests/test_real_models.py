"""Models that packages ship. FASTRNN_MODELS names a folder with their files, or the wheels that they are in."""

import importlib
import os
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest

import fastrnn
from fastrnn.io import from_onnx

ROOT = Path(__file__).resolve().parents[1]
if not (ROOT / "benchmarks" / "real_models").exists():
    pytest.skip("the benchmarks are in the repository only", allow_module_level=True)


def load(name):
    """Import a module of the benchmarks without shadowing the installed package by the source tree."""
    sys.path.append(str(ROOT))
    try:
        return importlib.import_module(f"benchmarks.real_models.{name}")
    finally:
        sys.path.remove(str(ROOT))


g2p_en, g2pm, numpy_pickle, packages = map(load, ("g2p_en", "g2pm", "numpy_pickle", "packages"))
rnnoise, rows, silero, voice = map(load, ("rnnoise", "rows", "silero", "voice"))


def shipped(name):
    """Return the path of a file, or skip the test."""
    folder = os.environ.get("FASTRNN_MODELS")
    path = packages.find(name, folder) if folder else None
    if path is None:
        pytest.skip(f"FASTRNN_MODELS names no folder with {name} or {packages.PACKAGES[name][0]}")
    return path


# silero-vad


@pytest.fixture(scope="module")
def minute():
    return silero.minute_of_speech()


def test_the_minute_of_speech_is_speech_to_silero_vad(minute):
    pytest.importorskip("onnxruntime")
    session = silero.onnxruntime_session(shipped("silero_vad_16k_sequence.onnx"))
    probabilities = session.run(None, silero.start(minute))[0]
    loud = np.abs(minute[:, silero.CONTEXT :]).max(axis=1) > 0.02
    assert probabilities.max() > 0.99
    assert (probabilities[loud] > 0.5).mean() > 0.9
    assert (probabilities[~loud] > 0.5).mean() < 0.25


def test_silero_vad_agrees_with_onnxruntime_on_the_minute_of_speech(minute):
    pytest.importorskip("onnxruntime")
    path, feeds = shipped("silero_vad_16k_sequence.onnx"), silero.start(minute)
    expected = silero.onnxruntime_session(path).run(None, feeds)
    assert silero.difference(fastrnn.onnx.run_model(path, feeds), expected) < 1e-5


def test_a_stream_of_the_lstm_of_silero_vad_agrees_with_onnxruntime(minute):
    pytest.importorskip("onnxruntime")
    model, name, features = silero.recurrent_part(shipped("silero_vad_16k_sequence.onnx"), minute)
    expected = silero.onnxruntime_session(model).run(None, silero.start(features, name))[0][:, 0]
    stream = from_onnx(model).stream(1)
    np.testing.assert_allclose(np.stack([stream.step(step) for step in features]), expected, rtol=0, atol=1e-5)


# g2p_en


@pytest.mark.parametrize("folded", [False, True])
def test_g2p_en_spells_a_thousand_words_as_its_own_loop_does(folded):
    weights, words = dict(np.load(shipped("checkpoint20.npz"))), g2p_en.words()
    expected, speller = [g2p_en.own_loop(weights, word) for word in words], g2p_en.Speller(weights, folded)
    assert len(words) == 1000
    assert speller.spell_all(words) == expected
    assert [speller.spell(word) for word in words] == expected


# g2pM


def test_g2pm_agrees_with_its_own_loop():
    code, weights, vocabulary = (shipped(name) for name in ("g2pM.py", "np_ckpt.pkl", "char2idx.pkl"))
    package, tagger = g2pm.Package(code, weights), g2pm.Tagger(numpy_pickle.load(weights))
    sentences = g2pm.sentences(numpy_pickle.load(vocabulary), 60)
    for tokens, together in zip(sentences, tagger.classes_of_all(sentences), strict=True):
        expected = package.classes(tokens)
        np.testing.assert_allclose(tagger.hidden(tokens), package.hidden, rtol=0, atol=1e-5)
        np.testing.assert_array_equal(tagger.classes(tokens), expected)
        np.testing.assert_array_equal(together, expected)


# pyrnnoise


@pytest.fixture(scope="module")
def denoiser():
    """The library, its GRUs' weights, and what goes through them in three seconds."""
    path = shipped("librnnoise.so")
    try:
        library = rnnoise.Library(path)
    except ImportError as error:
        pytest.skip(str(error))
    frames = rnnoise.frames_of_speech(3)
    return library, rnnoise.named_weights(library.arrays()), frames, library.trace(frames)


def test_the_traced_network_of_rnnoise_is_the_one_that_applications_call(denoiser):
    library, _, frames, (_, _, probabilities) = denoiser
    np.testing.assert_array_equal(probabilities, library.probabilities(frames))
    assert probabilities.min() < 0.1 and probabilities.max() > 0.9


def test_each_gru_of_rnnoise_takes_the_step_that_its_library_takes(denoiser):
    _, named, _, (x, h, _) = denoiser
    for k, net in enumerate(rnnoise.one_by_one(named)):
        inputs = h[k - 1] if k else x
        ours, _ = net.run(inputs[None, 1:], [h[k][None, :-1]])
        error = ours[0] - h[k][1:]
        assert np.sqrt((error**2).mean()) < 1e-4
        assert np.abs(error).max() < 2e-3  # a sigmoid wrong by 1.8e-4 times what it gates, and a tanh by 3.7e-4


def test_each_gru_of_rnnoise_agrees_from_zeros_with_its_library_and_for_long_with_its_equations(denoiser):
    _, named, _, (x, h, _) = denoiser
    for k, net in enumerate(rnnoise.one_by_one(named)):
        inputs = h[k - 1] if k else x
        ours = net.run(inputs[:, None])[0][:, 0]
        np.testing.assert_allclose(ours[:10], h[k][:10], rtol=0, atol=1e-3)
        np.testing.assert_allclose(ours, rnnoise.exact(named, k + 1, inputs), rtol=0, atol=1e-4)


def test_dense_puts_blocks_of_eight_rows_and_four_columns_in_their_places():
    blocks = np.arange(1, 97, dtype=np.float32)
    matrix = rnnoise.dense(blocks, np.array([1, 4, 2, 0, 8]), (16, 12))
    np.testing.assert_array_equal(matrix[:8, 4:8], blocks[:32].reshape(4, 8).T)
    np.testing.assert_array_equal(matrix[8:, :4], blocks[32:64].reshape(4, 8).T)
    np.testing.assert_array_equal(matrix[8:, 8:], blocks[64:].reshape(4, 8).T)
    assert np.count_nonzero(matrix) == 96
    with pytest.raises(ValueError, match="index has 6 entries for 3 blocks"):
        rnnoise.dense(blocks, np.array([1, 4, 2, 0, 8, 0]), (16, 12))


# what they share


@pytest.mark.parametrize("protocol", [3, 4])
def test_pickles_of_arrays_in_plain_containers_are_read(tmp_path, rng, protocol):
    value = {"w": rng.standard_normal((3, 4)).astype(np.float32), "more": [np.asfortranarray(np.eye(2)), {"n": 3}]}
    (tmp_path / "own.pkl").write_bytes(pickle.dumps(value, protocol))
    found = numpy_pickle.load(tmp_path / "own.pkl")
    np.testing.assert_array_equal(found["w"], value["w"])
    np.testing.assert_array_equal(found["more"][0], np.eye(2))
    assert found["more"][1] == {"n": 3} and found["w"].dtype == np.float32


@pytest.mark.parametrize("value", [os.getcwd, np.array([None, 1]), np.array(["a"]), np.load, 1j])
def test_pickles_of_anything_else_are_refused(tmp_path, value):
    (tmp_path / "own.pkl").write_bytes(pickle.dumps({"w": value}))
    with pytest.raises(pickle.UnpicklingError, match="it holds"):
        numpy_pickle.load(tmp_path / "own.pkl")


def test_speech_has_the_pitch_and_the_pauses_of_a_voice():
    sound = voice.speech(10, 16000)
    assert sound.shape == (160000,) and sound.dtype == np.float32 and np.abs(sound).max() <= 1
    loud = np.sqrt((sound.reshape(-1, 400) ** 2).mean(axis=1)) > 0.01
    assert 0.3 < loud.mean() < 0.9
    vowel = sound[800:2400]  # 0.1 s within the first one
    correlation = np.correlate(vowel, vowel, "full")[vowel.size :]
    assert 95 < 16000 / (1 + 100 + correlation[100:200].argmax()) < 150


def test_the_table_has_a_line_for_every_row():
    found = [rows.Row("a", "words that differ", 0, 0, 2e-3, 5e-4), rows.Row("b", "difference", 2e-7, 1e-5)]
    head, first, second = rows.table(found).splitlines()
    assert head.split()[-1] == "ratio"
    assert first.split("  ")[-1].strip() == "4.00x" and "2 ms" in first and "500 us" in first
    assert second.split()[-2:] == ["2.0e-07", "1.0e-05"]
