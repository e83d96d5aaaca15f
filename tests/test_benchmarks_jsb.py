"""The script of Bach's chorales, on few pieces."""

import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
if not (ROOT / "benchmarks" / "learning" / "jsb_chorales.py").exists():
    pytest.skip("the benchmarks are in the repository only", allow_module_level=True)
sys.path.append(str(ROOT))
try:
    from benchmarks.learning import jsb_chorales as jsb
finally:
    sys.path.remove(str(ROOT))


def test_pieces_are_those_of_the_published_split():
    sizes = {part: jsb.pieces(part) for part in jsb.PARTS}
    assert [len(found) for found in sizes.values()] == [229, 76, 77]
    assert all(piece.shape[1] == 88 and set(np.unique(piece)) == {0, 1} for part in sizes.values() for piece in part)


def test_floors_are_the_published_ones():
    marginals, chains = jsb.floors()
    assert round(marginals, 2) == 11.09 and round(chains, 2) == 10.49


def test_questions_and_answers_are_neighbouring_frames():
    reads, answers = jsb.questions("test")
    for read, answer, piece in zip(reads, answers, jsb.pieces("test")):
        assert (read == piece[:-1]).all() and (answer == piece[1:]).all()


def test_a_short_fit_beats_what_has_no_memory():
    model, valid, test, _ = jsb.solve(jsb.ROWS[1], seed=0, max_iter=12)
    assert valid < 10.49 and test < jsb.floors()[0]
    by_hand = [
        jsb.cross_entropy(p, y) * len(y)
        for p, y in zip(*(model.predict_proba(jsb.questions("test")[0]), jsb.questions("test")[1]))
    ]
    assert test == pytest.approx(sum(by_hand) / sum(len(y) for y in jsb.questions("test")[1]), rel=1e-4)
    assert min(model.validation_loss_curve_) == pytest.approx(valid, rel=1e-4)
    assert jsb.size_of(model) == 3 * 46 * (88 + 46 + 2)
