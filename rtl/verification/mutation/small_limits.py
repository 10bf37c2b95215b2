"""A small machine whose fixed widths are small, too, so that short Programs reach every bit of its counters.

What no machine parameter changes - how many pixels, taps, row tiles, cycles the hardware can count - stands in
`sim.arch.limits` and is far more than a Program of some hundred cycles needs: faults in the upper bits could not be
found, and would say nothing about the tests.
"""

from __future__ import annotations

import sys
from importlib import import_module

from sim.arch import limits
from sim.arch.machine import Machine, load_machine

__all__ = ["COUNTER_BITS", "LIMITS", "set_small_limits", "small_machine"]

LIMITS = {"MAX_OPS": 8, "TILE_BITS": 3, "BLOCK_BITS": 3, "TAP_BITS": 5, "PIXEL_BITS": 6, "STEP_BITS": 8,
          "MAP_BITS": 6}
"""Instead of those in `sim.arch.limits`."""
COUNTER_BITS = 18
"""Of the performance counters; the registers still show 64."""


def set_small_limits() -> None:
    """Set the limits. To be called in a fresh process, before anything else of `rtl` is imported.

    Raises
    ------
    RuntimeError
        If it is too late.
    """
    if "rtl.encoding.geometry" in sys.modules:
        raise RuntimeError("rtl.encoding.geometry was imported with other limits")
    for name, bits in LIMITS.items():
        setattr(limits, name, bits)
    import_module("rtl.shell.top")
    for module in ("rtl.core.control.dispatcher", "rtl.core.control.perf_counters"):
        vars(import_module(module))["COUNTER_BITS"] = COUNTER_BITS


def small_machine() -> Machine:
    """Every structure once or twice: rows per requantizer, groups of lanes, words per beat, regions."""
    return Machine(**load_machine("tiny").model_dump() | {
        "name": "mutants", "rows": 4, "columns": 3, "lanes": 8, "requantizers": 2, "acc_depth": 4, "act_regions": 8,
        "region_words": 64, "weight_words": 128, "stream_bits": 16})
