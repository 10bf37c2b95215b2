"""What identifies a machine's hardware: programs made for other hardware are refused by it."""

from __future__ import annotations

import json
from hashlib import sha256

from amaranth.lib import data

from rtl.encoding.geometry import Geometry
from sim.arch.machine import Machine

__all__ = ["NOT_HARDWARE", "hardware_json", "signature"]

NOT_HARDWARE = {"name", "clock_mhz", "technology", "memory"}
"""Fields of a machine that its hardware does not depend on."""


def hardware_json(machine: Machine) -> str:
    """Return the fields of a machine that its hardware depends on, as JSON: the same text for the same hardware."""
    return machine.model_dump_json(exclude=NOT_HARDWARE)


def signature(geometry: Geometry) -> int:
    """Return 32 bits of a hash over a machine's hardware fields and the layouts of its tables.

    >>> from sim.arch.machine import load_machine
    >>> fast = load_machine("tiny").model_copy(update={"clock_mhz": 900.0})
    >>> signature(Geometry(fast)) == signature(Geometry(load_machine("tiny")))
    True
    >>> signature(Geometry(load_machine("edge"))) == signature(Geometry(load_machine("tiny")))
    False
    """
    layouts = [_fields(layout) for layout in (geometry.descriptor, geometry.inward, geometry.outward)]
    text = hardware_json(geometry.machine) + json.dumps(layouts)
    return int.from_bytes(sha256(text.encode()).digest()[:4], "little")


def _fields(layout: data.StructLayout) -> list[tuple[str, int, int]]:
    return [(name, field.offset, field.width) for name, field in layout]
