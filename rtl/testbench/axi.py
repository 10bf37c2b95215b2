"""AXI4-Stream by cocotbext-axi, which knows the protocol; here are only codes in lanes, patterns of gaps, and the rule
that what is offered stays.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import cocotb
import numpy as np
from cocotbext.axi import AxiStreamBus, AxiStreamFrame, AxiStreamSink, AxiStreamSource
from numpy.typing import NDArray

from rtl.testbench.gaps import Gaps
from rtl.testbench.lanes import Lanes
from rtl.testbench.offers import keeps_offers

__all__ = ["AxiSink", "AxiSource"]


class AxiSource:
    """Sends packets of codes into the hardware.

    Parameters
    ----------
    dut : handle
        Module with the signals.
    prefix : str
        Of their names: `s_axis` for `s_axis_tdata`.
    clock, reset : handles
        `reset` is active high, or None.
    lanes : Lanes
        How codes lie in a beat of whole bytes.
    gaps : iterator of bool or None
        In which cycles to pause.
    """

    def __init__(self, dut: Any, prefix: str, clock: Any, reset: Any, lanes: Lanes, gaps: Gaps | None = None) -> None:
        self.lanes = lanes
        self.source = AxiStreamSource(AxiStreamBus.from_prefix(dut, prefix), clock, reset)
        self.beat_bytes = len(getattr(dut, f"{prefix}_tdata")) // 8
        _prepare(self.source, gaps)

    async def send(self, codes: Sequence[int] | NDArray[np.integer]) -> None:
        """Queue the codes as one packet, whose last beat carries tlast."""
        packet = b"".join(word.to_bytes(self.beat_bytes, "little") for word in self.lanes.words(codes))
        await self.source.send(AxiStreamFrame(packet))

    async def sent(self) -> None:
        """Wait until everything that was queued has passed."""
        await self.source.wait()


class AxiSink:
    """Takes packets of codes from the hardware, and checks that what is offered stays until it is taken.

    The parameters are those of `AxiSource`.
    """

    def __init__(self, dut: Any, prefix: str, clock: Any, reset: Any, lanes: Lanes, gaps: Gaps | None = None) -> None:
        self.lanes = lanes
        self.sink = AxiStreamSink(AxiStreamBus.from_prefix(dut, prefix), clock, reset)
        self.beat_bytes = len(getattr(dut, f"{prefix}_tdata")) // 8
        _prepare(self.sink, gaps)
        valid, ready, *kept = (getattr(dut, f"{prefix}_{name}") for name in ("tvalid", "tready", "tdata", "tlast"))
        cocotb.start_soon(keeps_offers(clock, valid, ready, kept))

    async def receive(self) -> list[int]:
        """Wait for a packet and return its codes; cocotbext-axi knows no undefined bits."""
        packet = bytes((await self.sink.recv()).tdata)
        codes: list[int] = []
        for start in range(0, len(packet), self.beat_bytes):
            beat = packet[start : start + self.beat_bytes]
            codes += self.lanes.unpack(f"{int.from_bytes(beat, 'little'):0{8 * len(beat)}b}")
        return codes


def _prepare(part: Any, gaps: Gaps | None) -> None:
    part.log.setLevel(logging.WARNING)
    if gaps is not None:
        part.set_pause_generator(gaps)
