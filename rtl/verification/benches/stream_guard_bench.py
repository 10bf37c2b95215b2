"""The stream guard: what it passes, what it keeps, and how it ends packets, against a model with random stops."""

from __future__ import annotations

import random
from collections import deque
from typing import Any

import cocotb

from rtl.verification.benches.unit_harness import reset, step

INPUTS = ("i_valid", "i_payload", "o_ready", "stop", "stopped")
CYCLES = 4000


class Source:
    """Packets of numbered beats that the core offers; a stop ends the packet at hand."""

    def __init__(self, rng: random.Random) -> None:
        self.rng, self.number, self.beats = rng, 0, deque[tuple[int, int]]()

    def offer(self) -> tuple[int, int]:
        """Draw the next beat."""
        if not self.beats:
            length = self.rng.randrange(1, 5)
            self.beats.extend((self.rng.getrandbits(8), int(i == length - 1)) for i in range(length))
        return self.beats[0]


@cocotb.test()
async def keeps_offers_and_ends_packets(dut: Any) -> None:
    """Beats pass in the cycle in which they are offered; a stop cuts a packet, which a beat of zeros then ends."""
    rng = await reset(dut, INPUTS)
    source, tail, open_packet, stopped, valid = Source(rng), list[tuple[int, int]](), False, 0, 0
    for cycle in range(CYCLES):
        patience = 0.6 if cycle % 400 < 200 else 0.05
        ready, stop = int(rng.random() < patience), int(not stopped and rng.random() < 0.05)
        valid = int((valid or rng.random() < 0.7) and not stopped)
        data, last = source.offer()
        await settle(dut, {"i_valid": valid, "i_payload": last << 8 | data, "o_ready": ready, "stop": stop,
                           "stopped": stopped})
        offered = tail[0] if tail else (data, last) if valid and not stopped else None
        assert dut.cut.value == bool(tail)
        assert dut.o_valid.value == (offered is not None)
        assert dut.i_ready.value == (ready and not tail and not stopped)
        if offered is not None:
            assert divmod(int(dut.o_payload.value), 1 << 8)[::-1] == offered
        cutting = bool(stop and not tail)
        if offered is not None and ready:
            open_packet = not offered[1]
            if tail:
                tail.pop(0)
            else:
                source.beats.popleft()
                valid = 0
        elif cutting and offered is not None:
            tail = [offered] if offered[1] else [offered, (0, 1)]
        if cutting and not tail and open_packet:
            tail = [(0, 1)]
        if stop:
            source.beats.clear()
            valid = 0
        stopped = int(bool(stop) or (bool(stopped) and rng.random() < 0.8))
        await step(dut, {})


async def settle(dut: Any, values: dict[str, int]) -> None:
    """Drive inputs and let the outputs of this cycle follow."""
    for name, value in values.items():
        getattr(dut, name).value = value
    await cocotb.triggers.Timer(1, unit="ns")
