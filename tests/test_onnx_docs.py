"""The pages on ONNX run as they stand, each from top to bottom."""

import re
import warnings
from pathlib import Path

import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

FOLDER = Path(__file__).parent.parent / "docs"
PAGES = [page for page in (FOLDER / "from-onnx.md", FOLDER / "to-onnx.md") if page.exists()]


@pytest.mark.skipif(not PAGES, reason="the pages are not beside the tests")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_blocks_of_the_page_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    blocks = re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # few epochs
        for block in blocks:
            exec(block, names)
    if page.stem == "to-onnx":
        assert names["probabilities"].shape == (2, 3)
        assert names["session"].get_modelmeta().custom_metadata_map["classes"] == '["cat", "dog", "owl"]'
    else:
        assert names["y"].shape == (2, 2)
