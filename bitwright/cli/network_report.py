"""What `bitwright train` and `bitwright quantize` show of a network that they have made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bitwright.cli.console import Report

__all__ = ["network_report"]


def network_report(title: str, summary: Mapping[str, Any], files: Sequence[Path], out: Path) -> Report:
    """Report the accuracy in a summary on each set of images, and the files that were written into a folder."""
    report = Report({**summary, "files": [str(path) for path in files]})
    report.table(title, ["images", "accuracy %"],
                 [[name, 100 * value] for name, value in summary["accuracy"].items()])
    report.lines.append(f"written to {out}")
    return report
