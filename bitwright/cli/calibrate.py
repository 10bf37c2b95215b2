"""`bitwright calibrate`: a technology file from a cell library."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bitwright.cli.console import Report, show, steps
from bitwright.cli.options import AsJson, MachineName
from bitwright.cli.output_guard import check_apart
from bitwright.cli.parameter_types import path_option, positive

__all__ = ["calibrate"]


def calibrate(
    liberty: Annotated[list[Path], path_option(
        "Liberty file of cells, *.lib or *.lib.gz; repeat it if the library comes in several.", "--liberty", "-l")],
    out: Annotated[Path, path_option("Technology file to write, *.yaml.", "--out", "-o")],
    node_nm: Annotated[float, positive(1e4, "Node of the process [nm], which no Liberty file says.", "--node-nm")],
    sram: Annotated[list[Path] | None, path_option(
        "Liberty file of a memory macro; repeat it: a law needs four or more.", "--sram")] = None,
    clock_gate: Annotated[str | None, typer.Option(
        "--clock-gate", metavar="CELL",
        help="Cell that stops clocks; default: none, registers get multiplexers.")] = None,
    machine: MachineName = "edge",
    base: Annotated[str, typer.Option(
        "--base", help="Technology for the host's memory and for what is not measured.")] = "generic45",
    name: Annotated[str | None, typer.Option(
        "--name", help="Name of the technology; default: that of the file.")] = None,
    as_json: AsJson = False,
) -> None:
    """Measure energies, areas and delays of a machine's own gates in a cell library, and write a technology file."""
    from bitwright.codesign.calibration import calibrate_technology
    from rtl.gates.calibration import BITS, SEEDS
    from sim.arch.machine import load_machine

    check_apart([out], [*liberty, *(sram or []), machine, base])
    target = load_machine(machine)
    with steps("calibrating", 3 + len(BITS) * len(SEEDS)) as progress:
        found, technology = calibrate_technology(
            target, liberty, sram or [], clock_gate, base, name or out.stem, node_nm, out, progress.done)
    blocks = {key: vars(block) for key, block in found.blocks.items()}
    report = Report({"technology": str(out), "name": technology.name, "netlist": found.netlist_hash,
                     "provenance": found.provenance, "settled_ps": found.settled_ps, "blocks": blocks,
                     "prices_pj": {event: {"energy": price.energy, "low": price.energy_lo, "high": price.energy_hi,
                                           "basis": price.basis} for event, price in technology.prices.items()}})
    report.table(f"energy of events, {technology.name}", ["event", "pJ", "low", "high", "basis"],
                 [[event, price.energy, price.energy_lo, price.energy_hi, price.basis]
                  for event, price in technology.prices.items()])
    gate = found.library.gate_area
    report.table(f"blocks of {found.slice.name}",
                 ["block", "cells", "flip-flops", "um2", "gates", "longest path [ns]", "from"],
                 [[key, block.cells, block.flip_flops, block.area_um2, round(block.area_um2 / gate),
                   block.longest_ps / 1e3, block.path] for key, block in found.blocks.items()])
    report.lines.append(found.provenance)
    show(report, as_json)
