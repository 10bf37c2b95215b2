"""The watchdog."""

from __future__ import annotations

import pytest
from amaranth.sim import Simulator

from rtl.shell.watchdog import Watchdog


def expired(limit, moves, begin=0):
    """Cycles in which the watchdog has expired: 30, enabled from `begin` on, with moves in the cycles `moves`."""
    dut, found = Watchdog(), []

    async def bench(ctx):
        ctx.set(dut.limit, limit)
        for cycle in range(30):
            ctx.set(dut.enable, cycle >= begin)
            ctx.set(dut.moved, cycle in moves)
            if ctx.get(dut.expired):
                found.append(cycle)
            await ctx.tick()

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return found


@pytest.mark.parametrize(("limit", "moves", "first"), [(5, set(), 5), (5, {4}, 10), (9, {3, 12}, 22)])
def test_it_expires_after_so_many_quiet_cycles(limit, moves, first):
    """`limit` cycles in a row without a move, counted anew after each."""
    assert expired(limit, moves)[0] == first


def test_it_counts_from_when_it_is_enabled():
    """Cycles before that are no waiting."""
    assert expired(5, set(), begin=10)[0] == 15


def test_it_never_expires_without_limit_or_while_nothing_is_to_move():
    """A limit of 0 waits for ever, and so does a machine that has nothing to do."""
    assert expired(0, set()) == []
    assert expired(5, set(), begin=30) == []
    assert expired(5, set(range(0, 30, 5))) == []
