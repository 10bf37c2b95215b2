"""The environment of the tools and simulators that run for us: nothing of the user's shell that could steer them.

cocotb, Python, pytest, Verilator, Icarus Verilog and compilers all read variables that a shell may hold for other work.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from importlib.machinery import PathFinder
from pathlib import Path

from cocotb_tools.config import base_cocotb_dir
from find_libpython import find_libpython

__all__ = ["bench_environment", "tool_environment"]

KEPT = frozenset({"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR", "TEMP", "TMP",
                  "LD_LIBRARY_PATH", "PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX"})
KEPT_BEGINNINGS = ("LC_", "XDG_", "NIX_", "CONDA_")
"""Where things are and in which language they speak; all else is dropped."""


def tool_environment() -> dict[str, str]:
    """Return the variables of the user's environment that a tool may see."""
    return {name: value for name, value in os.environ.items() if name in KEPT or name.startswith(KEPT_BEGINNINGS)}


def bench_environment(top: str, bench: str, results: Path, extra: Mapping[str, str]) -> dict[str, str]:
    """Return the environment in which a simulator runs the cocotb module `bench` with this Python.

    Parameters
    ----------
    top : str
        Top module of the hardware.
    bench : str
        Name of the module.
    results : Path
        Where cocotb writes its JUnit report.
    extra : mapping of str to str
        For the bench.

    Raises
    ------
    RuntimeError
        If this Python has no shared library.
    """
    library = find_libpython()
    if library is None:
        raise RuntimeError("no shared library of Python was found")
    return {
        **tool_environment(),
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "PYGPI_PYTHON_BIN": sys.executable,
        "GPI_USERS": f"{library};{_extension()},initialize",
        "TOPLEVEL_LANG": "verilog",
        "COCOTB_TOPLEVEL": top,
        "COCOTB_TEST_MODULES": bench,
        "COCOTB_RESULTS_FILE": str(results),
        "COCOTB_TRUST_INERTIAL_WRITES": "1",
        "COCOTB_ANSI_OUTPUT": "0",
        "COCOTB_RANDOM_SEED": "1",
        "COCOTB_REWRITE_ASSERTION_FILES": "*_bench.py",
        **extra,
    }


def _extension() -> str:
    """cocotb's half of a simulator that speaks Python; found without importing cocotb, which reads the environment."""
    found = PathFinder.find_spec("simulator", [str(base_cocotb_dir)])
    if found is None or found.origin is None:
        raise RuntimeError("cocotb has no module simulator")
    return found.origin
