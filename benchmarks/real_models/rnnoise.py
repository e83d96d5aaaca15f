"""pyrnnoise (BSD-3): gains that leave speech and take noise away, by convolutions and three GRUs in a C library.

The library keeps its weights as a table `rnnoise_arrays` and exports the functions of its network. Its tanh and its
sigmoid are quotients of polynomials with an approximate reciprocal (src/vec_avx.h): wrong by up to 3.7e-4 and 1.8e-4.
"""

from __future__ import annotations

import ctypes
import platform

import numpy as np

import fastrnn
from fastrnn.io import from_torch
from fastrnn.io.gates import reorder

from .packages import fetch
from .rows import Row, best
from .voice import speech

MODEL = "pyrnnoise"
RATE, FRAME, BANDS, BINS = 48000, 480, 32, 481
FEATURES, CONV, SIZE, GRUS = 2 * BANDS + 1, 128, 384, 3
LAYER_BYTES = 64  # of its LinearLayer: 7 pointers and 2 ints
_LAYERS = ("conv1", "conv2", *(f"gru{k}_{part}" for k in (1, 2, 3) for part in ("input", "recurrent")))
LAYERS = (*_LAYERS, "dense_out", "vad_dense")  # in the order of its struct
SIGMOID, TANH = 1, 2
HIGH_PASS = np.array([-2, 1], np.float32), np.array([-1.99599, 0.99600], np.float32)  # of its denoise.c: b, a
_POINTERS = {
    "rnnoise_destroy": "P", "rnnoise_process_frame": "PPP", "rnn_biquad": "PPPPPi",
    "rnn_compute_frame_features": "PPPPPPPP", "rnn_compute_generic_conv1d": "PPPPiii",
    "rnn_compute_generic_gru": "PPPPi", "rnn_compute_generic_dense": "PPPii",
}  # fmt: skip


class _WeightArray(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("type", ctypes.c_int),
        ("size", ctypes.c_int),
        ("data", ctypes.c_void_p),
    )


