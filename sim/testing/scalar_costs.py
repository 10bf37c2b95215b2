"""A cost table entry by entry, each from the rules for a single layer: the oracle of the fast one."""

from __future__ import annotations

from math import fsum

import numpy as np

from sim.arch.machine import Machine
from sim.cost.table import CostTable
from sim.cost.worst_case import Widest
from sim.energy.model import energy
from sim.energy.technology import Technology
from sim.ir.program import Program

__all__ = ["plain_cost_table"]


def plain_cost_table(program: Program, machine: Machine, technology: Technology,
                     weight_bits: tuple[int, ...] = tuple(range(2, 9)),
                     activation_bits: tuple[int, ...] = tuple(range(2, 9))) -> CostTable:
    """What `sim.cost.table.cost_table` must give, for widths and a Program that it takes."""
    network = Widest(program, machine, max(activation_bits))
    fixed = network.fixed_events()
    shape = (len(program.convs), len(weight_bits), len(activation_bits))
    table = CostTable(tuple(c.name for c in program.convs), weight_bits, activation_bits, np.zeros(shape, np.int64),
                      np.zeros(shape, np.float64), np.zeros(shape, np.int64), np.zeros(shape, np.bool_),
                      sum(counts["cycles"] for counts in fixed),
                      fsum(energy(counts, machine, technology).nominal_pj for counts in fixed))
    for layer, conv in enumerate(program.convs):
        unit = conv.weight_format.kind == "unit"
        for i, bits_w in enumerate(weight_bits):
            for j, bits_a in enumerate(activation_bits):
                cost = network.conv_cost(conv, 1 if unit else bits_w, bits_a)
                table.cycles[layer, i, j] = max(counts["cycles"] for counts in cost.ways)
                table.energy_pj[layer, i, j] = max(energy(counts, machine, technology).nominal_pj
                                                   for counts in cost.ways)
                whole = cost.schedule
                table.fits[layer, i, j] = (bits_a <= machine.max_bits_a and whole.shape.bits_w <= machine.max_bits_w
                                           and whole.weight_words <= machine.weight_words)
                table.bytes[layer, i, j] = whole.shape.weight_bytes * cost.bands
    return table
