"""What becomes of a model that another tool has quantized, compared with what its own tool computes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

import bitwright
from benchmarks.others.references import Reference, exported, reference_of
from bitwright.codesign.resolve import resolve_machine
from quant.graph.ops.quantization import BipolarQuantize, FakeQuantize
from quant.lowering.imported import Imported, InputCodes
from sim.errors import InputError

__all__ = ["Row", "given_to", "measure", "wanted_codes"]

PRECISE = {"terms": 10, "window": 19}
"""Of the requantizers of a machine that comes nearer."""


@dataclass
class Row:
    """What became of one model.

    Attributes
    ----------
    file : str
    nodes : int or None
        In the file, weights and what they become included.
    refused : dict of str to int
        Reasons without their places, and how often each is given.
    reference : str
        What the codes are compared with.
    images : int
    codes : int
        Compared, of all stored tensors.
    differing, differing_precise : int or None
        How many are others than the reference's; the second on a machine of more digits.
    largest : int
        Largest difference [codes].
    left_out : list of str
        Stored tensors that the reference does not have.
    model_differing : int
        How many codes of the model, computed in double precision, are others than the reference's.
    accuracy_reference, accuracy : float or None
        Share of right answers of the reference and of the Program.
    same_answers : float or None
        Share of images for which both give the same answer.
    cycles : int or None
        Of one image.
    """

    file: str
    nodes: int | None = None
    refused: dict[str, int] = field(default_factory=dict)
    reference: str = ""
    images: int = 0
    codes: int = 0
    differing: int | None = None
    differing_precise: int | None = None
    largest: int = 0
    left_out: list[str] = field(default_factory=list)
    model_differing: int = 0
    accuracy_reference: float | None = None
    accuracy: float | None = None
    same_answers: float | None = None
    cycles: int | None = None


def measure(path: Path, images: NDArray[np.float32], labels: NDArray[np.int64] | None, machine: str,
            inputs: InputCodes | None = None) -> Row:
    """Import a model and compare every stored tensor, on some images, with the model's own tool."""
    row, target = Row(path.name, nodes_of(path), images=len(images)), resolve_machine(machine)
    try:
        imported = bitwright.import_model(path, target, inputs=inputs)
    except InputError as error:
        lines = str(error).split("\n  ")
        row.refused = dict(Counter(re.sub(r" (node|at) '[^']*'", "", line) for line in (lines[1:] or lines)))
        return row
    reference = reference_of(path)
    row.reference = reference.title
    made, wanted = wanted_codes(imported, reference, images)
    _compare(row, imported, wanted, images)
    precise = bitwright.import_model(path, target.model_copy(update=PRECISE), inputs=inputs)
    found = precise.program_codes(given_to(precise, images))
    row.differing_precise = sum(int((found[name] != codes).sum()) for name, codes in wanted.items())
    if labels is not None:
        _judge(row, made.reshape(len(images), -1), _answers(imported, images), labels)
    row.cycles = bitwright.estimate(imported.lowered.program, machine).latency_cycles
    return row


def nodes_of(path: Path) -> int:
    """Return how many nodes a file has."""
    if path.suffix == ".pt2":
        return sum(node.op == "call_function" for node in exported(path).graph.nodes)
    return len(onnx.load(path).graph.node)


def _compare(row: Row, imported: Imported, wanted: Mapping[str, NDArray[np.int64]],
             images: NDArray[np.float32]) -> None:
    """Fill in which codes differ from the reference's: the Program's, and those of the model in double precision."""
    found, model = imported.program_codes(given_to(imported, images)), imported.model_codes(given_to(imported, images))
    away = {name: np.abs(found[name] - codes) for name, codes in wanted.items()}
    row.left_out = [name for name in found if name not in wanted]
    row.codes = sum(each.size for each in away.values())
    row.differing = sum(int((each > 0).sum()) for each in away.values())
    row.largest = max((int(each.max(initial=0)) for each in away.values()), default=0)
    row.model_differing = sum(int((model[name] != codes).sum()) for name, codes in wanted.items())


def _judge(row: Row, reference: NDArray[Any], answers: NDArray[Any], labels: NDArray[np.int64]) -> None:
    """Fill in how many answers are right; the largest number is the answer."""
    row.accuracy_reference = float((reference.argmax(1) == labels).mean())
    row.accuracy = float((answers.argmax(1) == labels).mean())
    row.same_answers = float((reference.argmax(1) == answers.argmax(1)).mean())


def given_to(imported: Imported, images: NDArray[np.float32]) -> dict[str, torch.Tensor]:
    return {imported.graph.inputs[0].name: torch.from_numpy(images)}


def wanted_codes(imported: Imported, reference: Reference, images: NDArray[np.float32]) -> tuple[NDArray[np.float32],
                                                                                        dict[str, NDArray[np.int64]]]:
    """Return the reference's first output and its codes of those stored tensors that it has."""
    names = {name: _own_name(value) for name, value in imported.values.items()}
    made, values = reference.run(images, list(names.values()))
    inputs = {tensor.name for tensor in imported.lowered.program.inputs}
    return made, {name: codes for name, own in names.items() if own in values and name not in inputs
                  and (codes := _codes(imported, name, values[own], reference)) is not None}


def _own_name(value: str) -> str:
    """Return what a file calls the value of a quantizer that was moved before a view."""
    return re.sub(r"\.whole(_\d+)?$", "", value)


def _codes(imported: Imported, name: str, value: NDArray[np.float32], reference: Reference) -> NDArray[np.int64] | None:
    """Return the codes of a reference's value, None if it is only a part of the stored tensor."""
    if value[0].size != imported.layouts[name].places.size:
        return None
    flat = value.reshape(len(value), -1)
    if reference.holds_codes:
        return flat.astype(np.int64)
    node = imported.graph.maker(imported.values[name])
    assert node is not None
    if isinstance(node.operator, BipolarQuantize):
        return (flat > 0).astype(np.int64)
    assert isinstance(node.operator, FakeQuantize)
    scale, zero = (float(imported.graph.constants[each].flatten()[0]) for each in node.inputs[1:])
    return np.rint(flat / scale + zero).astype(np.int64)


def _answers(imported: Imported, images: NDArray[np.float32]) -> NDArray[Any]:
    """Return the codes of the Program's output."""
    program = imported.lowered.program
    found = bitwright.simulate(program, imported.input_codes(given_to(imported, images)))
    return found[program.outputs[0].name].reshape(len(images), -1)
