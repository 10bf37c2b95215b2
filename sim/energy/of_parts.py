"""Numbers of the parts of a machine, scaled to it and counted as often as it has them."""

from __future__ import annotations

from collections.abc import Mapping

from sim.arch.machine import Machine
from sim.energy.band import Band
from sim.energy.parts import BLOCKS
from sim.energy.rows import Area, Leakage
from sim.energy.technology import Technology
from sim.hardware.memories import memories

__all__ = ["areas_um2", "leakages_uw"]


def areas_um2(machine: Machine, technology: Technology) -> dict[str, Band]:
    """Return the areas of the parts of a machine [um2], all instances of each together.

    Raises
    ------
    InputError
        If the technology has no areas.
    """
    second_ports = {name: row.second_port for name, row in technology.areas.items()
                    if name not in BLOCKS and memories(machine)[name].ports == 2}
    return {name: band.times(second_ports.get(name, 1.0))
            for name, band in _of_parts(technology.areas, machine).items()}


def leakages_uw(machine: Machine, technology: Technology) -> dict[str, Band]:
    """Return what the parts of a machine leak [uW], all instances of each together; empty if leakage has no rows."""
    return _of_parts(technology.leakages, machine)


def _of_parts(rows: Mapping[str, Area] | Mapping[str, Leakage], machine: Machine) -> dict[str, Band]:
    """Return the numbers of all instances of each part."""
    found = {}
    for name, row in rows.items():
        if name in BLOCKS:
            width, kib, instances = BLOCKS[name].width.of(machine), None, BLOCKS[name].instances.of(machine)
        else:
            memory = memories(machine)[name]
            width, kib, instances = memory.width_bits, memory.capacity_kib, memory.instances
        found[name] = row.at_machine(width, kib, machine.clock_mhz).times(instances)
    return found
