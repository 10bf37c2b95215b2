"""An operation as compiled code reads it: a row of 64-bit integers, and what kernels and their callers agree on.

Places of codes are bytes from the start of the arena, the memory that one thread works in; constants have addresses.
A word that a kernel does not use is 0.
"""

from __future__ import annotations

(
    SOURCE,          # first byte that the window of the first output reads
    SOURCE_ROW,      # from the window of an output to that of the one below
    SOURCE_PIXEL,    # and to that of the one to the right
    TAPS,            # address of the byte offsets of a window's pieces
    TAP_COUNT,
    RUN,             # length of a piece, in units of the kernel
    WEIGHTS,         # address
    HEIGHT,          # of the output, in pixels
    WIDTH,
    CHANNELS,        # that the operation writes
    TARGET,          # first byte written
    TARGET_ROW,
    TARGET_PIXEL,
    RESIDUAL,        # first byte of the residual
    RESIDUAL_ROW,
    RESIDUAL_PIXEL,
    REQUANTIZER,     # address of compiled code, 0 for sums that need none
    PARAMETERS,      # address of the channels' constants
    ZERO,            # what a rounded sum is raised by
    LOW,             # clamp of what is stored
    HIGH,
    WRAP,            # bits above those of the accumulator
    SCRATCH,         # memory of this operation alone
    HOST,            # number of the array of the host's that is read or written
    SPARE,           # first of the words that a kernel names itself
) = range(25)
WORDS = 32
"""In a row: a whole number of cache lines."""

CONFIGURATION, VIRTUAL_WIDTH, ROW_STEPS, UNWANTED = range(SPARE, SPARE + 4)
"""Of tiles: address of their configuration; outputs of a row with those that are dropped (direct); steps of a copied
window (packed); a place for what is dropped (direct)."""

LOWEST = SPARE
"""Of weights of four bits: what each is less than it stands for."""
POOL_TOP, POOL_LEFT, POOL_BOTTOM, POOL_RIGHT, POOL_HEIGHT, POOL_WIDTH, POOL_STRIDE = range(SPARE, SPARE + 7)
"""Of pooling: pads before the map, rows and columns of the map, and the window."""

IMAGE = 0
"""Word of the arena that holds the number of the image; addresses of the host's arrays follow."""

LANES = 16
"""Channels whose parameters lie together, and that a requantizer takes at a time."""
NARROW_FIELDS = ("least", "most", "multiplier", "offset", "shift", "odd", "residual_multiplier")
"""int32, LANES of each in turn."""
WIDE_FIELDS = ("base", "multiplier", "offset", "shift", "odd", "residual_multiplier")
"""int64, LANES of each in turn."""

GROUP_QUADS = 4
"""Times four bytes of a window that a turn of the inner loop takes."""
ROW_CHUNK = 56
"""Outputs of a row that a depthwise kernel computes at a time; it divides the rows of networks for 224 x 224."""
CHUNK = 48
"""Pixels whose sums wait for the requantizer: a multiple of the heights of all tiles of registers."""
SPARE_ROWS = 12
TILE_PIXELS, TILE_CHANNELS, STEP_BYTES = 32, 32, 64
"""Of tiles: windows and channels of a block of sums, and bytes of a window in a step."""
DIRECT_PIXELS = 128
"""Windows of tiles that pass while a panel of weights is near."""
GATHER_BYTES = 1 << 17
"""Windows copied at a time, of tiles."""
GROUP, HALF_GROUP = 64, 32
"""Channels whose bytes fill a register, or half of one: their sums may come interleaved
(`sim.functional.kernels.interleave`).

Those are as many whole groups as a layer's channels have, then a half one if that many are left; the rest never is.
"""
