"""`bitwright export`: a Program as an ONNX model."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Literal

import typer

from bitwright.cli.console import Report, show
from bitwright.cli.options import AsJson, ProgramFile
from bitwright.cli.output_guard import check_apart
from bitwright.cli.parameter_types import file_argument, path_option

__all__ = ["export"]


def export(
    program: ProgramFile,
    exported: Annotated[Path, file_argument("The ONNX model to write, *.onnx.")],
    dialect: Annotated[Literal["onnx", "qonnx"], typer.Option(
        help="onnx: integers and standard operators; qonnx: floats with Quant and BipolarQuant.")] = "onnx",
    tensors: Annotated[bool, typer.Option(
        "--tensors", help="Make every tensor an output, not only the outputs of the Program.")] = False,
    scales: Annotated[Path | None, path_option(
        "JSON with the scales of tensors, such as the summary.json of quantize, for the metadata.", "--scales")] = None,
    as_json: AsJson = False,
) -> None:
    """Write a Program as an ONNX model whose tensors hold the same codes."""
    from bitwright.codesign.export import export_onnx
    from bitwright.codesign.scales import load_scales
    from bitwright.interop.onnx_types import described
    from sim.ir.serialize import load_program

    check_apart([exported], [program, scales])
    loaded = load_program(program)
    meanings = None if scales is None else load_scales(scales)
    made = export_onnx(loaded, exported, dialect=dialect, tensors=tensors, scales=meanings)
    kinds = dict(sorted(Counter(node.op_type for node in made.graph.node).items()))
    values = [{"role": role, **described(value), "format": str(loaded.tensor(value.name).format)}
              for role, of in (("input", made.graph.input), ("output", made.graph.output)) for value in of]
    report = Report({"dialect": dialect, "file": str(exported), "bytes": exported.stat().st_size, "nodes": kinds,
                     "values": values})
    report.table(f"{exported}, {exported.stat().st_size:,} bytes", ["role", "tensor", "type", "shape", "format"],
                 [[row["role"], row["name"], row["type"], " x ".join(map(str, row["shape"])), row["format"]]
                  for row in values])
    counted = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
    report.lines.append(f"{sum(kinds.values())} nodes: {counted}")
    show(report, as_json)