class Library:
    """The library, its weights, and what goes through its network.

    Parameters
    ----------
    path : path
        ``librnnoise.so``, built for Linux on x86-64.
    """

    def __init__(self, path):
        if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
            raise ImportError("its library is read on Linux and x86-64 alone")
        self._lib = lib = ctypes.CDLL(str(path))
        kinds = {"P": ctypes.c_void_p, "i": ctypes.c_int}
        for name, arguments in _POINTERS.items():
            getattr(lib, name).argtypes, getattr(lib, name).restype = [kinds[kind] for kind in arguments], None
        lib.rnnoise_create.argtypes, lib.rnnoise_create.restype = [ctypes.c_void_p], ctypes.c_void_p
        lib.rnnoise_process_frame.restype = ctypes.c_float
        lib.rnn_compute_frame_features.restype = ctypes.c_int
        self._state = lib.rnnoise_create(None)  # begins with its layers

    def __del__(self):
        if getattr(self, "_state", None):
            self._lib.rnnoise_destroy(self._state)

    def _layer(self, name):
        return self._state + LAYER_BYTES * LAYERS.index(name)

    def arrays(self):
        """Return the table of weights: copies by name, int8 and indices included."""
        dtypes, found, at = {0: np.float32, 1: np.int32, 3: np.int8}, {}, 0
        first = ctypes.addressof(ctypes.c_char.in_dll(self._lib, "rnnoise_arrays"))
        while (entry := _WeightArray.from_address(first + at)).name:
            found[entry.name.decode()] = np.frombuffer(ctypes.string_at(entry.data, entry.size), dtypes[entry.type])
            at += ctypes.sizeof(_WeightArray)
        return found

    def gru(self, k, h, x):
        """Take one step of GRU k (1, 2, 3) in place: h (384,), x (384,)."""
        parts = self._layer(f"gru{k}_input"), self._layer(f"gru{k}_recurrent")
        self._lib.rnn_compute_generic_gru(*parts, h.ctypes.data, x.ctypes.data, 0)

    def probabilities(self, frames):
        """Return how probably each of the frames (T, 480) is speech (T,), by the one call that applications make."""
        state, out = self._lib.rnnoise_create(None), np.empty(FRAME, np.float32)
        found = [self._lib.rnnoise_process_frame(state, out.ctypes.data, frame.ctypes.data) for frame in frames]
        self._lib.rnnoise_destroy(state)
        return np.array(found, np.float32)

    def trace(self, frames):
        """Return what goes through the network: the same computation, function by function.

        Returns
        -------
        x : ndarray of shape (T, 384)
            What comes into the first GRU.
        h : ndarray of shape (3, T, 384)
            States of the GRUs.
        probabilities : ndarray of shape (T,)
        """
        hidden = np.zeros((GRUS, SIZE), np.float32)
        x, h, probabilities = [], [], np.empty((len(frames), 1), np.float32)
        for t, features in enumerate(self._convolved(frames)):
            for k in range(GRUS):
                self.gru(k + 1, hidden[k], hidden[k - 1] if k else features)
            x.append(features.copy())
            h.append(hidden.copy())
            seen = np.concatenate([features, *hidden])
            self._dense("vad_dense", probabilities[t], seen)
        return np.stack(x), np.stack(h, axis=1), probabilities[:, 0]

    def _dense(self, name, out, x):
        self._lib.rnn_compute_generic_dense(self._layer(name), out.ctypes.data, x.ctypes.data, SIGMOID, 0)

    def _convolved(self, frames):
        """Yield the output of the second convolution (384,) for each frame."""
        sizes = {"past": 2, "sound": FRAME, "x": 2 * BINS, "p": 2 * BINS, "ex": BANDS, "ep": BANDS, "exp": BANDS}
        sizes |= {"features": FEATURES, "conv1": 2 * FEATURES, "conv2": 2 * CONV, "middle": CONV, "out": SIZE}
        kept = {name: np.zeros(size, np.float32) for name, size in sizes.items()}
        at = {name: array.ctypes.data for name, array in kept.items()}
        b, a = (array.ctypes.data for array in HIGH_PASS)
        spectra = [at[name] for name in ("x", "p", "ex", "ep", "exp", "features")]
        for frame in frames:
            self._lib.rnn_biquad(at["sound"], at["past"], frame.ctypes.data, b, a, FRAME)
            if self._lib.rnn_compute_frame_features(self._state, *spectra, at["sound"]):
                raise ValueError("a frame is silent, expected noise at least: the network rests in silence")
            for name, out, source, size in (
                ("conv1", "middle", "features", FEATURES),
                ("conv2", "out", "middle", CONV),
            ):
                layer, past = self._layer(name), at[name]
                self._lib.rnn_compute_generic_conv1d(layer, at[out], past, at[source], size, TANH, 0)
            yield kept["out"]


def dense(weights, index, shape):
    """Return the matrix of blocks of 8 rows and 4 columns.

    `index` has, for every 8 rows, how many blocks there are, and the first column of each.
    """
    matrix, blocks, at, seen = np.zeros(shape, np.float32), weights.reshape(-1, 4, 8), 0, 0
    for row in range(0, shape[0], 8):
        columns = index[at + 1 : at + 1 + index[at]]
        for column in columns:
            matrix[row : row + 8, column : column + 4] = blocks[seen].T
            seen += 1
        at += 1 + len(columns)
    if at != len(index) or seen != len(blocks):
        raise ValueError(f"index has {len(index)} entries for {len(blocks)} blocks, expected {at} and {seen}")
    return matrix


def named_weights(arrays):
    """Return the GRUs' weights as torch names and orders them, {"gru1.weight_ih": (1152, 384), ...}."""
    named = {}
    for k in range(1, GRUS + 1):
        for part, suffix in (("input", "ih"), ("recurrent", "hh")):
            name = f"gru{k}_{part}"
            weight = dense(arrays[f"{name}_weights_float"], arrays[f"{name}_weights_idx"], (3 * SIZE, SIZE))
            if part == "recurrent":  # its diagonals are kept apart
                diagonals = arrays[f"{name}_weights_diag"].reshape(3, SIZE)
                weight.reshape(3, SIZE, SIZE)[:, range(SIZE), range(SIZE)] += diagonals
            named[f"gru{k}.weight_{suffix}"] = reorder(weight, "onnx", "gru")  # z r h, as ONNX has it
            named[f"gru{k}.bias_{suffix}"] = reorder(arrays[f"{name}_bias"], "onnx", "gru")
    return named


