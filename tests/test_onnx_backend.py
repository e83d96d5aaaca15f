"""The recurrent node cases of the ONNX project itself."""

from importlib import import_module

import pytest

onnx = pytest.importorskip("onnx")

from onnx.backend.test.case import node as cases
from onnx.backend.test.runner import Runner

import fastrnn.onnx

for module in ("lstm", "gru", "rnn"):  # all the others take half a minute to make
    import_module(f"onnx.backend.test.case.node.{module}")
PREFIXES = ("test_gru_", "test_lstm_", "test_rnn_", "test_simple_rnn_")
CASES = [case for case in cases._NodeTestCases if case.name.startswith(PREFIXES)]


def test_there_are_18_cases():
    assert len(CASES) == 18
    assert any("batchwise" in case.name for case in CASES)  # layout=1


@pytest.mark.parametrize("runtime", ["reference", "onnxruntime"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case_of_the_onnx_project_passes(case, runtime):
    if runtime == "onnxruntime":
        pytest.importorskip("onnxruntime")
    prepared = fastrnn.onnx.backend.prepare(case.model, "CPU", runtime=runtime)
    for inputs, expected in case.data_sets:
        Runner.assert_similar_outputs(expected, list(prepared.run(inputs)), rtol=case.rtol, atol=case.atol)
