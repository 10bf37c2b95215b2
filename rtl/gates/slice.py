"""A machine small enough to simulate in gates, with the blocks of a larger one."""

from __future__ import annotations

from sim.arch.machine import Machine

__all__ = ["slice_of"]

ROWS, COLUMNS = 2, 1
MOST = {"act_regions": 24, "region_words": 2048, "weight_words": 1152}
"""Memories are macros, whose sizes only count in addresses."""


def slice_of(machine: Machine) -> Machine:
    """Return a machine of at most two rows and one column, with equal elements, operand registers and requantizers.

    >>> from sim.arch.machine import load_machine
    >>> small = slice_of(load_machine("edge"))
    >>> small.rows, small.columns, small.lanes, small.depthwise_lanes
    (2, 1, 64, 4)
    """
    rows = min(ROWS, machine.rows)
    numbers = machine.model_dump() | {
        "name": f"slice_of_{machine.name}"[:60], "rows": rows, "columns": min(COLUMNS, machine.columns),
        "requantizers": 1, "stream_bits": min(machine.stream_bits, machine.lanes),
        "depthwise_lanes": machine.depthwise_lanes // machine.rows * rows}
    return Machine.model_validate(numbers | {name: min(most, numbers[name]) for name, most in MOST.items()})
