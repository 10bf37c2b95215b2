"""Models of others, one line each: `python -m benchmarks.interop MODEL.onnx[=3,224,224] ... [--out FILE]`.

For each file: how many nodes it has; if every operator is read, how far the typed graph is from ONNX Runtime on random
inputs; the cycles of its Program of 8 bits on a machine, fitted to random inputs; or why the chip cannot compute it.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import onnxruntime
import torch

import bitwright
from bitwright.cli.console import message
from quant.emit.emit import emit
from quant.frontends.onnx.convert import graph_of_model
from quant.frontends.onnx.read import load_onnx_model
from quant.graph.graph import Graph
from quant.graph.interpret import run
from quant.graph.ops.operator import Unknown
from quant.graph.passes.normalise import normalise
from sim.errors import InputError

__all__ = ["Row", "markdown", "row_of"]

IMAGES = 4
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
    cycles : int or None
        Of one image on the machine.
    refused : dict of str to int
        Reasons without their places, and how often each is given.
    """

    model: str
    nodes: int | None = None
    distance: float | None = None
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
        row.distance = _distance(path, graph, images)
    normalise(graph)
    net = emit(graph)
    row.cycles = _cycles(net, images, machine)


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
    lines = [f"| model | nodes | distance from ONNX Runtime | cycles on `{machine}` | why not |",
             "|---|---|---|---|---|"]
    for row in rows:
        why = "; ".join(f"{count} × {reason}" for reason, count in [*row.refused.items()][:SHOWN_REASONS])
        distance = "" if row.distance is None else f"{row.distance:.1e}"
        cycles = "" if row.cycles is None else f"{row.cycles:,}"
        lines.append(f"| {row.model} | {'' if row.nodes is None else row.nodes} | {distance} | {cycles} | {why} |")
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
