"""`bitwright assemble`: a Program as the host of a board sends it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from bitwright.cli.console import Report, show
from bitwright.cli.options import AsJson, MachineName, ProgramFile
from bitwright.cli.output_guard import check_apart
from bitwright.cli.parameter_types import path_option

__all__ = ["assemble"]


def assemble(
    program: ProgramFile,
    out: Annotated[Path, path_option("Folder for the files.", "--out", "-o")],
    machine: MachineName = "edge",
    as_json: AsJson = False,
) -> None:
    """Write what a board's host sends to run a Program: image, stream and a list of what passes when."""
    from rtl.host.assembler import MANIFEST, PROGRAM, STREAM, write_assembly
    from sim.arch.machine import load_machine
    from sim.ir.serialize import load_program
    from sim.plan.plan import plan

    check_apart([out / name for name in (PROGRAM, STREAM, MANIFEST)], [program, machine])
    target = load_machine(machine)
    written = write_assembly(plan(load_program(program), target), out)
    report = Report({"machine": target.name, "files": [str(file) for file in written]})
    report.table(f"{program} for machine '{target.name}'", ["file", "bytes"],
                 [[str(file), file.stat().st_size] for file in written])
    show(report, as_json)
