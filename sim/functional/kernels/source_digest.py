"""Digest the sources of the kernels, so that only those that machine code was made from ever find it."""

from __future__ import annotations

import hashlib
from pathlib import Path

__all__ = ["AT_IMPORT", "SOURCES", "digest"]

SOURCES = Path(__file__).parent


def digest(folder: Path = SOURCES) -> str:
    """Return a digest of the names and texts of all Python files in `folder`."""
    total = hashlib.sha256()
    for file in sorted(folder.glob("*.py")):
        total.update(hashlib.sha256(file.name.encode() + b"\0" + file.read_bytes()).digest())
    return total.hexdigest()


AT_IMPORT = digest()
"""Before any other file of this package was imported: a file that is edited later may be imported in either state."""
