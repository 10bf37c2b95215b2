"""What the environment tells Numba, and what must not depend on it. Numba itself is imported when it is needed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm

from sim.errors import InputError
from sim.io.plain_yaml import PlainYamlError, parse_plain
from sim.io.regular_file import read_text

__all__ = ["compiling", "cpu_features", "settings"]

VARIABLES = ("NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES", "NUMBA_ENABLE_AVX", "NUMBA_OPT", "NUMBA_LOOP_VECTORIZE",
             "NUMBA_SLP_VECTORIZE")
"""Machine code depends on them."""
TRIAL = """\
import sys
import llvmlite.binding as llvm
llvm.initialize_native_target()
llvm.initialize_native_asmprinter()
machine = llvm.Target.from_default_triple().create_target_machine(cpu=sys.argv[1], features=sys.argv[2])
machine.emit_object(llvm.parse_assembly("define i64 @f(i64 %a) { ret i64 %a }"))
"""
FILE = Path(".numba_config.yaml")
"""Numba's file of settings in the working folder; variables of the environment override it."""
MAX_FILE_BYTES = 1 << 16


def settings() -> str:
    """Return what Numba is told, as a text that names what machine code depends on.

    Raises
    ------
    InputError
        If it is told to compile for a CPU for which LLVM cannot.
    """
    _check(_told().get("NUMBA_CPU_NAME"), _told().get("NUMBA_CPU_FEATURES"))
    return "\n".join(f"{name}={value}" for name, value in sorted(_told().items()))


def cpu_features() -> frozenset[str]:
    """Return the instructions that Numba compiles for, by LLVM's names: the host's, unless it is told otherwise."""
    told = _told()
    found = {name for name, there in llvm.get_host_cpu_features().items() if there}
    wanted = told.get("NUMBA_CPU_FEATURES", "" if told.get("NUMBA_CPU_NAME", "").lower() == "generic" else None)
    if wanted is not None:
        found &= {name[1:] for name in wanted.split(",") if name.startswith("+")}
    elif told.get("NUMBA_ENABLE_AVX", "1") == "0":
        found = {name for name in found if not name.startswith("avx")}
    return frozenset(found)


@cache
def _check(name: str | None, features: str | None) -> None:
    """Let another process try, since LLVM ends the one that asks for what it cannot do."""
    if name is None and features is None:
        return
    tried = subprocess.run([sys.executable, "-c", TRIAL, name or llvm.get_host_cpu_name(), features or ""],
                           capture_output=True, text=True, check=False)
    if tried.returncode or tried.stderr:
        told = {"NUMBA_CPU_NAME": name, "NUMBA_CPU_FEATURES": features}
        text = " ".join(f"{variable}={value}" for variable, value in told.items() if value is not None)
        raise InputError(f"{text} is nothing that LLVM can compile for: {tried.stderr.strip().splitlines()[0]}")


def _told() -> dict[str, str]:
    """Return the VARIABLES that are set, as Numba reads them: by a file in the working folder or the environment."""
    told: dict[str, str] = {}
    if FILE.is_file():
        told = {f"NUMBA_{name.upper()}": str(value) for name, value in _written().items()}
    told |= os.environ
    return {name: told[name] for name in VARIABLES if name in told}


def _written() -> dict[str, Any]:
    """Return what the file in the working folder says; Numba itself would end in a traceback where it is no mapping."""
    try:
        written = parse_plain(read_text(FILE, "Numba's configuration", MAX_FILE_BYTES))
    except PlainYamlError as error:
        raise InputError(f"Numba's configuration {FILE.absolute()}: {error}") from None
    if not isinstance(written, dict | None):
        raise InputError(f"Numba's configuration {FILE.absolute()} must be a mapping of names to values")
    return written or {}


@contextmanager
def compiling() -> Iterator[None]:
    """Let Numba compile, though NUMBA_DISABLE_JIT may forbid it: loops of Python would overflow NumPy's integers.

    One thread at a time is here.
    """
    import numba
    from numba.core.compiler_lock import global_compiler_lock

    config: Any = numba.config
    with global_compiler_lock:
        forbidden, config.DISABLE_JIT = config.DISABLE_JIT, 0
        try:
            yield
        finally:
            config.DISABLE_JIT = forbidden
