"""Models of others, one line each: `python -m benchmarks.interop MODEL.onnx[=3,224,224] ... [--out FILE]`.

For each file: how many nodes it has; if every operator is read, how far the typed graph is from ONNX Runtime on random
inputs; and the cycles of its Program on a machine, or why it cannot be computed there. A float model gets 8 bits,
fitted to random inputs; of one that is quantized already, the share of stored codes that are not the model's is shown
as well.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from onnx import ModelProto

import bitwright
from bitwright.cli.console import message
from bitwright.codesign.import_model import random_inputs
from bitwright.codesign.resolve import resolve_machine
from quant.emit.emit import emit
from quant.frontends.onnx.convert import graph_of_model
from quant.frontends.onnx.read import load_onnx_model
from quant.graph.graph import Graph
from quant.graph.interpret import run
from quant.graph.ops.operator import Unknown
from quant.graph.passes.normalise import normalise, normalise_quantized
from quant.lowering.imported import InputCodes, bare_inputs, import_quantized, is_quantized
from sim.errors import InputError

__all__ = ["Row", "markdown", "row_of"]

IMAGES, COMPARED = 4, 64
SHOWN_REASONS = 3
INPUT_EXPONENT = -5
"""Codes of 8 bits reach from -4 to almost 4, as normal random inputs do."""


@dataclass
class Row:
    """What became of one model.

    Attributes
    ----------
    model : str
        Name of its file.
    nodes : int or None
        In the file, with functions put where they are called; None if it cannot be read.
    distance : float or None
        Largest distance of the typed graph from ONNX Runtime, as a share of the largest output.
    differing : float or None
        Share of stored codes that are not the model's, on random inputs; None of float models.
    cycles : int or None
        Of one image on the machine.
    refused : dict of str to int
        Reasons without their places, and how often each is given.
    """

    model: str
    nodes: int | None = None
    distance: float | None = None
    differing: float | None = None
    cycles: int | None = None
    refused: dict[str, int] = field(default_factory=dict)


def row_of(path: Path, size: Sequence[int] | None, machine: str) -> Row:
    """Read, run, quantize and lower a model, as far as it goes."""
    row = Row(path.name)
    try:
        _go(row, path, size, machine)
    except InputError as error:
        lines = str(error).split("\n  ")
        row.refused = dict(Counter(line.partition("' ")[2] or line for line in (lines[1:] or lines)).most_common())
    return row


def _go(row: Row, path: Path, size: Sequence[int] | None, machine: str) -> None:
    """Fill a row until something is refused."""
    model = load_onnx_model(path)
    row.nodes = len(model.graph.node)
    graph = graph_of_model(model, size)
    images = {one.name: torch.randn(IMAGES, *one.shape) for one in graph.inputs}
    if not any(isinstance(node.operator, Unknown) for node in graph.nodes):
        row.distance = _distance(path, graph, images) if _is_standard(model) else None
    if is_quantized(graph):
        _import(row, graph, machine)
        return
    normalise(graph)
    net = emit(graph)
    row.cycles = _cycles(net, images, machine)


def _import(row: Row, graph: Graph, machine: str) -> None:
    """Make the Program of a quantized model, with inputs of 8 bits where it says nothing of them."""
    arithmetic = replace(resolve_machine(machine).arithmetic, rounding="half_even")
    normalise_quantized(graph)
    described = dict.fromkeys(bare_inputs(graph), InputCodes(bitwright.Format(8, "signed"), INPUT_EXPONENT))
    imported = import_quantized(graph, arithmetic, described)
    found = imported.compare(random_inputs(imported, COMPARED, 0))
    row.differing = sum(each.differing for each in found) / max(1, sum(each.codes for each in found))
    row.cycles = bitwright.estimate(imported.lowered.program, machine).latency_cycles


def _is_standard(model: ModelProto) -> bool:
    """Return whether ONNX Runtime has all operators of a model."""
    return all(node.domain in ("", "ai.onnx", "com.microsoft") for node in model.graph.node)


def _distance(path: Path, graph: Graph, images: dict[str, torch.Tensor]) -> float:
    """Return how far the typed graph is from ONNX Runtime, batches of the size that the file may fix."""
    session = onnxruntime.InferenceSession(path)
    fixed = session.get_inputs()[0].shape[0]
    count = fixed if isinstance(fixed, int) else IMAGES
    given = {name: value[:count] for name, value in images.items()}
    wanted = session.run(None, {name: value.numpy() for name, value in given.items()})
    found = run(graph, given)
    return max(float(np.abs(found[name].numpy() - array).max() / max(np.abs(array).max(), 1e-30))
               for name, array in zip(graph.outputs, wanted, strict=True))


def _cycles(net: torch.nn.Module, images: dict[str, torch.Tensor], machine: str) -> int:
    """Return the cycles of a Program of 8 bits."""
    if len(images) != 1:
        raise InputError("several inputs are not quantized here")
    (data,) = images.values()
    quantized = bitwright.quantize(net, data, scheme="uniform", weight_bits=8, activation_bits=8,
                                   input_format=bitwright.Format(8, "signed"), input_exponent=INPUT_EXPONENT)
    return bitwright.estimate(bitwright.lower(quantized, data[:1], machine), machine).latency_cycles


def markdown(rows: Sequence[Row], machine: str) -> str:
    """Return the table."""
    lines = [f"| model | nodes | distance from ONNX Runtime | codes that differ | cycles on `{machine}` | why not |",
             "|---|---|---|---|---|---|"]
    for row in rows:
        why = "; ".join(f"{count} × {reason}" for reason, count in [*row.refused.items()][:SHOWN_REASONS])
        distance = "" if row.distance is None else f"{row.distance:.1e}"
        differing = "" if row.differing is None else f"{100 * row.differing:.3g} %"
        cycles = "" if row.cycles is None else f"{row.cycles:,}"
        nodes = "" if row.nodes is None else row.nodes
        lines.append(f"| {row.model} | {nodes} | {distance} | {differing} | {cycles} | {why} |")
    return "\n".join(lines)


def main() -> int:
    """Print the table, and write it as JSON if a file is named."""
    parser = argparse.ArgumentParser("interop", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", help="ONNX files, each with the shape of one image if it leaves it open")
    parser.add_argument("--machine", default="edge")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    rows = []
    for text in arguments.models:
        path, _, size = text.partition("=")
        message(f"{path}")
        rows.append(row_of(Path(path), tuple(map(int, size.split(","))) if size else None, arguments.machine))
    if arguments.out is not None:
        arguments.out.write_text(json.dumps({"machine": arguments.machine, "models": [asdict(row) for row in rows]},
                                            indent=1) + "\n")
    print(markdown(rows, arguments.machine))
    return 0


if __name__ == "__main__":
    sys.exit(main())
