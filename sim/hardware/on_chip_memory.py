"""`OnChipMemory`: a kind of memory, of which a machine has one or many."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["OnChipMemory"]


@dataclass(frozen=True)
class OnChipMemory:
    """A kind of memory on a chip.

    Parameters
    ----------
    holds : str
        What it holds, for readers.
    words : int
        Words of one instance.
    width_bits : int
        Width of a word [bits].
    instances : int
        How many of them the machine has, each with an address of its own.
    granule_bits : int or None
        What a write may leave unchanged or not [bits]; None: the whole word.
    ports : int
        1: it is read or written in a cycle; 2: it may be read and written in the same one.

    Examples
    --------
    >>> OnChipMemory("words", words=256, width_bits=32, instances=4).capacity_kib
    1.0
    """

    holds: str
    words: int
    width_bits: int
    instances: int
    granule_bits: int | None = None
    ports: int = 2

    @property
    def bits(self) -> int:
        """Capacity of one instance [bits]."""
        return self.words * self.width_bits

    @property
    def capacity_kib(self) -> float:
        """Capacity of one instance [KiB]."""
        return self.bits / 8192

    @property
    def total_kib(self) -> float:
        """Capacity of all instances [KiB]."""
        return self.instances * self.capacity_kib
