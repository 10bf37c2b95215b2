"""Dense convolution with AMX: tiles of 16 windows by 64 bytes, times tiles of 64 bytes by 16 channels.

A tile's windows must lie at equal distances. Where outputs are as far apart as inputs, they do so in the memory of the
input itself, if the outputs at the end of a row and in the border behind it are computed too, and dropped (`direct`).
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
from sim.functional.kernels.llvm_builder import I8, I64, Code, Loop, emitted, number, vector
from sim.functional.kernels.op_call import call_requantizer
from sim.functional.kernels.op_view import integer, locate, set_integer

__all__ = ["KERNELS"]

ROW_BYTES = GROUP * 4
SUM_BYTES = TILE_PIXELS * ROW_BYTES
"""Of sums: one group of channels."""


def _amx(code: Code, name: str, *arguments: ir.Value) -> None:
    code.instruction(f"llvm.x86.{name}", ir.VoidType(), *arguments)


def _pointer(code: Code, address: ir.Value) -> ir.Value:
    return code.inttoptr(address, I8.as_pointer())


def _register(index: int) -> ir.Constant:
    return number(index, I8)


@emitted
def _begin(code: Code, configuration):
    _amx(code, "ldtilecfg", _pointer(code, configuration))


@emitted
def _end(code: Code):
    _amx(code, "tilerelease")


@emitted
def _tiles(code: Code, windows, distance, second, taps, tap_count, steps, weights, sums):
    """Sums of 16 windows from `windows` on and 16 `second` bytes behind, `distance` apart, and 32 channels."""
    for register in range(4):
        _amx(code, "tilezero", _register(register))
    outer = Loop(code, tap_count, [weights])
    place = code.add(windows, code.load(I64, code.add(taps, code.mul(outer.index, number(8)))))
    inner = Loop(code, steps, [place, outer.values[0]])
    here, panel = inner.values
    _amx(code, "tileloadd64", _register(4), _pointer(code, here), distance)
    _amx(code, "tileloadd64", _register(6), _pointer(code, panel), number(64))
    _amx(code, "tileloadd64", _register(7), _pointer(code, code.add(panel, number(1024))), number(64))
    _amx(code, "tdpbusd", _register(0), _register(4), _register(6))
    _amx(code, "tdpbusd", _register(1), _register(4), _register(7))
    _amx(code, "tileloadd64", _register(5), _pointer(code, code.add(here, second)), distance)
    _amx(code, "tdpbusd", _register(2), _register(5), _register(6))
    _amx(code, "tdpbusd", _register(3), _register(5), _register(7))
    carried = inner.end([code.add(here, number(STEP_BYTES)), code.add(panel, number(2048))])
    outer.end(carried[1:])
    for register in range(4):
        corner = code.add(sums, number(register // 2 * 16 * ROW_BYTES + register % 2 * 64))
        _amx(code, "tilestored64", _register(register), _pointer(code, corner), number(ROW_BYTES))


@emitted
def _gather(code: Code, source, target, blocks):
    """Copy `blocks` times 64 bytes."""
    loop = Loop(code, blocks, [])
    offset = code.mul(loop.index, number(64))
    code.store(code.load(vector(I8, 64), code.add(source, offset)), code.add(target, offset))
    loop.end([])


@njit(error_model="numpy")
def _locate(op, arena, start, count, targets, residuals):
    """Addresses of outputs, and a place for those beyond the map, of `count` from `start` on in virtual rows."""
    width, height, virtual = integer(op, WIDTH), integer(op, HEIGHT), integer(op, VIRTUAL_WIDTH)
    y, x = start // virtual, start % virtual
    target_row, target_pixel = integer(op, TARGET_ROW), integer(op, TARGET_PIXEL)
    other_row, other_pixel = integer(op, RESIDUAL_ROW), integer(op, RESIDUAL_PIXEL)
    target = arena + integer(op, TARGET) + y * target_row + x * target_pixel
    other = arena + integer(op, RESIDUAL) + y * other_row + x * other_pixel
    unwanted = arena + integer(op, UNWANTED)
    for i in range(count):
        wanted = x < width and y < height
        set_integer(targets, i, target if wanted else unwanted)
        set_integer(residuals, i, other if wanted else unwanted)
        x, target, other = x + 1, target + target_pixel, other + other_pixel
        if x == virtual:
            x, y = 0, y + 1
            target += target_row - virtual * target_pixel
            other += other_row - virtual * other_pixel


def _direct() -> Callable[..., None]:
    def direct(op, arena):
        channels, distance = integer(op, CHANNELS), integer(op, SOURCE_PIXEL)
        taps, tap_count, steps = integer(op, TAPS), integer(op, TAP_COUNT), integer(op, RUN)
        pixels = (integer(op, HEIGHT) - 1) * integer(op, VIRTUAL_WIDTH) + integer(op, WIDTH)
        targets = arena + integer(op, SCRATCH)
        residuals = targets + 8 * DIRECT_PIXELS
        sums = residuals + 8 * DIRECT_PIXELS
        panel_bytes = tap_count * steps * STEP_BYTES * TILE_CHANNELS
        _begin(integer(op, CONFIGURATION))
        for start in range(0, pixels, DIRECT_PIXELS):
            count = min(DIRECT_PIXELS, (pixels - start + TILE_PIXELS - 1) // TILE_PIXELS * TILE_PIXELS)
            _locate(op, arena, start, count, targets, residuals)
            weights = integer(op, WEIGHTS)
            for first in range(0, channels, GROUP):
                for row in range(0, count, TILE_PIXELS):
                    windows = arena + integer(op, SOURCE) + (start + row) * distance
                    _tiles(windows, distance, 16 * distance, taps, tap_count, steps, weights, sums)
                    if channels - first > TILE_CHANNELS:
                        _tiles(windows, distance, 16 * distance, taps, tap_count, steps, weights + panel_bytes,
                               sums + 4 * TILE_CHANNELS)
                    call_requantizer(integer(op, REQUANTIZER), op, sums, ROW_BYTES, TILE_PIXELS, first, GROUP,
                                     targets + 8 * row, residuals + 8 * row)
                weights += 2 * panel_bytes
        _end()

    return direct


def _packed() -> Callable[..., None]:
    def packed(op, arena):
        pixels, channels = integer(op, HEIGHT) * integer(op, WIDTH), integer(op, CHANNELS)
        taps, tap_count, run = integer(op, TAPS), integer(op, TAP_COUNT), integer(op, RUN)
        row_steps = integer(op, ROW_STEPS)
        row_bytes = row_steps * STEP_BYTES
        chunk = max(GATHER_BYTES // row_bytes // TILE_PIXELS, 1) * TILE_PIXELS
        windows = arena + integer(op, SCRATCH)
        targets = windows + 8 * chunk
        residuals = targets + 8 * chunk
        sums = residuals + 8 * chunk
        nowhere = sums + SUM_BYTES
        copies = nowhere + 64
        set_integer(nowhere, 0, 0)
        _begin(integer(op, CONFIGURATION))
        start = 0
        while start < pixels:  # a range of a step that is not constant could raise
            count = min(chunk, pixels - start)
            locate(op, arena, start, count, windows, targets, residuals)
            for i in range(count):
                copy = copies + i * row_bytes
                for tap in range(tap_count):
                    _gather(integer(windows, i) + integer(taps, tap), copy + tap * run, (run + 63) // 64)
            weights = integer(op, WEIGHTS)
            for first in range(0, channels, GROUP):
                for row in range(0, count, TILE_PIXELS):
                    copy = copies + row * row_bytes
                    _tiles(copy, row_bytes, 16 * row_bytes, nowhere, 1, row_steps, weights, sums)
                    if channels - first > TILE_CHANNELS:
                        _tiles(copy, row_bytes, 16 * row_bytes, nowhere, 1, row_steps,
                               weights + row_bytes * TILE_CHANNELS, sums + 4 * TILE_CHANNELS)
                    rows = min(TILE_PIXELS, count - row)
                    call_requantizer(integer(op, REQUANTIZER), op, sums, ROW_BYTES, rows, first, GROUP,
                                     targets + 8 * row, residuals + 8 * row)
                weights += 2 * row_bytes * TILE_CHANNELS
            start += chunk
        _end()

    return packed


KERNELS = {"direct": _direct, "packed": _packed}
NEEDS = dict.fromkeys(KERNELS, "amx")
