"""The processing element against plain dot products."""

from __future__ import annotations

import random
from typing import Any

import cocotb

from rtl.verification.benches.unit_harness import geometry, reset, step, wrap

INPUTS = ("w", "a", "count", "add", "first", "double", "negative", "read", "read_bank", "read_address", "accumulate",
          "fresh", "bank", "address", "drain", "drain_bank", "drain_address", "acc_bank")
Cycle = dict[str, int]


def plane_pairs(bits_w: int, bits_a: int) -> list[tuple[int, int]]:
    """Yield the plane pairs in their order: falling significance, weight planes falling."""
    return [(i, s - i) for s in range(bits_w + bits_a - 2, -1, -1)
            for i in range(min(bits_w - 1, s), max(0, s - bits_a + 1) - 1, -1)]


def planes(values: list[int], bits: int) -> list[int]:
    """Plane by plane, bit `lane` of every value."""
    return [sum((value >> plane & 1) << lane for lane, value in enumerate(values)) for plane in range(bits)]


def codes(rng: random.Random, bits: int, signed: bool, lanes: int) -> list[int]:
    """Random codes, half of them extremes."""
    low = -(1 << (bits - 1)) if signed else 0
    high = low + (1 << bits) - 1
    return [rng.choice([low, high, rng.randint(low, high)]) for _ in range(lanes)]


@cocotb.test()
async def accumulates_dot_products(dut: Any) -> None:
    """Whatever bits and signs, and from pair to pair without a gap: the accumulators hold the sum of w * a."""
    shape = geometry()
    lanes, acc_bits, depth = shape.lanes, shape.machine.acc_bits, shape.machine.acc_depth
    rng = await reset(dut, INPUTS)
    for trial in range(60):
        bits = (1, 1) if trial < 10 else (rng.randint(1, 8), rng.randint(1, 8))
        signs = (rng.random() < 0.5, rng.random() < 0.5)
        bank, pixels, blocks = rng.getrandbits(1), rng.randint(1, depth), rng.randint(1, 3)
        sums = [0] * pixels
        schedule: list[Cycle] = []
        for block in range(blocks):
            w = codes(rng, bits[0], signs[0], lanes)
            for pixel in range(pixels):
                a = codes(rng, bits[1], signs[1], lanes)
                sums[pixel] += sum(x * y for x, y in zip(w, a, strict=True))
                pair_cycles(schedule, w, a, bits, signs, {"bank": bank, "address": pixel, "fresh": int(block == 0)})
        for values in staggered(schedule):
            await step(dut, values)
        await step(dut, dict.fromkeys(INPUTS, 0))
        for pixel, expected in enumerate(sums):
            await step(dut, {"drain": 1, "drain_bank": bank, "drain_address": pixel, "acc_bank": bank})
            assert dut.acc.value.to_signed() == wrap(expected, acc_bits), (bits, signs, pixel, blocks)
        await step(dut, {"drain": 0})


def pair_cycles(schedule: list[Cycle], w: list[int], a: list[int], bits: tuple[int, int], signs: tuple[bool, bool],
                target: Cycle) -> None:
    """Add the cycles of one step to the schedule."""
    w_planes, a_planes, order = planes(w, bits[0]), planes(a, bits[1]), plane_pairs(*bits)
    for index, (i, j) in enumerate(order):
        negative = (signs[0] and i == bits[0] - 1) != (signs[1] and j == bits[1] - 1)
        schedule.append({
            "w": w_planes[i], "a": a_planes[j], "first": int(index == 0), "last": int(index == len(order) - 1),
            "double": int(index > 0 and sum(order[index - 1]) > i + j), "negative": int(negative), **target})


def staggered(schedule: list[Cycle]) -> list[Cycle]:
    """Yield the inputs of every cycle: count, add and accumulate each follow one cycle after the one before."""
    cycles: list[Cycle] = [dict.fromkeys(INPUTS, 0) for _ in range(len(schedule) + 2)]
    for t, pair in enumerate(schedule):
        cycles[t] |= {"w": pair["w"], "a": pair["a"], "count": 1}
        cycles[t + 1] |= {
            "add": 1, "first": pair["first"], "double": pair["double"], "negative": pair["negative"],
            "read": int(pair["last"] and not pair["fresh"]), "read_bank": pair["bank"],
            "read_address": pair["address"]}
        cycles[t + 2] |= {"accumulate": pair["last"], "fresh": pair["fresh"], "bank": pair["bank"],
                          "address": pair["address"]}
    return cycles
