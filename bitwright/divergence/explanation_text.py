"""The explanation of a code in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sim.inspect.contract import Requantization, Tap
from sim.inspect.explain import Explanation
from sim.inspect.machine_place import MachinePlace

__all__ = ["MOST_TAPS", "explanation_lines", "tap_rows"]

MOST_TAPS = 24
"""Operands that sentences name; data has all."""


def explanation_lines(found: Explanation) -> Iterator[str]:
    """Yield what there is to say about a code, operands left out."""
    yield (f"'{found.tensor}', image {found.image}, channel {found.channel}, pixel ({found.y}, {found.x}) is "
           f"{found.code}, made by {found.kind} '{found.op}'")
    if found.taps:
        padded = sum(tap.padded for tap in found.taps)
        yield f"{len(found.taps)} operands, {padded} of them padded"
    if found.requantization is not None:
        yield from _steps(found.requantization)
    if found.place is not None:
        yield from _place(found.place)


def tap_rows(taps: Sequence[Tap]) -> list[list[object]]:
    """Return (tap, channel, pixel, code, weight, product) of operands, as cells."""
    return [[f"({tap.row}, {tap.column})", tap.channel, f"({tap.y}, {tap.x}){' padded' if tap.padded else ''}",
             "" if tap.code is None else tap.code, "" if tap.weight is None else tap.weight,
             "" if tap.weight is None or tap.code is None else tap.weight * tap.code] for tap in taps]


def _steps(step: Requantization) -> Iterator[str]:
    wrapped = "" if step.sum == step.accumulator else f", wrapped from {step.sum}"
    yield f"accumulator {step.accumulator}{wrapped}"
    yield f"multiplier {step.multiplier} = {_sum(step.digits)}, offset {step.offset}, shift {step.shift}"
    if step.residual is not None:
        other = step.residual
        gate = "" if step.gate is None else f", gate 2**{step.gate}"
        yield (f"residual {other.code}, of '{other.tensor}', channel {other.channel}, pixel ({other.y}, {other.x}); "
               f"its multiplier {step.residual_multiplier} = {_sum(step.residual_digits)}{gate}")
    tie = ", a tie" if step.tie else ""
    yield (f"v = {step.value}, rounded {step.rounding} to {step.rounded} with remainder {step.remainder} of "
           f"{1 << step.shift}{tie}; zero point {step.zero_point}")
    clamp = "not clamped" if step.clamped is None else f"clamped at the {step.clamped} end"
    index = "" if step.index is None else f"; index {step.index} of the table"
    yield f"{clamp} of {step.low}..{step.high}{index}: {step.code}"


def _sum(digits: Sequence[int]) -> str:
    return " ".join(f"{'-' if digit < 0 else '+'} {abs(digit)}" for digit in digits).removeprefix("+ ") or "no digits"


def _place(place: MachinePlace) -> Iterator[str]:
    row = "" if place.row is None else (f"row {place.row} of row tile {place.row_tile}, requantizer {place.unit}, "
                                        f"chunk {place.chunk}, accumulator {place.pixel}, ")
    yield (f"{row}column {place.column}; plane 0 in bank {place.bank}, word {place.address}, lane {place.lane}")
    spans = (("computed", place.computed), ("requantized", place.requantized), ("written", place.written))
    yield ", ".join(f"{what} in cycles {span[0]} to {span[1]}" for what, span in spans if span is not None)
