"""Memories as data: their sizes follow from the machine."""

from sim.arch.machine import load_machine
from sim.hardware.memories import MEMORIES, memories


def test_memories_follow_from_the_parameters() -> None:
    """Accumulators have two banks per element, the reference row too; rows and requantizers have two slots."""
    found = memories(load_machine("tiny"))
    sizes = {name: (memory.words, memory.width_bits, memory.instances) for name, memory in found.items()}
    assert {name: sizes[name] for name in MEMORIES[:5]} == {
        "accumulators": (8, 24, 2 * (4 + 1) * 3), "activations": (256, 8, 6 * 3), "weights": (1024, 8, 4),
        "parameters": (4, 80, 4), "tables": (256, 16, 2 * 3)}
    assert tuple(found) == MEMORIES
    assert (found["weights"].capacity_kib, found["weights"].total_kib) == (1.0, 4.0)


def test_a_machine_without_tables_has_no_memory_for_them() -> None:
    """Its kind is there, with no words and no instance."""
    tables = memories(load_machine("tiny").model_copy(update={"table_bits": 0}))["tables"]
    assert (tables.words, tables.instances, tables.total_kib) == (0, 0, 0.0)
