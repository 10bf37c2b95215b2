"""What the kernels of bit planes and their callers agree on."""

from __future__ import annotations

from sim.functional.kernels.abi import CHUNK, GROUP, SPARE, SPARE_ROWS

__all__ = ["INPUT", "INPUT_CHANNELS", "INPUT_PIXELS", "RAISE", "REFERENCE", "ROW_BYTES", "STEPS", "STEP_COUNT",
           "STEP_WORDS", "plane_bytes", "scratch_bytes"]

INPUT, INPUT_PIXELS, INPUT_CHANNELS, STEPS, STEP_COUNT, RAISE, REFERENCE = range(SPARE, SPARE + 7)
"""First byte of the input, its pixels with their border, its channels; address of the steps (how far to shift the
counts, bytes to the plane of the input, bytes to that of the weights) and their number; the constants above."""

STEP_WORDS = 3
ROW_BYTES = 4 * GROUP
"""Of sums."""


def plane_bytes(pixels: int, channels: int) -> int:
    """Of a plane of a packed input; the planes of a pixel do not share a set of the cache."""
    return pixels * -(-channels // 32) * 4 + 64


def scratch_bytes(pixels: int, channels: int, planes: int) -> int:
    """For a packed input, and a chunk of outputs."""
    return (CHUNK + SPARE_ROWS) * (4 * 8 + ROW_BYTES) + (planes + 1) * plane_bytes(pixels, channels)
