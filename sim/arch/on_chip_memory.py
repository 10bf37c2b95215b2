"""`OnChipMemory`: the size of a memory that a machine has many of."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["OnChipMemory"]


@dataclass(frozen=True)
class OnChipMemory:
    """A kind of memory on a chip.

    Parameters
    ----------
    words : int
        Words of one instance.
    width_bits : int
        Width of a word [bits].
    instances : int
        How many of them the machine has.

    Examples
    --------
    >>> OnChipMemory(words=256, width_bits=32, instances=4).capacity_kib
    1.0
    """

    words: int
    width_bits: int
    instances: int

    @property
    def bits(self) -> int:
        """Capacity of one instance [bits]."""
        return self.words * self.width_bits

    @property
    def capacity_kib(self) -> float:
        """Capacity of one instance [KiB]."""
        return self.bits / 8192
