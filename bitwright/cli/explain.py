"""`bitwright explain`: one code of a tensor."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from bitwright.cli.console import Report, show
from bitwright.cli.options import MAX_COUNT, AsJson, InputFile, MachineName, ProgramFile, Seed
from bitwright.cli.parameter_types import integer
from sim.errors import InputError
from sim.io.bounds import shown

__all__ = ["explain"]

PLACE = re.compile(r"(\d{1,8}),(\d{1,8}),(\d{1,8})")


def explain(
    program: ProgramFile,
    tensor: Annotated[str, typer.Option("--tensor", "-t", help="A tensor by its name.")],
    at: Annotated[str, typer.Option("--at", metavar="CHANNEL,Y,X", help="A code of it.")],
    image: Annotated[int, integer(0, MAX_COUNT, "Number of the image.", "--image")] = 0,
    machine: MachineName = "tiny",
    input_file: InputFile = None,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Explain a code: its operands, every step of the requantizer, and where and when the machine makes it."""
    from bitwright.cli.parse_inputs import input_codes
    from bitwright.codesign.explain import explain as explain_one
    from bitwright.divergence.explanation_text import explanation_lines, tap_rows
    from sim.ir.serialize import load_program

    found = PLACE.fullmatch(at)
    if found is None:
        raise InputError(f"--at is CHANNEL,Y,X such as 0,3,5, not '{shown(at)}'")
    channel, y, x = map(int, found.groups())
    loaded = load_program(program)
    inputs = input_codes(loaded, input_file, image + 1, seed, program)
    code = explain_one(loaded, machine, inputs, tensor, image=image, channel=channel, y=y, x=x)
    report = Report(vars(code))
    if code.taps:
        report.table("operands", ["tap", "channel", "pixel", "code", "weight", "product"], tap_rows(code.taps))
    report.lines += list(explanation_lines(code))
    show(report, as_json)
