"""Programs that random decisions seldom lead to: the ends of every counter, every shift, late ops."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from sim.arch.host_memory import IDEAL, Memory
from sim.arch.machine import Machine
from sim.ir.arithmetic import Arithmetic
from sim.ir.formats import Format, Kind, Rounding
from sim.ir.ops import Conv, Pads, Pool, Steps, Tensor, out_size
from sim.ir.program import Program
from sim.ir.signed_digits import digits_of
from sim.testing import corner_inputs

__all__ = ["Case", "directed_cases", "many_ops", "single_word"]

Images = dict[str, NDArray[np.int32]]
Case = tuple[str, Program, Memory, Images]
"""Name, Program, the memory behind its streams, codes of its inputs for two images."""

ARITHMETIC = Arithmetic(acc_bits=24, window=10, terms=3)
SHIFT_ROUNDS = 12
"""Programs of 32 random shifts and offsets for each rounding."""
SLOW = Memory(period_cycles=64)
"""Makes a short Program last thousands of cycles."""


def directed_cases(machine: Machine) -> Iterator[Case]:
    """Yield all directed Programs."""
    rng = np.random.default_rng(0)
    for name, program in _maps(rng):
        yield name, program, IDEAL, corner_inputs(rng, program, 2)
    for mode in machine.roundings:
        for number in range(SHIFT_ROUNDS):
            yield _shifts(rng, mode, number)
    program = many_ops(rng)
    yield "many", program, IDEAL, corner_inputs(rng, program, 2)
    yield "slow", program, SLOW, corner_inputs(rng, program, 2)


def many_ops(rng: np.random.Generator) -> Program:
    """As many Convs, Loads and Stores as the narrowed hardware takes."""
    narrow = Format(1, "unsigned")
    tensors, ops = [Tensor("a", 3, 1, (2,), narrow)], []
    for index in range(8):
        residual = Tensor(f"r{index}", 3, 1, (3,), narrow) if index else None
        tensors += [*([residual] if residual else ()), Tensor(f"o{index}", 3, 1, (3,), narrow)]
        ops.append(_conv(rng, f"conv{index}", tensors[0], tensors[-1], residual=residual))
    return _program(tensors, ops)


def single_word(column: int, word: int) -> Program:
    """Return two convolutions of which the second reads one word alone: number `word` of one column's bank."""
    rng, one, far = np.random.default_rng(column), Format(1, "unsigned"), 10
    top, left = ((far - place) % far for place in (column, word))
    before = [Tensor(name, 3, 1, (3,), one) for name in "pq"]
    tensors = [Tensor("a", 3, far, (3,), one), Tensor("b", 2 if top else 1, 2 if left else 1, (3,), one)]
    return _program([*before, *tensors], [_conv(rng, "one", *before),
                                          _conv(rng, "two", *tensors, stride=(far, far), pads=(top, left, 0, 0))])


