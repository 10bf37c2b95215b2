"""Where the results of the command that runs come from, for its JSON and for the files that it writes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bitwright.cli.manner import MANNER

__all__ = ["WRITTEN", "origin"]

WRITTEN = {"out", "waves", "divergence", "failures_dir", "plot", "accelergy", "checkpoint", "batched", "exported",
           "csv"}
"""Parameters that are files or folders which commands write; all other paths are read."""


def origin() -> dict[str, Any]:
    """Say where the results of this command come from: what it was told, with which versions, and what it has read."""
    from bitwright.report.provenance import provenance

    told = MANNER.parameters
    machine = told.get("machine")
    machines = [str(one) for one in machine] if isinstance(machine, list) else [str(machine)] if machine else []
    technology = told.get("technology")
    return provenance(["bitwright", *MANNER.words], seed=told.get("seed"), machines=machines, technology=technology,
                      files=_files(told))


def _files(told: dict[str, Any]) -> Iterator[str]:
    """Yield what might be a file that was read; of `FILE.py:NAME` the file."""
    for name, value in told.items():
        for word in value if isinstance(value, list) else [value]:
            if name not in WRITTEN and isinstance(word, str | Path):
                text = str(word)
                yield text.rpartition(":")[0] if ".py:" in text else text
