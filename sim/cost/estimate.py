"""Estimate what a Program costs on a machine, layer by layer: cycles, utilisation, energy with its range, bytes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from sim.cost.layer_bound import bound_of, layer_cycles_by_cause, useful_macs
from sim.cost.totals import Totals, op_counts, totals_of
from sim.energy.model import Energy, EnergyRange, PriceList, Toggles, add_energies
from sim.energy.technology import Technology
from sim.io.html_table import html_table
from sim.plan.plan import Plan

__all__ = ["Estimate", "LayerEstimate", "estimate"]


@dataclass(frozen=True)
class LayerEstimate:
    """One op of a planned Program.

    Attributes
    ----------
    bits : (int, int)
        Weight and activation bits.
    latency_cycles : int
        Including what it waits for; of a Load or Store, those in which no Conv or Pool runs until its end.
    macs : int
        Multiply-accumulates with padding, but without the zeros that folding adds to a first layer.
    cycles : dict of str to int
        These cycles by what they are spent on (`sim.cost.layer_bound`).
    bound : str
        What most of them are spent on.
    utilisation : float
        MACs times both bit widths over the machine's one-bit products in those cycles; 0 where there are none.
    weight_bytes : int
        As streamed, without parameters.
    """

    name: str
    kind: str
    bits: tuple[int, int]
    macs: int
    latency_cycles: int
    cycles: dict[str, int]
    bound: str
    utilisation: float
    energy: Energy
    weight_bytes: int


@dataclass(frozen=True)
class Estimate(Totals):
    """A whole Program and its layers.

    Attributes
    ----------
    over_data : EnergyRange
        Nominal energy if no bit of any data ever changed, with the technology's toggles, and if every bit did [pJ].
    cycles_by_cause : dict of str to int
        The total by what cycles are spent on, as of each layer.
    """

    layers: tuple[LayerEstimate, ...]
    latency_us: float
    over_data: EnergyRange
    cycles_by_cause: dict[str, int]

    def _repr_html_(self) -> str:
        columns = ["layer", "kind", "W bits", "A bits", "cycles", "bound by", "energy [nJ]", "low", "high"]
        layers = ([layer.name, layer.kind, *layer.bits, layer.latency_cycles, layer.bound,
                   layer.energy.nominal_pj / 1e3, layer.energy.low_pj / 1e3, layer.energy.high_pj / 1e3]
                  for layer in self.layers)
        figures = [["latency_cycles", self.latency_cycles], *self.figures.items()]
        return html_table("figures", ["", "one image"], figures) + html_table("layers", columns, layers)


def _of_op(toggles: Mapping[str, Toggles], name: str) -> Toggles | None:
    """Return the toggles of an op; those of the whole layer, `conv`, for its band `conv.3`."""
    return toggles.get(name, toggles.get(re.sub(r"\.\d+$", "", name)))


def _over_data(counts: Mapping[str, int], priced: PriceList) -> EnergyRange:
    still, typical, changing = (
        priced.nominal_pj(counts, toggles)
        for toggles in ({"products": 0.0, "activations": 0.0}, None, {"products": 1.0, "activations": 1.0}))
    return EnergyRange(still, typical, changing)


def estimate(plan: Plan, technology: Technology, toggles: Mapping[str, Toggles] | None = None) -> Estimate:
    """Cost every op of a planned Program and the whole; all exact but the energies.

    Parameters
    ----------
    plan : Plan
    technology : Technology
    toggles : mapping of str to Toggles, optional
        Of the data of Convs, by their name before they were cut into bands (`sim.cost.toggles`); without them all data
        toggles as the rows of the technology say.
    """
    line, machine = plan.timeline, plan.machine
    priced, counts = PriceList(machine, technology), op_counts(plan)
    whole = totals_of(plan, technology, priced, counts)
    by_cause: dict[str, int] = {}
    products = machine.rows * machine.columns * machine.lanes
    layers = []
    for index, (op, schedule) in enumerate(zip(plan.program.ops, plan.schedules, strict=True)):
        cycles = line.shares[index]
        bits_w, bits_a = schedule.operand_bits
        macs = useful_macs(plan.program, op, schedule)
        causes = layer_cycles_by_cause(schedule, cycles, line.splits[index])
        by_cause = by_cause | {cause: by_cause.get(cause, 0) + count for cause, count in causes.items()}
        layers.append(LayerEstimate(
            name=op.name, kind=schedule.kind, bits=(bits_w, bits_a), macs=macs, latency_cycles=cycles,
            cycles=causes, bound=bound_of(causes),
            utilisation=macs * bits_w * bits_a / (products * cycles) if macs else 0.0,
            energy=priced.energy(counts[index], _of_op(toggles or {}, op.name)),
            weight_bytes=schedule.weight_bytes))
    known = vars(whole) | ({"energy": add_energies([layer.energy for layer in layers])} if toggles else {})
    return Estimate(**known, layers=tuple(layers), latency_us=line.total / machine.clock_mhz,
                    over_data=_over_data(whole.events, priced), cycles_by_cause=by_cause)
