"""g2p_en (Apache-2.0): English words to phones by a GRU encoder and decoder, in the package a NumPy loop."""

from __future__ import annotations

import re

import numpy as np

import fastrnn
from fastrnn.io import from_torch

from .packages import fetch
from .rows import Row, best

LETTERS = ["<pad>", "<unk>", "</s>", *"abcdefghijklmnopqrstuvwxyz"]
TOKENS = {letter: k for k, letter in enumerate(LETTERS)}
BEGIN, END, LONGEST = 2, 3, 20  # of the phones: tokens, and the most that a word has


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


def rows(folder):
    """Yield the rows of the table."""
    weights, texts = dict(np.load(fetch("checkpoint20.npz", folder))), words()
    expected = [own_loop(weights, word) for word in texts]
    few = texts[:100]
    for folded in (False, True):
        speller = Speller(weights, folded)
        found = {"word by word": [speller.spell(word) for word in texts], "one batch": speller.spell_all(texts)}
        seconds = best(
            {
                "own loop": lambda: [own_loop(weights, word) for word in few],
                "word by word": lambda speller=speller: [speller.spell(word) for word in few],
                "one batch": lambda speller=speller: speller.spell_all(texts),
            }
        )
        for name, count in (("word by word", len(few)), ("one batch", len(texts))):
            wrong = sum(a != b for a, b in zip(found[name], expected, strict=True))
            what = f"{len(texts)} words, {name}{', folded' if folded else ''}: words that differ"
            yield Row("g2p_en", what, wrong, 0, seconds["own loop"] / len(few), seconds[name] / count)
