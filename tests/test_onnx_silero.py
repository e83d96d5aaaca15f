"""silero-vad's model of whole recordings (pip install silero-vad==6.*), on a synthesised minute of voice."""

from importlib.metadata import PackageNotFoundError, distribution

import numpy as np
import pytest

pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")

from fastrnn.onnx import Session

RATE, CHUNK, CONTEXT = 16000, 512, 64


def model_path():
    try:
        return distribution("silero-vad").locate_file("silero_vad/data/silero_vad_16k_sequence.onnx")
    except PackageNotFoundError:
        pytest.skip("silero-vad is not installed")


def minute_of_voice():
    """Harmonics of a gliding pitch in bursts, with noise, in chunks that begin with the end of the one before."""
    rng, t = np.random.default_rng(0), np.arange(60 * RATE) / RATE
    bursts = np.clip(2 * np.sin(2 * np.pi * 0.4 * t), 0, 1) * (0.6 + 0.4 * np.sin(2 * np.pi * 4 * t))
    phase = 2 * np.pi * np.cumsum(120 + 30 * np.sin(2 * np.pi * 0.7 * t)) / RATE
    voice = sum(np.sin(k * phase) / k for k in range(1, 25)) + 0.3 * rng.standard_normal(t.size)
    sound = (0.2 * bursts * voice + 0.003 * rng.standard_normal(t.size)).astype(np.float32)
    chunks = sound[: t.size // CHUNK * CHUNK].reshape(-1, CHUNK)
    before = np.concatenate([np.zeros((1, CONTEXT), np.float32), chunks[:-1, -CONTEXT:]])
    return np.concatenate([before, chunks], axis=1)


@pytest.mark.parametrize("runtime", ["onnxruntime", "reference"])
def test_minute_of_voice_agrees_with_onnxruntime(runtime):
    path, zeros = model_path(), np.zeros((1, 1, 128), np.float32)
    feeds = {"input": minute_of_voice(), "h": zeros, "c": zeros}
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    expected = dict(zip(names, session.run(None, feeds)))
    ours = Session(path, runtime=runtime)
    for name, found in zip(ours.outputs, ours.run(feeds)):
        assert np.abs(found - expected[name]).max() < 1e-5 * max(1, np.abs(expected[name]).max()), name
    assert "LSTM(128, 128)" in ours.summary()
