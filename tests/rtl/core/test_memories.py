"""The memories of the hardware are those that the machine's list has."""

from collections import Counter
from collections.abc import Iterator

from amaranth.hdl import Fragment, Instance

from rtl.core.accelerator import Accelerator
from rtl.encoding.geometry import Geometry
from sim.arch.machine import load_machine
from sim.hardware.memories import memories


def _macros(fragment: Fragment) -> Iterator[tuple[int, int, int]]:
    """Yield words, width and granule of every memory macro."""
    if isinstance(fragment, Instance) and fragment.type == "bitwright_ram":
        named = fragment.parameters
        yield named["DEPTH"], named["WIDTH"], named["GRANULE"]
    for inner, *_ in fragment.subfragments:
        yield from _macros(inner)


def test_the_hardware_has_the_memories_of_the_list() -> None:
    """Every macro of the accelerator is an instance of a kind in the list, and the other way around."""
    tiny = load_machine("tiny")
    listed = Counter[tuple[int, int, int]]()
    for memory in memories(tiny).values():
        listed[memory.words, memory.width_bits, memory.granule_bits or memory.width_bits] += memory.instances
    assert Counter(_macros(Fragment.get(Accelerator(Geometry(tiny)), None))) == listed
