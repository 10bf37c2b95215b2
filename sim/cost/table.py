"""Tabulate what every choice of bits costs every layer, as constraints for an allocator.

An entry is a safe bound: the layer on its own, its weights streamed from its start, with the widest output and
residual that the choice of bits allows and as many multiplier digits as are said to be the most. Since no layer takes
longer inside a network than alone, the sum over layers, Loads and Stores bounds the network that is finally simulated.
Where tensors at their widest do not fit on chip, an entry is the most of all ways in which the layer may be cut into
bands.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from math import fsum

import numpy as np
from numpy.typing import NDArray

from sim.arch.machine import Machine
from sim.cost.batched_layer import ROUNDED_UP, LayerCosts, layer_costs
from sim.cost.worst_case import WorstCaseCosts
from sim.energy.events import PRICED
from sim.energy.model import prices
from sim.energy.technology import Technology
from sim.errors import InputError
from sim.io.bounds import shown
from sim.ir.formats import MAX_PLANES
from sim.ir.ops import Conv, Transfer
from sim.ir.program import Program
from sim.mapping.broadcast import as_int
from sim.mapping.conv_shape import ConvShape
from sim.plan.row_bands import Band

__all__ = ["CostTable", "cost_table"]

WIDTHS = tuple(range(2, MAX_PLANES + 1))
"""Usual choices [bits]; 1 is for who asks for it, since it loses more than sensitivities foresee."""
Tilings = tuple[frozenset[tuple[Band, int]], ...]


@dataclass(frozen=True, eq=False)
class CostTable:
    """Costs of every layer x weight bits x activation bits; arrays have shape (layers, weights, activations).

    Attributes
    ----------
    layers : tuple of str
        Names of the Conv ops.
    weight_bits, activation_bits : tuple of int
        Widths along the second and third axis [bits].
    cycles : int64 array
        latency_cycles of the layer.
    energy_pj : float64 array
        Nominal energy of one image [pJ].
    bytes : int64 array
        Weights as streamed, without parameters [bytes]; once for each band.
    energy_high_pj : float64 array
        Energy at the high end of the band, rounded up [pJ].
    least_cycles : int64 array
        Cycles in which the layer issues its steps: no network that has it takes less in all, which bounds its power.
    fits : bool array
        Whether the machine has the widths and holds the layer's row tiles; activations are placed by `plan` alone.
    clock_mhz : float
        The machine's.
    fixed_cycles, fixed_energy_pj, fixed_energy_high_pj
        What ops without a choice add to any network: Pools, Loads and Stores.
    input_widths : frozenset of int
        Of `activation_bits` those that inputs have and no other tensor may have [bits].
    """

    layers: tuple[str, ...]
    weight_bits: tuple[int, ...]
    activation_bits: tuple[int, ...]
    cycles: NDArray[np.int64]
    energy_pj: NDArray[np.float64]
    bytes: NDArray[np.int64]
    energy_high_pj: NDArray[np.float64]
    least_cycles: NDArray[np.int64]
    fits: NDArray[np.bool_]
    clock_mhz: float
    fixed_cycles: int
    fixed_energy_pj: float
    fixed_energy_high_pj: float
    input_widths: frozenset[int] = frozenset()

    @property
    def activation_choices(self) -> tuple[int, ...]:
        """Widths that tensors other than inputs may have [bits]."""
        return tuple(bits for bits in self.activation_bits if bits not in self.input_widths)


def cost_table(program: Program, machine: Machine, technology: Technology,
               weight_bits: tuple[int, ...] = WIDTHS, activation_bits: tuple[int, ...] = WIDTHS,
               digits: int | Mapping[str, int] | None = None) -> CostTable:
    """Tabulate every Conv of `program` over all choices of bits.

    Layers with `unit` weights have no choice of weight bits: their entries repeat along that axis. Dense weights of
    1 bit are bipolar. Of the widths in `program` only those of its inputs count, which are added to the activation bits
    where they are no choices, and those that are wider than any choice: every other tensor is taken as wide as the
    widest choice, and what the host alone reads as wide as the accumulator, since sums widen with the bits.

    Parameters
    ----------
    program : Program
        Without Loads and Stores; its own digits do not count.
    machine : Machine
    technology : Technology
    weight_bits, activation_bits : tuple of int, 1..8
        The choices, rising.
    digits : int, or mapping of layer to int, 1..machine.terms, optional
        Most signed digits of a multiplier and of a residual multiplier: of every layer, or by layer; layers that are
        not named have the machine's most, which no lowered network exceeds. Strict powers of two have 1. The table
        bounds networks that keep to them.

    Raises
    ------
    InputError
        If the widths do not rise or are not in 1..8, digits are out of range or of an unknown layer, or the Program has
        Loads or Stores: `sim.plan.plan` adds them.
    """
    if any(isinstance(op, Transfer) for op in program.ops):
        raise InputError("a cost table is of a Program without Loads and Stores")
    _check_widths("weight_bits", weight_bits)
    _check_widths("activation_bits", activation_bits)
    convs, most = program.convs, _digits_by_layer(program, machine, digits)
    network = WorstCaseCosts(program, machine, max(activation_bits))
    input_widths = frozenset(tensor.format.bits for tensor in program.inputs) - {*activation_bits}
    activation_bits = tuple(sorted({*activation_bits, *input_widths}))
    shape = (len(convs), len(weight_bits), len(activation_bits))
    fixed, price_of = network.fixed_events(), prices(machine, technology)
    nominal, high = (np.array([getattr(price_of[event], end) for event in PRICED]) for end in ("nominal_pj", "high_pj"))
    fixed_high = fsum(count * price_of[event].high_pj for counts in fixed for event, count in counts.items())
    table = CostTable(
        tuple(c.name for c in convs), weight_bits, activation_bits, cycles=np.zeros(shape, np.int64),
        energy_pj=np.zeros(shape, np.float64), bytes=np.zeros(shape, np.int64),
        energy_high_pj=np.zeros(shape, np.float64), least_cycles=np.zeros(shape, np.int64),
        fits=np.zeros(shape, np.bool_), clock_mhz=machine.clock_mhz,
        fixed_cycles=sum(counts["cycles"] for counts in fixed),
        fixed_energy_pj=fsum(fsum(count * price_of[event].nominal_pj for event, count in counts.items())
                             for counts in fixed),
        fixed_energy_high_pj=fixed_high * ROUNDED_UP, input_widths=input_widths)
    known: dict[tuple[ConvShape, int, Tilings], list[tuple[slice, LayerCosts]]] = {}
    for layer, conv in enumerate(convs):
        tilings = network.tilings(conv)
        same = (network.network.shapes[conv.name], most[conv.name],
                tuple(frozenset(tiling.items()) for tiling in tilings))
        if same not in known:
            known[same] = [(rows, layer_costs(choices, tilings, machine, nominal, high))
                           for rows, choices in _choices(network, conv, weight_bits, activation_bits, most[conv.name])]
        for rows, costs in known[same]:
            table.cycles[layer, rows], table.energy_pj[layer, rows] = costs.cycles, costs.energy_pj
            table.energy_high_pj[layer, rows] = costs.energy_high_pj
            table.least_cycles[layer, rows] = costs.least_cycles
            table.bytes[layer, rows], table.fits[layer, rows] = costs.bytes, costs.fits
    return table


def _choices(network: WorstCaseCosts, conv: Conv, weight_bits: tuple[int, ...], activation_bits: tuple[int, ...],
             digits: int) -> Iterator[tuple[slice, ConvShape]]:
    """Yield the shapes of a layer at all choices of bits, and the rows of the table that they are for."""
    activations, every = as_int(np.array(activation_bits)), slice(None)
    if conv.weight_format.kind == "unit":
        yield every, network.conv_shape(conv, as_int(np.array([[1]])), activations, digits)
        return
    first = int(weight_bits[0] == 1 and network.bipolar(conv))
    if first:
        narrowest = network.conv_shape(conv, as_int(np.array([[1]])), activations, digits)
        yield slice(0, 1), replace(narrowest, weight_kind="bipolar")
    if wider := weight_bits[first:]:
        yield slice(first, None), network.conv_shape(conv, as_int(np.array(wider)[:, None]), activations, digits)


def _digits_by_layer(program: Program, machine: Machine, digits: int | Mapping[str, int] | None) -> dict[str, int]:
    names = [conv.name for conv in program.convs]
    given = digits if isinstance(digits, Mapping) else dict.fromkeys(names, machine.terms if digits is None else digits)
    for name, most in given.items():
        if name not in names:
            raise InputError(f"digits of layer '{shown(name)}': the program has no such layer")
        if not 1 <= most <= machine.terms:
            raise InputError(f"digits must be in 1..{machine.terms}, as machine '{machine.name}' has, not {most}")
    return dict.fromkeys(names, machine.terms) | dict(given)


def _check_widths(what: str, widths: tuple[int, ...]) -> None:
    rising = all(a < b for a, b in pairwise(widths))
    if not widths or not rising or widths[0] < 1 or widths[-1] > MAX_PLANES:
        raise InputError(f"{what} must be rising widths in 1..{MAX_PLANES}, not {list(widths)}")
