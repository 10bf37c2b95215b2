"""Small files of a cache: each whole and this user's own, or as good as not there."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

from sim.errors import InputError
from sim.io.build_cache import cache_directory, locked, prune, warn_once
from sim.io.trust import doubt, read_own

__all__ = ["Entries", "open_entries"]

MOST_BYTES = 1 << 26
"""Largest entry [bytes]; the largest kernel takes 200 kB."""
WRITING = ".writing-"
"""Files that are not complete."""


class Entries:
    """Machine code that was compiled before, by name.

    Parameters
    ----------
    folder : Path or None
        Where it is kept, made when something is; None keeps nothing.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        try:
            if folder is not None and any(folder.glob(f"{WRITING}*")):
                with locked(folder):
                    _sweep(folder)
        except OSError as error:
            self._give_up(error)

    def read(self, name: str) -> bytes | None:
        """Return what was kept; None for nothing, for what another user may have written, and for what is not whole."""
        data = None if self.folder is None else read_own(self.folder / name, MOST_BYTES)
        if data is None:
            return None
        digest, _, content = data.partition(b"\n")
        return content if hashlib.sha256(content).hexdigest().encode() == digest else None

    def write(self, name: str, content: bytes) -> None:
        """Keep it; where that fails, a warning says so and nothing is kept any more."""
        if self.folder is None:
            return
        try:
            with locked(self.folder):
                self.folder.mkdir(mode=0o700, exist_ok=True)
                try:
                    with tempfile.NamedTemporaryFile(dir=self.folder, prefix=WRITING, delete=False) as file:
                        file.write(hashlib.sha256(content).hexdigest().encode() + b"\n" + content)
                    os.replace(file.name, self.folder / name)
                finally:
                    _sweep(self.folder)
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        self.folder = None
        _warn(error)


def open_entries(part: str, key: str) -> Entries:
    """Open the entries under `key` in the part `part` of the user's cache; without a cache a warning says so.

    Raises nothing: a cache that cannot be used costs time alone.
    """
    try:
        place = cache_directory(part)
        folder = place / key
        if not os.path.lexists(folder):
            prune(place)
        elif doubt(folder):
            shutil.rmtree(folder, ignore_errors=True)
            if reason := os.path.lexists(folder) and doubt(folder):
                raise InputError(reason)
        return Entries(folder)
    except (InputError, OSError) as error:
        _warn(error)
        return Entries(None)


def _sweep(folder: Path) -> None:
    """Remove what killed or failed writers left; the caller holds the lock."""
    for left in folder.glob(f"{WRITING}*"):
        left.unlink(missing_ok=True)


def _warn(reason: Exception) -> None:
    warn_once(f"machine code is compiled anew by every process: {reason}")
