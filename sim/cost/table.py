"""Tabulate what every choice of bits costs every layer, as constraints for an allocator.

An entry is a safe bound: the layer on its own, its weights streamed from its start, with the widest output and
residual that the choice of bits allows and as many multiplier digits as the machine has. Since no layer takes longer
inside a network than alone, the sum over layers, Loads and Stores bounds the network that is finally simulated. Where
tensors at their widest do not fit on chip, an entry is the most of all ways in which the layer may be cut into bands.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import fsum

import numpy as np
from numpy.typing import NDArray

from sim.arch.machine import Machine
from sim.cost.batched_layer import LayerCosts, layer_costs
from sim.cost.worst_case import WorstCaseCosts
from sim.energy.events import PRICED
from sim.energy.model import prices
from sim.energy.technology import Technology
from sim.errors import InputError
from sim.ir.formats import MAX_PLANES
from sim.ir.ops import Transfer
from sim.ir.program import Program
from sim.mapping.broadcast import as_int
from sim.mapping.conv_shape import ConvShape
from sim.plan.row_bands import Band

__all__ = ["CostTable", "cost_table"]


@dataclass(frozen=True, eq=False)
class CostTable:
    """Costs of every layer x weight bits x activation bits; arrays have shape (layers, weights, activations).

    Attributes
    ----------
    layers : tuple of str
        Names of the Conv ops.
    weight_bits, activation_bits : tuple of int
        The choices along the second and third axis [bits].
    cycles : int64 array
        latency_cycles of the layer.
    energy_pj : float64 array
        Nominal energy of one image [pJ].
    bytes : int64 array
        Weights as streamed, without parameters [bytes]; once for each band.
    fits : bool array
        Whether the machine has the widths and holds the layer's row tiles; activations are placed by `plan` alone.
    fixed_cycles, fixed_energy_pj
        What ops without a choice add to any network: Pools, Loads and Stores.
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
               weight_bits: tuple[int, ...] = tuple(range(2, MAX_PLANES + 1)),
               activation_bits: tuple[int, ...] = tuple(range(2, MAX_PLANES + 1))) -> CostTable:
    """Tabulate every Conv of `program` over all choices of bits.

    Layers with `unit` weights have no choice of weight bits: their entries repeat along that axis. Of the widths in
    `program` only those of its inputs count, and those that are wider than any choice: every other tensor is taken as
    wide as the widest choice, and what the host alone reads as wide as the accumulator, since sums widen with the bits.

    Raises
    ------
    InputError
        If the widths do not rise or are not in 1..8, or the Program has Loads or Stores: `sim.plan.plan` adds them.
    """
    if any(isinstance(op, Transfer) for op in program.ops):
        raise InputError("a cost table is of a Program without Loads and Stores")
    _check_widths("weight_bits", weight_bits)
    _check_widths("activation_bits", activation_bits)
    convs = program.convs
    shape = (len(convs), len(weight_bits), len(activation_bits))
    network = WorstCaseCosts(program, machine, max(activation_bits))
    fixed, price_of = network.fixed_events(), prices(machine, technology)
    nominal = np.array([price_of[event].nominal_pj for event in PRICED])
    table = CostTable(tuple(c.name for c in convs), weight_bits, activation_bits, np.zeros(shape, np.int64),
                      np.zeros(shape, np.float64), np.zeros(shape, np.int64), np.zeros(shape, np.bool_),
                      sum(counts["cycles"] for counts in fixed),
                      fsum(fsum(count * price_of[event].nominal_pj for event, count in counts.items())
                           for counts in fixed))
    known: dict[tuple[ConvShape, tuple[frozenset[tuple[Band, int]], ...]], LayerCosts] = {}
    for layer, conv in enumerate(convs):
        tilings = network.tilings(conv)
        same = network.network.shapes[conv.name], tuple(frozenset(tiling.items()) for tiling in tilings)
        if same not in known:
            unit = conv.weight_format.kind == "unit"
            choices = network.conv_shape(conv, as_int(np.array((1,) if unit else weight_bits)[:, None]),
                                         as_int(np.array(activation_bits)))
            known[same] = layer_costs(choices, tilings, machine, nominal)
        costs = known[same]
        table.cycles[layer], table.energy_pj[layer] = costs.cycles, costs.energy_pj
        table.bytes[layer], table.fits[layer] = costs.bytes, costs.fits
    return table


def _check_widths(what: str, widths: tuple[int, ...]) -> None:
    rising = all(a < b for a, b in pairwise(widths))
    if not widths or not rising or widths[0] < 1 or widths[-1] > MAX_PLANES:
        raise InputError(f"{what} must be rising widths in 1..{MAX_PLANES}, not {list(widths)}")
