"""Loads and Stores: what one takes on a machine, and those that a Program lacks."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from math import ceil
from typing import assert_never

from sim.arch.machine import Machine
from sim.io.bounds import MAX_NAME
from sim.ir.ops import Conv, Load, Pool, Record, Store, Tensor, Transfer, chip_tensors, writes
from sim.ir.program import Program
from sim.mapping.layout import tensor_words
from sim.mapping.schedule import ConvSchedule, PoolSchedule, conv_shape, schedule_conv, schedule_pool

__all__ = ["Schedule", "TransferSchedule", "schedule_record", "schedule_transfer", "unique_name", "with_transfers"]

ELLIPSIS = "...."
ROOM_FOR_PRIMES = 16
"""Of the longest name [characters]."""


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


Schedule = ConvSchedule | PoolSchedule | TransferSchedule


def schedule_transfer(transfer: Transfer, tensor: Tensor, machine: Machine) -> TransferSchedule:
    """Count the words and beats of a Load or Store of `tensor`, the one on chip."""
    words = tensor_words(tensor, machine)
    bits = machine.columns * words * machine.lanes
    return TransferSchedule(transfer, tensor, words, ceil(bits / machine.stream_bits))


def schedule_record(program: Program, record: Record, machine: Machine) -> Schedule:
    """How any record of `program` runs on `machine`."""
    match record:
        case Conv():
            return schedule_conv(conv_shape(program, record), machine)
        case Pool():
            return schedule_pool(program, record, machine)
        case Load() | Store():
            (name,) = chip_tensors(record)
            return schedule_transfer(record, program.tensor(name), machine)
        case _:
            assert_never(record)


def unique_name(wanted: str, taken: Collection[str]) -> str:
    """`wanted`, its middle left out where it is too long, with as many primes as it needs to differ from all taken.

    >>> unique_name("load x", {"load x"})
    "load x'"
    >>> len(unique_name("x" * 400, {}))
    184
    """
    if len(wanted) > MAX_NAME - ROOM_FOR_PRIMES:
        half = (MAX_NAME - ROOM_FOR_PRIMES - len(ELLIPSIS)) // 2
        wanted = f"{wanted[:half]}{ELLIPSIS}{wanted[-half:]}"
    while wanted in taken:
        wanted += "'"
    return wanted


def with_transfers(program: Program) -> Program:
    """`program` with the Loads and Stores that it lacks.

    Every input that is read on chip is loaded before its first reader, every output that is computed there is stored
    when it is complete.
    """
    loaded = {record.output for record in program.records if isinstance(record, Load)}
    stored = {record.output for record in program.records if isinstance(record, Store)}
    to_load = {tensor.name for tensor in program.inputs} - loaded
    last_writer = {writes(record): index for index, record in enumerate(program.records)}
    to_store = {last_writer[tensor.name]: tensor.name for tensor in program.outputs
                if tensor.name in last_writer and tensor.name not in stored}
    names = {record.name for record in program.records}
    records: list[Record] = []
    for index, record in enumerate(program.records):
        for name in chip_tensors(record):
            if name in to_load:
                records.append(Load(unique_name(f"load {name}", names), name, name))
                to_load.remove(name)
        records.append(record)
        if index in to_store:
            records.append(Store(unique_name(f"store {to_store[index]}", names), to_store[index], to_store[index]))
    return replace(program, records=tuple(records)) if len(records) > len(program.records) else program
