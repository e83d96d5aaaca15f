"""A trained network must run where only NumPy and safetensors are installed."""

import importlib.util
import tempfile
from pathlib import Path

import numpy as np

import fastrnn

for package in ("scipy", "sklearn", "tqdm", "threadpoolctl"):
    assert importlib.util.find_spec(package) is None, f"{package} is installed: this environment proves nothing"

rng = np.random.default_rng(0)
x = rng.standard_normal((7, 3, 5), dtype="float32")
lengths = [7, 2, 4]

trained = fastrnn.LSTM(5, 8, num_layers=2, bidirectional=True, random_state=0)
served = fastrnn.LSTM(5, 8, num_layers=2, bidirectional=True, random_state=1)
served.load_state_dict(trained.state_dict())
output, (h_n, c_n) = served(x, lengths=lengths)
expected, _ = trained(x, lengths=lengths)
assert output.shape == (7, 3, 16) and h_n.shape == c_n.shape == (4, 3, 8)
assert np.array_equal(output, expected)

gru = fastrnn.GRU(5, 8, random_state=0)
stepper = gru.stepper(batch_size=3)
steps = np.stack([stepper.step(x_t) for x_t in x])
assert np.array_equal(steps, gru(x)[0])

network = fastrnn.Sequential(gru, fastrnn.Pool("last"), fastrnn.Dense(8, 2, random_state=0))
scores, states = network(x, lengths=lengths)
assert scores.shape == (3, 2) and len(states) == 1

with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "network.safetensors"
    fastrnn.save(network, path)
    assert np.array_equal(fastrnn.load(path)(x, lengths=lengths)[0], scores)

fastrnn.show_versions()
print("serving works with NumPy and safetensors alone")
