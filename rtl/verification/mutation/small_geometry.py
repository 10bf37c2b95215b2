"""A small machine whose fixed widths are small, too, so that short Programs reach every bit of its counters.

What no machine parameter changes - how many pixels, taps, row tiles, cycles the hardware can count - stands in
`sim.arch.limits` and is far more than a Program of some hundred cycles needs: faults in the upper bits could not be
found, and would say nothing about the tests.
"""

from __future__ import annotations

from rtl.encoding.geometry import Geometry
from sim.arch.limits import HardwareLimits
from sim.arch.machine import Machine, load_machine

__all__ = ["small_geometry"]

SMALL_LIMITS = HardwareLimits(max_ops=8, tile_bits=3, block_bits=3, tap_bits=5, pixel_bits=6, step_bits=8, map_bits=6,
                              counter_bits=18)


def small_geometry() -> Geometry:
    """Return a geometry with every structure once or twice: rows per requantizer, groups of lanes, words per beat."""
    machine = Machine(**load_machine("tiny").model_dump() | {
        "name": "mutants", "rows": 4, "columns": 3, "lanes": 8, "requantizers": 2, "acc_depth": 4, "act_regions": 8,
        "region_words": 64, "weight_words": 128, "stream_bits": 16})
    return Geometry(machine, SMALL_LIMITS)
