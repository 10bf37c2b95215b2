"""`Schedule`: how one op runs on a machine, and all that follows from it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

from sim.arch.host_memory import IDEAL, Memory
from sim.arch.limits import HardwareLimits
from sim.arch.machine import Machine
from sim.ir.ops import Queue
from sim.timing.dependencies import Waits
from sim.timing.recurrence import PipelineState, Span
from sim.timing.timeline import layer_cycles

__all__ = ["Schedule"]


class Schedule(ABC):
    """An op on a machine."""

    @property
    @abstractmethod
    def queue(self) -> Queue:
        """The queue that runs it."""

    @property
    @abstractmethod
    def kind(self) -> str:
        """What a report calls it."""

    @property
    @abstractmethod
    def operand_bits(self) -> tuple[int, int]:
        """Widths of its weights, 0 without any, and of the activations that it reads [bits]."""

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one image, padding included."""
        return 0

    @property
    def weight_bytes(self) -> int:
        """Weights as streamed, without parameters [bytes]."""
        return 0

    @property
    def stream_beats(self) -> int:
        """Beats that it takes from or puts on the streams."""
        return 0

    @abstractmethod
    def run(self, state: PipelineState, waits: Waits) -> Span:
        """Advance `state` over the op, and return its start and end [cycles]."""

    def cycles_alone(self, memory: Memory = IDEAL) -> int:
        """Return the most cycles that it takes alone, at the worst moment for `memory`.

        Inside a Program it never takes longer: there its weights may already be on their way, and every term of the
        recurrence is monotone in the times it starts from. So a sum of these and of the memory's latency bounds any
        network.
        """
        return layer_cycles(self, memory)

    @abstractmethod
    def events(self, machine: Machine) -> dict[str, int]:
        """Count the events of `sim.energy.events.EVENTS` that it causes; all others do not happen."""

    def sizes(self, machine: Machine, limits: HardwareLimits) -> Iterator[tuple[str, int, int]]:
        """Yield (what, how many, at most) for everything that the hardware limits on any machine."""
        yield from ()

    def needs(self, machine: Machine) -> Iterator[tuple[bool, str, object]]:
        """Yield (whether the machine has it, what the op needs, what the machine has) for its parameters."""
        yield from ()
