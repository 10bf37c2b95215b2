"""The report of a campaign: how far its machines and Programs reached, and what differs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bitwright.campaign.batch import Pair
from bitwright.cli.console import Report
from sim.testing.coverage.bins import GROUPS
from sim.testing.coverage.coverage import Coverage
from sim.testing.stimulus.machines import RANGES

__all__ = ["Failure", "Share", "campaign_report"]


@dataclass(frozen=True)
class Failure:
    """What differs in the simplest case near one that differs, and the command that repeats it."""

    found: tuple[str, ...]
    command: str


@dataclass(frozen=True)
class Share:
    """What one simulation of a campaign has found.

    Attributes
    ----------
    machine : dict
        Its parameters.
    engine : str
        The RTL simulator.
    pairs : sequence of Pair
    failures : sequence of Failure
    coverage : dict of str to int
        Bins that were met, by their text.
    seconds, cpu_seconds : float
        Elapsed time, and time of processors [s].
    """

    machine: Mapping[str, Any]
    engine: str
    pairs: Sequence[Pair]
    failures: Sequence[Failure]
    coverage: Mapping[str, int]
    seconds: float
    cpu_seconds: float


def campaign_report(shares: Sequence[Share], wanted: int) -> tuple[Report, bool]:
    """Report a campaign of `wanted` pairs, and return with it whether all that ran are equal."""
    pairs = [pair for share in shares for pair in share.pairs]
    failures = [failure for share in shares for failure in share.failures]
    machines = {share.machine["name"]: share for share in shares}
    reached = _parameters([share.machine for share in machines.values()])
    extents: dict[str, int] = {}
    for pair in pairs:
        extents |= {what: max(size, extents.get(what, 0)) for what, size in pair.extents.items()}
    coverage = Coverage(GROUPS)
    for share in shares:
        coverage.add_counts(share.coverage)
    report = Report({
        "ok": not failures, "machines": len(machines), "pairs": len(pairs), "wanted": wanted,
        "ops": sum(pair.ops for pair in pairs), "cycles": sum(pair.cycles for pair in pairs),
        "seconds": sum(share.seconds for share in shares),
        "cpu_seconds": sum(share.cpu_seconds for share in shares), "coverage_percent": coverage.percent,
        "parameters": reached, "extents": extents, "wrapped": _wrapped(pairs), "failures": failures})
    report.table("parameters of the machines", ["parameter", "range", "smallest", "largest"],
                 [[row["parameter"], f"{row['low']}..{row['high']}", row["smallest"], row["largest"]]
                  for row in reached])
    report.table("largest of the Programs", ["what", "largest"], [[what, most] for what, most in extents.items()])
    engines = Counter(share.engine for share in machines.values())
    in_engines = ", ".join(f"{count} in {name}" for name, count in sorted(engines.items()))
    report.lines.append(
        f"{len(pairs):,} of {wanted:,} pairs on {len(machines)} machines ({in_engines}), "
        f"{sum(pair.ops for pair in pairs):,} ops, {sum(pair.cycles for pair in pairs):,} cycles, "
        f"{sum(share.cpu_seconds for share in shares) / 3600:.2f} h of processors; sums wrapped in {_wrapped(pairs)} "
        f"pairs; {coverage.covered} of {coverage.declared} bins, {coverage.percent:.1f} %")
    for failure in failures:
        report.lines += [f"differs: {what}" for what in failure.found] + [f"  again: {failure.command}"]
    report.lines.append("NOT EQUAL" if failures else "equal bits, equal cycles")
    return report, not failures


def _parameters(machines: Sequence[Mapping[str, Any]]) -> list[dict[str, object]]:
    """Return the range of every parameter and the smallest and largest value that was reached."""
    rows: list[dict[str, object]] = []
    for name, (low, high) in RANGES.items():
        values = [machine[name] for machine in machines]
        rows.append({"parameter": name, "low": low, "high": high, "smallest": min(values, default=None),
                     "largest": max(values, default=None)})
    return rows


def _wrapped(pairs: Sequence[Pair]) -> int:
    return sum(pair.extents["wrapped sums"] > 0 for pair in pairs)
