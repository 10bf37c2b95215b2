"""Faults of the array and the accumulators: bits, planes and blocks that are lost or counted wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

import numpy as np

from bitwright.divergence.conv_run import Array, ConvRun
from bitwright.divergence.hypothesis import Hypothesis
from sim.ir.formats import Format

__all__ = ["accumulator_faults", "plane_faults"]

MOST_SUMS = 1 << 22
"""Sums of all blocks of a map, above which only the last total is looked at."""


def accumulator_faults(run: ConvRun) -> Iterator[Hypothesis]:
    """Yield accumulators of which a bit, a block or the reference row is wrong."""
    blocks = run.blocks if run.schedule.blocks * run.accumulator.size <= MOST_SUMS else run.accumulator[None]

    def total(change: Callable[[Array], Array]) -> Array:
        found = np.zeros_like(run.accumulator)
        for block in blocks:
            found = run.wrapped(change(run.wrapped(found + block)))
        return found

    if run.conv.weight_format.kind == "bipolar":
        yield from _reference(run)
    for bit in range(run.plan.machine.acc_bits):
        mask = np.int64(1) << bit
        for text, change in (("lost", partial(np.bitwise_and, ~mask)), ("always set", partial(np.bitwise_or, mask)),
                             ("inverted", partial(np.bitwise_xor, mask))):
            yield _of(run, "accumulator", f"bit {bit} {text}", total(change))
    for bits in range(1, run.plan.machine.acc_bits):
        yield _of(run, "accumulator", f"only {bits} bits wide", total(partial(_narrowed, 1 << (bits - 1))))
    if len(blocks) > 1:
        yield _of(run, "accumulator", "starts from 0 in every block", blocks[-1])
        for number in range(len(blocks)):
            yield _of(run, "accumulator", f"block {number} not added", run.wrapped(run.accumulator - blocks[number]))
    yield _of(run, "accumulator", "always 0", np.zeros_like(run.accumulator))
    yield _of(run, "accumulator", "that of the pixel before", np.roll(run.accumulator, 1, axis=3))
    yield _of(run, "accumulator", "that of the pixel after", np.roll(run.accumulator, -1, axis=3))


def plane_faults(run: ConvRun) -> Iterator[Hypothesis]:
    """Yield sums in which one pair of planes, or a plane, counts otherwise than it should."""
    conv, source = run.conv, run.source.format
    weights, codes = conv.weights.astype(np.int64), run.padded
    if conv.weight_format.kind in ("unit", "bipolar"):
        return
    alike, counted = np.zeros_like(run.accumulator), dict[tuple[int, int], Array]()
    for i, weight_value in enumerate(_plane_values(conv.weight_format)):
        plane = (weights >> i) & 1
        for j, code_value in enumerate(_plane_values(source)):
            counts = run.sums(plane, ((codes >> j) & 1).astype(np.int32))
            pair = counts * (weight_value * code_value)
            counted[i, j] = counts * np.sign(weight_value * code_value)
            alike += counted[i, j]
            for text, factor in (("not added", -1), ("added with the other sign", -2), ("counts twice", 1)):
                yield _of(run, "plane pair", f"weight plane {i} with activation plane {j} {text}",
                          run.wrapped(run.accumulator + factor * pair))
    yield _of(run, "plane pair", "all count alike: the partial sum is never doubled", run.wrapped(alike))
    order = sorted(counted, key=lambda pair: (-sum(pair), -pair[0]))
    for left_out in range(1, min(4, len(order))):
        yield _of(run, "plane pair", f"a step ends {left_out} too early",
                  run.wrapped(_partial(counted, order[:-left_out])))


def _partial(counted: Mapping[tuple[int, int], Array], order: Sequence[tuple[int, int]]) -> Array:
    """Return the partial sum after these pairs, which doubles when the significance drops."""
    total, significance = np.zeros_like(counted[order[0]]), sum(order[0])
    for pair in order:
        total = (total << (significance - sum(pair))) + counted[pair]
        significance = sum(pair)
    return total


def _narrowed(half: int, sums: Array) -> Array:
    """Return sums as an accumulator of 2 * half values holds them."""
    return ((sums + half) & (2 * half - 1)) - half


def _reference(run: ConvRun) -> Iterator[Hypothesis]:
    """Yield what is left of 2 * acc - reference of a bipolar layer: acc sums the stored bits, reference all codes."""
    ones = run.sums(np.ones_like(run.conv.weight_values))
    yield _of(run, "reference row", "not subtracted", run.wrapped(run.accumulator + ones))
    yield _of(run, "reference row", "sum of stored bits not doubled",
              run.wrapped((run.accumulator + ones) // 2 - ones))
    yield _of(run, "reference row", "sum of stored bits alone", run.wrapped((run.accumulator + ones) // 2))


def _plane_values(fmt: Format) -> list[int]:
    """Return what each plane of a format counts."""
    values = [1 << bit for bit in range(fmt.bits)]
    return [*values[:-1], -values[-1]] if fmt.kind == "signed" else values


def _of(run: ConvRun, field: str, text: str, accumulator: Array) -> Hypothesis:
    return Hypothesis(field, text, run.codes_of(accumulator), accumulator)
