"""What a Load or Store takes on a machine."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from sim.layout import tensor_words
from sim.machine import Machine
from sim.program import Program
from sim.records import Tensor, Transfer, chip_tensors

__all__ = ["TransferSchedule", "schedule_transfer"]


@dataclass(frozen=True)
class TransferSchedule:
    """A Load or Store on a machine.

    Attributes
    ----------
    record : Load or Store
    tensor : Tensor
        The one on chip, all of which is moved.
    words : int
        Words per bank.
    beats : int
        Beats of `stream_bits`: words address outer, bank inner; the last beat is padded with zeros.
    """

    record: Transfer
    tensor: Tensor
    words: int
    beats: int


def schedule_transfer(program: Program, transfer: Transfer, machine: Machine) -> TransferSchedule:
    """Count the words and beats of a Load or Store."""
    (name,) = chip_tensors(transfer)
    tensor = program.tensor(name)
    words = tensor_words(tensor, machine)
    bits = machine.columns * words * machine.lanes
    return TransferSchedule(transfer, tensor, words, ceil(bits / machine.stream_bits))
