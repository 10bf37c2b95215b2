"""Dense convolution with AMX: tiles of 16 windows by 64 bytes, times tiles of 64 bytes by 16 channels.

A tile's windows must lie at equal distances. Where outputs are as far apart as inputs, they do so in the memory of the
input itself, if the outputs at the end of a row and in the border after it are computed too, and dropped (`direct`).
Otherwise windows are copied first, a chunk of pixels at a time (`packed`).

Two by two tiles of sums stay in registers while two tiles of windows and two of weights pass. A panel of weights is 32
channels, `[panel][piece][step][half][16 quads][16 channels][4]`.
"""

from __future__ import annotations

from collections.abc import Callable

from llvmlite import ir
from numba import njit

from sim.functional.kernels.abi import (
    CHANNELS,
    CONFIGURATION,
    DIRECT_PIXELS,
    GATHER_BYTES,
    GROUP,
    HEIGHT,
    REQUANTIZER,
    RESIDUAL,
    RESIDUAL_PIXEL,
    RESIDUAL_ROW,
    ROW_STEPS,
    RUN,
    SCRATCH,
    SOURCE,
    SOURCE_PIXEL,
    STEP_BYTES,
    SUM_ROW_BYTES,
    TAP_COUNT,
    TAPS,
    TARGET,
    TARGET_PIXEL,
    TARGET_ROW,
    TILE_CHANNELS,
    TILE_PIXELS,
    UNWANTED,
    VIRTUAL_WIDTH,
    WEIGHTS,
    WIDTH,
)
from sim.functional.kernels.kernel_id import KernelId
from sim.functional.kernels.llvm_builder import I8, I64, Code, Loop, const, llvm_intrinsic, vector
from sim.functional.kernels.op_view import call_requantizer, load_word, locate, store_word

__all__ = ["KERNELS", "NEEDS"]

SUM_BYTES = TILE_PIXELS * SUM_ROW_BYTES
"""Size of the sums of one group of channels [bytes]."""


def _amx(code: Code, name: str, *arguments: ir.Value) -> None:
    code.call_intrinsic(f"llvm.x86.{name}", ir.VoidType(), *arguments)


def _pointer(code: Code, address: ir.Value) -> ir.Value:
    return code.inttoptr(address, I8.as_pointer())


def _register(index: int) -> ir.Constant:
    return const(index, I8)


@llvm_intrinsic
def _begin(code: Code, configuration):
    _amx(code, "ldtilecfg", _pointer(code, configuration))


@llvm_intrinsic
def _end(code: Code):
    _amx(code, "tilerelease")


