"""Draw random legal machines: plain ones, and those of a campaign, which reach both ends of every range."""

from __future__ import annotations

from typing import Any

import numpy as np

from sim.arch.host_memory import IDEAL, Memory
from sim.arch.machine import Machine
from sim.arch.table_memory import TABLE_CODE_BITS
from sim.ir.formats import Rounding
from sim.testing.stimulus.choices import Choices, choices_of

__all__ = ["RANGES", "campaign_machine", "random_machine", "random_memory"]

MODES: tuple[Rounding, ...] = ("half_up", "half_even", "floor")


def field_range(name: str, least: int | None = None, most: int | None = None) -> tuple[int, int]:
    """Return the range of a parameter by its rule in `Machine`, or a narrower one; a rule without an end needs one."""
    ends = {type(rule).__name__: rule for rule in Machine.model_fields[name].metadata}
    low = ends["Ge"].ge if "Ge" in ends else least
    high = ends["Le"].le if "Le" in ends else most
    assert isinstance(low, int)
    assert isinstance(high, int)
    return max(low, low if least is None else least), min(high, high if most is None else most)


RANGES: dict[str, tuple[int, int]] = {
    "rows": field_range("rows", most=32),
    "columns": field_range("columns", most=8),
    "lanes": field_range("lanes", most=128),
    "max_bits_w": field_range("max_bits_w", most=8),
    "max_bits_a": field_range("max_bits_a", most=8),
    "acc_bits": field_range("acc_bits"),
    "acc_depth": field_range("acc_depth", most=100),
    "requantizers": field_range("requantizers", most=32),
    "terms": field_range("terms"),
    "window": field_range("window", most=31),
    "weight_words": field_range("weight_words", least=16, most=2048),
    "act_regions": field_range("act_regions", least=4, most=24),
    "region_words": field_range("region_words", least=16, most=2048),
    "stream_bits": field_range("stream_bits", most=512),
    "depthwise_lanes": field_range("depthwise_lanes", most=128),
    "table_bits": field_range("table_bits"),
}
"""Smallest and largest value of each parameter in a campaign. Where `sim.arch.machine` has no end, this is one that can
be
simulated; least memories are those into which anything fits."""
NARROWEST_STREAM = 32
"""Streams have at least a bit for so many lanes."""
ENDS = 0.5
"""Probability that a parameter is at an end of its range."""


def random_machine(source: np.random.Generator | Choices, small: bool = True) -> Machine:
    """Draw a legal machine with an ideal memory; `small` ones suit an event-driven RTL simulator.

    >>> machine = random_machine(np.random.default_rng(0))
    >>> machine.lanes <= 16 and machine.columns <= 4 and machine.acc_depth <= 8
    True
    """
    draw = choices_of(source)
    lanes = draw.choice("lanes", [4, 8, 16] if small else [16, 32, 64])
    rows = draw.choice("rows", [1, 2, 4] if small else [4, 8, 16])
    columns = draw.integer("columns", 1, 4 if small else 7)
    acc_depth = draw.integer("acc_depth", 1, 8 if small else 64)
    return Machine(
        name="random", rows=rows, columns=columns, lanes=lanes,
        acc_bits=draw.integer("acc_bits", 16, 32), acc_depth=acc_depth,
        depthwise_lanes=draw.choice("depthwise_lanes", _depthwise_lanes(rows, lanes, acc_depth, 8)),
        requantizers=draw.choice("requantizers", [q for q in (1, 2, 4, 8, 16) if q <= rows]),
        terms=draw.integer("terms", 1, 4), window=draw.integer("window", 4, 12),
        weight_words=draw.choice("weight_words", [128, 256, 512]), act_regions=draw.integer("act_regions", 4, 10),
        region_words=draw.choice("region_words", [64, 128, 256] if small else [512, 1024]),
        stream_bits=draw.choice("stream_bits", _stream_bits(rows, columns, lanes, 1)),
        bipolar=draw.chance("bipolar", 0.75), roundings=_roundings(draw), clock_mhz=100,
        table_bits=draw.integer("table_bits", 0, RANGES["table_bits"][1]) if lanes >= TABLE_CODE_BITS else 0,
    )


