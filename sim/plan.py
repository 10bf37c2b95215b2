"""`plan`: a Program on a machine - where every tensor lies and how every layer runs.

A Program that does not fit is refused here, with the field and both numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from typing import assert_never

import numpy as np

from sim.errors import InputError
from sim.layout import Bits, row_tile_words, tensor_words
from sim.limits import check_limits
from sim.machine import Machine
from sim.program import Program
from sim.records import Conv, Load, Pool, Store, Tensor, chip_tensors, reads
from sim.schedule import ConvSchedule, PoolSchedule, conv_shape, schedule_conv, schedule_pool
from sim.stream import RowTileItem, TensorItem, tensor_item
from sim.transfers import TransferSchedule, schedule_transfer
from sim.waits import Waits, record_waits

__all__ = ["Plan", "Schedule", "plan"]

Schedule = ConvSchedule | PoolSchedule | TransferSchedule


@dataclass(frozen=True, eq=False)
class Plan:
    """A Program placed on a machine.

    Attributes
    ----------
    program : Program
    machine : Machine
    schedules : tuple of ConvSchedule, PoolSchedule or TransferSchedule
        One for each record.
    bases : dict of str to int
        First word in its bank of every tensor that is on chip.
    waits : tuple of Waits
        What each record waits for.
    """

    program: Program
    machine: Machine
    schedules: tuple[Schedule, ...]
    bases: dict[str, int]
    waits: tuple[Waits, ...]

    def convs(self) -> Iterator[tuple[Conv, ConvSchedule]]:
        """The Conv records with their schedules, in order."""
        for record, schedule in zip(self.program.records, self.schedules, strict=True):
            if isinstance(record, Conv) and isinstance(schedule, ConvSchedule):
                yield record, schedule

    def stream(self) -> Iterator[Bits]:
        """Words of the weight stream, an array (words, rows, lanes) for each row tile of the whole Program."""
        for conv, schedule in self.convs():
            for tile in range(schedule.row_tiles):
                yield row_tile_words(conv, schedule, tile, self.machine)

    def inward(self) -> Iterator[RowTileItem | TensorItem]:
        """What the host sends while the Program runs, in order: the row tiles of every Conv and every Load."""
        for index, (record, schedule) in enumerate(zip(self.program.records, self.schedules, strict=True)):
            if isinstance(record, Load):
                yield tensor_item(self.program, index, self.waits[index].written)
            elif isinstance(record, Conv) and isinstance(schedule, ConvSchedule):
                for tile in range(schedule.row_tiles):
                    yield RowTileItem(index, row_tile_words(record, schedule, tile, self.machine))

    def outward(self) -> Iterator[TensorItem]:
        """What the host gets while the Program runs, in order: every Store."""
        for index, record in enumerate(self.program.records):
            if isinstance(record, Store):
                yield tensor_item(self.program, index)


def plan(program: Program, machine: Machine) -> Plan:
    """Place `program` on `machine`.

    Raises
    ------
    InputError
        If a bit width, digit count, window, rounding, accumulator, row tile or tensor set does not fit, there are no
        records, or a size is beyond the hardware on any machine (`sim.limits`).
    """
    _check_arithmetic(program, machine)
    schedules: list[Schedule] = []
    for record in program.records:
        match record:
            case Conv():
                schedule = schedule_conv(conv_shape(program, record), machine)
                _check_conv(record, schedule, machine)
                schedules.append(schedule)
            case Pool():
                schedules.append(schedule_pool(program, record, machine))
            case Load() | Store():
                schedules.append(schedule_transfer(program, record, machine))
            case _:
                assert_never(record)
    check_limits(program, schedules, machine)
    bases = _place(program, machine)
    regions = {name: range(base // machine.region_words, base // machine.region_words
                           + _regions_of(program.tensor(name), machine)) for name, base in bases.items()}
    return Plan(program, machine, tuple(schedules), bases, record_waits(program, regions))


def _refusal(what: str, needed: str, machine: Machine, has: object) -> InputError:
    return InputError(f"{what} needs {needed}; machine '{machine.name}' has {has}")


def _check_arithmetic(program: Program, machine: Machine) -> None:
    if program.rounding not in machine.roundings:
        raise _refusal("the program", f"rounding {program.rounding}", machine, ", ".join(machine.roundings))
    if program.window > machine.window:
        raise _refusal("the program", f"window {program.window}", machine, machine.window)
    if program.wrap and program.acc_bits != machine.acc_bits:
        raise _refusal("the program", f"acc_bits {program.acc_bits} exactly, since it wraps", machine,
                       machine.acc_bits)
    if program.acc_bits > machine.acc_bits:
        raise _refusal("the program", f"acc_bits {program.acc_bits}", machine, machine.acc_bits)
    for record in program.records:
        for name in reads(record) if isinstance(record, Conv | Pool) else ():
            bits = program.tensor(name).format.bits
            if bits > machine.max_bits_a:
                raise _refusal(f"record '{record.name}'", f"{bits} bits for activations '{name}'", machine,
                               f"max_bits_a {machine.max_bits_a}")


def _check_conv(conv: Conv, schedule: ConvSchedule, machine: Machine) -> None:
    where, fmt = f"record '{conv.name}'", conv.weight_format
    if fmt.bits > machine.max_bits_w:
        raise _refusal(where, f"{fmt.bits} bits for weights", machine, f"max_bits_w {machine.max_bits_w}")
    if fmt.kind == "bipolar" and not machine.bipolar:
        raise _refusal(where, "a reference row for bipolar weights", machine, "none")
    terms = max(conv.terms, conv.residual_terms)
    if terms > machine.terms:
        raise _refusal(where, f"{terms} digits per multiplier", machine, f"terms {machine.terms}")
    if schedule.weight_words > machine.weight_words:
        raise _refusal(where, f"{schedule.weight_words} weight words per row for a row tile", machine,
                       f"weight_words {machine.weight_words} ({schedule.weight_words - machine.weight_words} too few)")


def _place(program: Program, machine: Machine) -> dict[str, int]:
    """First fit in whole regions; a tensor holds its place from its first write to its last read.

    Inputs are there from the start and outputs stay to the end. Tensors are placed in the order of their first use;
    where gaps then prevent a fit, the largest are placed first (greedy by size: Pisarchyk and Lee, "Efficient Memory
    Management for Deep Neural Net Inference", 2020, arXiv 2001.03288).
    """
    first, _ = lifetimes = _lifetimes(program)
    on_chip = [t for t in program.tensors if t.name in first]
    in_order = sorted(on_chip, key=lambda t: first[t.name])
    try:
        return _first_fit(in_order, lifetimes, machine)
    except InputError as refusal:
        try:
            return _first_fit(sorted(in_order, key=lambda t: -tensor_words(t, machine)), lifetimes, machine)
        except InputError:
            raise refusal from None


def _regions_of(tensor: Tensor, machine: Machine) -> int:
    """Regions that a tensor takes in every bank."""
    return ceil(tensor_words(tensor, machine) / machine.region_words)


def _first_fit(tensors: list[Tensor], lifetimes: tuple[dict[str, int], dict[str, int]],
               machine: Machine) -> dict[str, int]:
    """Place tensors one after another, each at the lowest gap among those alive at the same time."""
    first, last = lifetimes
    bases: dict[str, int] = {}
    regions = {t.name: _regions_of(t, machine) for t in tensors}
    for tensor in tensors:
        taken = np.zeros(machine.act_regions, bool)
        alive = [n for n in bases if last[n] >= first[tensor.name] and first[n] <= last[tensor.name]]
        for name in alive:
            start = bases[name] // machine.region_words
            taken[start : start + regions[name]] = True
        need = regions[tensor.name]
        starts = [s for s in range(machine.act_regions - need + 1) if not taken[s : s + need].any()]
        if not starts:
            raise InputError(
                f"tensor '{tensor.name}' needs {need} consecutive activation regions of {machine.region_words} words "
                f"while {', '.join(alive) or 'nothing else'} is live; machine '{machine.name}' has "
                f"{machine.act_regions} regions, {int((~taken).sum())} of them free")
        bases[tensor.name] = starts[0] * machine.region_words
    return bases


def _lifetimes(program: Program) -> tuple[dict[str, int], dict[str, int]]:
    """Index of the first record that needs each tensor's place on chip, and of the last."""
    loaded = {record.output for record in program.records if isinstance(record, Load)}
    stored = {record.output for record in program.records if isinstance(record, Store)}
    first = {t.name: 0 for t in program.inputs if t.name not in loaded}
    last = {t.name: len(program.records) for t in program.outputs if t.name not in stored}
    for index, record in enumerate(program.records):
        for name in chip_tensors(record):
            first.setdefault(name, index)
            if name not in last or last[name] < len(program.records):
                last[name] = index
    return first, last
