"""The requantizer against `sim.functional.requantize`, ties and both ends included."""

from __future__ import annotations

import random
from typing import Any

import cocotb

from rtl.core.datapath.requantizer import choice_layout, term_layout
from rtl.encoding.descriptors import pack
from rtl.verification.benches.unit_harness import geometry, reset, step, wrap
from sim.functional.requantize import HALF_UP, ROUNDING_MODES, requantize
from sim.ir.formats import MAX_PLANES

CHANNELS = 500
RESIDUAL, GATE = 1, 2
"""Kinds of terms beside those of M, which are 0."""


@cocotb.test()
async def equals_the_simulator(dut: Any) -> None:
    """Three cycles after the last term was taken the code equals that of `sim.functional.requantize`."""
    shape = geometry()
    acc_bits = shape.machine.acc_bits
    rng = await reset(dut, ("execute", "choice", "term", "bipolar", "rounding", "zero_out", "low", "high", "acc",
                            "reference", "residual"))
    for _ in range(CHANNELS):
        mode = ROUNDING_MODES[rng.choice(shape.machine.roundings)]
        bipolar, residual = rng.getrandbits(1), rng.randint(-128, 255)
        acc, reference = signed(rng, acc_bits), signed(rng, acc_bits) if bipolar else 0
        shift = rng.choice([0, 1, 2, 3, rng.randrange(acc_bits + shape.machine.window)])
        terms, gate = random_terms(rng, shape), 0
        if not bipolar and rng.getrandbits(1):
            acc, exponent = rng.randint(-128, 255), rng.randrange(shape.machine.requant_bits - 18)
            terms, gate = [*(terms if rng.getrandbits(1) else []), *gate_terms(residual, exponent)], 2**exponent
        m, r = (sum(sign * 2**exponent for kind, sign, exponent in terms if kind == which) for which in (0, 1))
        operand = wrap(2 * acc - reference, acc_bits) if bipolar else acc
        offset = tie_offset(rng, shape, m * operand + r * residual + gate * operand * residual, shift)
        low, high = sorted(rng.choice([0, 15, -8, 7, -128, 255, 1 << (acc_bits - 1)]) for _ in range(2))
        zero = rng.randint(-8, 15)
        expected = requantize(operand, residual, m, r, gate, offset, shift, mode, zero, low, high)
        await step(dut, {"bipolar": bipolar, "rounding": mode, "zero_out": zero, "low": low, "high": high,
                         "acc": acc, "reference": reference, "residual": residual})
        half = (1 << shift) >> 1 if mode == HALF_UP else 0
        await feed(dut, shape, terms, offset + half, shift)
        assert dut.code.value.to_signed() == expected, (operand, residual, m, r, offset, shift, mode)


async def feed(dut: Any, shape: Any, terms: list[tuple[int, int, int]], start: int, shift: int) -> None:
    """Execute the terms and wait for the code."""
    bits, term = [index for index, (kind, _, _) in enumerate(terms) if kind == GATE], 0
    for index, (kind, sign, exponent) in enumerate(terms):
        choice = {"residual": int(kind == RESIDUAL), "gated": int(kind == GATE),
                  "plane": bits.index(index) if kind == GATE else 0}
        await step(dut, {"execute": 1, "choice": pack(choice, choice_layout(), "bench"), "term": term})
        fields = {"first": int(index == 0), "last": int(index == len(terms) - 1), "present": int(sign != 0),
                  "negative": int(sign < 0), "exponent": exponent, "shift": shift, "start": start}
        term = pack(fields, term_layout(shape), "bench")
    await step(dut, {"execute": 0, "choice": 0, "term": term})
    await step(dut, {"term": 0})


def signed(rng: random.Random, bits: int) -> int:
    """Draw a signed number of `bits` bits: small, large, or at an end of the range."""
    top = 1 << (bits - 1)
    return rng.choice([-top, top - 1, rng.randint(-top, top - 1), rng.randint(-20, 20)])


def random_terms(rng: random.Random, shape: Any) -> list[tuple[int, int, int]]:
    """(0 for M or RESIDUAL for R, sign or 0 for none, exponent), at least one of M."""
    machine = shape.machine
    windows = (machine.window, machine.arithmetic.residual_window)
    terms = []
    for kind in (0, 1):
        count = rng.randint(1 - kind, machine.terms)
        exponents = sorted(rng.sample(range(windows[kind]), min(count, windows[kind])), reverse=True)
        terms += [(kind, rng.choice([-1, 0, 1, 1]), exponent) for exponent in exponents]
    return terms


def gate_terms(residual: int, exponent: int) -> list[tuple[int, int, int]]:
    """Return the terms of a gate of that exponent: all bits of the residual, the sign's negative, as if present."""
    return [(GATE, -1 if residual < 0 and plane == MAX_PLANES - 1 else 1, exponent + plane)
            for plane in range(MAX_PLANES)]


def tie_offset(rng: random.Random, shape: Any, value: int, shift: int) -> int:
    """Draw an offset that often puts the sum on a tie or next to one, near the output range."""
    limit = (1 << (shape.machine.acc_bits + shape.machine.window - 1)) - 1
    wanted = (rng.randint(-20, 20) << shift) + ((1 << shift) >> 1) + rng.choice([-1, 0, 0, 1, rng.getrandbits(5)])
    offset = wanted - value if rng.random() < 0.8 else rng.randint(-limit, limit)
    return offset if -limit <= offset <= limit else rng.randint(-limit, limit)
