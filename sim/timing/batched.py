"""Cycles of many schedules of a layer on its own at once: the recurrence of `sim.timing.recurrence`, compiled."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sim.arch.host_memory import Memory
from sim.jit.compiled_loop import compiled
from sim.timing.recurrence import NOTICE, ConvTiming

__all__ = ["cycles_alone"]


def cycles_alone(timing: ConvTiming, memory: Memory, shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Return what `sim.timing.timeline.layer_cycles` gives for every entry of a timing of arrays.

    Parameters
    ----------
    timing : ConvTiming
        Its numbers broadcast to `shape`.
    memory : Memory
    shape : tuple of int
        Of the result.
    """
    table = memory.longest(timing.table_cycles) if timing.table_cycles else 0
    terms = (timing.row_tiles, timing.pixels, timing.chunk_pixels, timing.pixel_cycles, timing.latency,
             timing.requant_cycles, timing.last_requant_cycles, memory.longest(timing.fill_cycles),
             timing.residual_cycles, timing.write_back, table)
    numbers = np.empty((len(terms), *shape), np.int64)
    for row, term in zip(numbers, terms, strict=True):
        row[...] = term
    cycles = np.empty(shape, np.int64)
    _recurrence(numbers.reshape(len(terms), -1), cycles.reshape(-1))
    return cycles


@compiled
def _recurrence(numbers: NDArray[np.int64], cycles: NDArray[np.int64]) -> None:
    """Run `PipelineState.conv` from time 0 for every column of `numbers`, whose rows are the terms above.

    Times advance by maxima and sums alone, so times that start later by d end later by d. Hence, when a chunk or a row
    tile leaves all times exactly d later than the one before it did, every further one like it does the same, and is
    skipped as d. The one absolute time, `residual_ready`, only counts once: `requantized` never falls below it again.
    """
    for entry in range(cycles.size):
        tiles, pixels, chunk_pixels = numbers[0, entry], numbers[1, entry], numbers[2, entry]
        compute, fill = numbers[3, entry], numbers[4, entry]
        requant, last_requant = numbers[5, entry], numbers[6, entry]
        stream, requantized = numbers[7, entry], numbers[8, entry]
        issued = bank = 0
        next_bank = released = next_released = 0
        filled = numbers[10, entry]
        tile = 0
        while tile < tiles:
            before = issued, bank, next_bank, requantized, filled, released
            if tile == tiles - 1:
                requant = last_requant
            filled = max(filled, released) + stream
            left = pixels
            while left > 0:
                at, free, next_free, done = issued, bank, next_bank, requantized
                taken = min(chunk_pixels, left)
                issue = max(issued, bank)
                if left == pixels:
                    issue = max(issue, filled + NOTICE)
                issued = issue + taken * compute
                requantized = max(issued + fill, requantized) + taken * requant
                bank, next_bank = next_bank, requantized + NOTICE
                left -= taken
                later = issued - at
                if (left + taken < pixels and taken == chunk_pixels and bank - free == later
                        and next_bank - next_free == later and requantized - done == later):
                    later *= left // chunk_pixels
                    issued, bank = issued + later, bank + later
                    next_bank, requantized = next_bank + later, requantized + later
                    left %= chunk_pixels
            released, next_released = next_released, issued
            tile += 1
            later = issued - before[0]
            if (bank - before[1] == later and next_bank - before[2] == later and requantized - before[3] == later
                    and filled - before[4] == later and released - before[5] == later and tile < tiles - 1):
                skipped = tiles - 1 - tile
                later *= skipped
                issued, bank, next_bank = issued + later, bank + later, next_bank + later
                requantized, filled = requantized + later, filled + later
                released, next_released = released + later, next_released + later
                tile += skipped
        cycles[entry] = NOTICE + requantized + numbers[9, entry]
