"""Files by what they hold, so that every worker takes the same."""

from __future__ import annotations

import hashlib
from pathlib import Path

from sim.errors import InputError
from sim.io.bounds import shown_path

__all__ = ["digest_of"]


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file.

    Raises
    ------
    InputError
        If it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"cannot read '{shown_path(path)}': {error.strerror}") from None
