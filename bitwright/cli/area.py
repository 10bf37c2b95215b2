"""`bitwright area`: what a machine takes on a chip."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from bitwright.cli.console import Report, show
from bitwright.cli.options import AsJson, TechnologyName

if TYPE_CHECKING:
    from sim.arch.machine import Machine
    from sim.cost.area import AreaEstimate
    from sim.energy.band import Band

__all__ = ["area"]


def area(
    machine: Annotated[str, typer.Argument(help="A built-in machine (tiny, edge, large) or a YAML file.")],
    technology: TechnologyName = None,
    as_json: AsJson = False,
) -> None:
    """Report the area of every block and memory of a machine, in mm2 and gate equivalents, with its band."""
    from bitwright.cli.estimate_report import prices_line
    from bitwright.codesign.resolve import resolve_technology
    from sim.arch.machine import load_machine
    from sim.cost.area import area as area_of
    from sim.hardware.memories import memories

    target = load_machine(machine)
    priced = resolve_technology(technology, target)
    found = area_of(target, priced)
    report = Report({
        "machine": target.name, "technology": priced.name, "node_nm": priced.node_nm, "by_part_mm2": found.by_part,
        "logic_mm2": found.logic_mm2, "memory_mm2": found.memory_mm2, "total_mm2": found.total_mm2,
        "gate_um2": priced.gate_um2, "gate_equivalents": found.gate_equivalents(found.total_mm2),
        "memories": memories(target)})
    _add_blocks(report, found, target)
    _add_memories(report, found, target)
    report.lines.append(f"logic {_text(found.logic_mm2)}, memories {_text(found.memory_mm2)}, together "
                        f"{_text(found.total_mm2)} mm2 of cells and macros, neither placed nor routed")
    report.lines.append(prices_line(priced))
    show(report, as_json)


def _add_blocks(report: Report, found: AreaEstimate, machine: Machine) -> None:
    from sim.energy.parts import BLOCKS

    rows = []
    for name, block in BLOCKS.items():
        band = found.by_part[name]
        gates = found.gate_equivalents(band)
        rows.append([name, block.instances.of(machine), block.width.of(machine), *_cells(band, found),
                     "" if gates is None else round(gates.nominal / 1e3, 1)])
    report.table(f"blocks of machine '{machine.name}'",
                 ["", "instances", "width", "mm2", "low", "high", "%", "thousand gates"], rows)


def _add_memories(report: Report, found: AreaEstimate, machine: Machine) -> None:
    from sim.hardware.memories import memories

    report.table("its memories", ["", "instances", "words", "width", "ports", "KiB in all", "mm2", "low", "high", "%"],
                 [[name, memory.instances, memory.words, memory.width_bits, memory.ports, memory.total_kib,
                   *_cells(found.by_part[name], found)] for name, memory in memories(machine).items()])


def _cells(band: Band, found: AreaEstimate) -> list[float]:
    return [band.nominal, band.low, band.high, 100 * band.nominal / found.total_mm2.nominal]


def _text(band: Band) -> str:
    return f"{band.nominal:.3g} ({band.low:.3g} to {band.high:.3g})"
