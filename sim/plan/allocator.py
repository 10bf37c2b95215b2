"""Where tensors lie on chip: whole, consecutive regions, of which a tensor shares none while it is alive."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil

import numpy as np

from sim.arch.machine import Machine
from sim.errors import InputError
from sim.ir.ops import Op, Tensor
from sim.mapping.activation_layout import tensor_words

__all__ = ["AllocationError", "allocate", "lifetimes", "regions_of"]

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


def allocate(tensors: Mapping[str, Tensor], ops: Sequence[Op], machine: Machine) -> dict[str, range]:
    """Return the regions of every tensor that is on chip.

    Tensors are placed in the order of their first use, each where the last user was longest ago, so that ops wait
    little for each other; else at the lowest gap; else the largest first (greedy by size: Pisarchyk and Lee, "Efficient
    Memory Management for Deep Neural Net Inference", 2020, arXiv 2001.03288).

    Raises
    ------
    AllocationError
        If a tensor finds no place in any of these ways.
    """
    lives = lifetimes(ops)
    sizes = {name: regions_of(tensors[name], machine) for name in lives}
    in_order = list(lives)
    try:
        return _first_fit(in_order, lives, sizes, machine, rested=True)
    except AllocationError:
        pass
    try:
        return _first_fit(in_order, lives, sizes, machine, rested=False)
    except AllocationError as refusal:
        try:
            return _first_fit(sorted(in_order, key=lambda name: -sizes[name]), lives, sizes, machine, rested=False)
        except AllocationError:
            raise refusal from None


def _first_fit(names: Sequence[str], lives: Lifetimes, sizes: Mapping[str, int], machine: Machine,
               rested: bool) -> dict[str, range]:
    """Place tensors one after another among those alive at the same time: at the most rested gap, or at the lowest."""
    regions: dict[str, range] = {}
    last_use = np.full(machine.act_regions, -1)
    for name in names:
        taken, (first, last), need = np.zeros(machine.act_regions, bool), lives[name], sizes[name]
        alive = tuple(other for other in regions if lives[other][0] <= last and lives[other][1] >= first)
        for other in alive:
            taken[regions[other]] = True
        gaps = [range(s, s + need) for s in range(machine.act_regions - need + 1) if not taken[s : s + need].any()]
        if not gaps:
            raise AllocationError(
                f"tensor '{name}' needs {need} consecutive activation regions of {machine.region_words} words "
                f"while {', '.join(alive) or 'nothing else'} is live; machine '{machine.name}' has "
                f"{machine.act_regions} regions, {int((~taken).sum())} of them free", (name, *alive))
        regions[name] = min(gaps, key=lambda gap: last_use[gap].max()) if rested else gaps[0]
        last_use[regions[name]] = last
    return regions
