"""What ONNX's own tests of operators expect is computed by the typed graph, and by the Program but for its steps."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from statistics import median

import onnx
import pytest

from benchmarks import onnx_conformance
from benchmarks.onnx_conformance import (
    BEYOND,
    EQUAL,
    WITHIN,
    Case,
    all_cases,
    cases_of,
    converted_cases,
    outcome,
    table,
)

RECORD = json.loads((Path(onnx_conformance.__file__).parent / "results" / "onnx_conformance.json").read_text())
QUICK = ("Add", "ArgMax", "Clip", "Concat", "Conv", "ConvInteger", "ConvTranspose", "DepthToSpace", "DequantizeLinear",
         "Expand", "Flatten", "Gather", "Gemm", "GlobalAveragePool", "LeakyRelu", "MatMul", "PRelu", "Pad",
         "QLinearConv", "QLinearMatMul", "QuantizeLinear", "ReduceMean", "Reshape", "Resize", "Slice", "Softmax",
         "Split", "Squeeze", "Transpose")
"""Operators whose tests are made quickly, each by a file of its own."""
LOWERED = ("ConvTranspose", "Gemm", "PRelu")
"""Of these the ones whose Programs are made here; `make nightly` makes all."""


def assert_recorded(found: Mapping[str, Mapping[str, int]], what: str, names: set[str]) -> None:
    """Check that nothing differs, and that the counts are the recorded ones if onnx is of the recorded version."""
    assert [name for name, row in found.items() if {onnx_conformance.DIFFERS, BEYOND} & {*row}] == []
    if onnx.__version__ == RECORD["onnx"]:
        assert {name: found[name] for name in names} == {name: RECORD[what][name] for name in names}


@pytest.mark.filterwarnings("ignore")  # ONNX's tests overflow on purpose
def test_common_operators_are_as_recorded() -> None:
    """Every accepted test is equal, and as many as before are accepted."""
    found = table(cases_of([name.lower() for name in QUICK]), lowered=False).read
    assert_recorded(found, "operators", {*QUICK})
    assert sum(found[name].get(EQUAL, 0) for name in QUICK) > 130


@pytest.mark.filterwarnings("ignore")
def test_programs_of_common_operators_are_within_their_bounds() -> None:
    """No Program is further from what is expected than its steps explain, and as many as before can be made."""
    found = table(case for case in cases_of([name.lower() for name in LOWERED]) if case.operator in LOWERED).lowered
    assert_recorded(found, "lowered", {*LOWERED})
    assert sum(found[name].get(WITHIN, 0) for name in LOWERED) > 10


@pytest.mark.nightly
@pytest.mark.filterwarnings("ignore")
def test_all_operators_are_as_recorded() -> None:
    """The same for all of ONNX's tests, and for layers that were exported from PyTorch."""
    found = table([*all_cases(), *converted_cases()])
    assert_recorded(found.read, "operators", {*RECORD["operators"]})
    assert_recorded(found.lowered, "lowered", {*RECORD["lowered"]})
    assert median(found.shares) > 0.1


def test_another_result_is_noticed() -> None:
    """A test with another expected output, or one of another shape, differs."""
    (case,) = [case for case in cases_of(["flatten"]) if case.name == "test_flatten_axis1"]
    assert outcome(case).read == EQUAL
    for outputs in ([case.outputs[0] + 1], [case.outputs[0][:, :1]]):
        changed = Case(case.name, case.operator, case.model, case.inputs, outputs, case.rtol, case.atol)
        assert outcome(changed).read == "differs"