def campaign_machine(source: np.random.Generator | Choices, elements: int, wide: bool = False) -> Machine:
    """Draw a legal machine of at most `elements` rows x columns x lanes, with an ideal memory.

    It is often at the ends of `RANGES`.

    Parameters
    ----------
    source : numpy.random.Generator or Choices
    elements : int
        At least 128: a machine of the most lanes must be possible.
    wide : bool
        At least 64 lanes.
    """
    draw = choices_of(source)

    def either(name: str, low: int | None = None, high: int | None = None) -> int:
        least, most = RANGES[name]
        least, most = max(least, least if low is None else low), min(most, most if high is None else high)
        ends = [least, most]
        return draw.choice(name, ends) if draw.chance("end", ENDS) else draw.integer(name, least, most)

    def power(name: str, low: int | None = None, high: int | None = None) -> int:
        least, most = RANGES[name]
        least, most = max(least, least if low is None else low), min(most, most if high is None else high)
        powers = [1 << k for k in range(most.bit_length()) if least <= 1 << k <= most]
        return draw.choice(name, [powers[0], powers[-1]] if draw.chance("end", ENDS) else powers)

    lanes = power("lanes", low=64 if wide else None)
    rows = power("rows", high=min(lanes, elements // lanes))
    columns = either("columns", high=elements // (lanes * rows))
    bits: dict[str, Any] = {name: either(name) for name in ("max_bits_w", "max_bits_a")}
    acc_bits, acc_depth = either("acc_bits"), either("acc_depth")
    depthwise = _depthwise_lanes(rows, lanes, acc_depth, bits["max_bits_w"])
    streams = _stream_bits(rows, columns, lanes, max(1, lanes // NARROWEST_STREAM))
    divisors = [q for q in range(1, rows + 1) if rows % q == 0]
    return Machine(
        name="random", rows=rows, columns=columns, lanes=lanes, **bits, acc_bits=acc_bits, acc_depth=acc_depth,
        depthwise_lanes=draw.choice("depthwise_lanes", [depthwise[0], depthwise[-1]] if draw.chance("end", ENDS)
                                    else depthwise),
        requantizers=draw.choice("requantizers", divisors), terms=either("terms"),
        window=either("window", high=51 - acc_bits), weight_words=either("weight_words"),
        act_regions=either("act_regions"), region_words=power("region_words"),
        stream_bits=draw.choice("stream_bits", [streams[0], streams[-1]] if draw.chance("end", ENDS) else streams),
        bipolar=draw.chance("bipolar", 0.75), roundings=_roundings(draw), clock_mhz=100,
        table_bits=either("table_bits") if lanes >= TABLE_CODE_BITS else 0,
    )


def _stream_bits(rows: int, columns: int, lanes: int, least: int) -> list[int]:
    """Legal widths of the streams of at least `least` bits, the narrowest first."""
    widths = {lanes >> k for k in range(lanes.bit_length())} | {lanes << k for k in range(6)}
    return sorted(width for width in widths if least <= width <= lanes * min(rows, columns))


def _roundings(draw: Choices) -> tuple[Rounding, ...]:
    return tuple(mode for mode in MODES if draw.chance("rounding", 0.6)) or MODES[:1]


def _depthwise_lanes(rows: int, lanes: int, acc_depth: int, max_bits_w: int) -> list[int]:
    """Return the numbers of depthwise lanes that a machine may have, none first."""
    most = min(lanes, rows * lanes // max_bits_w, rows * acc_depth)
    return [0, *(rows << k for k in range(lanes.bit_length()) if rows << k <= most)]


def random_memory(source: np.random.Generator | Choices) -> Memory:
    """Draw the memory that the streams reach: ideal, late, with slots, or both."""
    draw = choices_of(source)
    late, slotted = draw.chance("late_memory", 0.5), draw.chance("slotted_memory", 0.5)
    if not (late or slotted):
        return IDEAL
    beats = draw.integer("beats", 1, 4) if slotted else 1
    return Memory(latency_cycles=draw.integer("latency", 1, 40) if late else 0, beats=beats,
                  period_cycles=beats + (draw.integer("pause", 1, 6) if slotted else 0))
