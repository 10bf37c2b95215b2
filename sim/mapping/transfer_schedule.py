"""How a Load or Store runs on a machine."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from sim.arch.host_memory import IDEAL, Memory
from sim.arch.machine import Machine
from sim.ir.ops import Queue, Tensor, Transfer
from sim.mapping.activation_layout import tensor_words
from sim.mapping.schedule import Schedule
from sim.timing.dependencies import Waits
from sim.timing.recurrence import STORE_LATENCY, PipelineState, Span

__all__ = ["TransferSchedule", "schedule_transfer"]


@dataclass(frozen=True)
class TransferSchedule(Schedule):
    """A Load or Store on a machine.

    Attributes
    ----------
    op : Load or Store
    tensor : Tensor
        The one on chip, all of which is moved.
    words : int
        Words per bank.
    beats : int
        Beats of `stream_bits`: words address outer, bank inner; the last beat is padded with zeros.
    """

    op: Transfer
    tensor: Tensor
    words: int
    beats: int

    @property
    def queue(self) -> Queue:
        """The queue that runs it."""
        return self.op.queue

    @property
    def kind(self) -> str:
        """What a report calls it."""
        return self.op.kind

    @property
    def operand_bits(self) -> tuple[int, int]:
        """Widths of its weights, which it has not, and of the activations that it moves [bits]."""
        return 0, self.tensor.format.bits

    @property
    def stream_beats(self) -> int:
        """Beats that it takes from the inward stream, or puts on the outward one."""
        return self.beats

    def run(self, state: PipelineState, waits: Waits) -> Span:
        """Advance `state` over the beats of the Load or Store."""
        return (state.load if self.queue is Queue.LOAD else state.store)(self.beats, waits)

    def cycles_alone(self, memory: Memory = IDEAL) -> int:
        """Return the most cycles that it takes alone, from the moment that the rows a Load reads are written."""
        latency = memory.latency_cycles if self.queue is Queue.LOAD else STORE_LATENCY
        return memory.longest(self.beats) + latency

    def events(self, machine: Machine) -> dict[str, int]:
        """Count the events of the Load or Store: all words of the tensor's place, in whole beats."""
        words, bits = machine.columns * self.words, self.beats * machine.stream_bits
        if self.queue is Queue.LOAD:
            return {"act_writes": words, "stream_in_bits": bits}
        return {"act_reads": words, "stream_out_bits": bits}


def schedule_transfer(transfer: Transfer, tensor: Tensor, machine: Machine) -> TransferSchedule:
    """Count the words and beats of a Load or Store of `tensor`, the one on chip."""
    words = tensor_words(tensor, machine)
    bits = machine.columns * words * machine.lanes
    return TransferSchedule(transfer, tensor, words, ceil(bits / machine.stream_bits))
