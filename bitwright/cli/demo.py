"""`bitwright demo`: the whole loop once, on handwritten digits."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bitwright.cli.console import show, steps
from bitwright.cli.options import MAX_COUNT, AsJson, MachineName, Seed
from bitwright.cli.origin import origin
from bitwright.cli.parameter_types import integer, path_option

__all__ = ["demo"]


def demo(
    out: Annotated[Path, path_option("Folder for the results.", "--out", "-o")] = Path("demo-out"),
    machine: MachineName = "tiny",
    images: Annotated[int, integer(1, MAX_COUNT, "Images to run on the RTL.", "--images", "-n")] = 1,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Train, quantize, lower, run and verify a real network on handwritten digits, under hard budgets."""
    import torch

    from bitwright.cli.demo_report import demo_report
    from bitwright.codesign.demo import STEPS
    from bitwright.codesign.demo import demo as run_demo
    from sim.arch.machine import load_machine

    torch.set_num_threads(1)
    with steps("demo", STEPS) as progress:
        summary = run_demo(out, load_machine(machine), images, seed, progress, origin())
    show(demo_report(summary, out), as_json)
    if not summary.ok:
        raise typer.Exit(1)
