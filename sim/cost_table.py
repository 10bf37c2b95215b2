"""`CostTable`: what every choice of bits costs every layer, as constraints for an allocator.

An entry is a safe bound: the layer on its own, its weights streamed from its start, with the widest output and
residual that the choice of bits allows and as many multiplier digits as the machine has. Since no layer takes longer
inside a network than alone, the sum over layers bounds the network that is finally simulated.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil

import numpy as np
from numpy.typing import NDArray

from sim.energy import energy
from sim.events import conv_events, pool_events
from sim.machine import Machine
from sim.program import Conv, Program
from sim.schedule import ConvShape, conv_shape, schedule_conv, schedule_pool
from sim.technology import Technology
from sim.timing import layer_cycles

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
    fixed_cycles, fixed_energy_pj
        What layers without a choice (Pool) add to any network.
    """

    layers: tuple[str, ...]
    weight_bits: tuple[int, ...]
    activation_bits: tuple[int, ...]
    cycles: NDArray[np.int64]
    energy_pj: NDArray[np.float64]
    bytes: NDArray[np.int64]
    fixed_cycles: int
    fixed_energy_pj: float


def cost_table(program: Program, machine: Machine, technology: Technology,
               weight_bits: tuple[int, ...] = tuple(range(2, 9)),
               activation_bits: tuple[int, ...] = tuple(range(2, 9))) -> CostTable:
    """Tabulate every Conv of `program` over all choices of bits.

    Layers with `unit` weights have no choice of weight bits: their entries repeat along that axis. Tensors that only
    the host reads may be as wide as the accumulator, since sums widen with the bits; residuals that no record reads as
    an input keep the width they have in `program`.
    """
    convs = program.convs
    shape = (len(convs), len(weight_bits), len(activation_bits))
    table = CostTable(tuple(c.name for c in convs), weight_bits, activation_bits, np.zeros(shape, np.int64),
                      np.zeros(shape, np.float64), np.zeros(shape, np.int64),
                      *_fixed_costs(program, machine, technology, max(activation_bits)))
    for layer, conv in enumerate(convs):
        widest = _with_widest_neighbours(program, conv, machine, max(activation_bits))
        for i, bits_w in enumerate(weight_bits):
            for j, bits_a in enumerate(activation_bits):
                unit = widest.weight_kind == "unit"
                schedule = schedule_conv(replace(widest, bits_w=1 if unit else bits_w, bits_a=bits_a), machine)
                counts = conv_events(schedule, machine) | {"cycles": layer_cycles(schedule)}
                table.cycles[layer, i, j] = counts["cycles"]
                table.energy_pj[layer, i, j] = energy(counts, machine, technology).nominal_pj
                table.bytes[layer, i, j] = ceil(conv.weights.size * schedule.shape.streamed_bits_w / 8)
    return table


def _with_widest_neighbours(program: Program, conv: Conv, machine: Machine, widest: int) -> ConvShape:
    """The layer with every neighbour whose bits are a choice as wide as the choice allows."""
    inputs = {record.input for record in program.records}
    shape = conv_shape(program, conv)
    kind = "signed" if conv.weight_format.kind == "bipolar" else shape.weight_kind
    return replace(
        shape, weight_kind=kind,
        bits_out=_widest_output(program, conv, inputs, widest),
        bits_residual=max(widest, shape.bits_residual) if conv.residual in inputs else shape.bits_residual,
        terms=machine.terms, residual_terms=machine.terms if conv.residual else 0,
    )


def _widest_output(program: Program, conv: Conv, inputs: set[str], widest: int) -> int:
    if conv.output in inputs:
        return max(widest, program.tensor(conv.output).format.bits)
    if any(conv.output == other.residual for other in program.convs):
        return program.tensor(conv.output).format.bits
    return program.acc_bits


def _fixed_costs(program: Program, machine: Machine, technology: Technology, widest: int) -> tuple[int, float]:
    cycles, energy_pj = 0, 0.0
    for record in program.records:
        if isinstance(record, Conv):
            continue
        schedule = replace(schedule_pool(program, record, machine), bits=widest)
        source, target = program.tensor(record.input), program.tensor(record.output)
        counts = pool_events(schedule, source, target, machine) | {"cycles": schedule.cycles}
        cycles += schedule.cycles
        energy_pj += energy(counts, machine, technology).nominal_pj
    return cycles, energy_pj
