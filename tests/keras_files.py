"""Keras files for tests, and damaged ones: `python -m tests.keras_files 10000`.

Each damaged file must end in a ValueError, or in a network: where a change meets numbers without a checksum, or nothing
that counts. A process that crashes, hangs or takes more memory than its limit fails.
"""

import collections
import json
import os
import random
import signal
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "torch")

import h5py
import keras
import numpy as np
from keras import layers as kl

from fastrnn.io.keras import from_keras

SECONDS = 5  # a case may take


def legacy_file(path, model, weights, version):
    """Write an .h5 file of a whole model as Keras 2 does; `weights` are {layer: {name: array}}."""
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"] = version.encode()
        file.attrs["backend"] = b"tensorflow"
        file.attrs["model_config"] = json.dumps(model).encode()
        group = file.create_group("model_weights")
        group.attrs["layer_names"] = np.array([name.encode() for name in weights])
        for layer, arrays in weights.items():
            own = group.create_group(layer)
            own.attrs["weight_names"] = np.array([name.encode() for name in arrays])
            for name, array in arrays.items():
                own[name] = array
    return path


def models(rng):
    """Return [(model, input)] that hold every kind of layer that is known."""
    tokens = keras.Sequential([
        *(keras.Input((None,)), kl.Embedding(9, 4, mask_zero=True), kl.SpatialDropout1D(0.2)),
        *(kl.Bidirectional(kl.LSTM(3, return_sequences=True), merge_mode="ave"), kl.LayerNormalization()),
        *(kl.TimeDistributed(kl.Dense(4, activation="softmax")), kl.GRU(3, return_sequences=True, go_backwards=True)),
        *(kl.GlobalMaxPooling1D(), kl.Flatten(), kl.Dense(2), kl.ReLU()),
    ])  # fmt: skip
    floats = keras.Sequential([
        *(keras.Input((None, 3)), kl.Masking(-1.0), kl.SimpleRNN(4, activation="elu", return_sequences=True)),
        *(kl.GRU(3, reset_after=False, return_sequences=True), kl.Conv1D(4, 3, padding="causal"), kl.ELU()),
        *(kl.RNN(kl.LSTMCell(2), return_sequences=True), kl.LeakyReLU(), kl.Activation("softplus")),
        *(kl.GlobalAveragePooling1D(), kl.Softmax()),
    ])  # fmt: skip
    x = rng.normal(size=(3, 7, 3)).astype(np.float32)
    x[1, :4] = -1.0
    return [(tokens, rng.integers(0, 9, (3, 7))), (floats, x)]


def mutation(data, rng):
    """The file with one to four changes."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at, kind = rng.randrange(len(changed)), rng.randrange(5)
        if kind == 0:
            changed[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            changed[at] = rng.choice((0, 255, rng.randrange(256)))
        elif kind == 2:
            number = rng.choice((b"\xff" * 8, bytes(8), b"\x7f" + b"\xff" * 7, b"\xff\xff\xff\x7f"))
            changed[at : at + len(number)] = number
        elif kind == 3:
            del changed[at : at + rng.randint(1, 9)]
        else:
            other = rng.randrange(len(changed))
            changed[at : at + 16] = changed[other : other + 16]
    return bytes(changed)


def damaged(form, folder, cuts=None, mutations=10_000, seed=0):
    """Return a Counter of "error" and "network"; a form is "keras" or "h5".

    Parameters
    ----------
    cuts : int or None
        So many random beginnings of the file; None takes each of the first 4,000 bytes, and 200 more.
    """
    folder, rng = Path(folder), random.Random(seed)
    path = folder / f"whole.{form}"
    keras.utils.set_random_seed(0)
    models(np.random.default_rng(0))[0][0].save(path)
    data = path.read_bytes()
    ends = [rng.randrange(len(data)) for _ in range(cuts or 200)]
    ends += [] if cuts else range(min(4000, len(data)))
    target, counts = folder / f"damaged.{form}", collections.Counter(crash=0)
    for case in [*(data[:end] for end in ends), *(mutation(data, rng) for _ in range(mutations))]:
        target.write_bytes(case)
        signal.alarm(SECONDS)
        try:
            from_keras(target)
            counts["network"] += 1
        except ValueError as error:
            assert len(str(error)) > 20, "an error must say what is wrong"
            counts["error"] += 1
        finally:
            signal.alarm(0)
    return counts


def main(count):
    """Print what damaged files of each form lead to."""
    from tests.robustness import limit_memory

    with tempfile.TemporaryDirectory() as folder:
        limit_memory()
        for form in ("keras", "h5"):
            print(form, dict(damaged(form, folder, mutations=count)), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
