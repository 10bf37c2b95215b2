"""`bitwright show`: what is in a Program."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from bitwright.cli import console
from bitwright.cli.options import AsJson, ProgramFile

if TYPE_CHECKING:
    from bitwright.codesign.program_table import OpRow
    from sim.ir.ops import Tensor

__all__ = ["show"]


def show(
    program: ProgramFile,
    graph: Annotated[Literal["dot", "mermaid"] | None, typer.Option(
        "--graph", help="Print the graph instead, as text for Graphviz or Mermaid.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show a Program: its ops with shapes, formats, windows, digits and multiplications, or its graph."""
    from bitwright.codesign.program_graph import graph_lines
    from bitwright.codesign.program_table import op_rows, program_data
    from sim.ir.serialize import load_program

    if graph is not None and as_json:
        raise typer.BadParameter("give --graph or --json, not both")
    loaded = load_program(program)
    data = program_data(loaded)
    report = console.Report(data)
    if graph is not None:
        report.lines += graph_lines(loaded, graph)
    else:
        report.table(f"ops of {program}", ["op", "kind", "reads", "writes", "shape", "formats", "weights", "window",
                                           "digits M+R", "MACs"], [_cells(row) for row in op_rows(loaded)])
        arithmetic = loaded.arithmetic
        report.lines.append(f"inputs {_names(loaded.inputs)}; outputs {_names(loaded.outputs)}")
        report.lines.append(
            f"{len(loaded.ops)} ops, {data['macs']:,} multiplications for one image, {data['weight_bits']:,} bits of "
            f"weights; accumulators of {arithmetic.acc_bits} bits{' that wrap' if arithmetic.wrap else ''}, window "
            f"{arithmetic.window}, {arithmetic.rounding}")
    console.show(report, as_json)


def _names(tensors: tuple[Tensor, ...]) -> str:
    return ", ".join(f"'{tensor.name}'" for tensor in tensors)


def _cells(row: OpRow) -> list[object]:
    digits = "" if row.digits is None else f"{row.digits}+{row.residual_digits}" if row.residual_digits else row.digits
    return [row.name, row.kind, ", ".join(row.inputs), row.output, " x ".join(map(str, row.shape)),
            f"{row.input_format} to {row.output_format}", row.weight_format or "", _window(row), str(digits), row.macs]


def _window(row: OpRow) -> str:
    """Write a window as `3 x 3 / 2, pads 1 1 1 1, dilation 2`, or the first row that a transfer moves."""
    from bitwright.codesign.program_table import steps_text

    if row.kernel is None or row.stride is None:
        return f"from row {row.first_row}" if row.first_row else ""
    texts = [f"{row.kernel[0]} x {row.kernel[1]} / {steps_text(row.stride)}"]
    texts += ["pads " + " ".join(map(str, row.pads))] if row.pads and any(row.pads) else []
    texts += [f"dilation {steps_text(row.dilation)}"] if row.dilation not in (None, (1, 1)) else []
    return ", ".join(texts)
