"""`bitwright diff`: what differs between two Programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bitwright.cli.console import Report, show
from bitwright.cli.options import PROGRAM_HELP, AsJson
from bitwright.cli.parameter_types import program_argument

__all__ = ["diff"]


def diff(
    first: Annotated[Path, program_argument(PROGRAM_HELP)],
    second: Annotated[Path, program_argument("Another one.")],
    as_json: AsJson = False,
) -> None:
    """Compare two Programs: arithmetic, tensors, ops and every number in them; exit status 1 if they differ."""
    from bitwright.codesign.program_diff import program_differences
    from sim.ir.serialize import load_program

    found = program_differences(load_program(first), load_program(second))
    report = Report({"equal": not found, "differences": found})
    report.lines += [str(difference) for difference in found] or ["equal"]
    show(report, as_json)
    if found:
        raise typer.Exit(1)
