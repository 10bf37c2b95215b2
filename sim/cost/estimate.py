"""Estimate what a Program costs on a machine, layer by layer: cycles, utilisation, energy with its range, bytes."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sim.arch.machine import Machine
from sim.cost.area import AreaEstimate, area
from sim.cost.layer_bound import bound_of, layer_cycles_by_cause, useful_macs
from sim.cost.units import edp_mj_ms, energy_mj, frames_per_s, latency_ms, power_mw, tera_ops_per_s, tera_ops_per_w
from sim.energy.band import Band, sum_bands
from sim.energy.counting import count_events
from sim.energy.model import Energy, EnergyRange, PriceList, Toggles, add_energies
from sim.energy.of_parts import leakages_uw
from sim.energy.technology import Technology
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
class Estimate:
    """A whole Program; latency in cycles and at the machine's clock.

    Attributes
    ----------
    over_data : EnergyRange
        Nominal energy if no bit of any data ever changed, with the technology's toggles, and if every bit did [pJ].
    leakage_mw : dict of str to Band
        What every part leaks [mW]; empty if the technology has it in the energy of cycles.
    area : AreaEstimate or None
        Of the machine; None if the technology has no areas.
    events : dict of str to int
        Of `sim.energy.events.PRICED`.
    cycles : dict of str to int
        The total, split as the hardware's counters split it.
    cycles_by_cause : dict of str to int
        The total by what cycles are spent on, as of each layer.
    """

    clock_mhz: float
    layers: tuple[LayerEstimate, ...]
    latency_cycles: int
    latency_us: float
    energy: Energy
    over_data: EnergyRange
    leakage_mw: dict[str, Band]
    area: AreaEstimate | None
    weight_bytes: int
    events: dict[str, int]
    cycles: dict[str, int]
    cycles_by_cause: dict[str, int]

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one image."""
        return sum(layer.macs for layer in self.layers)

    @property
    def latency_ms(self) -> float:
        """Time of one image [ms]."""
        return latency_ms(self.latency_cycles, self.clock_mhz)

    @property
    def fps(self) -> float:
        """Images per second, one after another [1/s]."""
        return frames_per_s(self.latency_cycles, self.clock_mhz)

    @property
    def tops(self) -> float:
        """Tera-operations per second, two for each multiply-accumulate."""
        return tera_ops_per_s(self.macs, self.latency_cycles, self.clock_mhz)

    @property
    def energy_mj(self) -> Band:
        """Energy of one image [mJ]."""
        return _band(self.energy, energy_mj)

    @property
    def power_mw(self) -> Band:
        """Mean power while images follow each other [mW]."""
        return _band(self.energy, lambda used_pj: power_mw(used_pj, self.latency_cycles, self.clock_mhz))

    @property
    def edp_mj_ms(self) -> Band:
        """Product of energy and delay of one image [mJ ms]."""
        return _band(self.energy, lambda used_pj: edp_mj_ms(used_pj, self.latency_cycles, self.clock_mhz))

    @property
    def tops_per_w(self) -> Band:
        """Tera-operations per joule, the host's memory included; the most energy makes the low end."""
        return _efficiency(self.macs, self.energy)

    @property
    def on_chip_tops_per_w(self) -> Band:
        """Tera-operations per joule of the chip alone."""
        return _efficiency(self.macs, self.energy.on_chip)

    @property
    def figures(self) -> dict[str, float | Band]:
        """What people compare machines by, under names with units."""
        return {"latency_ms": self.latency_ms, "fps": self.fps, "energy_mj": self.energy_mj,
                "power_mw": self.power_mw, "edp_mj_ms": self.edp_mj_ms, "tops": self.tops,
                "tops_per_w": self.tops_per_w, "on_chip_tops_per_w": self.on_chip_tops_per_w,
                **({"leakage_mw": sum_bands(self.leakage_mw.values())} if self.leakage_mw else {}),
                **({"area_mm2": self.area.total_mm2} if self.area else {})}


def _of_op(toggles: Mapping[str, Toggles], name: str) -> Toggles | None:
    """Return the toggles of an op; those of the whole layer, `conv`, for its band `conv.3`."""
    return toggles.get(name, toggles.get(re.sub(r"\.\d+$", "", name)))


def _over_data(counts: Mapping[str, int], priced: PriceList) -> EnergyRange:
    still, typical, changing = (
        priced.nominal_pj(counts, toggles)
        for toggles in ({"products": 0.0, "activations": 0.0}, None, {"products": 1.0, "activations": 1.0}))
    return EnergyRange(still, typical, changing)


def _leakage_mw(machine: Machine, technology: Technology) -> dict[str, Band]:
    return {part: band.times(1e-3) for part, band in leakages_uw(machine, technology).items()}


def _band(energy: EnergyRange, of: Callable[[float], float]) -> Band:
    return Band(of(energy.low_pj), of(energy.nominal_pj), of(energy.high_pj))


def _efficiency(macs: int, energy: EnergyRange) -> Band:
    return Band(*(tera_ops_per_w(macs, used_pj) for used_pj in (energy.high_pj, energy.nominal_pj, energy.low_pj)))


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
    line = plan.timeline
    machine, priced = plan.machine, PriceList(plan.machine, technology)
    by_cause: dict[str, int] = {}
    products = machine.rows * machine.columns * machine.lanes
    layers = []
    totals: dict[str, int] = {}
    counts = count_events(plan)
    for index, (op, schedule) in enumerate(zip(plan.program.ops, plan.schedules, strict=True)):
        cycles = line.shares[index]
        counted = counts[index] | {"cycles": cycles}
        totals = {name: totals.get(name, 0) + count for name, count in counted.items()}
        bits_w, bits_a = schedule.operand_bits
        macs = useful_macs(plan.program, op, schedule)
        causes = layer_cycles_by_cause(schedule, cycles, line.splits[index])
        by_cause = by_cause | {cause: by_cause.get(cause, 0) + count for cause, count in causes.items()}
        layers.append(LayerEstimate(
            name=op.name, kind=schedule.kind, bits=(bits_w, bits_a), macs=macs, latency_cycles=cycles,
            cycles=causes, bound=bound_of(causes),
            utilisation=macs * bits_w * bits_a / (products * cycles) if macs else 0.0,
            energy=priced.energy(counted, _of_op(toggles or {}, op.name)),
            weight_bytes=schedule.weight_bytes))
    return Estimate(
        clock_mhz=machine.clock_mhz, layers=tuple(layers), latency_cycles=line.total,
        latency_us=line.total / machine.clock_mhz,
        energy=add_energies([layer.energy for layer in layers]) if toggles else priced.energy(totals),
        over_data=_over_data(totals, priced), leakage_mw=_leakage_mw(machine, technology),
        area=area(machine, technology) if technology.ART else None,
        weight_bytes=sum(layer.weight_bytes for layer in layers),
        events=totals,
        cycles={"total": line.total, "pairs": line.pairs, "wait_accumulator": line.wait_accumulator,
                "wait_weights": line.wait_weights, "wait_transfers": line.wait_transfers, "other": line.other},
        cycles_by_cause=by_cause)
