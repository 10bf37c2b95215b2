"""A network at its widest: what its layers and transfers cost at most, whichever bits are chosen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from math import ceil
from typing import assert_never

from sim.events import conv_events, pool_events, transfer_events
from sim.formats import Format
from sim.machine import Machine
from sim.placement import NoRoom, place
from sim.program import Program
from sim.records import Conv, Layer, Load, Pool, Store, Tensor, Transfer, reads
from sim.row_bands import Band, band_choices, band_tensors
from sim.schedule import ConvSchedule, ConvShape, conv_shape, schedule_conv, schedule_pool
from sim.timing import layer_cycles, transfer_cycles
from sim.transfers import schedule_transfer, with_transfers

__all__ = ["ConvCost", "Widest"]

Counts = dict[str, int]
"""Events and `cycles`."""


@dataclass(frozen=True)
class ConvCost:
    """A Conv at a choice of bits.

    Attributes
    ----------
    schedule : ConvSchedule
        Of the whole layer.
    ways : list of dict
        Events and `cycles` for each way in which it may be cut into bands, the whole layer first.
    bands : int
        Most bands of any way.
    """

    schedule: ConvSchedule
    ways: list[Counts]
    bands: int


class Widest:
    """A Program with all tensors as wide as any choice of bits makes them.

    Inputs have their own width. Every other tensor that is read is taken as wide as the widest choice or as it is; what
    the host alone reads is as wide as the accumulator; the output of a Pool is as wide as its input.

    Parameters
    ----------
    program : Program
        Without Loads and Stores.
    machine : Machine
    widest : int
        Widest choice for activations [bits].
    """

    def __init__(self, program: Program, machine: Machine, widest: int) -> None:
        self.program, self.machine = program, machine
        given = {tensor.name for tensor in program.inputs}
        read = {name for record in program.records for name in reads(record)}
        self.tensors = {t.name: t if t.name in given else _with_bits(
            t, max(widest, t.format.bits) if t.name in read else program.acc_bits) for t in program.tensors}
        for record in program.records:
            if isinstance(record, Pool):
                width = self.tensors[record.input].format.bits
                self.tensors[record.output] = _with_bits(self.tensors[record.output], width)
        self.complete = with_transfers(program)
        try:
            place(self.tensors, self.complete.records, machine)
            self.whole = True
        except NoRoom:
            self.whole = False

    def conv_cost(self, conv: Conv, bits_w: int, bits_a: int) -> ConvCost:
        """Cost of a Conv at a choice of bits, with as many digits as the machine has."""
        machine = self.machine
        shape = conv_shape(self.program, conv)
        widest = replace(
            shape, weight_kind="signed" if conv.weight_format.kind == "bipolar" else shape.weight_kind, bits_w=bits_w,
            bits_a=bits_a, bits_out=self.tensors[conv.output].format.bits, terms=machine.terms,
            bits_residual=self.tensors[conv.residual].format.bits if conv.residual else 0,
            residual_terms=machine.terms if conv.residual else 0)
        ways = self._ways(conv)
        costs = [_total((self._conv_events(widest, band), count) for band, count in bands.items()) for bands in ways]
        return ConvCost(schedule_conv(widest, machine), costs, max(bands.total() for bands in ways))

    def fixed_events(self) -> list[Counts]:
        """Events of all Pools and transfers, each at its most, and the memory's latency."""
        costs = [{"cycles": self.machine.memory.latency_cycles}]
        for record in self.complete.records:
            match record:
                case Conv():
                    pass
                case Pool():
                    costs.append(_most([_total((self._pool_events(record, band), count)
                                               for band, count in bands.items()) for bands in self._ways(record)]))
                case Load() | Store():
                    if self.whole:
                        costs.append(self._transfer_events(record, self.tensors[record.input]))
                case _:
                    assert_never(record)
            if isinstance(record, Conv | Pool) and not self.whole:
                costs.append(_most([_total((self._moved_events(record, band), count)
                                           for band, count in bands.items()) for bands in self._ways(record)]))
        return costs

    def _ways(self, layer: Layer) -> list[Counter[Band]]:
        """Bands in which a layer may run at these widths or narrower ones, wherever they begin."""
        choices = islice(band_choices(self.tensors, layer, self.machine), 1 if self.whole else None)
        return [Counter(replace(band, first=0, in_first=0) for band in bands) for bands in choices]

    def _conv_events(self, shape: ConvShape, band: Band) -> Counts:
        piece = replace(shape, in_height=band.in_rows, out_height=band.rows, pads=band.pads)
        schedule = schedule_conv(piece, self.machine)
        return conv_events(schedule, self.machine) | {"cycles": layer_cycles(schedule, self.machine.memory)}

    def _pool_events(self, pool: Pool, band: Band) -> Counts:
        source, target = band_tensors(self.tensors, pool, band)
        schedule = schedule_pool(self.program, replace(pool, pads=band.pads), self.machine)
        pixels = ceil(band.rows / self.machine.columns) * target.width
        schedule = replace(schedule, bits=target.format.bits, pixels=pixels)
        return pool_events(schedule, source, target, self.machine) | {"cycles": schedule.cycles}

    def _moved_events(self, layer: Layer, band: Band) -> Counts:
        """Of the Loads and the Store of a band whose tensors are all in the host's memory."""
        *operands, target = band_tensors(self.tensors, layer, band)
        moved: list[tuple[Transfer, Tensor]] = [(Load("", t.name, t.name), t) for t in operands]
        moved.append((Store("", target.name, target.name), target))
        return _total((self._transfer_events(transfer, tensor), 1) for transfer, tensor in moved)

    def _transfer_events(self, transfer: Transfer, tensor: Tensor) -> Counts:
        schedule = schedule_transfer(transfer, tensor, self.machine)
        cycles = transfer_cycles(schedule, self.machine.memory)
        return transfer_events(schedule, self.machine) | {"cycles": cycles}


def _with_bits(tensor: Tensor, bits: int) -> Tensor:
    return replace(tensor, format=Format(bits, tensor.format.kind))


def _total(costs: Iterable[tuple[Counts, int]]) -> Counts:
    """Counts, each so many times, added up."""
    total: Counter[str] = Counter()
    for counts, times in costs:
        for event, count in counts.items():
            total[event] += count * times
    return dict(total)


def _most(costs: Sequence[Counts]) -> Counts:
    """The largest count of every event."""
    return {event: max(counts[event] for counts in costs) for event in costs[0]}
