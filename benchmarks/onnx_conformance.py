"""ONNX's own tests of operators, run by the typed graph: `python -m benchmarks.onnx_conformance [--out FILE]`.

Each test is a model of one node, or a few, with inputs and the outputs that ONNX expects. It is read as it is, and if
that is refused, with all inputs but the first as constants, as weights are. What is accepted must be equal within the
tolerance of ONNX's own runner for backends, and its Program, of 8 bits, within the bound of `benchmarks.error_bounds`.
What is refused is counted by its reason.
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
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import onnx
import torch
from onnx import ModelProto, TensorProto, numpy_helper
from onnx.backend.test.case import node as node_cases
from torch import Tensor

from benchmarks.lowered_conformance import distance
from quant.frontends.onnx.convert import graph_of_model
from quant.frontends.onnx.read import load_onnx_model
from quant.graph.graph import Graph
from quant.graph.interpret import run, shapes
from quant.graph.ops.operator import Unknown
from sim.errors import InputError

__all__ = ["BEYOND", "DIFFERS", "EQUAL", "WITHIN", "Case", "Outcome", "Table", "all_cases", "cases_of",
           "converted_cases", "outcome", "table"]

DIFFERS, EQUAL = "differs", "equal"
BEYOND, WITHIN = "beyond its bound", "within its bound"


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


class Outcome(NamedTuple):
    """What has come out of a test.

    Attributes
    ----------
    read : str
        "equal", "differs", or why it is refused.
    lowered : str
        "within its bound", "beyond its bound", or why there is no Program; empty if it is not equal.
    share : float or None
        The largest error of its Program as a share of its bound.
    """

    read: str
    lowered: str = ""
    share: float | None = None


@dataclass
class Table:
    """Counts of outcomes by operator.

    Attributes
    ----------
    read, lowered : dict of str to Counter
    shares : list of float
        Of all Programs.
    """

    read: dict[str, Counter[str]] = field(default_factory=dict)
    lowered: dict[str, Counter[str]] = field(default_factory=dict)
    shares: list[float] = field(default_factory=list)


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


def outcome(case: Case, *, lowered: bool = True) -> Outcome:
    """Read a test, run its graph, and if that is equal run it as a Program, if that is asked for."""
    found = ""
    for model, inputs in _readings(case):
        found = _once(case, model, inputs)
        if found == EQUAL:
            return Outcome(EQUAL, *_lowered(case, model, inputs)) if lowered else Outcome(EQUAL)
        if found == DIFFERS:
            break
    return Outcome(found)


def _readings(case: Case) -> Iterator[tuple[ModelProto, Sequence[Any]]]:
    """Yield a test as it is, and with all inputs but the first as constants."""
    yield case.model, case.inputs
    names = [value.name for value in case.model.graph.input]
    if len(names) > 1 and not case.model.graph.initializer:
        frozen = ModelProto()
        frozen.CopyFrom(case.model)
        del frozen.graph.input[1:]
        try:
            frozen.graph.initializer.extend(numpy_helper.from_array(np.asarray(array), name) for name, array in zip(
                names[1:], case.inputs[1:], strict=True) if array is not None)
        except (TypeError, ValueError):  # sequences, texts
            return
        yield frozen, case.inputs[:1]


def _once(case: Case, model: ModelProto, inputs: Sequence[Any]) -> str:
    try:
        graph = _graph(model)
        unknown = [node for node in graph.nodes if isinstance(node.operator, Unknown)]
        if unknown:
            return _reason(unknown[0].operator)
        shapes(graph)
        if any(np.abs(array[np.isfinite(array)]).max(initial=0) > np.finfo(np.float32).max for array in inputs):
            return "numbers beyond float32"
        values = run(graph, dict(zip([given.name for given in graph.inputs], _tensors(inputs), strict=True)))
    except InputError as error:
        return _general(str(error).partition(".onnx': ")[2] or str(error))
    for name, wanted in zip(graph.outputs, case.outputs, strict=True):
        found = values[name].numpy()
        if found.shape != wanted.shape or not np.allclose(found.astype(np.float64), wanted.astype(np.float64),
                                                          _rtol(case), case.atol, equal_nan=True):
            return DIFFERS
    return EQUAL


def _lowered(case: Case, model: ModelProto, inputs: Sequence[Any]) -> tuple[str, float | None]:
    """Return whether the Program of a test lies within its bound, or why there is none, and how near it comes."""
    try:
        found = distance(_graph(model), _tensors(inputs), case.outputs, _rtol(case), case.atol)
    except InputError as error:
        return _general(str(error).partition("\n  ")[2] or str(error)), None  # the first of several reasons
    return WITHIN if found.largest <= 1 else BEYOND, found.largest


def _rtol(case: Case) -> float:
    return max(case.rtol, 2**-6) if any(wanted.dtype.name == "bfloat16" for wanted in case.outputs) else case.rtol


def _tensors(inputs: Sequence[Any]) -> list[Tensor]:
    return [torch.from_numpy(np.array(array, np.float32)) for array in inputs]


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


def table(cases: Iterable[Case], *, lowered: bool = True) -> Table:
    """Return how many tests have which outcome, as they are read alone if they are not to be lowered."""
    found = Table()
    for case in cases:
        one = outcome(case, lowered=lowered)
        found.read.setdefault(case.operator, Counter())[one.read] += 1
        if one.lowered:
            found.lowered.setdefault(case.operator, Counter())[one.lowered] += 1
        if one.share is not None:
            found.shares.append(one.share)
    return found


def _markdown(found: Table) -> str:
    lines = ["| operator | tests | equal | Programs | within their bounds |", "|---|---|---|---|---|"]
    for operator, row in found.read.items():
        if EQUAL in row:
            lowered = found.lowered[operator]
            lines.append(f"| {operator} | {row.total()} | {row[EQUAL]} | {lowered[WITHIN] + lowered[BEYOND]} | "
                         f"{lowered[WITHIN]} |")
    for what, counts, good in (("it is refused", found.read, EQUAL), ("it is no Program", found.lowered, WITHIN)):
        reasons = sum(counts.values(), Counter())
        lines += ["", f"| why {what} | tests |", "|---|---|"]
        lines += [f"| {reason} | {count} |" for reason, count in reasons.most_common() if reason != good]
    usual, worst = median(found.shares), max(found.shares)
    lines += ["", f"Largest error of a Program as a share of its bound: {usual:.2f} (median), at most {worst:.4f}"]
    return "\n".join(lines)


def main() -> int:
    """Print the table, write it as JSON if a file is named, and return 1 if a test differs or is beyond its bound."""
    parser = argparse.ArgumentParser("onnx_conformance", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="JSON file to write")
    arguments = parser.parse_args()
    found = table([*all_cases(), *converted_cases()])
    if arguments.out is not None:
        record = {"onnx": onnx.__version__, "operators": found.read, "lowered": found.lowered}
        arguments.out.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")
    print(_markdown(found))
    return int(any(DIFFERS in row for row in found.read.values()) or any(
        BEYOND in row for row in found.lowered.values()))


if __name__ == "__main__":
    sys.exit(main())
