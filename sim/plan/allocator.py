"""Where tensors lie on chip: whole, consecutive regions, of which a tensor shares none while it is alive."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from itertools import accumulate
from math import ceil

from sim.arch.machine import Machine
from sim.errors import InputError
from sim.ir.ops import Op, Tensor
from sim.mapping.activation_layout import tensor_words

__all__ = ["AllocationError", "Lifetimes", "allocate", "lifetimes", "occupied_regions", "place_tensors", "regions_of"]

TAKEN = sys.maxsize
"""Later than any use."""
NO_GAP = TAKEN, 0

Lifetimes = Mapping[str, tuple[int, int]]
"""Indices of the first and the last op that use each tensor's place on chip."""


class AllocationError(InputError):
    """A tensor finds no place.

    Attributes
    ----------
    tensors : tuple of str
        It and those that are alive with it.
    """

    def __init__(self, text: str, tensors: tuple[str, ...]) -> None:
        super().__init__(text)
        self.tensors = tensors


def regions_of(tensor: Tensor, machine: Machine) -> int:
    """Count the regions that a tensor takes in every bank."""
    return ceil(tensor_words(tensor, machine) / machine.region_words)


def lifetimes(ops: Sequence[Op]) -> dict[str, tuple[int, int]]:
    """Return the first and last op that use each tensor's place on chip, in the order of first use."""
    lives: dict[str, tuple[int, int]] = {}
    for index, op in enumerate(ops):
        for name in op.chip_tensors:
            lives[name] = (lives.get(name, (index, index))[0], index)
    return lives


def occupied_regions(lives: Lifetimes, sizes: Mapping[str, int], ops: int) -> list[int]:
    """Count the regions that tensors take together while each of so many ops runs, wherever they lie."""
    changes = [0] * (ops + 1)
    for name, (first, last) in lives.items():
        changes[first] += sizes[name]
        changes[last + 1] -= sizes[name]
    return list(accumulate(changes))[:ops]


def allocate(tensors: Mapping[str, Tensor], ops: Sequence[Op], machine: Machine) -> dict[str, range]:
    """Return the regions of every tensor that is on chip.

    Raises
    ------
    AllocationError
        As `place_tensors`.
    """
    lives = lifetimes(ops)
    return place_tensors(lives, {name: regions_of(tensors[name], machine) for name in lives}, machine)


def place_tensors(lives: Lifetimes, sizes: Mapping[str, int], machine: Machine) -> dict[str, range]:
    """Return the regions of tensors of some sizes [regions].

    Tensors are placed in the order of their first use, each where the last user was longest ago, so that ops wait
    little for each other; else at the lowest gap; else the largest first (greedy by size: Pisarchyk and Lee, "Efficient
    Memory Management for Deep Neural Net Inference", 2020, arXiv 2001.03288).

    Parameters
    ----------
    lives : Lifetimes
        In the order of first use.
    sizes : mapping of str to int
    machine : Machine

    Raises
    ------
    AllocationError
        If a tensor finds no place in any of these ways.
    """
    try:
        return _first_fit(lives, sizes, machine, rested=True)
    except AllocationError:
        pass
    try:
        return _first_fit(lives, sizes, machine)
    except AllocationError as refusal:
        try:
            return _first_fit(lives, sizes, machine, largest_first=True)
        except AllocationError:
            raise refusal from None


def _first_fit(lives: Lifetimes, sizes: Mapping[str, int], machine: Machine, rested: bool = False,
               largest_first: bool = False) -> dict[str, range]:
    """Place tensors one after another among those alive at the same time: at the most rested gap, or at the lowest.

    The first of the most rested gaps begins at an edge, as the lowest gap does: where a tensor was placed or ended.
    """
    regions: dict[str, range] = {}
    last_use, edges, others = [-1] * machine.act_regions, {0}, list[str]()
    for name in sorted(lives, key=lambda name: -sizes[name]) if largest_first else lives:
        (first, last), need = lives[name], sizes[name]
        alive = [other for other in others if lives[other][0] <= last and lives[other][1] >= first]
        others = [*(others if largest_first else alive), name]
        held = last_use.copy()
        for other in alive:
            held[regions[other].start : regions[other].stop] = [TAKEN] * sizes[other]
        used = ((max(held[start : start + need]), start) for start in sorted(edges)
                if start + need <= machine.act_regions)
        gaps = ((latest, start) for latest, start in used if latest < TAKEN)
        latest, start = min(gaps, default=NO_GAP) if rested else next(gaps, NO_GAP)
        if latest == TAKEN:
            raise AllocationError(
                f"tensor '{name}' needs {need} consecutive activation regions of {machine.region_words} words "
                f"while {', '.join(alive) or 'nothing else'} is live; machine '{machine.name}' has "
                f"{machine.act_regions} regions, {sum(use < TAKEN for use in held)} of them free", (name, *alive))
        regions[name] = range(start, start + need)
        edges |= {start, start + need}
        last_use[start : start + need] = [last] * need
    return regions
