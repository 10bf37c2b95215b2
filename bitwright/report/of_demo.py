"""The page of the demo: networks, budgets, bits, costs and agreement."""

from __future__ import annotations

from collections.abc import Iterator

from bitwright.report.layer_figures import bits_figure
from bitwright.report.of_estimate import area_section, estimate_sections, trade_figure
from bitwright.report.of_verification import verification_sections
from bitwright.report.page import Bar, Bars, Page, Section, Table
from bitwright.report.runs import DemoRun
from sim.arch.machine import Machine

__all__ = ["demo_page"]

MIXED = "mixed"
"""The network whose bits were chosen under budgets."""


def demo_page(run: DemoRun, machine: Machine | None) -> Page:
    """Return the page of a demo; `machine` is the one that it ran on, if that is known."""
    wrong = sum(one.mismatches for check in run.verifications.values() for one in check.comparisons)
    highlights = (("verdict", "equal bits, equal cycles, budgets kept" if run.ok else "FAILED"),
                  ("codes that differ", wrong), *(
                      (f"accuracy of {name} [%]", 100 * accuracy) for name, accuracy in run.accuracy.items()))
    return Page(f"Demo on machine '{run.machine}'", "demo", highlights, tuple(_sections(run, machine)))


def _sections(run: DemoRun, machine: Machine | None) -> Iterator[Section]:
    yield Section("Networks", (f"Handwritten digits, seed {run.seed}. Energies have their bands.",), (
        _networks(run), trade_figure("energy and latency of every network", run.programs)))
    yield Section("Accuracy", (), (Bars(
        "accuracy on test images", "Share of the test images that are right.", "accuracy [%]", ("test",),
        tuple(Bar(name, (100 * accuracy,)) for name, accuracy in run.accuracy.items())),))
    if run.budgets:
        yield Section("Budgets", (
            f"Of the mixed network, whose bits were reallocated {run.reallocations} times.",), (_budgets(run),))
    if run.bits:
        yield Section("Bits", (), (bits_figure({layer: bits for layer, bits in run.bits.items() if bits[0]}, MIXED),))
    for name, cost in run.programs.items():
        for section in estimate_sections(cost, machine, name):
            if not section.title.startswith("Bits") or name != MIXED:
                yield section
    for name, check in run.verifications.items():
        yield from verification_sections(check, name)
    yield from area_section(next(iter(run.programs.values()))) if run.programs else ()


def _networks(run: DemoRun) -> Table:
    def row(name: str) -> tuple[str | int | float, ...]:
        check = run.verifications.get(name)
        return () if check is None else (
            max((op.predicted for op in check.layers), default=0), max((op.counted for op in check.layers), default=0),
            sum(one.mismatches for one in check.comparisons))

    return Table("networks, one image", ("network", "accuracy [%]", "energy [mJ]", "latency [ms]", "cycles predicted",
                                         "cycles counted", "mismatches"), tuple(
        (name, None if name not in run.accuracy else 100 * run.accuracy[name], cost.energy_mj, cost.latency_ms,
         *(row(name) or (None, None, None))) for name, cost in run.programs.items()))


def _budgets(run: DemoRun) -> Table:
    return Table("budgets", ("budget", "limit", "used", "slack [%]", "holds"), tuple(
        (name, budget.limit, budget.used,
         None if budget.used is None or not budget.limit else 100 * (1 - budget.used / budget.limit),
         "no" if budget.used is None or budget.used > budget.limit else "yes")
        for name, budget in run.budgets.items()))
