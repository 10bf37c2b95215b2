"""Folders in the user's cache, safe among processes: of builds, of drawn images."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sim.errors import InputError

__all__ = ["cache_directory", "made", "prune"]

CACHED_BYTES = 1 << 30
"""That a folder keeps; a build of `edge` takes 10 MB."""
BUILDING = ".building-"
"""Folders that are not complete."""
LOCKS = ".locks"
"""Folder of lock files, so that two processes do not build the same thing side by side."""
LOCK_FILES = 64
"""Places share them: a collision costs waiting, nothing else."""


def cache_directory(part: str) -> Path:
    """The folder `bitwright/<part>` in the user's cache, or in the temporary files if that is not writable.

    Builds are executed, so a folder of another user is not taken.

    Raises
    ------
    InputError
        If neither place can be written.
    """
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser())
    for place in (home / "bitwright" / part, Path(tempfile.gettempdir()) / f"bitwright-{os.getuid()}" / part):
        try:
            place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            place.mkdir(exist_ok=True)
        except OSError:
            continue
        if os.access(place, os.W_OK) and place.parent.stat().st_uid == os.getuid():
            return place
    raise InputError(f"no folder for a cache: neither {home} nor {tempfile.gettempdir()} can be written")


def made(place: Path, make: Callable[[Path], None]) -> Path:
    """The folder `place`, filled by `make` if it is not there; it appears complete or not at all.

    Whoever wants the same place meanwhile, in this process or another, waits.
    """
    with _locked(place):
        if place.exists():
            os.utime(place)
            return place
        folder = Path(tempfile.mkdtemp(dir=place.parent, prefix=BUILDING))
        try:
            make(folder)
            folder.rename(place)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    return place


@contextmanager
def _locked(place: Path) -> Iterator[None]:
    locks = place.parent / LOCKS
    locks.mkdir(parents=True, exist_ok=True)
    with (locks / f"{zlib.crc32(place.name.encode()) % LOCK_FILES:02}").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def prune(folder: Path, keep_bytes: int = CACHED_BYTES) -> None:
    """Remove what was used longest ago until `keep_bytes` remain; others may build and prune meanwhile."""
    used: list[tuple[float, Path]] = []
    for place in folder.iterdir():
        with suppress(FileNotFoundError):
            if not place.name.startswith("."):
                used.append((place.stat().st_mtime, place))
    total = 0
    for _, place in sorted(used, reverse=True):
        with suppress(FileNotFoundError):
            total += sum(file.stat().st_size for file in place.rglob("*"))
        if total > keep_bytes:
            shutil.rmtree(place, ignore_errors=True)
