"""Choose the kernel of a layer by its formats, its shape and the CPU's instructions, never by a clock.

Every kernel that is exact for a layer is named, in the order that measurements on real layers gave (docs/simulator.md);
the first one is taken.
"""

from __future__ import annotations

import numpy as np

from sim.functional.engine.bitplane import bitplane_kernels
from sim.functional.engine.buffers import Buffer
from sim.functional.engine.weights import pieces, quad_starts
from sim.functional.engine.winograd import winograd_kernels
from sim.functional.kernels.abi import (
    GROUP_QUADS,
    STEP_BYTES,
    TILE_CHANNELS,
    TILE_PIXELS,
    VECTOR_LANES,
    WINOGRAD_TILES,
)
from sim.functional.kernels.kernel_id import KernelId, requantizer_id
from sim.ir.formats import Format
from sim.ir.ops import Conv

__all__ = ["conv_kernels"]

COPY_CYCLES = 3
"""Cycles to copy 64 bytes of a window; 16 windows times 64 bytes times 16 channels take 16."""
VECTORS = {"avx512": (4, 3, 2, 1), "quads": (4, 3, 2, 1), "avx2": (2,), "portable": (2,)}
FEWEST_PAIRS, FEW_PAIRS = 2, 4
"""Pairs of a bit of a code and one of a weight that planes do faster than Winograd's convolution, and than bytes."""
LEAST_WINDOWS = 4
"""Below, most of a tile would be empty."""
CACHED_WEIGHTS = 1 << 20
"""Weights that a second-level cache keeps beside the codes."""
AMX_DIRECT, AMX_PACKED = KernelId("amx_conv", "direct"), KernelId("amx_conv", "packed")
LEAST_TILES = {KernelId("winograd", "rows", 2): 16, KernelId("winograd", "rows", 4): 9,
               KernelId("winograd", "squares", 4): 16}
"""Below, a tile of sums would not fill the registers often enough."""
MOST_TRANSFORMED_BYTES = 6 << 20
"""Sums of weights that a third-level cache still delivers as fast as a few tiles use them."""
FUSED = {requantizer_id("narrow", residual=residual, interleaved=True, rounding=rounding)
         for residual in ("", "residual") for rounding in ("", "free")}
"""Requantizers whose work the kernels of products can do themselves."""
MOST_LISTED_TURNS = 64
"""Above, the places of the quads would not stay in the first-level cache beside the codes."""
LEAST_CHANNELS = 64
"""Below, reading the larger weights of Winograd, or its sums of codes, costs what its fewer products save."""


def conv_kernels(conv: Conv, codes: Format, source: Buffer, output: tuple[int, int], isa: str,
                 requantizer: KernelId) -> list[KernelId]:
    """Return the kernels that are exact for `conv`, the best first.

    Parameters
    ----------
    conv : Conv
    codes : Format
        Of its input.
    source : Buffer
        Of its input.
    output : (height, width)
    isa : str
        Rung of `sim.functional.kernels.isa`.
    requantizer : KernelId
        That turns its sums into codes, if these come interleaved.
    """
    if conv.depthwise:
        return _depthwise(conv, isa, requantizer)
    vectors = "avx512" if isa == "amx" else isa
    ways = [vectors]
    if vectors == "avx512":
        ways = ["quads", *ways] if _skips_turns(conv) else [*ways, "quads"]
    kernels = [KernelId("gemm_conv", way, count) for way in ways for count in _by_waste(conv.channels, way)]
    if vectors == "avx512" and requantizer in FUSED:
        kernels = [*(KernelId("fused_conv", ("quads_" if way == "quads" else "") + requantizer.variant)
                     for way in ways), *kernels]
    if vectors == "avx512":
        kernels = [*_of_few_bits(conv, codes, source, output), *kernels]
    if isa == "avx2" and _pairs_fit(conv, codes):
        kernels = [KernelId("gemm_conv", "maddubs", 2), *kernels]
    few_windows = output[0] * output[1] < LEAST_WINDOWS
    if isa == "amx" and not few_windows and not _streams_bits(conv, codes):
        kernels = [*_tiles(conv, source, output), *kernels]
    if isa in ("amx", "avx512") and _is_linear(conv, source, output) and _fits_nibbles(conv):
        kernels = [KernelId("int4_linear", "linear"), *kernels]
    if isa == "amx":
        kernels += _tiles(conv, source, output)
    if vectors == "avx512":
        kernels += [*winograd_kernels(conv, codes), *bitplane_kernels(conv, codes)]
    return list(dict.fromkeys(kernels))


