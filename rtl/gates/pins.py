"""The pins of a simulated netlist as the port of a host, so that it runs Programs as the RTL does."""

from __future__ import annotations

from collections import deque
from collections.abc import Coroutine
from typing import Any, TypeVar

from rtl.gates.simulation import Activity, GateSimulation
from sim.errors import EngineError

__all__ = ["GatePins", "complete"]

T = TypeVar("T")
PATIENCE = 1 << 22
"""Cycles after which a run counts as hanging."""


def complete(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that waits for nothing but `GatePins`, which never make it wait."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
    raise RuntimeError("the coroutine waits for something else")


class GatePins:
    """Drive a netlist as `rtl.cosim.pin_driver` drives the RTL, with a memory that always passes beats.

    Attributes
    ----------
    busy : Activity
        What was counted in the cycles in which a Program ran since `forget`.
    """

    def __init__(self, simulation: GateSimulation) -> None:
        self.simulation = simulation
        self.beat_bytes = len(simulation.circuit.netlist.inputs["s_axis_tdata"]) // 8
        self.busy = simulation.activity - simulation.activity
        self._begun: Activity | None = None
        self._beats: deque[tuple[int, int]] = deque()
        self._beat: list[int] = []
        self._packets: deque[bytes] = deque()
        self._offered = False
        simulation.drive(rst=1)
        self.step(2)
        simulation.drive(rst=0, s_axil_wstrb=15, s_axil_bready=1, s_axil_rready=1, m_axis_tready=1)
        self.step()

    def forget(self) -> None:
        """Count runs anew."""
        self.busy = self.busy - self.busy

    def step(self, cycles: int = 1) -> None:
        """Let cycles pass: the streams move, and the activity of a run is kept."""
        simulation = self.simulation
        for _ in range(cycles):
            offered = bool(self._beats)
            data, last = self._beats[0] if offered else (0, 0)
            taken = offered and self._offered and simulation.read("s_axis_tready")
            if taken:
                self._beats.popleft()
                offered = bool(self._beats)
                data, last = self._beats[0] if offered else (data, 0)
            self._offered = offered
            simulation.drive(s_axis_tvalid=int(offered), s_axis_tlast=last)
            if offered:
                simulation.drive(s_axis_tdata=data)
            simulation.step()
            self._take()
            self._watch()

    def _take(self) -> None:
        """Take the outward beat that is offered in this cycle: the host sees it before the next one."""
        simulation = self.simulation
        if not (simulation.read("m_axis_tvalid") and simulation.read("m_axis_tready")):
            return
        self._beat.append(simulation.read("m_axis_tdata"))
        if simulation.read("m_axis_tlast"):
            self._packets.append(b"".join(beat.to_bytes(self.beat_bytes, "little") for beat in self._beat))
            self._beat = []

    def _watch(self) -> None:
        running = bool(self.simulation.read("trace_busy"))
        if running and self._begun is None:
            self._begun = self.simulation.activity
        elif not running and self._begun is not None:
            self.busy = self.busy + (self.simulation.activity - self._begun)
            self._begun = None

    def _until(self, *ports: str) -> None:
        for _ in range(PATIENCE):
            if any(self.simulation.read(port) for port in ports) or self._packets:
                return
            self.step()
        raise EngineError("the netlist does not answer")

    async def read(self, offset: int) -> int:
        """Read a register."""
        self.simulation.drive(s_axil_araddr=offset, s_axil_arvalid=1)
        self.step()
        self.simulation.drive(s_axil_arvalid=0)
        self.step()
        self._answer("s_axil_rvalid")
        value = self.simulation.read("s_axil_rdata")
        self.step()
        return value

    async def write(self, offset: int, value: int) -> None:
        """Write a register."""
        self.simulation.drive(s_axil_awaddr=offset, s_axil_awvalid=1, s_axil_wdata=value, s_axil_wvalid=1)
        self.step()
        self.simulation.drive(s_axil_awvalid=0, s_axil_wvalid=0)
        self.step()
        self._answer("s_axil_bvalid")
        self.step()

    def _answer(self, valid: str) -> None:
        for _ in range(PATIENCE):
            if self.simulation.read(valid):
                return
            self.step()
        raise EngineError("the netlist does not answer at its bus")

    async def send(self, packet: bytes) -> None:
        """Queue a packet."""
        size = self.beat_bytes
        for start in range(0, len(packet), size):
            self._beats.append((int.from_bytes(packet[start:start + size], "little"), int(start + size == len(packet))))

    async def receive(self, length: int) -> bytes | None:
        """Return the next packet, or None if irq rises first."""
        self._until("irq")
        return self._packets.popleft() if self._packets else None

    async def interrupt(self) -> None:
        """Wait until irq is high."""
        for _ in range(PATIENCE):
            if self.simulation.read("irq"):
                return
            self.step()
        raise EngineError("the netlist does not raise irq")

    async def settle(self) -> None:
        """Wait until everything is sent, then forget what was received."""
        while self._beats:
            self.step()
        self._packets.clear()
