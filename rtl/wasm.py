"""Yosys is WebAssembly, whose run time keeps machine code: where it does is decided here."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from tempfile import TemporaryDirectory

from sim.cache import cache_directory
from sim.errors import InputError

__all__ = ["wasm_environment"]


@contextmanager
def wasm_environment() -> Iterator[dict[str, str]]:
    """Variables of a process that runs WebAssembly: its machine code lies in our cache, else in no one's.

    Left alone it would execute what lies in the home folder, whoever wrote it, and stop where that cannot be written.
    """
    with ExitStack() as until_the_end:
        try:
            folder = str(cache_directory("wasm"))
        except InputError:
            folder = until_the_end.enter_context(TemporaryDirectory(prefix="bitwright-wasm-"))
        yield os.environ | {"XDG_CACHE_HOME": folder, "YOWASP_CACHE_DIR": folder}
