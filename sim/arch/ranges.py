"""Ranges of a machine's numbers: what a description may say, both ends included."""

from __future__ import annotations

from sim.ir.formats import MAX_PLANES

__all__ = ["MAX_CLOCK_MHZ", "MEMORY_RANGES", "RANGES"]

RANGES: dict[str, tuple[int, int]] = {
    "rows": (1, 128),
    "columns": (1, 64),
    "lanes": (4, 1024),
    "max_bits_w": (1, MAX_PLANES),
    "max_bits_a": (1, MAX_PLANES),
    "acc_bits": (8, 32),
    "acc_depth": (1, 1 << 16),
    "requantizers": (1, 128),
    "terms": (1, 8),
    "window": (1, 43),
    "weight_words": (1, 1 << 24),
    "act_regions": (2, 1024),
    "region_words": (1, 1 << 24),
    "stream_bits": (1, 1 << 15),
    "depthwise_lanes": (0, 1024),
    "table_bits": (0, MAX_PLANES),
}
"""The integers of `sim.arch.machine.Machine`; further rules tie some of them together."""
MEMORY_RANGES: dict[str, tuple[int, int]] = {
    "latency_cycles": (0, 1 << 24),
    "beats": (1, 1 << 24),
    "period_cycles": (1, 1 << 24),
}
"""The integers of `sim.arch.host_memory.Memory`."""
MAX_CLOCK_MHZ = 1e6
"""Fastest clock [MHz]."""
