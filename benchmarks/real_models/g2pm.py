"""g2pM (Apache-2.0): how Chinese characters are said, by an LSTM in both directions, in the package a NumPy loop."""

from __future__ import annotations

import importlib.util

import numpy as np

import fastrnn
from fastrnn.io import from_torch

from .numpy_pickle import load
from .packages import fetch
from .rows import Row, best

SENTENCE = "然而，他红了20年以后，他竟退出了大家的视线。"  # of the package's README
UNKNOWN, BEGIN, END = "<UNK>", "시", "끝"


class Package:
    """The package's own code on its weights, which are read with our reader.

    Parameters
    ----------
    code, weights : path
        ``g2pM.py`` and ``np_ckpt.pkl``.
    """

    def __init__(self, code, weights):
        spec = importlib.util.spec_from_file_location("g2pM_of_package", code)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        self._model = model = module.G2pM.__new__(module.G2pM)  # its __init__ unpickles whatever there is
        model.load_variable(load(weights))
        self.hidden, head = None, model.fc_layer

        def fc_layer(hidden):
            self.hidden = hidden
            return head(hidden)

        model.fc_layer = fc_layer

    def classes(self, tokens):
        """Return the class of every token (T,) of a sentence; its hidden states (T, 64) are kept as `hidden`."""
        return self._model.predict(tokens[None], np.arange(len(tokens)))


class Tagger:
    """The same of our layers.

    Parameters
    ----------
    weights : mapping of str to ndarray
    """

    def __init__(self, weights):
        parts = {"embedding.": {}, "lstm.": {}, "logit_layer.": {}}
        for name, array in weights.items():
            parts[next(part for part in parts if name.startswith(part))][name] = array
        tokens, size = weights["embedding.weight"].shape
        hidden, classes = (len(weights[f"logit_layer.{k}.weight"]) for k in (0, 2))
        width = weights["lstm.weight_hh_l0"].shape[1]
        lstm = fastrnn.LSTM(size, width, bidirectional=True)
        self.reader = from_torch(
            parts["embedding."] | parts["lstm."],
            layers=[("embedding.", fastrnn.Embedding(tokens, size)), ("lstm.", lstm)],
        )
        relu = fastrnn.Dense(2 * width, hidden, activation="relu")
        self.head = from_torch(
            parts["logit_layer."], prefix="logit_layer.", layers=[("0.", relu), ("2.", fastrnn.Dense(hidden, classes))]
        )

    def hidden(self, tokens):
        """Return the hidden states (T, 64) of a sentence."""
        return self.reader.run(tokens[:, None])[0][:, 0]

    def classes(self, tokens):
        """Return the class of every token (T,) of a sentence."""
        return self.head.run(self.hidden(tokens)[:, None])[0][:, 0].argmax(axis=1)

    def classes_of_all(self, sentences):
        """Return the classes of sentences, which are one ragged batch."""
        lengths = np.array([len(tokens) for tokens in sentences])
        x = np.zeros((lengths.max(), len(sentences)), np.int64)
        for n, tokens in enumerate(sentences):
            x[: len(tokens), n] = tokens
        hidden, _ = self.reader.run(x, lengths=lengths)
        logits, _ = self.head.run(hidden, lengths=lengths)
        return [logits[:length, n].argmax(axis=1) for n, length in enumerate(lengths)]


def sentences(vocabulary, count=200):
    """Return the README's sentence and random ones of 4 to 40 characters, as tokens."""
    rng, characters = np.random.default_rng(0), sorted(set(vocabulary.values()) - {0})
    found = [np.array([vocabulary.get(c, vocabulary[UNKNOWN]) for c in SENTENCE])]
    found += [rng.choice(characters, rng.integers(4, 41)) for _ in range(count - 1)]
    return [np.array([vocabulary[BEGIN], *tokens, vocabulary[END]]) for tokens in found]


def rows(folder):
    """Yield the rows of the table."""
    code, weights, vocabulary = (fetch(name, folder) for name in ("g2pM.py", "np_ckpt.pkl", "char2idx.pkl"))
    package, tagger, texts = Package(code, weights), Tagger(load(weights)), sentences(load(vocabulary))
    difference, expected = 0.0, []
    for tokens in texts:
        expected.append(package.classes(tokens))
        difference = max(difference, float(np.abs(tagger.hidden(tokens) - package.hidden).max()))
    few = texts[:50]
    seconds = best(
        {
            "own loop": lambda: [package.classes(tokens) for tokens in few],
            "one by one": lambda: [tagger.classes(tokens) for tokens in few],
            "one batch": lambda: tagger.classes_of_all(texts),
        }
    )
    own = seconds["own loop"] / len(few)
    yield Row("g2pM", f"hidden states of {len(texts)} sentences", difference, 1e-5)
    found = {"one by one": [tagger.classes(tokens) for tokens in texts], "one batch": tagger.classes_of_all(texts)}
    for name, count in (("one by one", len(few)), ("one batch", len(texts))):
        wrong = sum(int((a != b).sum()) for a, b in zip(found[name], expected, strict=True))
        yield Row("g2pM", f"the same, {name}: classes that differ", wrong, 0, own, seconds[name] / count)
