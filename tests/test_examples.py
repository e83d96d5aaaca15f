"""The examples are listed, and the parts of them that could be wrong without being seen are right."""

import importlib
import io
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).resolve().parents[1] / "examples"
if not (FOLDER / "common.py").exists():
    pytest.skip("the examples are in the repository only", allow_module_level=True)

SCRIPTS = sorted(path.name for path in FOLDER.glob("*.py") if path.name != "common.py")


@pytest.fixture
def load(monkeypatch):
    """A function that imports a script."""
    monkeypatch.syspath_prepend(str(FOLDER))
    yield importlib.import_module
    for path in FOLDER.glob("*.py"):
        sys.modules.pop(path.stem, None)


def test_every_script_stands_in_the_table():
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    named = [line.split("`")[1] for line in text.splitlines() if line.startswith("| ") and "`" in line]
    assert sorted(named) == SCRIPTS


@pytest.mark.parametrize("name", ["captioning", "one_to_one", "tagging"])
def test_a_script_trains_prints_a_floor_and_draws(name, load, tmp_path, capsys):
    path = tmp_path / "picture.png"
    load(name).main(["--small", "--picture", str(path)])
    assert "floor: " in capsys.readouterr().out
    assert path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size > 10_000


def test_dates_are_said_as_they_are_written(load):
    translation = load("translation")
    said = {31: "thirty first", 12: "twelfth", 20: "twentieth", 23: "twenty third", 9: "ninth", 4: "fourth"}
    assert {day: translation.ordinal(day) for day in said} == said
    years = {1900: "nineteen hundred", 1904: "nineteen oh four", 1984: "nineteen eighty four"}
    years |= {2000: "two thousand", 2007: "two thousand and seven", 2015: "twenty fifteen", 2099: "twenty ninety nine"}
    assert {year: translation.year_words(year) for year in years} == years
    sentences, written = translation.dates(300, np.random.default_rng(0))
    assert len(set(written)) == 300
    for words, date in zip(sentences, written):
        year, month, day = map(int, date.split("-"))
        text = " ".join(words)
        assert translation.year_words(year) in text and translation.ordinal(day) in text
        months = "january february march april may june july august september october november december".split()
        assert months[month - 1] in words


def test_the_nearest_sentence_is_the_one_with_most_words_in_common(load):
    sentences = ["the first of may".split(), "the second of june".split()]
    unseen = ["the second of may in june".split(), "first of may".split()]
    assert load("translation").nearest(sentences, ["A", "B"], unseen) == ["B", "A"]


def test_probabilities_of_letters_add_up_to_one_and_match_counts(load):
    text = "abracadabra"
    chain = load("language_model").Chain(text, 3)
    for context in ("", "a", "br", "zz", "ab"):
        assert sum(chain.probability(letter, context) for letter in "abrcd") == pytest.approx(1.0)
    alone = (5 + 5 * (1 / 5)) / (11 + 5)  # 5 of 11 letters, mixed with 1 / 5 as if 5 more had been seen
    assert chain.probability("a", "") == pytest.approx(alone)
    after_b = (0 + 1 * alone) / (2 + 1)  # never after one of two b, behind which one letter has been seen
    assert chain.probability("a", "b") == pytest.approx(after_b)


def test_a_midi_file_holds_the_keys_that_sound(load, tmp_path):
    mido = pytest.importorskip("mido")
    music = load("music")
    roll = np.zeros((4, 88), dtype=int)
    roll[0:3, 51] = roll[1, 55] = roll[3, 55] = 1
    music.write_midi(roll, tmp_path / "piece.mid")
    now, sounding, heard = 0, set(), np.zeros_like(roll)
    for message in mido.MidiFile(tmp_path / "piece.mid").tracks[0]:
        for beat in range(now // music.TICKS, (now + message.time) // music.TICKS):
            heard[beat, sorted(sounding)] = 1
        now += message.time
        if message.type in ("note_on", "note_off"):
            change = sounding.add if message.type == "note_on" else sounding.remove
            change(message.note - music.LOWEST)
    assert not sounding
    np.testing.assert_array_equal(heard, roll)


def test_captions_name_both_digits(load):
    caption = load("captioning").caption
    assert [caption(7, 3), caption(6, 6), caption(0, 0), caption(9, 9)] == [
        "seven, three",
        "two sixes",
        "two zeros",
        "two nines",
    ]


def test_snippets_are_read_out_of_the_archive_in_the_archive(load, tmp_path):
    sentiment = load("sentiment")
    inner = io.BytesIO()
    with tarfile.open(fileobj=inner, mode="w:gz") as archive:
        for k, name in enumerate(sentiment.SETS):
            add(archive, f"hutto_ICWSM_2014/{name}_GroundTruth.txt", f"1_1\t{k - 1.5}\tIt isn't BAD!!\n".encode())
    with tarfile.open(tmp_path / "sdist.tar.gz", mode="w:gz") as sdist:
        add(sdist, "vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz", inner.getvalue())
    texts, ratings = sentiment.snippets(tmp_path / "sdist.tar.gz")
    assert texts == [["it", "isn't", "bad", "!!"]] * 4
    assert ratings.tolist() == [-1.5, -0.5, 0.5, 1.5]


def add(archive, name, content):
    """Put a file into a tar archive."""
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    archive.addfile(entry, io.BytesIO(content))


def test_a_straight_flight_has_no_error_until_the_wall(load):
    tagging = load("tagging")
    steps = np.arange(8.0)[None, :, None] * [0.3, 0.4]
    assert tagging.error(steps + [0.3, 0.4], steps) == pytest.approx(0.5)