def one_by_one(named):
    """Return a network of each GRU."""
    prefixes = [f"gru{k}." for k in range(1, GRUS + 1)]
    return [from_torch({n: w for n, w in named.items() if n.startswith(p)}, prefix=p) for p in prefixes]


def exact(named, k, x):
    """Return the states (T, 384) of GRU k for x (T, 384), by its equations in float64."""
    parts = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    w_ih, w_hh, b_ih, b_hh = (named[f"gru{k}.{part}"].astype(np.float64) for part in parts)
    h, found = np.zeros(SIZE), []
    for a in x @ w_ih.T + b_ih:
        u = w_hh @ h + b_hh
        r, z = np.split(1 / (1 + np.exp(-(a + u)[: 2 * SIZE])), 2)
        h = (1 - z) * np.tanh(a[2 * SIZE :] + r * u[2 * SIZE :]) + z * h
        found.append(h)
    return np.stack(found)


def frames_of_speech(seconds):
    """Return frames (T, 480) of speech and noise, in the range of int16."""
    sound = 20000 * speech(seconds, RATE) + 30 * np.random.default_rng(1).standard_normal(seconds * RATE)
    return sound.astype(np.float32).reshape(-1, FRAME)


def rows(folder):
    """Yield the rows of the table."""
    library, frames = Library(fetch("librnnoise.so", folder)), frames_of_speech(10)
    x, h, probabilities = library.trace(frames)
    wrong = int((probabilities != library.probabilities(frames)).sum())
    yield Row(MODEL, "its network function by function, beside its one call: probabilities that differ", wrong, 0)
    named = named_weights(library.arrays())
    inputs, nets = [x, h[0], h[1]], one_by_one(named)
    before = np.concatenate([np.zeros((GRUS, 1, SIZE), np.float32), h[:, :-1]], axis=1)
    steps = [net.run(a[None], [b[None]])[0][0] for net, a, b in zip(nets, inputs, before, strict=True)]
    ours = [net.run(a[:, None])[0][:, 0] for net, a in zip(nets, inputs, strict=True)]
    true = [exact(named, k + 1, a) for k, a in enumerate(inputs)]
    error = np.abs(np.stack(steps) - h)
    yield Row(MODEL, "each GRU, one step from its state: root mean square", float(np.sqrt((error**2).mean())), 1e-3)
    yield Row(MODEL, f"the same, largest of {error.size:,}", float(error.max()), 1e-3)
    for what, part in (("first 10 frames", np.s_[:, :10]), ("10 s", np.s_[:])):
        yield Row(MODEL, f"each GRU from zeros, {what}: largest", _largest(ours, h, part), 1e-3)
    yield Row(MODEL, "10 s, the library beside float64: largest", _largest(h, true))
    yield Row(MODEL, "10 s, fastrnn beside float64: largest", _largest(ours, true), 1e-3)
    yield from _timed(library, named, x, h)


def _largest(a, b, part=np.s_[:]):
    return float(np.abs(np.stack(a)[part] - np.stack(b)[part]).max())


def _timed(library, named, x, h):
    chain = from_torch(named, layers=[(f"gru{k}.", fastrnn.GRU(SIZE, SIZE)) for k in range(1, GRUS + 1)])
    stream, hidden, steps = chain.stream(1), np.zeros((GRUS, SIZE), np.float32), x[:, None]

    def by_library():
        for step in x:
            for k in range(GRUS):
                library.gru(k + 1, hidden[k], hidden[k - 1] if k else step)

    calls = {"theirs": by_library, "stream": lambda: [stream.step(step) for step in steps]}
    seconds = best(calls | {"whole": lambda: chain.run(steps)}, 5)
    error = chain.run(steps)[0][:, 0] - h[-1]
    found = float(np.sqrt((error**2).mean()))
    for name, what in (("stream", "frame by frame"), ("whole", "as a whole")):
        label = f"the three in a row, 10 s {what}: root mean square"
        yield Row(MODEL, label, found, 1e-3, seconds["theirs"] / len(x), seconds[name] / len(x))
