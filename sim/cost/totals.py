"""Total what a Program costs on a machine: the figures by which machines are compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sim.arch.machine import Machine
from sim.cost.area import AreaEstimate, area
from sim.cost.layer_bound import useful_macs
from sim.cost.units import edp_mj_ms, energy_mj, frames_per_s, latency_ms, power_mw, tera_ops_per_s, tera_ops_per_w
from sim.energy.band import Band, sum_bands
from sim.energy.counting import count_events
from sim.energy.model import Energy, EnergyRange, PriceList
from sim.energy.of_parts import leakages_uw
from sim.energy.technology import Technology
from sim.plan.plan import Plan

__all__ = ["Totals", "op_counts", "totals", "totals_of"]


@dataclass(frozen=True)
class Totals:
    """A whole Program; latency in cycles and at the machine's clock.

    Attributes
    ----------
    macs : int
        Multiply-accumulates of one image, as of each layer.
    leakage_mw : dict of str to Band
        What every part leaks [mW]; empty if the technology has it in the energy of cycles.
    area : AreaEstimate or None
        Of the machine; None if the technology has no areas.
    weight_bytes : int
        As streamed, without parameters.
    events : dict of str to int
        Of `sim.energy.events.PRICED`.
    cycles : dict of str to int
        The total, split as the hardware's counters split it.
    """

    clock_mhz: float
    latency_cycles: int
    energy: Energy
    leakage_mw: dict[str, Band]
    area: AreaEstimate | None
    macs: int
    weight_bytes: int
    events: dict[str, int]
    cycles: dict[str, int]

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


def totals(plan: Plan, technology: Technology) -> Totals:
    """Total the costs of a planned Program, without those of its layers: what `estimate` says of the whole, sooner.

    All are exact but the energies, which are of data that toggles as the rows of the technology say. A search through
    many machines asks for no more than this.

    Examples
    --------
    >>> from sim.arch.machine import load_machine
    >>> from sim.energy.technology import load_technology
    >>> from sim.ir.shapes import ChosenBits, load_shapes
    >>> from sim.plan.plan import plan
    >>> program = load_shapes("resnet8").program(ChosenBits(weights=4, activations=4, digits=1))
    >>> totals(plan(program, load_machine("edge")), load_technology("generic45")).macs
    3055616
    """
    return totals_of(plan, technology, PriceList(plan.machine, technology), op_counts(plan))


def op_counts(plan: Plan) -> list[dict[str, int]]:
    """Count the events of each op, and the cycles that it accounts for."""
    return [counts | {"cycles": share} for counts, share in zip(count_events(plan), plan.timeline.shares, strict=True)]


def totals_of(plan: Plan, technology: Technology, priced: PriceList, counts: Sequence[Mapping[str, int]]) -> Totals:
    """Total the costs of a planned Program, given the prices of its machine and the `op_counts`."""
    line, machine, ops = plan.timeline, plan.machine, zip(plan.program.ops, plan.schedules, strict=True)
    events = {name: sum(of_op[name] for of_op in counts) for name in counts[0]}
    return Totals(
        clock_mhz=machine.clock_mhz, latency_cycles=line.total, energy=priced.energy(events),
        leakage_mw=_leakage_mw(machine, technology), area=area(machine, technology) if technology.ART else None,
        macs=sum(useful_macs(plan.program, op, schedule) for op, schedule in ops),
        weight_bytes=sum(schedule.weight_bytes for schedule in plan.schedules), events=events,
        cycles={"total": line.total, "pairs": line.pairs, "wait_accumulator": line.wait_accumulator,
                "wait_weights": line.wait_weights, "wait_transfers": line.wait_transfers, "other": line.other})


def _leakage_mw(machine: Machine, technology: Technology) -> dict[str, Band]:
    return {part: band.times(1e-3) for part, band in leakages_uw(machine, technology).items()}


def _band(energy: EnergyRange, of: Callable[[float], float]) -> Band:
    return Band(of(energy.low_pj), of(energy.nominal_pj), of(energy.high_pj))


def _efficiency(macs: int, energy: EnergyRange) -> Band:
    return Band(*(tera_ops_per_w(macs, used_pj) for used_pj in (energy.high_pj, energy.nominal_pj, energy.low_pj)))