def _of_few_bits(conv: Conv, codes: Format, source: Buffer, output: tuple[int, int]) -> list[KernelId]:
    """Return the kernels for few bits that are faster than products of bytes."""
    pairs, planes = conv.weight_format.bits * codes.bits, bitplane_kernels(conv, codes)
    if min(conv.channels, source.shape.channels) < LEAST_CHANNELS:
        return planes if pairs <= FEWEST_PAIRS else []
    transformed = [kernel for kernel in winograd_kernels(conv, codes)
                   if WINOGRAD_TILES[kernel].count(*output) >= LEAST_TILES[kernel]
                   and conv.weights.size // 9 * WINOGRAD_TILES[kernel].weight_bytes <= MOST_TRANSFORMED_BYTES]
    if pairs <= FEWEST_PAIRS:
        return [*planes, *transformed]
    return [*transformed, *planes] if pairs <= FEW_PAIRS else transformed


def _streams_bits(conv: Conv, codes: Format) -> bool:
    """Tell whether bytes of weights would not fit the second-level cache, and planes have a single pair of bits."""
    return conv.weight_format.bits * codes.bits == 1 and conv.weights.size > CACHED_WEIGHTS


def _pairs_fit(conv: Conv, codes: Format) -> bool:
    """Tell whether no sum of two products of a stored code and a weight leaves 16 signed bits."""
    return 2 * (codes.high - codes.low) * int(np.abs(conv.weight_values).max(initial=0)) < 1 << 15


def _fits_nibbles(conv: Conv) -> bool:
    """Tell whether its weights and 0 are no more than 15 apart."""
    values = conv.weight_values
    return int(values.max(initial=0)) - int(values.min(initial=0)) < 16


def _skips_turns(conv: Conv) -> bool:
    """Tell whether a list of the quads of a window that are not all zero is shorter than its pieces, and not long."""
    values = pieces(conv)
    turns = int(values.shape[1]) * -(-int(values.shape[2]) // (4 * GROUP_QUADS))
    return turns <= MOST_LISTED_TURNS and -(-len(quad_starts(values)) // GROUP_QUADS) < turns


def _is_linear(conv: Conv, source: Buffer, output: tuple[int, int]) -> bool:
    """Tell whether there is one window, which is the whole input as it lies in memory."""
    shape = source.shape
    return (output == (1, 1) and conv.kernel == (shape.height, shape.width) and conv.dilation == (1, 1)
            and not any(shape.pads))


def _depthwise(conv: Conv, isa: str, requantizer: KernelId) -> list[KernelId]:
    kernels = [KernelId("depthwise", "taps")]
    if isa in ("avx512", "amx"):
        kernels = [KernelId("depthwise", "quads"), *kernels]
        height, width = conv.kernel
        if width == 3 and 2 <= height <= 4 and conv.stride[1] <= 2 and conv.dilation == (1, 1):
            kernels = [KernelId("depthwise", "columns", conv.stride[1]), *kernels]
            if requantizer in FUSED and conv.residual is None:
                kernels = [KernelId("depthwise", requantizer.variant, conv.stride[1]), *kernels]
    return kernels


def _by_waste(channels: int, isa: str) -> list[int]:
    """Return the vectors of a tile, those that leave the fewest lanes idle first, wide ones before narrow ones."""
    needed = -(-channels // VECTOR_LANES[isa])
    return sorted(VECTORS[isa], key=lambda count: (-(-needed // count) * count, -count))


def _tiles(conv: Conv, source: Buffer, output: tuple[int, int]) -> list[KernelId]:
    """Return both ways to use tiles, that of fewer cycles first."""
    (height, width), (kernel_height, kernel_width) = output, conv.kernel
    channels, dilated = source.shape.channels, conv.dilation[1] > 1
    taps, run = (kernel_height * kernel_width, channels) if dilated else (kernel_height, kernel_width * channels)
    panels = -(-conv.channels // TILE_CHANNELS) * TILE_CHANNELS // 16
    steps = -(-taps * run // STEP_BYTES)
    copied = -(-height * width // TILE_PIXELS) * TILE_PIXELS
    packed = copied * steps * (panels + COPY_CYCLES)
    if conv.stride != (1, 1):
        return [AMX_PACKED]
    virtual = -(-((height - 1) * source.row_pixels + width) // TILE_PIXELS) * TILE_PIXELS
    direct = virtual * taps * -(-run // STEP_BYTES) * panels
    return [AMX_DIRECT, AMX_PACKED] if direct <= packed else [AMX_PACKED, AMX_DIRECT]
