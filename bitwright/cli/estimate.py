"""`bitwright estimate`: what a Program costs on a machine."""

from __future__ import annotations

from bitwright.cli.console import Report, show
from bitwright.cli.estimate_report import add_tables
from bitwright.cli.options import AsJson, MachineName, ProgramFile, TechnologyName

__all__ = ["estimate"]


def estimate(
    program: ProgramFile,
    machine: MachineName = "edge",
    technology: TechnologyName = None,
    as_json: AsJson = False,
) -> None:
    """Report cycles, what bounds them, energy and bytes of every layer of a Program on a machine."""
    from bitwright.codesign import costs
    from sim.arch.machine import load_machine
    from sim.ir.serialize import load_program

    target = load_machine(machine)
    cost = costs.estimate(load_program(program), target, technology=technology)
    report = Report({"machine": target.name, **vars(cost), "by_component": cost.energy.by_component,
                     "figures": cost.figures})
    add_tables(report, cost, target.name)
    show(report, as_json)
