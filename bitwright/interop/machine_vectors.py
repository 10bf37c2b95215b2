"""What a machine's streams carry and its memories hold while it runs a Program, as bits that `$readmemh` reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from rtl.encoding.program_image import beat_bits, program_image
from rtl.encoding.stream_bytes import tensor_bytes, word_bytes
from sim.mapping.activation_layout import bank_contents
from sim.mapping.conv_schedule import ConvSchedule
from sim.mapping.parameter_packet import packet_words
from sim.plan.host_stream import RowTileItem, TableItem, TensorItem
from sim.plan.plan import Plan

__all__ = ["MachineFile", "RowTilePlace", "machine_files", "row_tiles"]

Codes = Mapping[str, NDArray[np.int32]]
Bits = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class MachineFile:
    """The words of one memory or stream.

    Attributes
    ----------
    name : str
        Of the file, without its ending.
    holds : str
        In words.
    bits : uint8 array, shape (words, width)
        Lowest bit first.
    address : int
        Of the first word.
    facts : dict
        For the manifest.
    """

    name: str
    holds: str
    bits: Bits
    address: int = 0
    facts: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class RowTilePlace:
    """Where the words of a row tile are in the files of weights and parameters.

    Attributes
    ----------
    op : str
    row_tile, weight_slot : int
        The tile of the op, and the half of the weight memory that takes it.
    first_weight, weights, first_packet, packets : int
        Words of every row.
    """

    op: str
    row_tile: int
    weight_slot: int
    first_weight: int
    weights: int
    first_packet: int
    packets: int


def machine_files(plan: Plan, codes: Codes) -> Iterator[MachineFile]:
    """Yield streams, then memories.

    Parameters
    ----------
    plan : Plan
    codes : mapping of str to int32 array, shape (N, channels, height, width)
        Of every tensor of `plan.program`.
    """
    images = len(next(iter(codes.values())))
    yield _stream(plan, "program", "the program image that is loaded", program_image(plan))
    yield _stream(plan, "outward_care", "ones for the bits of the outward stream that belong to codes",
                  b"".join(_care(plan, item) for item in plan.outward()))
    for image in range(images):
        one = {name: array[image] for name, array in codes.items()}
        yield _stream(plan, f"inward.image{image}", "what the machine takes while it runs",
                      b"".join(_inward(plan, one)))
        yield _stream(plan, f"outward.image{image}", "what it gives, Store after Store",
                      b"".join(tensor_bytes(item.view(one[item.host]), item.tensor, plan.machine)
                               for item in plan.outward()))
    yield from _weights(plan)
    yield from _tables(plan)
    for image in range(images):
        yield from _activations(plan, {name: array[image] for name, array in codes.items()}, image)


def row_tiles(plan: Plan) -> list[RowTilePlace]:
    """Return where each row tile is in the files of weights and parameters, in the order in which they come."""
    found: list[RowTilePlace] = []
    weights = packets = 0
    for conv, schedule in plan.convs():
        for tile in range(schedule.row_tiles):
            groups = schedule.tile_channel_groups
            found.append(RowTilePlace(conv.name, tile, len(found) % 2, weights, schedule.weight_words, packets, groups))
            weights, packets = weights + schedule.weight_words, packets + groups
    return found


def _stream(plan: Plan, name: str, holds: str, data: bytes) -> MachineFile:
    width = beat_bits(plan.machine)
    beats = np.frombuffer(data, np.uint8).reshape(-1, width // 8)
    return MachineFile(f"stream.{name}", holds, np.unpackbits(beats, axis=1, bitorder="little"))


def _inward(plan: Plan, codes: Codes) -> Iterator[bytes]:
    for item in plan.inward():
        if isinstance(item, RowTileItem | TableItem):
            yield word_bytes(item.words, plan.machine)
        else:
            yield tensor_bytes(item.view(codes[item.host]), item.tensor, plan.machine)


def _care(plan: Plan, item: TensorItem) -> bytes:
    return tensor_bytes(np.full(item.tensor.shape, -1), item.tensor, plan.machine)


def _weights(plan: Plan) -> Iterator[MachineFile]:
    """Yield weights and parameters of every row; a parameter word holds all of a packet, its first piece lowest."""
    machine, packet = plan.machine, packet_words(plan.machine)
    weights, packets = [], []
    for item in plan.inward():
        if isinstance(item, RowTileItem):
            schedule = plan.schedules[item.op]
            assert isinstance(schedule, ConvSchedule)
            count = schedule.tile_channel_groups
            pieces = item.words[: count * packet].reshape(count, packet, machine.rows, machine.lanes)
            packets.append(pieces.transpose(0, 2, 1, 3).reshape(count, machine.rows, packet * machine.lanes))
            weights.append(item.words[count * packet :])
    for what, holds, words in (("weights", "weights of the row, row tile after row tile", weights),
                               ("parameters", "requantizer's numbers of the row's channels, row tile after row tile",
                                packets)):
        every = np.concatenate(words) if words else np.zeros((0, machine.rows, machine.lanes), np.uint8)
        for row in range(machine.rows):
            yield MachineFile(f"memory.{what}.row{row}", holds, every[:, row], facts={"row": row})


def _tables(plan: Plan) -> Iterator[MachineFile]:
    for item in plan.inward():
        if isinstance(item, TableItem):
            op = plan.program.ops[item.op].name
            yield MachineFile(f"memory.table{item.op}", "the table of an op, the same in every requantizer", item.words,
                              facts={"op": op})


def _activations(plan: Plan, codes: Codes, image: int) -> Iterator[MachineFile]:
    """Yield the words of every tensor on chip in every bank, when it is complete."""
    for number, tensor in enumerate(plan.program.tensors):
        if tensor.name in plan.bases:
            contents = bank_contents(codes[tensor.name], tensor, plan.machine)
            for bank, words in enumerate(contents):
                yield MachineFile(f"memory.activations.tensor{number}.bank{bank}.image{image}",
                                  "the tensor's words in the bank, when it is complete", words,
                                  plan.bases[tensor.name], {"tensor": tensor.name, "bank": bank, "image": image})
