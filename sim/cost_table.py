"""`CostTable`: what every choice of bits costs every layer, as constraints for an allocator.

An entry is a safe bound: the layer on its own, its weights streamed from its start, with the widest output and
residual that the choice of bits allows and as many multiplier digits as the machine has. Since no layer takes longer
inside a network than alone, the sum over layers, Loads and Stores bounds the network that is finally simulated.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from math import fsum
from typing import assert_never

import numpy as np
from numpy.typing import NDArray

from sim.checks import ENGINE_BITS
from sim.energy import energy
from sim.errors import InputError
from sim.events import conv_events, pool_events, transfer_events
from sim.machine import Machine
from sim.program import Program
from sim.records import Conv, Load, Pool, Store, reads
from sim.schedule import ConvSchedule, ConvShape, conv_shape, schedule_conv, schedule_pool
from sim.technology import Technology
from sim.timing import layer_cycles, transfer_cycles
from sim.transfers import schedule_transfer, with_transfers

__all__ = ["CostTable", "cost_table"]


@dataclass(frozen=True, eq=False)
class CostTable:
    """Costs of every layer x weight bits x activation bits; arrays have shape (layers, weights, activations).

    Attributes
    ----------
    layers : tuple of str
        Names of the Conv records.
    weight_bits, activation_bits : tuple of int
        The choices along the second and third axis [bits].
    cycles : int64 array
        latency_cycles of the layer.
    energy_pj : float64 array
        Nominal energy of one image [pJ].
    bytes : int64 array
        Weights as streamed, without parameters [bytes].
    fits : bool array
        Whether the machine has the widths and holds the layer's row tiles; activations are placed by `plan` alone.
    fixed_cycles, fixed_energy_pj
        What records without a choice add to any network: Pools, the Loads of inputs and the Stores of outputs.
    """

    layers: tuple[str, ...]
    weight_bits: tuple[int, ...]
    activation_bits: tuple[int, ...]
    cycles: NDArray[np.int64]
    energy_pj: NDArray[np.float64]
    bytes: NDArray[np.int64]
    fits: NDArray[np.bool_]
    fixed_cycles: int
    fixed_energy_pj: float


def cost_table(program: Program, machine: Machine, technology: Technology,
               weight_bits: tuple[int, ...] = tuple(range(2, 9)),
               activation_bits: tuple[int, ...] = tuple(range(2, 9))) -> CostTable:
    """Tabulate every Conv of `program` over all choices of bits.

    Layers with `unit` weights have no choice of weight bits: their entries repeat along that axis. Of the widths in
    `program` only those of its inputs count, and those that are wider than any choice: every other tensor is taken as
    wide as the widest choice, and what the host alone reads as wide as the accumulator, since sums widen with the bits.

    Raises
    ------
    InputError
        If the widths do not rise or are not in 1..8, or the Program has Loads or Stores: `sim.plan` adds them.
    """
    if any(isinstance(record, Load | Store) for record in program.records):
        raise InputError("a cost table is of a Program without Loads and Stores")
    _check_widths("weight_bits", weight_bits)
    _check_widths("activation_bits", activation_bits)
    convs = program.convs
    shape = (len(convs), len(weight_bits), len(activation_bits))
    table = CostTable(tuple(c.name for c in convs), weight_bits, activation_bits, np.zeros(shape, np.int64),
                      np.zeros(shape, np.float64), np.zeros(shape, np.int64), np.zeros(shape, np.bool_),
                      *_fixed_costs(program, machine, technology, max(activation_bits)))
    for layer, conv in enumerate(convs):
        widest = _with_widest_neighbours(program, conv, machine, max(activation_bits))
        for i, bits_w in enumerate(weight_bits):
            for j, bits_a in enumerate(activation_bits):
                unit = widest.weight_kind == "unit"
                schedule = schedule_conv(replace(widest, bits_w=1 if unit else bits_w, bits_a=bits_a), machine)
                counts = conv_events(schedule, machine) | {"cycles": layer_cycles(schedule, machine.memory)}
                table.cycles[layer, i, j] = counts["cycles"]
                table.energy_pj[layer, i, j] = energy(counts, machine, technology).nominal_pj
                table.fits[layer, i, j] = _fits(schedule, machine)
                table.bytes[layer, i, j] = schedule.shape.weight_bytes
    return table


def _check_widths(what: str, widths: tuple[int, ...]) -> None:
    rising = all(a < b for a, b in pairwise(widths))
    if not widths or not rising or widths[0] < 1 or widths[-1] > ENGINE_BITS:
        raise InputError(f"{what} must be rising widths in 1..{ENGINE_BITS}, not {list(widths)}")


def _with_widest_neighbours(program: Program, conv: Conv, machine: Machine, widest: int) -> ConvShape:
    """The layer with every neighbouring tensor as wide as any choice of bits makes it."""
    shape = conv_shape(program, conv)
    read = {name for record in program.records for name in reads(record)}
    given = {tensor.name for tensor in program.inputs}
    return replace(
        shape, weight_kind="signed" if conv.weight_format.kind == "bipolar" else shape.weight_kind,
        bits_out=max(widest, shape.bits_out) if conv.output in read else program.acc_bits,
        bits_residual=shape.bits_residual if conv.residual in {None, *given} else max(widest, shape.bits_residual),
        terms=machine.terms, residual_terms=machine.terms if conv.residual else 0,
    )


def _fits(schedule: ConvSchedule, machine: Machine) -> bool:
    shape = schedule.shape
    return (shape.bits_w <= machine.max_bits_w and shape.bits_a <= machine.max_bits_a
            and schedule.weight_words <= machine.weight_words)


def _fixed_costs(program: Program, machine: Machine, technology: Technology, widest: int) -> tuple[int, float]:
    """Cycles and energy of Pools, Loads and Stores as wide as they can become, and of the memory's latency."""
    costs = [{"cycles": machine.memory.latency_cycles}]
    given = {tensor.name for tensor in program.inputs}
    for record in with_transfers(program).records:
        match record:
            case Conv():
                continue
            case Pool():
                pool = schedule_pool(program, record, machine)
                pool = replace(pool, bits=max(widest, pool.bits))
                source, target = program.tensor(record.input), program.tensor(record.output)
                costs.append(pool_events(pool, source, target, machine) | {"cycles": pool.cycles})
            case Load() | Store():
                bits = program.tensor(record.input).format.bits if record.input in given else program.acc_bits
                transfer = schedule_transfer(program, record, machine, bits)
                costs.append(transfer_events(transfer, machine)
                             | {"cycles": transfer_cycles(transfer, machine.memory)})
            case _:
                assert_never(record)
    return (sum(counts["cycles"] for counts in costs),
            fsum(energy(counts, machine, technology).nominal_pj for counts in costs))
