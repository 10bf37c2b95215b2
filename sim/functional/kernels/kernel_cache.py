"""Compile kernels when they are first asked for, keep them in the user's cache, and load them from there.

What lies in the cache is under a key of everything that it was made from: the text of every file of this package, the
versions of Numba and llvmlite, the CPU and what it can do. So only code of the files as they are now ever runs;
what is compiled while files are being edited is not kept.
Loading needs llvmlite alone; Numba is imported when there is something to compile.
"""

from __future__ import annotations

import hashlib
import importlib
import os
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from threading import Lock
from typing import Any

import llvmlite.binding as llvm

from sim.functional.kernels.isa import LADDER
from sim.functional.kernels.kernel_id import KernelId
from sim.functional.kernels.source_digest import AT_IMPORT, digest
from sim.io.cache_entries import Entries, open_entries
from sim.jit.numba_settings import compiling, settings

__all__ = ["Kernel", "Library", "cache_key", "compiled", "kernel_ids", "library"]

FAMILIES = ("executor", "copy", "requantizer", "gemm_conv", "fused_conv", "amx_conv", "int4_linear", "bitplane_conv",
            "winograd", "depthwise", "max_pool")
"""Modules of this package: each has a table KERNELS, and NEEDS with the rungs of those that not every CPU can run."""
_ONE_AT_A_TIME = Lock()


def cache_key() -> str:
    """Return a digest of everything that the machine code of this process depends on."""
    features = llvm.get_host_cpu_features()
    parts = (AT_IMPORT, version("numba"), version("llvmlite"), llvm.get_host_cpu_name(),
             ",".join(sorted(name for name, there in features.items() if there)), settings())
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]


@dataclass(frozen=True)
class Kernel:
    """Compiled code: `address` of a function of 64-bit integers, after two places for a result and an exception."""

    address: int
    compiled: bool
    """Whether it had to be compiled, rather than loaded."""


class Library:
    """The kernels of this process.

    Parameters
    ----------
    entries : Entries
        Where machine code is kept.
    """

    def __init__(self, entries: Entries) -> None:
        self._entries = entries
        self._addresses: dict[KernelId, int] = {}
        self._engines: list[Any] = []
        self.lock = Lock()

    @property
    def folder(self) -> Path | None:
        """Return where machine code is kept, None if nowhere."""
        return self._entries.folder

    def address(self, kernel: KernelId) -> int:
        """Return the address of a kernel."""
        return self.kernel(kernel).address

    def kernel(self, kernel: KernelId) -> Kernel:
        """Return a kernel, and whether it was compiled for this call."""
        with self.lock:
            if kernel in self._addresses:
                return Kernel(self._addresses[kernel], compiled=False)
            found = self._get(kernel)
            self._addresses[kernel] = found.address
            return found

    def _get(self, kernel: KernelId) -> Kernel:
        kept = self._entries.read(str(kernel))
        if kept is not None:
            known, _, code = kept.partition(b"\n")
            return Kernel(self._load(known.decode(), code), compiled=False)
        symbol, code = _compile(kernel)
        if digest() == AT_IMPORT:
            self._entries.write(str(kernel), symbol.encode() + b"\n" + code)
        return Kernel(self._load(symbol, code), compiled=True)

    def _load(self, symbol: str, code: bytes) -> int:
        """Return the address of the entry.

        Every object has its own engine, since Numba's names are unique in one process alone.
        """
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        machine = llvm.Target.from_default_triple().create_target_machine(jit=True)
        engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
        engine.add_object_file(llvm.object_file.ObjectFileRef.from_data(code))
        engine.finalize_object()
        self._engines.append(engine)
        return int(engine.get_function_address(symbol))


def kernel_ids(isa: str) -> list[KernelId]:
    """Return every kernel that the rung `isa` and those below it can run; this imports Numba."""
    kernels = []
    for family in FAMILIES:
        with compiling():
            module = importlib.import_module(f"sim.functional.kernels.{family}")
        needs: dict[KernelId, str] = getattr(module, "NEEDS", {})
        kernels += [kernel for kernel in module.KERNELS
                    if LADDER.index(needs.get(kernel, LADDER[0])) <= LADDER.index(isa)]
    return kernels


def library() -> Library:
    """Return the kernels, kept in the user's cache; a warning says so where no cache can be used."""
    with _ONE_AT_A_TIME:
        return _library()


@cache
def _library() -> Library:
    """Return the same one for ever: networks have addresses of its machine code, which goes when it goes."""
    kernels = Library(open_entries("kernels", cache_key()))
    # A process is not forked while a kernel is compiled: in the child nobody would ever be done with it.
    os.register_at_fork(before=kernels.lock.acquire, after_in_parent=kernels.lock.release,
                        after_in_child=kernels.lock.release)
    return kernels


def compiled(kernel: KernelId) -> Any:
    """Return what Numba makes of a kernel, without the wrappers that would call Python."""
    from numba.core import compiler, types  # half a second, which a full cache saves
    from numba.core.registry import cpu_target

    with compiling():
        function = importlib.import_module(f"sim.functional.kernels.{kernel.family}").KERNELS[kernel]()
        flags: Any = compiler.Flags()
        flags.no_cpython_wrapper = flags.no_cfunc_wrapper = True
        flags.error_model = "numpy"
        arguments = (types.int64,) * function.__code__.co_argcount
        return compiler.compile_extra(cpu_target.typing_context, cpu_target.target_context, function, arguments,
                                      types.none, flags, {})


def _compile(kernel: KernelId) -> tuple[str, bytes]:
    """Return the name of the entry, and the object file that defines it."""
    result = compiled(kernel)
    return result.fndesc.llvm_func_name, result.library._get_compiled_object()
