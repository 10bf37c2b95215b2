"""Faults of the requantizer: a function for each field, which yields what the field may have become."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from bitwright.divergence.conv_run import Array, ConvRun, Requantizer, in_format, rounding
from bitwright.divergence.hypothesis import Hypothesis
from sim.functional.requantize import FLOOR, HALF_EVEN, HALF_UP
from sim.ir.formats import MAX_PLANES, Format

__all__ = ["requantizer_faults"]


def requantizer_faults(run: ConvRun) -> Iterator[Hypothesis]:
    """Yield what may be wrong between the accumulator and the packer, the likelier faults first."""
    for changes in (_clamp, _rounding, _zero_point, _shift, _offset, _multiplier, _residual_multiplier, _gate):
        for field, text, other in changes(run):
            yield _of(run, field, text, other)
    yield from _residual(run)
    yield from _channels(run)
    yield from _table(run)
    yield from _sums(run)


Changed = Iterator[tuple[str, str, Requantizer]]


def _clamp(run: ConvRun) -> Changed:
    plain = run.requantizer
    far = 1 << 60
    yield "clamp", f"low end of {plain.low} not kept", replace(plain, low=-far)
    yield "clamp", f"high end of {plain.high} not kept", replace(plain, high=far)
    for by in (-1, 1):
        low, high = plain.low + by, plain.high + by
        yield "clamp", f"what is below the low end of {plain.low} becomes {low}", replace(plain, below=low)
        yield "clamp", f"what is above the high end of {plain.high} becomes {high}", replace(plain, above=high)
        yield "clamp", f"low end is {low}, not {plain.low}", replace(plain, low=low, below=low)
        yield "clamp", f"high end is {high}, not {plain.high}", replace(plain, high=high, above=high)
    yield "clamp", "neither the low nor the high end kept", replace(plain, low=-far, high=far)
    yield "clamp", "what is above the high end becomes the low one", replace(plain, above=plain.low)
    yield "clamp", "what is below the low end becomes the high one", replace(plain, below=plain.high)


def _rounding(run: ConvRun) -> Changed:
    plain = run.requantizer
    floor, up, even = rounding(FLOOR), rounding(HALF_UP), rounding(HALF_EVEN)

    def is_tie(v: Array, n: Array) -> Array:
        half = np.where(n > 0, np.int64(1) << np.maximum(n - 1, 0), -1)
        return np.asarray((v & ((np.int64(1) << n) - 1)) == half, np.int64) * (n > 0)

    variants = {
        "ties of negative numbers go up": lambda v, n: np.where(is_tie(v, n) * (v < 0), floor(v, n) + 1,
                                                                plain.round(v, n)),
        "ties of negative numbers go down": lambda v, n: np.where(is_tie(v, n) * (v < 0), floor(v, n),
                                                                  plain.round(v, n)),
        "ties of positive numbers go up": lambda v, n: np.where(is_tie(v, n) * (v >= 0), floor(v, n) + 1,
                                                                plain.round(v, n)),
        "ties of positive numbers go down": lambda v, n: np.where(is_tie(v, n) * (v >= 0), floor(v, n),
                                                                  plain.round(v, n)),
        "all ties go up": up,
        "ties go to the even number": even,
        "ties go to the odd number": lambda v, n: np.where(is_tie(v, n), floor(v, n) + (floor(v, n) % 2 == 0),
                                                           plain.round(v, n)),
        "ties go away from zero": lambda v, n: np.where(is_tie(v, n), floor(v, n) + (v > 0), up(v, n)),
        "ties go towards zero": lambda v, n: np.where(is_tie(v, n), floor(v, n) + (v < 0), up(v, n)),
        "ties go down": lambda v, n: np.where(is_tie(v, n), floor(v, n), up(v, n)),
        "always down": floor,
        "always up": lambda v, n: -floor(-v, n),
        "towards zero": lambda v, n: np.where(v < 0, -floor(-v, n), floor(v, n)),
        "a whole unit is added instead of a half": lambda v, n: floor(v, n) + (n > 0),
    }
    for text, rounded in variants.items():
        yield "rounding", text, replace(plain, round=rounded)


def _zero_point(run: ConvRun) -> Changed:
    plain = run.requantizer
    if plain.zero_point:
        yield "output zero point", f"{plain.zero_point} not added", replace(plain, zero_point=0)
        yield "output zero point", f"{plain.zero_point} subtracted", replace(plain, zero_point=-plain.zero_point)


def _shift(run: ConvRun) -> Changed:
    plain = run.requantizer
    yield "shift", "not shifted", replace(plain, shift=np.zeros_like(plain.shift))
    for by in (-1, 1):
        yield "shift", f"by {abs(by)} {'more' if by > 0 else 'less'}", replace(
            plain, shift=np.maximum(0, plain.shift + by))
    for bit in range(6):
        for text, shift in _bits(plain.shift, bit):
            yield "shift", text, replace(plain, shift=shift)


def _offset(run: ConvRun) -> Changed:
    plain = run.requantizer
    yield "offset", "not added", replace(plain, offset=np.zeros_like(plain.offset))
    yield "offset", "subtracted", replace(plain, offset=-plain.offset)
    for bit in range(run.plan.machine.arithmetic.offset_bits):
        for text, offset in _bits(plain.offset, bit):
            yield "offset", text, replace(plain, offset=offset)


def _multiplier(run: ConvRun) -> Changed:
    for text, digits in _digits(run.requantizer.digits):
        yield "multiplier", text, replace(run.requantizer, digits=digits)


def _residual_multiplier(run: ConvRun) -> Changed:
    if run.conv.residual is not None:
        for text, digits in _digits(run.requantizer.residual_digits):
            yield "residual multiplier", text, replace(run.requantizer, residual_digits=digits)


def _digits(digits: Array) -> Iterator[tuple[str, Array]]:
    """Yield digits of which one is lost or has another sign or exponent."""
    for term in range(digits.shape[1]):
        for text, wrong in (("lost", np.zeros_like(digits)), ("has its sign lost", np.abs(digits)),
                            ("is always negative", -np.abs(digits)), ("has the other sign", -digits),
                            ("twice as large", 2 * digits), ("has the exponent 0", np.sign(digits))):
            other = digits.copy()
            other[:, term] = wrong[:, term]
            yield f"digit {term} {text}", other
    yield "all digits lost", np.zeros_like(digits)
    yield "signs of all digits lost", np.abs(digits)


def _gate(run: ConvRun) -> Changed:
    plain = run.requantizer
    for bit in range(len(plain.planes)):
        for text, factor in (("lost", 0), ("has the other sign", -1), ("twice as large", 2)):
            planes = plain.planes.copy()
            planes[bit] *= factor
            yield "gate", f"digit of bit {bit} {text}", replace(plain, planes=planes)
    if len(plain.planes):
        yield "gate", "product not added", replace(plain, planes=np.zeros_like(plain.planes))
        for by in (-1, 1):
            planes = plain.planes * 2 if by > 0 else plain.planes // 2
            yield "gate", f"exponent off by {by}", replace(plain, planes=planes)


def _residual(run: ConvRun) -> Iterator[Hypothesis]:
    """Yield residuals without a sign, without a plane, of other places."""
    if run.conv.residual is None:
        return
    fmt = run.plan.program.tensor(run.conv.residual).format
    unsigned = run.residual & ((1 << fmt.bits) - 1)
    variants: list[tuple[str, Array]] = [
        ("ignored", np.zeros_like(run.residual)),
        ("its sign is lost, so that negative codes are read as positive", unsigned),
        ("its top bit counts as a sign", in_format(unsigned, Format(fmt.bits, "signed")))]
    wide = Format(MAX_PLANES + 1, "signed")
    variants += [(text, in_format(other, wide)) for bit in range(MAX_PLANES + 1)
                 for text, other in _bits(run.residual, bit)]
    for axis, what in ((1, "channel"), (2, "row"), (3, "pixel")):
        variants += [(f"of the {what} {'before' if by > 0 else 'after'}", np.roll(run.residual, by, axis))
                     for by in (-1, 1)]
    per_tile = run.plan.machine.rows
    variants.append(("of the row tile before", _earlier(run.residual, per_tile)))
    if run.conv.gate is None:
        variants.append(("the accumulator in its place", run.accumulator))
    for text, other in variants:
        yield Hypothesis("residual", text, run.output(run.requantizer.codes(run.accumulator, other)), residual=other)


def _channels(run: ConvRun) -> Iterator[Hypothesis]:
    """Yield parameters of other channels."""
    plain, rows = run.requantizer, run.plan.machine.rows
    every = np.arange(run.conv.channels)
    for text, chosen in (("of the row tile before", np.where(every >= rows, every - rows, every)),
                         ("of the row tile after", np.where(every + rows < len(every), every + rows, every)),
                         ("of the neighbour's row", np.minimum(every ^ 1, len(every) - 1)),
                         ("of the first row", every // rows * rows)):
        other = replace(plain, digits=plain.digits[chosen], residual_digits=plain.residual_digits[chosen],
                        offset=plain.offset[chosen], shift=plain.shift[chosen])
        yield _of(run, "parameters", text, other)


def _table(run: ConvRun) -> Iterator[Hypothesis]:
    """Yield indices with a wrong bit, and codes that no table was asked for."""
    table = run.conv.table
    if table is None:
        return
    index = run.requantizer.codes(run.accumulator, run.residual)
    for bit in range(table.index.bits):
        for text, other in _bits(index, bit):
            yield Hypothesis("table", f"index {text}", run.output(other))
    target = run.plan.program.tensor(run.conv.output).format
    yield Hypothesis("table", "not asked: the index is the code", in_format(index, target))
    for op in run.plan.program.convs:
        if op.table is not None and op is not run.conv and op.table.index.bits >= table.index.bits:
            yield Hypothesis("table", f"that of op '{op.name}'", run.output(index, op.table.codes))


def _sums(run: ConvRun) -> Iterator[Hypothesis]:
    """Yield sums of which one bit is wrong: before and after they are shifted, and after they are clamped."""
    plain = run.requantizer
    value = plain.value(run.accumulator, run.residual)
    clamped = plain.codes(run.accumulator, run.residual)
    rounded, shifted = plain.round(value, plain.shift), value >> plain.shift
    up = rounded - shifted

    for bit in range(plain.code_format.bits):
        for text, other in _bits(clamped, bit):
            yield Hypothesis("code", text, run.output(in_format(other, plain.code_format)))
    for bit in range(run.plan.machine.requant_bits):
        for text, other in _bits(rounded, bit):
            yield _moved(run, "rounded sum", text, other)
        for text, other in _bits(shifted, bit):
            yield _moved(run, "rounded sum", f"{text} before it is rounded up", other + up)
        for text, other in _bits(value, bit):
            yield _moved(run, "sum of terms", text, plain.round(other, plain.shift))


def _of(run: ConvRun, field: str, text: str, other: Requantizer) -> Hypothesis:
    """Return what another requantizer makes of the accumulators."""
    moved = other.moved(run.accumulator, run.residual)
    return Hypothesis(field, text, run.output(other.clamped(moved)), moved=moved)


def _moved(run: ConvRun, field: str, text: str, rounded: Array) -> Hypothesis:
    """Return what becomes of other rounded sums."""
    moved = rounded + run.requantizer.zero_point
    return Hypothesis(field, text, run.output(run.requantizer.clamped(moved)), moved=moved)


def _earlier(array: Array, rows: int) -> Array:
    """Return what is `rows` channels before, the same where nothing is."""
    channels = np.arange(array.shape[1])
    return array[:, np.where(channels >= rows, channels - rows, channels)]


def _bits(numbers: Array, bit: int) -> Iterator[tuple[str, Array]]:
    """Yield numbers of which one bit is always 0, always 1, or the other one."""
    mask = np.int64(1) << bit
    yield f"bit {bit} lost", numbers & ~mask
    yield f"bit {bit} always set", numbers | mask
    yield f"bit {bit} inverted", numbers ^ mask
