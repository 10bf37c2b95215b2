"""The typed graph of an ONNX model computes what ONNX's own tests of operators expect, in all that it accepts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import onnx
import pytest

from benchmarks import onnx_conformance
from benchmarks.onnx_conformance import EQUAL, Case, all_cases, cases_of, converted_cases, outcome, table

RECORD = json.loads((Path(onnx_conformance.__file__).parent / "results" / "onnx_conformance.json").read_text())
QUICK = ("Add", "ArgMax", "Clip", "Concat", "Conv", "ConvInteger", "ConvTranspose", "DepthToSpace", "DequantizeLinear",
         "Expand", "Flatten", "Gather", "Gemm", "GlobalAveragePool", "LeakyRelu", "MatMul", "PRelu", "Pad",
         "QLinearConv", "QLinearMatMul", "QuantizeLinear", "ReduceMean", "Reshape", "Resize", "Slice", "Softmax",
         "Split", "Squeeze", "Transpose")
"""Operators whose tests are made quickly, each by a file of its own."""


def assert_recorded(found: Mapping[str, Mapping[str, int]], names: set[str]) -> None:
    """Check that nothing differs, and that the counts are the recorded ones if onnx is of the recorded version."""
    assert [name for name, row in found.items() if onnx_conformance.DIFFERS in row] == []
    if onnx.__version__ == RECORD["onnx"]:
        assert {name: found[name] for name in names} == {name: RECORD["operators"][name] for name in names}


@pytest.mark.filterwarnings("ignore")  # ONNX's tests overflow on purpose
def test_common_operators_are_as_recorded() -> None:
    """Every accepted test is equal, and as many as before are accepted."""
    found = table(cases_of([name.lower() for name in QUICK]))
    assert_recorded(found, {*QUICK})
    assert sum(found[name].get(EQUAL, 0) for name in QUICK) > 130


@pytest.mark.nightly
@pytest.mark.filterwarnings("ignore")
def test_all_operators_are_as_recorded() -> None:
    """The same for all of ONNX's tests, and for layers that were exported from PyTorch."""
    assert_recorded(table([*all_cases(), *converted_cases()]), {*RECORD["operators"]})


def test_another_result_is_noticed() -> None:
    """A test with another expected output, or one of another shape, differs."""
    (case,) = [case for case in cases_of(["flatten"]) if case.name == "test_flatten_axis1"]
    assert outcome(case) == EQUAL
    for outputs in ([case.outputs[0] + 1], [case.outputs[0][:, :1]]):
        changed = Case(case.name, case.operator, case.model, case.inputs, outputs, case.rtol, case.atol)
        assert outcome(changed) == "differs"
