"""What `bitwright demo` shows."""

from __future__ import annotations

from pathlib import Path

from bitwright.cli.console import Report
from bitwright.codesign.demo import Summary, cycles_of, summary_data

__all__ = ["demo_report"]


def demo_report(summary: Summary, out: Path) -> Report:
    """Report a summary: the networks, the layers of the mixed one, and its budgets."""
    report = Report(summary_data(summary))
    report.table(
        f"networks on machine '{summary.machine}', one image",
        ["network", "accuracy %", "cycles predicted", "cycles counted", "energy nJ", "low", "high", "mismatches"],
        [[name, 100 * summary.accuracy[name], cycles_of(check).predicted, cycles_of(check).counted,
          *(value / 1e3 for value in (summary.programs[name].energy.nominal_pj, summary.programs[name].energy.low_pj,
                                      summary.programs[name].energy.high_pj)), check.mismatches]
         for name, check in summary.verifications.items()])
    mixed = summary.verifications["mixed"]
    report.table("mixed network, layer by layer", ["layer", "W bits", "A bits", "end predicted", "end counted"],
                 [[layer.name, *summary.bits[layer.name], layer.predicted, layer.counted] for layer in mixed.layers])
    report.table("budgets of the mixed network", ["budget", "limit", "used", "slack %", "holds"],
                 [[name, budget.limit, float(budget.used), 100 * (1 - budget.used / budget.limit),
                   "yes" if budget.holds else "NO"] for name, budget in summary.budgets.items()])
    report.lines.append(f"float accuracy {100 * summary.accuracy['float']:.1f} %; {summary.tensors_compared} tensors "
                        f"compared, {summary.mismatches} mismatches; {summary.reallocations} reallocations; "
                        f"results in {out}")
    for name, errors in summary.fit_errors.items():
        layer, worst = max(errors.items(), key=lambda item: item[1].error)
        report.lines.append(f"{name}: digits are at most {worst.error:.2g} codes from the real map, in channel "
                            f"{worst.channel} of '{layer}'")
    for name, check in summary.verifications.items():
        report.lines += f"{name}: the RTL did not end: {check.failure}".splitlines() if check.failure else []
    report.lines.append("equal bits, equal cycles, budgets kept" if summary.ok else "FAILED: see above")
    report.lines += [str(c.first) for v in summary.verifications.values() for c in v.comparisons if c.first]
    return report
