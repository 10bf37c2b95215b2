"""Cost a layer at every choice of bits, all choices and bands at once.

Schedules, events and bytes come from the rules that plan a single layer, applied to arrays of bits and heights (see
`sim.mapping.broadcast`); cycles come from the compiled recurrence. Tests compare them with numbers that are computed
one by one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import fsum

import numpy as np
from numpy.typing import NDArray

from sim.arch.machine import Machine
from sim.energy.counting import events_of
from sim.energy.events import EVENTS, PRICED
from sim.mapping.broadcast import as_int
from sim.mapping.conv_schedule import ConvSchedule
from sim.mapping.conv_shape import ConvShape
from sim.mapping.depthwise_lanes import fits_depthwise_unit
from sim.mapping.schedule_conv import schedule_on_array, schedule_on_depthwise_unit
from sim.plan.row_bands import Band
from sim.timing.batched import cycles_alone

__all__ = ["ROUNDED_UP", "LayerCosts", "layer_costs"]

Ints = NDArray[np.int64]

ROUNDED_UP = 1.0 + 2.0**-40
"""More than what rounding can take from a sum of energies: a product with it is never below the exact sum."""


@dataclass(frozen=True, eq=False)
class LayerCosts:
    """Entries of a `CostTable` for one layer; arrays broadcast to (weights, activations)."""

    cycles: Ints
    energy_pj: NDArray[np.float64]
    energy_high_pj: NDArray[np.float64]
    least_cycles: Ints
    bytes: Ints
    fits: NDArray[np.bool_]


def layer_costs(shape: ConvShape, tilings: Sequence[Counter[Band]], machine: Machine,
                nominal: NDArray[np.float64], high: NDArray[np.float64]) -> LayerCosts:
    """Cost a layer: the most of all ways in which it may be cut into bands.

    Parameters
    ----------
    shape : ConvShape
        Of the whole layer; `bits_w` and `bits_a` are arrays of shape (weights, 1) and (activations,).
    tilings : sequence of Counter of Band
        How many of which bands each way to cut the layer has.
    machine : Machine
    nominal, high : float64 array
        Energy of one event of each kind, in the order of PRICED, and the high end of its band [pJ].
    """
    bands = list(dict.fromkeys(band for tiling in tilings for band in tiling))
    times = np.array([[tiling[band] for band in bands] for tiling in tilings])
    pieces, choices = _pieces(shape, bands), np.broadcast(shape.bits_w, shape.bits_a).shape
    full = len(bands), *choices
    on_unit = np.asarray(fits_depthwise_unit(shape, machine))
    if on_unit.all() or not on_unit.any():
        schedule = schedule_on_depthwise_unit(pieces, machine) if on_unit.all() else schedule_on_array(pieces, machine)
        weight_words, counts = schedule.weight_words, _counts(schedule, machine, full)
        issued = _issued(schedule, full)
    else:
        unit, array = schedule_on_depthwise_unit(pieces, machine), schedule_on_array(pieces, machine)
        weight_words = as_int(np.where(on_unit, unit.weight_words, array.weight_words))
        counts = np.where(on_unit, _counts(unit, machine, full), _counts(array, machine, full))
        issued = np.where(on_unit, _issued(unit, full), _issued(array, full))
    totals = np.einsum("wb,ebij->weij", times, counts) if times.size > 1 or times[0, 0] > 1 else counts[None, :, 0]
    used = totals * nominal[:, None, None]
    energies = np.array([fsum(entry) for entry in used.transpose(0, 2, 3, 1).reshape(-1, len(PRICED)).tolist()])
    return LayerCosts(
        cycles=totals[:, -1].max(axis=0),
        energy_pj=energies.reshape(len(tilings), *choices).max(axis=0),
        energy_high_pj=np.einsum("weij,e->wij", totals, high).max(axis=0) * ROUNDED_UP,
        least_cycles=np.einsum("wb,bij->wij", times, issued).min(axis=0),
        bytes=np.asarray(shape.weight_bytes * max(tiling.total() for tiling in tilings)),
        fits=((shape.bits_w <= machine.max_bits_w) & (machine.bipolar or shape.weight_kind != "bipolar")
              & np.asarray(shape.bits_a <= machine.max_bits_a)
              & (weight_words <= machine.weight_words) & (shape.index_bits <= machine.table_bits)))


def _pieces(shape: ConvShape, bands: Sequence[Band]) -> ConvShape:
    """Return the layer on each of `bands`, along an axis before the choices of bits."""
    if len(bands) == 1:
        return replace(shape, in_height=bands[0].in_rows, out_height=bands[0].rows, pads=bands[0].pads)
    in_rows, rows, above, below = (
        as_int(np.array(values)[:, None, None])
        for values in zip(*((b.in_rows, b.rows, b.pads[0], b.pads[2]) for b in bands), strict=True))
    return replace(shape, in_height=in_rows, out_height=rows, pads=(above, shape.pads[1], below, shape.pads[3]))


def _issued(schedule: ConvSchedule, shape: tuple[int, ...]) -> Ints:
    """Return the cycles in which steps are issued, of shape (bands, weights, activations)."""
    return np.broadcast_to(schedule.row_tiles * schedule.pixels * schedule.blocks * schedule.step_cycles, shape)


def _counts(schedule: ConvSchedule, machine: Machine, shape: tuple[int, ...]) -> Ints:
    """Count events and cycles, in the order of PRICED, of shape (event, bands, weights, activations)."""
    found = events_of(schedule, machine)
    counts = np.empty((len(PRICED), *shape), np.int64)
    for row, event in enumerate(EVENTS):
        counts[row] = found[event]
    counts[-1] = cycles_alone(schedule.timing, machine.memory, shape)
    return counts
