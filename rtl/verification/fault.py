"""Faults planted in the hardware on purpose, which proofs and tests must find."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from unittest.mock import patch

import rtl

__all__ = ["Fault", "hardware_module", "planted"]

ROOT = Path(str(rtl.__file__)).parents[1]
HARDWARE = ("rtl/encoding", "rtl/core", "rtl/shell", "sim/hardware")


@dataclass(frozen=True)
class Fault:
    """A fault of the hardware: in the source of one module, the code `old` becomes `new`.

    Attributes
    ----------
    module : str
        Name of the module without its folders.
    old : str
        Code that occurs exactly once in the module; spaces, line breaks and trailing commas make no difference.
    new : str
    """

    module: str
    old: str
    new: str

    def changed(self, source: str) -> str:
        """Return `source` with the fault in it.

        Raises
        ------
        ValueError
            If the code to be replaced does not occur exactly once.
        """
        changed, count = re.subn(_pattern(self.old), lambda _: self.new, source)
        if count != 1:
            raise ValueError(f"'{self.old}' occurs {count} times in {self.module}, not once")
        return changed


def hardware_module(name: str) -> ModuleType:
    """Import the module of the hardware that has this name, in whichever folder it lies."""
    (path,) = (path for folder in HARDWARE for path in (ROOT / folder).rglob(f"{name}.py"))
    return import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))


@contextmanager
def planted(fault: Fault) -> Iterator[None]:
    """Let all modules of the hardware use the faulty module instead of the original.

    Raises
    ------
    ValueError
        If the code to be replaced does not occur exactly once in the module.
    """
    original = hardware_module(fault.module)
    file = Path(str(original.__file__))
    faulty = ModuleType(original.__name__)
    exec(compile(fault.changed(file.read_text()), str(file), "exec"), faulty.__dict__)
    with ExitStack() as patches:
        for user in [module for name, module in sys.modules.items() if name.startswith("rtl.")]:
            for name, value in vars(user).copy().items():
                if getattr(value, "__module__", None) == original.__name__ and hasattr(faulty, name):
                    patches.enter_context(patch.object(user, name, getattr(faulty, name)))
        yield


def _pattern(code: str) -> str:
    """Return a pattern that finds `code` however its lines are broken, but no part of a longer name."""
    tokens = re.findall(r"\w+|[^\w\s]", code)
    return r"\s*".join(_token(token) for token in tokens)


def _token(token: str) -> str:
    if token.isidentifier() or token.isdigit():
        return rf"\b{token}\b"
    return rf",?\s*\{token}" if token in ")]}" else re.escape(token)
