"""Estimate what a Program costs on a machine, layer by layer: cycles, utilisation, energy with its range, bytes."""

from __future__ import annotations

from dataclasses import dataclass

from sim.energy.counting import count_events
from sim.energy.model import Energy, energy
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
    utilisation: float
    energy: Energy
    weight_bytes: int


@dataclass(frozen=True)
class Estimate:
    """A whole Program; latency in cycles and at the machine's clock."""

    layers: tuple[LayerEstimate, ...]
    latency_cycles: int
    latency_us: float
    energy: Energy
    weight_bytes: int
    events: dict[str, int]
    cycles: dict[str, int]


def estimate(plan: Plan, technology: Technology) -> Estimate:
    """Cost every op of a planned Program and the whole; all exact but the energies."""
    line = plan.timeline
    machine = plan.machine
    products = machine.rows * machine.columns * machine.lanes
    layers = []
    totals: dict[str, int] = {}
    counts = count_events(plan)
    for index, (op, schedule) in enumerate(zip(plan.program.ops, plan.schedules, strict=True)):
        cycles = line.shares[index]
        counted = counts[index] | {"cycles": cycles}
        totals = {name: totals.get(name, 0) + count for name, count in counted.items()}
        (bits_w, bits_a), macs = schedule.operand_bits, schedule.macs
        layers.append(LayerEstimate(
            name=op.name, kind=schedule.kind, bits=(bits_w, bits_a), macs=macs, latency_cycles=cycles,
            utilisation=macs * bits_w * bits_a / (products * cycles) if macs else 0.0,
            energy=energy(counted, machine, technology), weight_bytes=schedule.weight_bytes))
    return Estimate(
        layers=tuple(layers), latency_cycles=line.total, latency_us=line.total / machine.clock_mhz,
        energy=energy(totals, machine, technology), weight_bytes=sum(layer.weight_bytes for layer in layers),
        events=totals,
        cycles={"total": line.total, "pairs": line.pairs, "wait_accumulator": line.wait_accumulator,
                "wait_weights": line.wait_weights, "wait_transfers": line.wait_transfers, "other": line.other})
