"""Compute a cost table entry by entry, from the rules for a single layer, to check the fast one against."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from math import fsum

import numpy as np

from sim.arch.machine import Machine
from sim.cost.table import CostTable
from sim.cost.worst_case import WorstCaseCosts, add_counts
from sim.energy.counting import events_of
from sim.energy.model import energy
from sim.energy.technology import Technology
from sim.ir.program import Program
from sim.mapping.conv_shape import ConvShape
from sim.mapping.schedule_conv import schedule_conv
from sim.plan.row_bands import Band

__all__ = ["plain_cost_table"]


def plain_cost_table(program: Program, machine: Machine, technology: Technology,
                     weight_bits: tuple[int, ...] = tuple(range(2, 9)),
                     activation_bits: tuple[int, ...] = tuple(range(2, 9)),
                     digits: int | None = None) -> CostTable:
    """Return what `sim.cost.table.cost_table` must give, for widths, a Program and digits that it takes."""
    network = WorstCaseCosts(program, machine, max(activation_bits))
    inputs = frozenset(tensor.format.bits for tensor in program.inputs if tensor.format.bits not in activation_bits)
    activation_bits = tuple(sorted([*activation_bits, *inputs]))
    fixed = network.fixed_events()
    shape = (len(program.convs), len(weight_bits), len(activation_bits))
    table = CostTable(
        tuple(c.name for c in program.convs), weight_bits, activation_bits, cycles=np.zeros(shape, np.int64),
        energy_pj=np.zeros(shape, np.float64), bytes=np.zeros(shape, np.int64),
        energy_high_pj=np.zeros(shape, np.float64), least_cycles=np.zeros(shape, np.int64),
        fits=np.zeros(shape, np.bool_), clock_mhz=machine.clock_mhz,
        fixed_cycles=sum(counts["cycles"] for counts in fixed),
        fixed_energy_pj=fsum(energy(counts, machine, technology).nominal_pj for counts in fixed),
        fixed_energy_high_pj=fsum(energy(counts, machine, technology).high_pj for counts in fixed), input_widths=inputs)
    for layer, conv in enumerate(program.convs):
        unit = conv.weight_format.kind == "unit"
        for i, bits_w in enumerate(weight_bits):
            for j, bits_a in enumerate(activation_bits):
                layer_shape = network.conv_shape(conv, 1 if unit else bits_w, bits_a, digits or machine.terms)
                if bits_w == 1 and network.bipolar(conv):
                    layer_shape = replace(layer_shape, weight_kind="bipolar")
                tilings = network.tilings(conv)
                costs = [_tiling_counts(layer_shape, tiling, machine) for tiling in tilings]
                table.cycles[layer, i, j] = max(counts["cycles"] for counts in costs)
                table.energy_pj[layer, i, j] = max(energy(counts, machine, technology).nominal_pj for counts in costs)
                table.energy_high_pj[layer, i, j] = max(energy(counts, machine, technology).high_pj for counts in costs)
                table.least_cycles[layer, i, j] = min(_issued(layer_shape, tiling, machine) for tiling in tilings)
                table.fits[layer, i, j] = (bits_a <= machine.max_bits_a and layer_shape.bits_w <= machine.max_bits_w
                                           and (machine.bipolar or layer_shape.weight_kind != "bipolar")
                                           and schedule_conv(layer_shape, machine).weight_words <= machine.weight_words)
                table.bytes[layer, i, j] = layer_shape.weight_bytes * max(tiling.total() for tiling in tilings)
    return table


def _tiling_counts(shape: ConvShape, tiling: Counter[Band], machine: Machine) -> dict[str, int]:
    """Count the events and the cycles of a layer that is cut into bands."""
    return add_counts((_band_counts(shape, band, machine), count) for band, count in tiling.items())


def _issued(shape: ConvShape, tiling: Counter[Band], machine: Machine) -> int:
    """Count the cycles in which a layer that is cut into bands issues steps."""
    timings = [(schedule_conv(_piece(shape, band), machine).timing, count) for band, count in tiling.items()]
    return sum(count * timing.row_tiles * timing.pixels * timing.pixel_cycles for timing, count in timings)


def _piece(shape: ConvShape, band: Band) -> ConvShape:
    return replace(shape, in_height=band.in_rows, out_height=band.rows, pads=band.pads)


def _band_counts(shape: ConvShape, band: Band, machine: Machine) -> dict[str, int]:
    schedule = schedule_conv(_piece(shape, band), machine)
    return events_of(schedule, machine) | {"cycles": schedule.cycles_alone(machine.memory)}
