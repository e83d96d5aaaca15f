"""Accelerated Keras layers on backends without autograd of torch: inference alone."""

import os
import subprocess
import sys
from importlib.util import find_spec

import pytest

if find_spec("keras") is None:  # importing it would settle its backend
    pytest.skip("keras is not installed: pip install fastrnn[keras]", allow_module_level=True)

CODE = """
import numpy as np, keras
from keras import layers as kl
from fastrnn.bridges import accelerate
rng = np.random.default_rng(0)
model = keras.Sequential([
    keras.Input((6,), batch_size=4), kl.Embedding(9, 3, mask_zero=True),
    kl.Bidirectional(kl.LSTM(4, return_sequences=True)), kl.GRU(5, return_sequences=True, go_backwards=True),
    kl.SimpleRNN(3, stateful=True),
])
for weight in model.weights:
    weight.assign(rng.normal(size=weight.shape))
tokens = rng.integers(0, 9, (4, 6))
expected = model.predict(tokens, verbose=0)
model.reset_states() if hasattr(model, "reset_states") else model.layers[-1].reset_state()
accelerate(model)
found = model.predict(tokens, verbose=0)
assert any("inner_loop" in layer.__dict__ for layer in model._flatten_layers())
np.testing.assert_allclose(found, expected, atol=2e-6)
try:
    model(tokens, training=True)
except NotImplementedError as error:
    assert "can be trained on Keras's torch backend only" in str(error)
    print("agrees")
"""


@pytest.mark.parametrize("backend", ["numpy", "jax", "tensorflow", "torch"])
def test_a_model_predicts_the_same_on_every_backend(backend):
    module = {"numpy": "jax"}.get(backend, backend)  # Keras's numpy backend imports jax
    if find_spec(module) is None:
        pytest.skip(f"{module} is not installed")
    code = CODE if backend != "torch" else CODE.replace("try:", "print('agrees')\ntry:").replace("training=True", "")
    command, environment = [sys.executable, "-W", "ignore", "-c", code], os.environ | {"KERAS_BACKEND": backend}
    run = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert run.returncode == 0 and "agrees" in run.stdout, run.stderr[-2000:]
