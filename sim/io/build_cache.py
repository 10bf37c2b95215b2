"""Folders in the user's cache, safe among processes and from other users: builds, machine code, drawn images."""

from __future__ import annotations

import atexit
import fcntl
import os
import shutil
import tempfile
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from sim.errors import InputError
from sim.io.trust import OTHERS, doubt, doubt_inside

__all__ = ["cache_directory", "get_or_build", "is_built", "locked", "prune", "warn_once"]

CACHED_BYTES = 1 << 30
"""That a folder keeps; a build of `edge` takes 10 MB."""
FREE_BYTES = 1 << 26
"""A disk with less room is as good as one that cannot be written."""
BUILDING = ".building-"
"""Folders that are not complete; the number of their lock follows."""
LOCKS = ".locks"
"""Folder of lock files, so that two processes do not build the same thing side by side."""
LOCK_FILES = 64
"""Places share them: a collision costs waiting, nothing else."""


def cache_directory(part: str) -> Path:
    """Return the folder `bitwright/<part>` in the user's cache.

    What lies there is executed, so a folder is taken only if nobody but the user can have written it, as
    `sim.io.trust.doubt` says, and the disk has room. XDG_CACHE_HOME counts if it is absolute. Else it is a folder of
    the user's among the temporary files, under the same rule, or one that goes with this process; a warning says so.

    Raises
    ------
    InputError
        If no temporary folder can be made either.
    """
    try:
        return _usable(_home() / "bitwright", part)
    except (OSError, RuntimeError) as error:
        reason = _reason(error)
    try:
        return _among_temporary_files(part, reason)
    except OSError as error:
        reason += f"; {_reason(error)}"
    try:
        folder = _of_this_process() / part
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        raise InputError(f"no folder for a cache: {reason}") from None
    warn_once(f"the cache goes with this process: {reason}")
    return folder


def _among_temporary_files(part: str, reason: str) -> Path:
    place = Path(tempfile.gettempdir()).absolute() / f"bitwright-{os.geteuid()}"
    folder = _usable(place, part)
    warn_once(f"the cache is kept in {place}: {reason}")
    return folder


@cache
def _of_this_process() -> Path:
    """Make a folder that is removed when this process, and not one that was forked from it, ends."""
    folder, process = Path(tempfile.mkdtemp(prefix="bitwright-cache-")), os.getpid()

    def remove() -> None:
        if os.getpid() == process:
            shutil.rmtree(folder, ignore_errors=True)

    atexit.register(remove)
    return folder


@cache
def warn_once(text: str) -> None:
    """Say it the first time that it is so in this process."""
    warnings.warn(text, RuntimeWarning, stacklevel=2)


def _home() -> Path:
    """Return where the user's caches lie, by the specification of XDG."""
    given = Path(os.environ.get("XDG_CACHE_HOME", ""))
    home = given if given.is_absolute() else Path("~/.cache").expanduser()
    if not home.is_absolute():
        raise RuntimeError(f"the home folder {home.parent} is not absolute")
    return home


def _usable(place: Path, part: str) -> Path:
    """Return the folder `part` of `place`, for this user alone, and make it if it is not there."""
    folder = place / part
    for path in (place, folder):  # nothing is made in a place that is somebody else's
        for missing in reversed([above for above in (path, *path.parents) if not os.path.lexists(above)]):
            with suppress(FileExistsError):
                missing.mkdir(mode=0o700)
        if reason := doubt(path):
            raise PermissionError(reason)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(f"{folder} cannot be written")
    facts = os.statvfs(folder)
    if facts.f_blocks and facts.f_bavail * facts.f_frsize < FREE_BYTES:
        raise PermissionError(f"the disk of {folder} has less than {FREE_BYTES >> 20} MB of room")
    return folder


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error)


def get_or_build(place: Path, make: Callable[[Path], None]) -> Path:
    """Return the folder `place`, filled by `make` if it is not there; it appears complete or not at all.

    Whoever wants the same place meanwhile, in this process or another, waits. What somebody else may have changed is
    made anew, and what a killed process left half made is removed.
    """
    with locked(place) as number:
        _sweep(place.parent, number)
        if is_built(place):
            os.utime(place)
            return place
        _remove(place)
        folder = Path(tempfile.mkdtemp(dir=place.parent, prefix=f"{BUILDING}{number:02}-"))
        try:
            make(folder)
            for path in folder.rglob("*"):
                if not path.is_symlink():
                    path.chmod(path.stat().st_mode & ~OTHERS)
            folder.rename(place)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    return place


def is_built(place: Path) -> bool:
    """Tell whether `place` is there as this user made it."""
    with suppress(OSError):
        return place.is_dir() and doubt_inside(place) is None
    return False


@contextmanager
def locked(place: Path) -> Iterator[int]:
    """Keep all others from making `place`; the number of its lock."""
    number = zlib.crc32(place.name.encode()) % LOCK_FILES
    with _lock(place.parent, number) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield number


@contextmanager
def _lock(folder: Path, number: int) -> Iterator[int]:
    (folder / LOCKS).mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(folder / LOCKS / f"{number:02}", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        yield lock
    finally:
        os.close(lock)


def prune(folder: Path, keep_bytes: int = CACHED_BYTES) -> None:
    """Remove what was used longest ago until `keep_bytes` remain, and what killed processes left half made.

    Others may build and prune meanwhile.
    """
    for number in {left.name[len(BUILDING) :][:2] for left in folder.glob(f"{BUILDING}[0-9][0-9]-*")}:
        with _lock(folder, int(number)) as lock, suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _sweep(folder, int(number))
    used: list[tuple[float, Path]] = []
    for place in folder.iterdir():
        with suppress(FileNotFoundError):
            if not place.name.startswith("."):
                used.append((place.lstat().st_mtime, place))
    total = 0
    for _, place in sorted(used, reverse=True):
        with suppress(FileNotFoundError):
            total += sum(file.lstat().st_size for file in place.rglob("*"))
        if total > keep_bytes:
            _remove(place)


def _sweep(folder: Path, number: int) -> None:
    """Remove what is half made under a lock that this process has: nobody is making it any more."""
    for left in folder.glob(f"{BUILDING}{number:02}-*"):
        _remove(left)


def _remove(place: Path) -> None:
    """Remove whatever `place` is, as far as it can be."""
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place, ignore_errors=True)
    else:
        with suppress(OSError):
            place.unlink()
