"""The interface between the engine and its kernels: an operation is a row of 64-bit integers.

Places of codes are bytes from the start of the arena, the memory that one thread works in; constants have addresses.
A word that a kernel does not use is 0.
"""

from __future__ import annotations

from dataclasses import dataclass

from sim.functional.kernels.kernel_id import KernelId

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
"""Words of an operation, a whole number of cache lines."""

CONFIGURATION, VIRTUAL_WIDTH, ROW_STEPS, UNWANTED = range(SPARE, SPARE + 4)
"""Slots of AMX tiles: address of their configuration; outputs of a row with those that are dropped (direct); steps of a
copied
window (packed); a place for what is dropped (direct)."""

PASS_CHANNELS = SPARE
"""Slot of kernels that requantize in registers: channels that see the same windows one after the other."""
LOWEST = SPARE
"""Slot of the 4-bit kernel: the lowest weight, which is stored as 0."""
(POOL_TOP, POOL_LEFT, POOL_BOTTOM, POOL_RIGHT, POOL_HEIGHT, POOL_WIDTH, POOL_STRIDE_Y,
 POOL_STRIDE_X) = range(SPARE, SPARE + 8)
"""Slots of pooling: pads before the map, rows and columns of the map, and the window."""

IMAGE = 0
"""Word of the arena that holds the number of the image; addresses of the host's arrays follow."""

VECTOR_LANES = {"avx512": 16, "quads": 16, "avx2": 8, "maddubs": 8, "portable": 8}
"""Sums of 32 bits in a vector, by the way in which `sim.functional.kernels.dot_product` multiplies."""
LANES = 16
"""Channels whose parameters lie together, and that a requantizer takes at a time."""
NARROW_FIELDS = ("lowest_sum", "highest_sum", "multiplier", "offset", "shift", "odd", "residual_multiplier", "gate")
"""int32, LANES of each in turn."""
WIDE_FIELDS = ("base", "multiplier", "offset", "shift", "odd", "residual_multiplier", "gate")
"""int64, LANES of each in turn."""

GROUP_QUADS = 4
"""Times four bytes of a window that a turn of the inner loop takes."""
ROW_CHUNK = 56
"""Outputs of a row that a depthwise kernel computes at a time; it divides the rows of networks for 224 x 224."""
CHUNK = 48
"""Pixels whose sums wait for the requantizer: a multiple of the heights of all tiles of registers."""
SPARE_ROWS = 12
TILE_PIXELS, TILE_CHANNELS, STEP_BYTES = 32, 32, 64
"""Size of AMX tiles: windows and channels of a block of sums, and bytes of a window in a step."""
DIRECT_PIXELS = 128
"""Windows of tiles that pass while a panel of weights is near."""
GATHER_BYTES = 1 << 17
"""Windows copied at a time, of tiles."""
GROUP, HALF_GROUP = 64, 32
"""Channels whose bytes fill a register, or half of one: their sums may come interleaved
(`sim.functional.kernels.interleave`).

Those are as many whole groups as a layer's channels have, then a half one if that many are left; the rest never is.
"""
SUM_ROW_BYTES = 4 * GROUP
"""Size of the sums of a group of channels of one pixel [bytes]."""
TALL_TILE, LOW_TILE, TILE_VECTORS = 6, 2, GROUP // LANES
"""Pixels of the tiles of sums that bit planes and Winograd's convolution keep in registers, and vectors of each."""

INPUT, INPUT_PIXELS, INPUT_CHANNELS, STEPS, STEP_COUNT, PRODUCT_SHIFT, REFERENCE = range(SPARE, SPARE + 7)
"""Slots of the bit-plane kernel: first byte of the input, its pixels with their border, its channels; address of the
steps (how far to shift the counts, bytes to the plane of the input, bytes to that of the weights) and their number; the
constants of
`sim.functional.kernels.bitplane_conv`."""
STEP_WORDS = 3


def plane_bytes(pixels: int, channels: int) -> int:
    """Return the bytes of a plane of a packed input; the planes of a pixel do not share a set of the cache."""
    return pixels * -(-channels // 32) * 4 + 64


def bitplane_scratch_bytes(pixels: int, channels: int, planes: int) -> int:
    """Return the memory that bit planes need for a packed input and a chunk of outputs."""
    return (CHUNK + SPARE_ROWS) * (4 * 8 + SUM_ROW_BYTES) + (planes + 1) * plane_bytes(pixels, channels)


CORRECTIONS, TILES = SPARE, SPARE + 1
"""Slots of Winograd's convolution: address of what outputs are raised by; tiles that pass while a panel of weights is
near, a
multiple of TALL_TILE."""
CODE_OFFSET = 128
"""Added to sums of codes, so that they are unsigned bytes."""


@dataclass(frozen=True)
class WinogradTile:
    """A tile of Winograd's convolution.

    Attributes
    ----------
    height, width : int
        Its outputs [pixels].
    divisor : int
        Of the sums of products, which gives the outputs: an odd number times a power of 2.
    code_bytes : {1, 2}
        Size of a sum of codes, and of one of weights.
    """

    height: int
    width: int
    divisor: int
    code_bytes: int = 1

    @property
    def places(self) -> int:
        """Products of a tile, for each pair of channels."""
        return (self.height + 2) * (self.width + 2)

    @property
    def outputs(self) -> int:
        """Pixels of a tile."""
        return self.height * self.width

    @property
    def weight_bytes(self) -> int:
        """Size of the sums of weights of a pair of channels."""
        return self.places * self.code_bytes

    @property
    def doublings(self) -> int:
        """How often 2 divides the divisor."""
        return (self.divisor & -self.divisor).bit_length() - 1

    def count(self, height: int, width: int) -> int:
        """Return how many tiles cover a map of `height` x `width` outputs."""
        return -(-height // self.height) * -(-width // self.width)


WINOGRAD_TILES = {KernelId("winograd", "rows", 4): WinogradTile(2, 4, 48),
                  KernelId("winograd", "rows", 2): WinogradTile(2, 2, 4),
                  KernelId("winograd", "squares", 4): WinogradTile(4, 4, 576, 2)}
"""The tile of each kernel, the one of least work for each output first."""


def place_bytes(tiles: int, run: int) -> int:
    """Return the bytes from the sums of codes of a place to those of the next, in another set of the cache.

    A tile has `run` bytes.
    """
    return tiles * run + 64


def winograd_scratch_bytes(tile: WinogradTile, tiles: int, run: int) -> int:
    """Return the memory that Winograd's convolution needs for a chunk of tiles, each of `run` bytes of codes."""
    products = tile.places * (tiles * SUM_ROW_BYTES + 64) + TALL_TILE * SUM_ROW_BYTES
    pixels = tile.outputs * tiles
    return ((tiles + TALL_TILE) * 8 + pixels * (2 * 8 + SUM_ROW_BYTES) + tile.places * place_bytes(tiles, run)
            + products + 64)
