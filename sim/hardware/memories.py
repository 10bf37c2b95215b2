"""The memories of a machine as data: the one list that energies, areas, events and the hardware's tests follow."""

from __future__ import annotations

from functools import lru_cache

from sim.arch.machine import Machine
from sim.arch.table_memory import TABLE_SLOTS, slot_words, table_word_bits
from sim.hardware.dimensions import Dimensions
from sim.hardware.fields import compute_fields, entry_bits, inward_fields, outward_fields
from sim.hardware.on_chip_memory import OnChipMemory

__all__ = ["MEMORIES", "memories"]

MEMORIES = ("accumulators", "activations", "weights", "parameters", "tables", "compute_table", "inward_table",
            "outward_table")
"""Names of the kinds of memories, which every machine has in this order."""


@lru_cache(maxsize=256)
def memories(machine: Machine) -> dict[str, OnChipMemory]:
    """Return the memories of a machine on the chip by kind.

    A level of its own, such as a buffer between the host's memory and the banks, is one more entry here and the events
    that read and write it in `sim.energy.events`: energy, leakage, area and reports follow.

    Examples
    --------
    >>> from sim.arch.machine import load_machine
    >>> memories(load_machine("edge"))["activations"].capacity_kib
    16.0
    """
    size = Dimensions(machine)
    rows, columns, lanes, most = machine.rows, machine.columns, machine.lanes, size.limits.max_ops
    table_words = TABLE_SLOTS * slot_words(machine)
    found = (
        OnChipMemory("two banks of each element, those of the reference row too", machine.acc_depth, machine.acc_bits,
                     2 * (rows + machine.bipolar) * columns),
        OnChipMemory("regions of each column's bank", machine.region_words, lanes, machine.act_regions * columns,
                     granule_bits=rows),
        OnChipMemory("two slots of each row", 2 * machine.weight_words, lanes, rows),
        OnChipMemory("requantizer's numbers of the channels of each row", size.parameter_slots, size.packet * lanes,
                     rows, granule_bits=lanes),
        OnChipMemory("two slots of each requantizer", table_words, table_word_bits(machine),
                     machine.requantizers * columns if table_words else 0),
        OnChipMemory("descriptors of Convs and Pools", most, entry_bits(compute_fields(size)), 1),
        OnChipMemory("descriptors of what the inward stream carries", size.inward_entries,
                     entry_bits(inward_fields(size)), 1),
        OnChipMemory("descriptors of Stores", size.outward_entries, entry_bits(outward_fields(size)), 1))
    return dict(zip(MEMORIES, found, strict=True))
