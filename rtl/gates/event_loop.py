"""The compiled loop of the gate-level simulation: one clock cycle, event by event.

Delays are inertial: a gate whose inputs change back before its output has followed swallows the pulse. At most one
change of each driver is ahead; those ahead stand in a wheel, a list for each of the next ticks.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sim.jit.compiled_loop import compiled

__all__ = ["NOTHING", "run_cycle", "settle"]

Ints = NDArray[np.int64]
Bits = NDArray[np.uint8]
NOTHING = -1


@compiled
def _drop(driver: int, head: Ints, after: Ints, before: Ints, due: Ints) -> None:
    """Take a driver's change out of the wheel."""
    if before[driver] == NOTHING:
        head[due[driver] % len(head)] = after[driver]
    else:
        after[before[driver]] = after[driver]
    if after[driver] != NOTHING:
        before[after[driver]] = before[driver]
    due[driver] = NOTHING


@compiled
def _plan(driver: int, at: int, head: Ints, after: Ints, before: Ints, due: Ints) -> None:
    """Put a driver's change into the wheel."""
    place = at % len(head)
    due[driver], before[driver], after[driver] = at, NOTHING, head[place]
    if head[place] != NOTHING:
        before[head[place]] = driver
    head[place] = driver


@compiled
def _computed(driver: int, value: Bits, starts: Ints, items: Ints, table_at: Ints, tables: Bits) -> int:
    """Return what a gate or flip-flop makes of the present values."""
    index = 0
    for k in range(starts[driver], starts[driver + 1]):
        index |= value[items[k]] << (k - starts[driver])
    return int(tables[table_at[driver] + index])


@compiled
def _address(value: Bits, nets: Ints, first: int, bits: int) -> int:
    found = 0
    for k in range(bits):
        found |= int(value[nets[first + k]]) << k
    return found


@compiled
def run_cycle(value: Bits, toggles: Ints, out: Ints, rise: Ints, fall: Ints, starts: Ints, items: Ints, table_at: Ints,
              tables: Bits, reader_starts: Ints, readers: Ints, clocks: Ints, enables: Ints, parents: Ints,
              passing: Bits, passed: Ints, memories: Ints, memory_nets: Ints, contents: Bits, accesses: Ints,
              first_input: int, pins: Bits, head: Ints, after: Ints, before: Ints, due: Ints, wanted: Bits) -> int:
    """Let the clock rise, apply the inputs that are given for the cycle it begins, and wait until nothing changes.

    Parameters
    ----------
    value, toggles : arrays, shape (nets,)
        Present values, and how often each net has changed.
    out, rise, fall : int64 arrays, shape (drivers,)
        Net of each driver and its delays [ticks].
    starts, items, table_at, tables
        Nets that gates and flip-flops read, and their truth tables.
    reader_starts, readers
        Gates that read each net.
    clocks : int64 array, shape (flip-flops,)
    enables, parents, passing, passed : arrays, shape (clocks,)
        What enables each clock, which one it comes from, whether it passes in this cycle, how often it has.
    memories : int64 array, shape (memories, 8)
        Width, words, granule, transparency, address bits, first bit of `contents`, first of `memory_nets`, and first
        driver.
    memory_nets : int64 array
        For each memory wen, ren, wmask, waddr, raddr, wdata.
    contents, accesses : arrays
        Bits of the memories; reads and writes of each, shape (memories, 2).
    first_input, pins
        Driver of the first input, and the values of all inputs.
    head, after, before, due, wanted : arrays
        The wheel; the changes that are ahead.

    Returns
    -------
    int
        Ticks until the last change.
    """
    flip_flops = len(clocks)
    gates = len(table_at) - flip_flops
    for clock in range(len(enables)):
        passing[clock] = value[enables[clock]] if clock == 0 or passing[parents[clock]] else 0
        passed[clock] += passing[clock]
    ahead = 0
    for flip_flop in range(flip_flops):
        driver = gates + flip_flop
        if passing[clocks[flip_flop]]:
            new = _computed(driver, value, starts, items, table_at, tables)
            if new != value[out[driver]]:
                wanted[driver] = new
                _plan(driver, rise[driver] if new else fall[driver], head, after, before, due)
                ahead += 1
    for memory in range(len(memories)):
        ahead += _access(memory, value, memories, memory_nets, contents, accesses, out, rise, fall, head, after, before,
                         due, wanted)
    for number in range(len(pins)):
        driver = first_input + number
        if pins[number] != value[out[driver]]:
            wanted[driver] = pins[number]
            _plan(driver, rise[driver], head, after, before, due)
            ahead += 1
    now, last = 0, 0
    while ahead:
        place = now % len(head)
        while head[place] != NOTHING:
            driver = head[place]
            _drop(driver, head, after, before, due)
            ahead -= 1
            last = now
            net = out[driver]
            value[net] = wanted[driver]
            toggles[net] += 1
            for k in range(reader_starts[net], reader_starts[net + 1]):
                gate = readers[k]
                new = _computed(gate, value, starts, items, table_at, tables)
                if due[gate] != NOTHING:
                    if new == wanted[gate]:
                        continue
                    _drop(gate, head, after, before, due)
                    ahead -= 1
                elif new != value[out[gate]]:
                    wanted[gate] = new
                    _plan(gate, now + (rise[gate] if new else fall[gate]), head, after, before, due)
                    ahead += 1
        now += 1
    return last


@compiled
def _access(memory: int, value: Bits, memories: Ints, nets: Ints, contents: Bits, accesses: Ints, out: Ints, rise: Ints,
            fall: Ints, head: Ints, after: Ints, before: Ints, due: Ints, wanted: Bits) -> int:
    """Write and read a memory; return how many bits of its output will change."""
    width, words, granule, transparent, bits, first, at, driver = memories[memory]
    wen, ren, masks = value[nets[at]], value[nets[at + 1]], width // granule
    write = _address(value, nets, at + 2 + masks, bits)
    read = _address(value, nets, at + 2 + masks + bits, bits)
    data = at + 2 + masks + 2 * bits
    changed = 0
    if ren and read < words:
        for k in range(width):
            new = contents[first + read * width + k]
            if transparent and wen and write == read and value[nets[at + 2 + k // granule]]:
                new = value[nets[data + k]]
            one = driver + k
            if new != value[out[one]]:
                wanted[one] = new
                _plan(one, rise[one] if new else fall[one], head, after, before, due)
                changed += 1
    if wen and write < words:
        for k in range(width):
            if value[nets[at + 2 + k // granule]]:
                contents[first + write * width + k] = value[nets[data + k]]
    accesses[memory, 0] += ren
    accesses[memory, 1] += wen
    return changed


@compiled
def settle(order: Ints, value: Bits, out: Ints, starts: Ints, items: Ints, table_at: Ints, tables: Bits) -> None:
    """Give every gate of `order`, each after those that feed it, the value of its inputs."""
    for gate in order:
        value[out[gate]] = _computed(gate, value, starts, items, table_at, tables)
