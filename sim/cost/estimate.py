"""Estimate what a Program costs on a machine, layer by layer: cycles, utilisation, energy with its range, bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from sim.energy.counting import count_events
from sim.energy.model import Energy, energy
from sim.energy.technology import Technology
from sim.mapping.schedule import ConvSchedule, ConvShape, PoolSchedule
from sim.mapping.transfers import TransferSchedule
from sim.plan.plan import Plan
from sim.timing.timeline import timeline

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
    line = timeline(plan)
    machine = plan.machine
    products = machine.rows * machine.columns * machine.lanes
    layers = []
    totals: dict[str, int] = {}
    counts = count_events(plan)
    for index, (op, schedule) in enumerate(zip(plan.program.ops, plan.schedules, strict=True)):
        cycles = line.shares[index]
        counted = counts[index] | {"cycles": cycles}
        totals = {name: totals.get(name, 0) + count for name, count in counted.items()}
        match schedule:
            case ConvSchedule(shape=shape):
                kind, bits, macs, stored = _kind(shape), (shape.bits_w, shape.bits_a), shape.macs, shape.weight_bytes
            case PoolSchedule():
                kind, bits, macs, stored = "pool", (0, schedule.bits), 0, 0
            case TransferSchedule(op=transfer, tensor=tensor):
                kind, bits, macs, stored = type(transfer).__name__.lower(), (0, tensor.format.bits), 0, 0
            case _:
                assert_never(schedule)
        layers.append(LayerEstimate(
            name=op.name, kind=kind, bits=bits, macs=macs, latency_cycles=cycles,
            utilisation=macs * bits[0] * bits[1] / (products * cycles) if macs else 0.0,
            energy=energy(counted, machine, technology), weight_bytes=stored))
    return Estimate(
        layers=tuple(layers), latency_cycles=line.total, latency_us=line.total / machine.clock_mhz,
        energy=energy(totals, machine, technology), weight_bytes=sum(layer.weight_bytes for layer in layers),
        events=totals,
        cycles={"total": line.total, "pairs": line.pairs, "wait_accumulator": line.wait_accumulator,
                "wait_weights": line.wait_weights, "wait_transfers": line.wait_transfers, "other": line.other})


def _kind(shape: ConvShape) -> str:
    if shape.weight_kind == "unit":
        return "unit"
    return "depthwise" if shape.depthwise else "dense"
