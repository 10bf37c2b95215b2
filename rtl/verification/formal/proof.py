"""What a proof is, and faults on purpose that it must find."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from unittest.mock import patch

from amaranth.hdl import Cat, Fragment

import rtl
from rtl.verification.formal.harness import Harness, check
from rtl.verification.formal.prove import Refuted, Result, prove

__all__ = ["Fault", "Proof", "hardware_module"]

RTL = Path(str(rtl.__file__)).parent
HARDWARE = ("encoding", "core", "shell")
BELOW = "some quantity is below its upper end"


@dataclass(frozen=True)
class Fault:
    """A fault of the hardware: in its module of that name the text `old` becomes `new`."""

    module: str
    old: str
    new: str


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
        """Whether among the states that the proof looks at is one with all these quantities at their upper ends."""
        harness = self.harness()
        check(harness, ~Cat(value == most for value, most in harness.upper_ends.values()).all(), BELOW)
        try:
            prove(harness, self.depth, induction=self.induction, memories=self.memories)
        except Refuted as refuted:
            return BELOW in str(refuted).splitlines()[0]
        return False


def hardware_module(name: str) -> ModuleType:
    """Import the module of the hardware that has this name, in whichever folder it lies."""
    (path,) = (path for folder in HARDWARE for path in (RTL / folder).rglob(f"{name}.py"))
    return import_module(".".join(("rtl", *path.relative_to(RTL).with_suffix("").parts)))


@contextmanager
def planted(fault: Fault) -> Iterator[None]:
    """Let all modules of the hardware use the faulty module instead of the original.

    Raises
    ------
    ValueError
        If the text to be replaced does not occur exactly once.
    """
    original = hardware_module(fault.module)
    source = Path(str(original.__file__)).read_text()
    if source.count(fault.old) != 1:
        raise ValueError(f"'{fault.old}' occurs {source.count(fault.old)} times in {original.__name__}, not once")
    faulty = ModuleType(original.__name__)
    exec(compile(source.replace(fault.old, fault.new), str(original.__file__), "exec"), faulty.__dict__)
    with ExitStack() as patches:
        for user in [module for name, module in sys.modules.items() if name.startswith("rtl.")]:
            for name, value in vars(user).copy().items():
                if getattr(value, "__module__", None) == original.__name__ and hasattr(faulty, name):
                    patches.enter_context(patch.object(user, name, getattr(faulty, name)))
        yield