def _maps(rng: np.random.Generator) -> Iterator[tuple[str, Program]]:
    """Tall and wide maps and kernels, addresses in the last regions, parts of all sizes."""
    two, one = Format(2, "unsigned"), Format(1, "signed")
    for name, (height, width), kernel, dilation, stride, pads in (
            ("tall_kernel", (20, 2), (8, 1), (3, 3), (1, 1), (0, 0, 5, 0)),
            ("taller_kernel", (29, 1), (16, 2), (1, 1), (1, 1), (1, 1, 1, 1)),
            ("wide_kernel", (2, 31), (1, 16), (2, 2), (1, 1), (0, 0, 0, 0)),
            ("wide_map", (6, 30), (1, 1), (1, 1), (1, 1), (0, 0, 0, 0)),
            ("tall_map", (29, 3), (2, 2), (1, 1), (1, 1), (1, 1, 1, 1)),
            ("strided_map", (30, 5), (2, 1), (2, 2), (3, 3), (0, 2, 0, 0)),
            ("unequal_steps", (14, 9), (3, 2), (1, 3), (4, 2), (1, 0, 0, 1))):
        source = Tensor("a", height, width, (2,), two)
        rows, width_out = map(out_size, (height, width), pads[:2], pads[2:], kernel, stride, dilation)
        target = Tensor("b", rows, width_out, (3,), one)
        yield name, _program([source, target], [_conv(rng, "conv", source, target, kernel=kernel, stride=stride,
                                                      dilation=dilation, pads=pads)])
    source, eight = Tensor("a", 12, 12, (8,), Format(8, "signed")), Format(8, "signed")
    pooled = Tensor("b", 4, 4, (8,), eight)
    yield "large_pool", _program([source, pooled], [Pool("pool", "a", "b", (3, 3), (3, 3))])
    source, pooled = (Tensor(name, 3, width, (64,), Format(7, "signed")) for name, width in (("a", 3), ("b", 1)))
    yield "deep_pool", _program([source, pooled], [Pool("pool", "a", "b", (1, 3))])
    source, target = Tensor("a", 12, 12, (8,), eight), Tensor("b", 4, 4, (3,), two)
    yield "large_conv", _program([source, target], [_conv(rng, "conv", source, target, kernel=(2, 2), stride=(3, 3))])
    for bits, width, step in ((8, 8, 1), (5, 6, 2)):
        source = Tensor("a", 18, width, (8,), Format(bits, "unsigned"))
        target = Tensor("b", 18 // step, (width - 2) // step + 1, (8,), one)
        yield f"high_{bits}", _program([source, target], [
            _conv(rng, "conv", source, target, kernel=(1, 2), stride=(step, step), bits=1)])
    thin, other = [Tensor(name, 3, 2, (3,), one) for name in "ab"], Tensor("e", 3, 2, (64, 64, 3), eight)
    yield "far_residual", _program([*thin, other], [_conv(rng, "conv", *thin, residual=other, residual_part=2)])
    for channels, groups in ((24, 8), (27, 9), (30, 3)):
        source, target = (Tensor(name, 3, 2, (channels,), fmt) for name, fmt in (("a", two), ("b", eight)))
        few = _conv(rng, "conv", replace(source, parts=(channels // groups,)), target)
        yield f"groups_{groups}", _program([source, target], [replace(few, groups=groups)])
    parted, wide = Tensor("a", 3, 2, (9, 8, 3, 17), one), Tensor("b", 3, 2, (6,), Format(4, "signed"))
    yield "bipolar", _program([parted, wide], [_conv(rng, "conv", parted, wide, bits=1, kind="bipolar")])
    for width in (7, 8):
        long, thin = [Tensor(name, 3, 20, (1,), one) for name in "ab"], [Tensor(name, 3, 1, (1,), one) for name in "cd"]
        other = Tensor("e", 3, 1, (1,), Format(width, "signed"))
        yield f"soon_{width}", _program([*long, *thin, other], [
            _conv(rng, "one", *long), _conv(rng, "two", *thin, bits=1, residual=other)])


def _shifts(rng: np.random.Generator, mode: Rounding, number: int) -> Case:
    """Yield every shift, with ties and sums next to a tie in any bit, for outputs of 23 bits."""
    channels, limit = 32, (1 << (ARITHMETIC.offset_bits - 1)) - 1
    source, other = Tensor("a", 3, 2, (3,), Format(4, "signed")), Tensor("e", 3, 2, (channels,), Format(8, "signed"))
    target = Tensor("b", 3, 2, (channels,), Format(23, "signed"))
    shifts = rng.integers(number % 2 * 18, ARITHMETIC.offset_bits, channels)
    offsets = []
    for channel, shift in enumerate(map(int, shifts)):
        most = min(1 << 22, limit >> shift)
        near = channel // 4 % 2 * int(rng.choice([-1, 1])) << int(rng.integers(0, max(1, shift)))
        offsets.append((int(rng.integers(-most, most + 1)) << shift) + (1 << shift >> 1) + near)
    offset = np.clip(np.array(offsets, np.int64), -limit, limit)
    rows = [_digits(rng, ARITHMETIC.window, 1 + number % ARITHMETIC.terms) for _ in range(channels)]
    most = number // ARITHMETIC.terms % ARITHMETIC.terms
    residual = [_digits(rng, ARITHMETIC.residual_window, 1 + channel // 4 % 2 * most)
                for channel in range(channels)]
    conv = _conv(rng, "conv", source, target, residual=other, digits=rows, residual_digits=residual, shift=shifts,
                 offset=offset)
    program = _program([source, other, target], [conv], mode)
    images = corner_inputs(rng, program, 2)
    images["a"][..., 0] = 0
    images["e"][..., 0] = rng.choice([-1, 1], images["e"].shape[:-1]) << rng.integers(0, 7, images["e"].shape[:-1])
    return f"shifts_{mode}_{number}", program, IDEAL, images


def _digits(rng: np.random.Generator, window: int, count: int) -> list[int]:
    """Digits of falling exponents."""
    exponents = sorted(rng.choice(window, count, replace=False).tolist(), reverse=True)
    return [int(rng.choice([-1, 1])) * (exponent + 1) for exponent in exponents]


def _conv(rng: np.random.Generator, name: str, source: Tensor, target: Tensor, *, kernel: tuple[int, int] = (1, 1),
          stride: Steps = (1, 1), dilation: Steps = (1, 1), pads: Pads = (0, 0, 0, 0), bits: int = 3,
          kind: Kind = "signed", residual: Tensor | None = None, residual_part: int = 0,
          digits: Sequence[Sequence[int]] | None = None,
          residual_digits: Sequence[Sequence[int]] | None = None, shift: NDArray[np.int64] | None = None,
          offset: NDArray[np.int64] | None = None) -> Conv:
    """Return a Conv with random weights; without digits its output is the sum itself, clamped."""
    channels, fmt = target.parts[0], Format(bits, kind)
    weights = rng.integers(fmt.low, fmt.high + 1, (channels, source.channels, *kernel)).astype(np.int8)
    ones, zeros = [[1]] * channels, np.zeros(channels, np.int64)
    conv = Conv(name, source.name, target.name, weights, fmt, digits_of(digits or ones),
                zeros if shift is None else shift, zeros if offset is None else offset, target.format.low,
                target.format.high, stride=stride, dilation=dilation, pads=pads)
    if residual is None:
        return conv
    return replace(conv, residual=residual.name, residual_part=residual_part,
                   residual_multiplier=digits_of(residual_digits or ones))


def _program(tensors: Sequence[Tensor], ops: Sequence[Conv | Pool], mode: Rounding = "half_up") -> Program:
    return Program(tuple(tensors), tuple(ops), replace(ARITHMETIC, rounding=mode))
