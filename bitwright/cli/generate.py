"""`bitwright generate`: the accelerator as Verilog."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from bitwright.cli.console import Report, message, show
from bitwright.cli.options import AsJson, MachineName
from bitwright.cli.parameter_types import path_option

__all__ = ["generate"]


def generate(
    out: Annotated[Path, path_option("Folder for the Verilog.", "--out", "-o")],
    machine: MachineName = "edge",
    board: Annotated[Literal["ulx3s"] | None, typer.Option(
        "--board", help="Also write what makes a bitstream for this board by open tools, which fits `tiny`.")] = None,
    as_json: AsJson = False,
) -> None:
    """Write the accelerator as Verilog."""
    from rtl.board.export import BOARDS, write_board
    from rtl.verilog import export
    from sim.arch.machine import load_machine

    target = load_machine(machine)
    warning = export.size_warning(target)
    if warning is not None:
        message(warning)
    written = export.generate(target, out)
    if board is not None:
        written += write_board(target, BOARDS[board], out)
    report = Report({"machine": target.name, "files": [str(path) for path in written]})
    report.table(f"Verilog of machine '{target.name}'", ["file", "bytes"],
                 [[str(path), path.stat().st_size] for path in written])
    show(report, as_json)
