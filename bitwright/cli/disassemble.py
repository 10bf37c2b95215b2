"""`bitwright disassemble`: a program image, field by field."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from bitwright.cli.console import show
from bitwright.cli.options import AsJson, MachineName
from bitwright.cli.parameter_types import file_argument

__all__ = ["disassemble"]


def disassemble(
    image: Annotated[Path, file_argument("A program image, program.bin of 'assemble'.")],
    machine: MachineName = "edge",
    as_json: AsJson = False,
) -> None:
    """Show a program image: every op of every queue, by the names of its fields."""
    from bitwright.cli.image_report import image_report
    from rtl.encoding.geometry import Geometry
    from rtl.encoding.program_image import load_image
    from sim.arch.machine import load_machine

    target = load_machine(machine)
    geometry = Geometry(target)
    show(image_report(load_image(image, geometry), target.name, geometry), as_json)
