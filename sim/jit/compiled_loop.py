"""How the numeric loops of `sim` are compiled: once, kept in the user's cache, without holding the GIL.

What is kept is found by the text of the function's file alone, beside versions and CPU. So no compiled function calls
one of another file: an edit there would leave old machine code in the caller's.
"""

from __future__ import annotations

import hashlib
import inspect
import pickle
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

import llvmlite
import numba
from numba.core import compiler, serialize
from numba.core.caching import NullCache

from sim.io.cache_entries import Entries, open_entries
from sim.jit.numba_settings import compiling, settings

__all__ = ["compiled"]

P = ParamSpec("P")
T = TypeVar("T")
RESULT: Any = compiler.CompileResult
DUMPS: Any = serialize.dumps
"""Numba's; it has no types."""
KEY_DIGITS = 24


def compiled(function: Callable[P, T]) -> Callable[P, T]:
    """Compile `function` to machine code at its first call."""
    with compiling():
        dispatcher: Any = numba.njit(nogil=True)(function)
    dispatcher._cache = _Kept(function)
    compile_it = dispatcher.compile

    def compile_here(signature: Any) -> Any:
        with compiling():
            return compile_it(signature)

    dispatcher.compile = compile_here
    return cast("Callable[P, T]", dispatcher)


class _Kept(NullCache):
    """What Numba asks before it compiles a function: its own cache trusts folders that others can write."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._name, self._file = function.__name__, Path(inspect.getfile(function))

    def load_overload(self, signature: Any, target: Any) -> Any:
        kept = _entries(self._file).read(self._entry(signature, target.codegen()))
        if kept is None:
            return None
        target.refresh()
        return RESULT._rebuild(target, *pickle.loads(kept))

    def save_overload(self, signature: Any, result: Any) -> None:
        _entries(self._file).write(self._entry(signature, result.codegen), DUMPS(result._reduce()))

    def _entry(self, signature: Any, codegen: Any) -> str:
        return f"{self._name}-{_hash(str(signature), str(codegen.magic_tuple()))}"


@cache
def _entries(file: Path) -> Entries:
    key = _hash(file.read_text(), numba.__version__, llvmlite.__version__, sys.version, settings())
    return open_entries("loops", key)


def _hash(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:KEY_DIGITS]
