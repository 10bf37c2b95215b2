"""Yosys is WebAssembly, whose run time keeps machine code: where it does is decided here."""

from __future__ import annotations

import os

from sim.io.build_cache import cache_directory

__all__ = ["wasm_environment"]


def wasm_environment() -> dict[str, str]:
    """Variables of a process that runs WebAssembly: its machine code lies in our cache.

    Left alone it would execute what lies in the home folder, whoever wrote it, and stop where that cannot be written.
    """
    folder = str(cache_directory("wasm"))
    return os.environ | {"XDG_CACHE_HOME": folder, "YOWASP_CACHE_DIR": folder}
