"""ONNX's own tests of operators, run by the typed graph: `python -m benchmarks.onnx_conformance [--out FILE]`.

Each test is a model of one node, or a few, with inputs and the outputs that ONNX expects. It is read as it is, and if
that is refused, with all inputs but the first as constants, as weights are. What is accepted must be equal within the
tolerance of ONNX's own runner for backends; what is refused is counted by its reason.
"""

from __future__ import annotations

import argparse
import importlib
import json
import re
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import ModelProto, TensorProto, numpy_helper
from onnx.backend.test.case import node as node_cases

from quant.frontends.onnx.convert import graph_of_model
from quant.frontends.onnx.read import load_onnx_model
from quant.graph.graph import Graph
from quant.graph.interpret import run, shapes
from quant.graph.ops.operator import Unknown
from sim.errors import InputError

__all__ = ["Case", "all_cases", "cases_of", "converted_cases", "outcome", "table"]

DIFFERS = "differs"
EQUAL = "equal"


@dataclass(frozen=True)
class Case:
    """One test.

    Attributes
    ----------
    name, operator : str
    model : ModelProto
    inputs, outputs : list of arrays
    rtol, atol : float
    """

    name: str
    operator: str
    model: ModelProto
    inputs: Sequence[Any]
    outputs: Sequence[Any]
    rtol: float
    atol: float


def cases_of(modules: Iterable[str]) -> list[Case]:
    """Return the tests of some files of ONNX's: "conv", "averagepool"."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for module in modules:
            importlib.import_module(f"{node_cases.__name__}.{module}")
    return _cases(node_cases._NodeTestCases)


def all_cases() -> list[Case]:
    """Return ONNX's tests of all operators."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _cases(node_cases.collect_testcases())


def _cases(found: Iterable[Any]) -> list[Case]:
    return [Case(case.name, case.model.graph.node[0].op_type, case.model,
                 *(list(map(_array, arrays)) for arrays in case.data_sets[0]), case.rtol, case.atol) for case in found]


def _array(given: Any) -> Any:
    """Return an array of a tensor; arrays, sequences and None stay what they are."""
    return numpy_helper.to_array(given) if isinstance(given, TensorProto) else given


def converted_cases() -> Iterator[Case]:
    """Yield the tests of layers that were exported from PyTorch years ago."""
    for folder in sorted((Path(onnx.__file__).parent / "backend" / "test" / "data").glob("pytorch-*/*")):
        model, numbers = onnx.load(folder / "model.onnx"), folder / "test_data_set_0"
        inputs, outputs = ([numpy_helper.to_array(TensorProto.FromString((numbers / f"{kind}_{place}.pb").read_bytes()))
                            for place in range(len([*numbers.glob(f"{kind}_*.pb")]))] for kind in ("input", "output"))
        yield Case(folder.name, f"from PyTorch: {folder.parent.name}", model, inputs, outputs, 1e-3, 1e-7)


def outcome(case: Case) -> str:
    """Return "equal", "differs", or why a test is refused."""
    results = [_once(case, case.model, case.inputs)]
    names = [value.name for value in case.model.graph.input]
    initial = {tensor.name for tensor in case.model.graph.initializer}
    if EQUAL not in results[0] and len(names) > 1 and not initial:
        frozen = ModelProto()
        frozen.CopyFrom(case.model)
        del frozen.graph.input[1:]
        try:
            frozen.graph.initializer.extend(numpy_helper.from_array(np.asarray(array), name) for name, array in zip(
                names[1:], case.inputs[1:], strict=True) if array is not None)
            results.append(_once(case, frozen, case.inputs[:1]))
        except (TypeError, ValueError):  # sequences, texts
            pass
    if DIFFERS in results:
        return DIFFERS
    return EQUAL if EQUAL in results else results[-1]


def _once(case: Case, model: ModelProto, inputs: Sequence[Any]) -> str:
    try:
        graph = _graph(model)
        unknown = [node for node in graph.nodes if isinstance(node.operator, Unknown)]
        if unknown:
            return _reason(unknown[0].operator)
        shapes(graph)
        if any(np.abs(array[np.isfinite(array)]).max(initial=0) > np.finfo(np.float32).max for array in inputs):
            return "numbers beyond float32"
        values = run(graph, {given.name: torch.from_numpy(np.array(array, np.float32))
                             for given, array in zip(graph.inputs, inputs, strict=True)})
    except InputError as error:
        return _general(str(error).partition(".onnx': ")[2] or str(error))
    for name, wanted in zip(graph.outputs, case.outputs, strict=True):
        found = values[name].numpy()
        rtol = max(case.rtol, 2**-6) if wanted.dtype.name == "bfloat16" else case.rtol
        if found.shape != wanted.shape or not np.allclose(
                found.astype(np.float64), wanted.astype(np.float64), rtol, case.atol, equal_nan=True):
            return DIFFERS
    return EQUAL


def _graph(model: ModelProto) -> Graph:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(model.SerializeToString())
        return graph_of_model(load_onnx_model(path))


def _reason(operator: object) -> str:
    assert isinstance(operator, Unknown)
    return _general(operator.reason) if operator.reason else f"no counterpart of {operator.kind}"


def _general(reason: str) -> str:
    """Return a reason without names, numbers and shapes."""
    return re.sub(r"\([^()]*\)|'[^']*'|-?\d[\d,.]*", "_", reason.partition("\n")[0])[:90]


def table(cases: Iterable[Case]) -> dict[str, dict[str, int]]:
    """Return for each operator how many tests have which outcome."""
    found: dict[str, Counter[str]] = {}
    for case in cases:
        found.setdefault(case.operator, Counter())[outcome(case)] += 1
    return {operator: dict(sorted(counts.items())) for operator, counts in sorted(found.items())}


def _markdown(counts: Mapping[str, Mapping[str, int]]) -> str:
    equal = {operator: (row.get(EQUAL, 0), sum(row.values())) for operator, row in counts.items() if EQUAL in row}
    reasons: Counter[str] = Counter()
    for row in counts.values():
        reasons.update({reason: count for reason, count in row.items() if reason != EQUAL})
    lines = ["| operator | equal | of |", "|---|---|---|"]
    lines += [f"| {operator} | {count} | {whole} |" for operator, (count, whole) in equal.items()]
    lines += ["", "| refused because | tests |", "|---|---|"]
    return "\n".join([*lines, *(f"| {reason} | {count} |" for reason, count in reasons.most_common())])


def main() -> int:
    """Print the table, write it as JSON if a file is named, and return 1 if a test differs."""
    parser = argparse.ArgumentParser("onnx_conformance", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="JSON file to write")
    arguments = parser.parse_args()
    counts = table([*all_cases(), *converted_cases()])
    if arguments.out is not None:
        arguments.out.write_text(json.dumps({"onnx": onnx.__version__, "operators": counts}, indent=1) + "\n")
    print(_markdown(counts))
    return int(any(DIFFERS in row for row in counts.values()))


if __name__ == "__main__":
    sys.exit(main())
