"""The report of a campaign: how far its machines and Programs reached, and what differs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from bitwright.campaign.state import MachineState, PairState
from bitwright.cli.console import Report
from sim.testing.coverage.bins import GROUPS
from sim.testing.coverage.coverage import Coverage
from sim.testing.stimulus.machines import RANGES

__all__ = ["campaign_report"]


def campaign_report(states: Sequence[MachineState], wanted: int) -> tuple[Report, bool]:
    """Report a campaign of `wanted` pairs, and return with it whether all that ran are equal."""
    pairs = [pair for state in states for pair in state.pairs]
    different = [pair for pair in pairs if pair.found]
    reached = _parameters([state for state in states if state.pairs])
    extents: dict[str, int] = {}
    for pair in pairs:
        extents |= {what: max(size, extents.get(what, 0)) for what, size in pair.extents.items()}
    coverage = Coverage(GROUPS)
    for state in states:
        coverage.add_counts(state.coverage)
    report = Report({
        "ok": not different, "machines": sum(bool(state.pairs) for state in states), "pairs": len(pairs),
        "wanted": wanted, "cycles": sum(pair.cycles for pair in pairs),
        "seconds": sum(state.seconds for state in states),
        "cpu_seconds": sum(state.cpu_seconds for state in states), "coverage_percent": coverage.percent,
        "parameters": reached, "extents": extents, "wrapped": _wrapped(pairs),
        "failures": [{"found": pair.found, "command": pair.command} for pair in different]})
    report.table("parameters of the machines", ["parameter", "range", "smallest", "largest"],
                 [[row["parameter"], f"{row['low']}..{row['high']}", row["smallest"], row["largest"]]
                  for row in reached])
    report.table("largest of the Programs", ["what", "largest"], [[what, most] for what, most in extents.items()])
    report.lines.append(_totals(states, pairs, wanted, coverage))
    for pair in different:
        report.lines += [f"differs: {what}" for what in pair.found] + [f"  again: {pair.command}"]
    report.lines.append("NOT EQUAL" if different else "equal bits, equal cycles")
    return report, not different


def _totals(states: Sequence[MachineState], pairs: Sequence[PairState], wanted: int, coverage: Coverage) -> str:
    """Say in a line how much was run and what it covered."""
    engines = Counter(state.engine for state in states if state.pairs)
    in_engines = ", ".join(f"{count} in {name}" for name, count in sorted(engines.items()))
    return (f"{len(pairs)} of {wanted} pairs on {sum(engines.values())} machines ({in_engines}), "
            f"{sum(pair.cycles for pair in pairs):,} cycles, "
            f"{sum(state.cpu_seconds for state in states):,.0f} s of processors; "
            f"sums wrapped in {_wrapped(pairs)} pairs; "
            f"{coverage.covered} of {coverage.declared} bins, {coverage.percent:.1f} %")


def _parameters(states: Sequence[MachineState]) -> list[dict[str, object]]:
    """Return the range of every parameter and the smallest and largest value that was reached."""
    rows: list[dict[str, object]] = []
    for name, (low, high) in RANGES.items():
        values = [state.machine[name] for state in states]
        rows.append({"parameter": name, "low": low, "high": high, "smallest": min(values, default=None),
                     "largest": max(values, default=None)})
    return rows


def _wrapped(pairs: Sequence[PairState]) -> int:
    return sum(pair.extents["wrapped sums"] > 0 for pair in pairs)
