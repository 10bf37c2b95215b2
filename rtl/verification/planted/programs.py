"""The Programs that planted bugs meet: a layer of every kind, and row tiles that follow each other at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from sim.arch.machine import Machine, load_machine
from sim.ir.arithmetic import Arithmetic
from sim.ir.formats import Format
from sim.ir.ops import Conv, Pool, Table, Tensor
from sim.ir.program import Program
from sim.ir.signed_digits import digits_of
from sim.testing import corner_inputs

__all__ = ["PROGRAMS", "bug_machine", "inputs_of"]

SIGNED, UNSIGNED, BIT = Format(4, "signed"), Format(4, "unsigned"), Format(1, "unsigned")
CHANNELS, ROWS, COLUMNS = 6, 7, 5
"""Of the maps of `network`: two row tiles, three row groups of which the last one is short."""


def bug_machine() -> Machine:
    """Return the machine of the bugs: `tiny` with depthwise lanes."""
    return Machine(**load_machine("tiny").model_dump() | {"name": "planted", "depthwise_lanes": 4, "act_regions": 12})


def inputs_of(program: Program) -> dict[str, NDArray[np.int32]]:
    """Return the codes of an image, the same ones every time."""
    return corner_inputs(np.random.default_rng(7), program, 1)


def network() -> Program:
    """Return a layer of every kind: dense, padded, with a residual, on lanes, pooled, with a table, gated, bipolar."""
    rng = np.random.default_rng(3)
    maps = [Tensor(name, ROWS, COLUMNS, (CHANNELS,), fmt) for name, fmt in
            (("a", SIGNED), ("b", SIGNED), ("c", SIGNED), ("d", SIGNED), ("f", UNSIGNED), ("g", SIGNED))]
    tensors = (Tensor("image", ROWS, COLUMNS, (5,), Format(5, "unsigned", zero_point=9)), *maps,
               Tensor("e", 6, 4, (CHANNELS,), SIGNED), Tensor("h", ROWS, COLUMNS, (7,), Format(6, "signed")))
    first = _conv(rng, "first", "image", "a", (CHANNELS, 5, 1, 1), shift=6)
    padded = replace(_conv(rng, "padded", "a", "b", (CHANNELS, CHANNELS, 3, 3), shift=6), pads=(1, 1, 1, 1))
    added = replace(_conv(rng, "added", "b", "c", (CHANNELS, CHANNELS, 1, 1), shift=5), residual="a",
                    residual_multiplier=digits_of([[4, -2]] * CHANNELS))
    lanes = replace(_conv(rng, "lanes", "c", "d", (CHANNELS, 1, 3, 3), shift=5), groups=CHANNELS, pads=(0, 1, 2, 1))
    pooled = Pool("pooled", "d", "e", (2, 2))
    unit = np.ones((CHANNELS, 1, 1, 1), np.int8)
    looked = replace(_conv(rng, "looked", "d", "f", (CHANNELS, 1, 1, 1), shift=0), weights=unit, groups=CHANNELS,
                     weight_format=Format(1, "unit"), low=0, high=63, offset=np.full(CHANNELS, 31),
                     multiplier=digits_of([[3]] * CHANNELS),
                     table=Table(Format(6, "unsigned", zero_point=0), rng.integers(0, 16, 64).astype(np.int16)))
    gated = replace(looked, name="gated", output="g", table=None, residual="f", gate=1, low=-8, high=7,
                    multiplier=digits_of([[3]] * CHANNELS), residual_multiplier=digits_of([[2]] * CHANNELS),
                    shift=np.full(CHANNELS, 4), offset=np.zeros(CHANNELS, np.int64))
    last = replace(_conv(rng, "last", "g", "h", (7, CHANNELS, 1, 1), shift=2, low=-32, high=31),
                   weights=rng.integers(0, 2, (7, CHANNELS, 1, 1)).astype(np.int8), weight_format=Format(1, "bipolar"))
    ops = (first, padded, added, lanes, pooled, looked, gated, last)
    return Program(tensors, ops, Arithmetic(acc_bits=24, window=10, terms=3, rounding="half_even"))


def binary() -> Program:
    """Return two layers of 1-bit codes; the row tiles of the second one follow each other without a cycle between."""
    rng = np.random.default_rng(5)
    tensors = (Tensor("image", 3, 9, (8,), BIT), Tensor("a", 3, 9, (8,), BIT), Tensor("b", 3, 8, (8,), BIT))
    ops = [replace(_conv(rng, name, source, target, (8, 8, 1, width), shift=0, low=0, high=1),
                   weights=rng.integers(0, 2, (8, 8, 1, width)).astype(np.int8), weight_format=BIT,
                   multiplier=digits_of([[1]] * 8), offset=np.full(8, -middle))
           for name, source, target, width, middle in (("before", "image", "a", 1, 0), ("tiles", "a", "b", 2, 2))]
    return Program(tensors, tuple(ops), Arithmetic(acc_bits=24, window=10, terms=3))


PROGRAMS: dict[str, Callable[[], Program]] = {"network": network, "binary": binary}


def _conv(rng: np.random.Generator, name: str, source: str, target: str, shape: tuple[int, ...], *, shift: int,
          low: int = -8, high: int = 7) -> Conv:
    """Return a Conv with random 3-bit weights, multipliers of two digits, and shifts so small that ties occur."""
    channels = shape[0]
    rows = [[int(rng.choice([-1, 1])) * 4, int(rng.choice([-1, 1])) * int(rng.integers(1, 3))]
            for _ in range(channels)]
    return Conv(name, source, target, rng.integers(-4, 4, shape).astype(np.int8), Format(3, "signed"),
                digits_of(rows), np.full(channels, shift) + rng.integers(0, 2, channels),
                rng.integers(-20, 21, channels), low, high)
