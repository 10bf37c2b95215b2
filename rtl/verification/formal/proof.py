"""A proof about the hardware, and the faults that refute it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

from amaranth.hdl import Cat, Fragment

from rtl.verification.fault import Fault, planted
from rtl.verification.formal.harness import Harness, check
from rtl.verification.formal.prove import Refuted, Result, prove

__all__ = ["Proof"]

BELOW = "some quantity is below its upper end"


@dataclass(frozen=True)
class Proof:
    """A claim about the hardware, and how it is proved.

    Attributes
    ----------
    name : str
    sizes : str
        What was bounded or fixed; everything else is arbitrary.
    harness : function without arguments
        A fresh harness; its docstring, or that of the function it calls, is the claim.
    depth, induction, memories
        See `rtl.verification.formal.prove.prove`.
    faults : tuple of Fault
        Each of them alone refutes the proof.
    nightly : bool
        Takes too long for every change.
    """

    name: str
    sizes: str
    harness: Callable[[], Harness]
    depth: int
    faults: tuple[Fault, ...]
    induction: int = 0
    memories: bool = False
    nightly: bool = False

    def run(self, fault: Fault | None = None) -> Result:
        """Prove the claims, with a fault planted in the hardware or without; raise `Refuted` if they do not hold."""
        with planted(fault) if fault else ExitStack():
            harness = self.harness()
            return prove(harness, self.depth, induction=self.induction, memories=self.memories)

    @property
    def upper_ends(self) -> dict[str, int]:
        """Quantities that the proof is about up to their largest legal values."""
        harness = self.harness()
        Fragment.get(harness, None)
        return {name: most for name, (_, most) in harness.upper_ends.items()}

    def reaches_upper_ends(self) -> bool:
        """Tell whether the proof covers a state with all these quantities at their upper ends."""
        harness = self.harness()
        check(harness, ~Cat(value == most for value, most in harness.upper_ends.values()).all(), BELOW)
        try:
            prove(harness, self.depth, induction=self.induction, memories=self.memories)
        except Refuted as refuted:
            return BELOW in str(refuted).splitlines()[0]
        return False
