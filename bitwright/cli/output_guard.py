"""A command never writes over a file that it reads, so that a slip of the fingers costs nobody a Program."""

from __future__ import annotations

from collections.abc import Iterable
from os.path import samefile
from pathlib import Path

from sim.errors import InputError
from sim.io.bounds import shown_path

__all__ = ["check_apart"]


def check_apart(written: Iterable[Path | None], read: Iterable[str | Path | None]) -> None:
    """Refuse to write over a file that the same command reads, under any name; commands call it before any work.

    Of what is read, `FILE.py:NAME` stands for the file, and a folder for the arrays in it, `*.npz`.

    Raises
    ------
    InputError
        If one of `written` is one of `read`; None and missing files do not count.
    """
    sources = [path for path in read if path is not None]
    sources += [path.rpartition(":")[0] for path in sources if isinstance(path, str)]
    for target in written:
        if target is not None and any(_same(target, source) or _is_array_in(target, source) for source in sources):
            raise InputError(f"'{shown_path(target)}' is read by this command and would be written over: write "
                             "somewhere else")


def _same(one: Path, other: str | Path) -> bool:
    try:
        return samefile(one, other)
    except (OSError, ValueError):
        return False


def _is_array_in(target: Path, folder: str | Path) -> bool:
    return target.suffix == ".npz" and target.exists() and _same(target.parent, folder)
