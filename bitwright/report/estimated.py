"""Estimates made for a report, as if `bitwright estimate` had written them."""

from __future__ import annotations

from collections.abc import Sequence

from bitwright.codesign.costs import estimate
from bitwright.codesign.programs_at_bits import OWN_BITS, programs_at_bits
from bitwright.codesign.resolve import resolve_technology
from bitwright.report.runs import EstimateRun, Prices
from sim.arch.machine import Machine
from sim.energy.technology import Technology
from sim.ir.program import Program
from sim.ir.shapes import Shapes

__all__ = ["estimated"]


def estimated(title: str, network: Program | Shapes, machine: Machine,
              technology: Technology | str | None,
              bits: Sequence[tuple[int, int]] = ()) -> EstimateRun:
    """Estimate a network on a machine for a page that calls it `title`; at 8 bits if it has none and none are given."""
    priced = resolve_technology(technology, machine)
    return EstimateRun(
        title, machine.name, machine,
        Prices(priced.name, priced.node_nm, priced.voltage_v, priced.bases, priced.highest_clock_mhz),
        {"" if name == OWN_BITS else name: estimate(program, machine, technology=priced)
         for name, program in programs_at_bits(network, machine, bits).items()})