@llvm_intrinsic
def _tiles(code: Code, windows, distance, second, taps, tap_count, steps, weights, sums):
    """Sum 16 windows from `windows` on and 16 `second` bytes after them, `distance` apart, and 32 channels."""
    for register in range(4):
        _amx(code, "tilezero", _register(register))
    outer = Loop(code, tap_count, [weights])
    place = code.add(windows, code.load(I64, code.add(taps, code.mul(outer.index, const(8)))))
    inner = Loop(code, steps, [place, outer.values[0]])
    here, panel = inner.values
    _amx(code, "tileloadd64", _register(4), _pointer(code, here), distance)
    _amx(code, "tileloadd64", _register(6), _pointer(code, panel), const(64))
    _amx(code, "tileloadd64", _register(7), _pointer(code, code.add(panel, const(1024))), const(64))
    _amx(code, "tdpbusd", _register(0), _register(4), _register(6))
    _amx(code, "tdpbusd", _register(1), _register(4), _register(7))
    _amx(code, "tileloadd64", _register(5), _pointer(code, code.add(here, second)), distance)
    _amx(code, "tdpbusd", _register(2), _register(5), _register(6))
    _amx(code, "tdpbusd", _register(3), _register(5), _register(7))
    carried = inner.close([code.add(here, const(STEP_BYTES)), code.add(panel, const(2048))])
    outer.close(carried[1:])
    for register in range(4):
        corner = code.add(sums, const(register // 2 * 16 * SUM_ROW_BYTES + register % 2 * 64))
        _amx(code, "tilestored64", _register(register), _pointer(code, corner), const(SUM_ROW_BYTES))


@llvm_intrinsic
def _gather(code: Code, source, target, blocks):
    """Copy `blocks` times 64 bytes."""
    loop = Loop(code, blocks, [])
    offset = code.mul(loop.index, const(64))
    code.store(code.load(vector(I8, 64), code.add(source, offset)), code.add(target, offset))
    loop.close([])


@njit(error_model="numpy")
def _locate(op, arena, start, count, targets, residuals):
    """Addresses of outputs, and a place for those beyond the map, of `count` from `start` on in virtual rows."""
    width, height, virtual = load_word(op, WIDTH), load_word(op, HEIGHT), load_word(op, VIRTUAL_WIDTH)
    y, x = start // virtual, start % virtual
    target_row, target_pixel = load_word(op, TARGET_ROW), load_word(op, TARGET_PIXEL)
    other_row, other_pixel = load_word(op, RESIDUAL_ROW), load_word(op, RESIDUAL_PIXEL)
    target = arena + load_word(op, TARGET) + y * target_row + x * target_pixel
    other = arena + load_word(op, RESIDUAL) + y * other_row + x * other_pixel
    unwanted = arena + load_word(op, UNWANTED)
    for i in range(count):
        wanted = x < width and y < height
        store_word(targets, i, target if wanted else unwanted)
        store_word(residuals, i, other if wanted else unwanted)
        x, target, other = x + 1, target + target_pixel, other + other_pixel
        if x == virtual:
            x, y = 0, y + 1
            target += target_row - virtual * target_pixel
            other += other_row - virtual * other_pixel


def _direct() -> Callable[..., None]:
    def direct(op, arena):
        channels, distance = load_word(op, CHANNELS), load_word(op, SOURCE_PIXEL)
        taps, tap_count, steps = load_word(op, TAPS), load_word(op, TAP_COUNT), load_word(op, RUN)
        pixels = (load_word(op, HEIGHT) - 1) * load_word(op, VIRTUAL_WIDTH) + load_word(op, WIDTH)
        targets = arena + load_word(op, SCRATCH)
        residuals = targets + 8 * DIRECT_PIXELS
        sums = residuals + 8 * DIRECT_PIXELS
        panel_bytes = tap_count * steps * STEP_BYTES * TILE_CHANNELS
        _begin(load_word(op, CONFIGURATION))
        for start in range(0, pixels, DIRECT_PIXELS):
            count = min(DIRECT_PIXELS, (pixels - start + TILE_PIXELS - 1) // TILE_PIXELS * TILE_PIXELS)
            _locate(op, arena, start, count, targets, residuals)
            weights = load_word(op, WEIGHTS)
            for first in range(0, channels, GROUP):
                for row in range(0, count, TILE_PIXELS):
                    windows = arena + load_word(op, SOURCE) + (start + row) * distance
                    _tiles(windows, distance, 16 * distance, taps, tap_count, steps, weights, sums)
                    if channels - first > TILE_CHANNELS:
                        _tiles(windows, distance, 16 * distance, taps, tap_count, steps, weights + panel_bytes,
                               sums + 4 * TILE_CHANNELS)
                    call_requantizer(load_word(op, REQUANTIZER), op, sums, SUM_ROW_BYTES, TILE_PIXELS, first, GROUP,
                                     targets + 8 * row, residuals + 8 * row)
                weights += 2 * panel_bytes
        _end()

    return direct


def _packed() -> Callable[..., None]:
    def packed(op, arena):
        pixels, channels = load_word(op, HEIGHT) * load_word(op, WIDTH), load_word(op, CHANNELS)
        taps, tap_count, run = load_word(op, TAPS), load_word(op, TAP_COUNT), load_word(op, RUN)
        row_steps = load_word(op, ROW_STEPS)
        row_bytes = row_steps * STEP_BYTES
        chunk = max(GATHER_BYTES // row_bytes // TILE_PIXELS, 1) * TILE_PIXELS
        windows = arena + load_word(op, SCRATCH)
        targets = windows + 8 * chunk
        residuals = targets + 8 * chunk
        sums = residuals + 8 * chunk
        nowhere = sums + SUM_BYTES
        copies = nowhere + 64
        store_word(nowhere, 0, 0)
        _begin(load_word(op, CONFIGURATION))
        start = 0
        while start < pixels:  # a range of a step that is not constant could raise
            count = min(chunk, pixels - start)
            locate(op, arena, start, count, windows, targets, residuals)
            for i in range(count):
                copy = copies + i * row_bytes
                for tap in range(tap_count):
                    _gather(load_word(windows, i) + load_word(taps, tap), copy + tap * run, (run + 63) // 64)
            weights = load_word(op, WEIGHTS)
            for first in range(0, channels, GROUP):
                for row in range(0, count, TILE_PIXELS):
                    copy = copies + row * row_bytes
                    _tiles(copy, row_bytes, 16 * row_bytes, nowhere, 1, row_steps, weights, sums)
                    if channels - first > TILE_CHANNELS:
                        _tiles(copy, row_bytes, 16 * row_bytes, nowhere, 1, row_steps,
                               weights + row_bytes * TILE_CHANNELS, sums + 4 * TILE_CHANNELS)
                    rows = min(TILE_PIXELS, count - row)
                    call_requantizer(load_word(op, REQUANTIZER), op, sums, SUM_ROW_BYTES, rows, first, GROUP,
                                     targets + 8 * row, residuals + 8 * row)
                weights += 2 * row_bytes * TILE_CHANNELS
            start += chunk
        _end()

    return packed


KERNELS = {KernelId("amx_conv", "direct"): _direct, KernelId("amx_conv", "packed"): _packed}
NEEDS = dict.fromkeys(KERNELS, "amx")
