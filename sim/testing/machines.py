"""Random legal machines."""

from __future__ import annotations

import numpy as np

from sim.formats import Rounding
from sim.machine import Machine
from sim.memory import IDEAL, Memory
from sim.testing.choices import Choices, choices_of

__all__ = ["random_machine", "random_memory"]

MODES: tuple[Rounding, ...] = ("half_up", "half_even", "floor")


def random_machine(source: np.random.Generator | Choices, small: bool = True) -> Machine:
    """A legal machine with an ideal memory; `small` ones suit an event-driven RTL simulator.

    >>> machine = random_machine(np.random.default_rng(0))
    >>> machine.lanes <= 16 and machine.columns <= 4 and machine.acc_depth <= 8
    True
    """
    draw = choices_of(source)
    lanes = draw.choice("lanes", [4, 8, 16] if small else [16, 32, 64])
    rows = draw.choice("rows", [1, 2, 4] if small else [4, 8, 16])
    columns = draw.integer("columns", 1, 4 if small else 7)
    narrow = [lanes >> k for k in range(lanes.bit_length())]
    acc_depth = draw.integer("acc_depth", 1, 8 if small else 64)
    wide = [lanes * k for k in (2, 4, 8) if k <= min(rows, columns)]
    return Machine(
        name="random", rows=rows, columns=columns, lanes=lanes,
        acc_bits=draw.integer("acc_bits", 16, 32), acc_depth=acc_depth,
        depthwise_lanes=draw.choice("depthwise_lanes", _depthwise_lanes(rows, lanes, acc_depth)),
        requantizers=draw.choice("requantizers", [q for q in (1, 2, 4, 8, 16) if q <= rows]),
        terms=draw.integer("terms", 1, 4), window=draw.integer("window", 4, 12),
        weight_words=draw.choice("weight_words", [128, 256, 512]), act_regions=draw.integer("act_regions", 4, 10),
        region_words=draw.choice("region_words", [64, 128, 256] if small else [512, 1024]),
        stream_bits=draw.choice("stream_bits", narrow + wide), bipolar=draw.chance("bipolar", 0.75),
        roundings=tuple(mode for mode in MODES if draw.chance("rounding", 0.6)) or MODES[:1], clock_mhz=100,
    )


def _depthwise_lanes(rows: int, lanes: int, acc_depth: int) -> list[int]:
    """The depthwise lanes that a machine with codes of 8 bits may have: none first."""
    most = min(lanes, rows * lanes // 8, rows * acc_depth)
    return [0, *(rows << k for k in range(lanes.bit_length()) if rows << k <= most)]


def random_memory(source: np.random.Generator | Choices) -> Memory:
    """The memory behind the streams: ideal, late, with slots, or both."""
    draw = choices_of(source)
    late, slotted = draw.chance("late_memory", 0.5), draw.chance("slotted_memory", 0.5)
    if not (late or slotted):
        return IDEAL
    beats = draw.integer("beats", 1, 4) if slotted else 1
    return Memory(latency_cycles=draw.integer("latency", 1, 40) if late else 0, beats=beats,
                  period_cycles=beats + (draw.integer("pause", 1, 6) if slotted else 0))
