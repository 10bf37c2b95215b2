"""Interfaces of the core: what components hand to one another is declared once, and connected as a whole.

A signature shows the side that starts a transfer; the other side has it as `In`. Streams are those of
`amaranth.lib.stream`.
"""

from __future__ import annotations

from functools import reduce
from operator import or_

from amaranth.hdl import Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from rtl.encoding.geometry import Geometry
from sim.hardware.dimensions import PLANE_BITS

__all__ = ["OPERAND_ENGINES", "AguStep", "BankRead", "BankWrite", "CodeCapture", "FaultReport", "OperandEngine",
           "PixelPosition", "PixelRead", "PixelWrite", "TableWrite", "TapPosition", "WeightPlanes", "WeightRead",
           "beat_layout", "bypasses_array", "pair_layout", "read_layout", "step_layout"]


def beat_layout(bits: int) -> data.StructLayout:
    """Return the payload of the outward stream: a beat, and whether it is the last one of its packet."""
    return data.StructLayout({"data": bits, "last": 1})


def read_layout(geometry: Geometry) -> data.StructLayout:
    """Return what goes along with an operand read: it is `valid`, and `strobe` marks the columns that it serves."""
    lane = max(1, geometry.lane_bits)
    return data.StructLayout({
        "valid": 1,
        "strobe": geometry.columns,
        "inside": geometry.columns,
        "bank": data.ArrayLayout(geometry.column_bits, geometry.columns),
        "plane": PLANE_BITS,
        "set": 1,
        "segment_lane": lane,
        "rotation": lane,
        "first_segment": 1,
        "last_segment": 1,
        "pixel_done": 1,
        "block_done": 1,
    })


def step_layout(geometry: Geometry) -> data.StructLayout:
    """Return what a step carries along: operand sets, accumulator, enabled columns, and whether it ends its tile."""
    return data.StructLayout({
        "file": 1,
        "weights": 1,
        "bank": 1,
        "fresh": 1,
        "address": geometry.accumulator_address_bits,
        "columns": geometry.columns,
        "last_row_tile": 1,
        "ends_tile": 1,
    })


def pair_layout(geometry: Geometry) -> data.StructLayout:
    """Return the controls of a pair of bit planes in one stage of the array."""
    return data.StructLayout({
        "valid": 1,
        "first": 1,
        "last": 1,
        "double": 1,
        "negative": 1,
        "rows": geometry.rows,
        "reference": 1,
        "step": step_layout(geometry),
    })


OPERAND_ENGINES = {"pool": "max_pool"}
"""Flags of a descriptor that send the operands of an op past the array, to an engine of its own (`OperandEngine`), and
the name of that engine in the accelerator."""


def bypasses_array(descriptor: data.View) -> Value:
    """Return whether the op of a descriptor runs on one of the `OPERAND_ENGINES`."""
    return reduce(or_, (descriptor[flag] for flag in OPERAND_ENGINES))


class TableWrite(wiring.Signature):
    """The host writes a table, while no program runs.

    Members
    -------
    write : the entry is written in this cycle
    index : number of the entry
    data : bits of the entry
    """

    def __init__(self, entry_bits: int, depth: int) -> None:
        super().__init__({
            "write": Out(1),
            "index": Out(ceil_log2(depth)),
            "data": Out(entry_bits),
        })


class AguStep(wiring.Signature):
    """The sequencer moves an address generator.

    Members
    -------
    advance : move to the next tap or pixel
    restore : go back to where the last commit was
    commit : the position after this cycle is the one to go back to
    reset : start over with the op's first tap or pixel
    """

    def __init__(self) -> None:
        super().__init__({
            "advance": Out(1),
            "restore": Out(1),
            "commit": Out(1),
            "reset": Out(1),
        })


class TapPosition(wiring.Signature):
    """Where the current tap of the window reads.

    Members
    -------
    present : the tap exists; the last group of taps may be short
    column : map column of the tap at output pixel 0
    address : its address at output pixel 0, without the part of the row
    row : map row of the tap, for each column of the array
    bank : bank of that row
    quotient : address of that row within its bank
    """

    def __init__(self, geometry: Geometry) -> None:
        columns, coordinate = geometry.columns, signed(geometry.limits.map_bits)
        super().__init__({
            "present": Out(1),
            "column": Out(coordinate),
            "address": Out(geometry.address_bits),
            "row": Out(coordinate).array(columns),
            "bank": Out(geometry.column_bits).array(columns),
            "quotient": Out(geometry.address_bits).array(columns),
        })


class PixelPosition(wiring.Signature):
    """What the current output pixel adds to the position of a tap.

    Members
    -------
    row : map rows
    column : map columns
    address : words
    """

    def __init__(self, geometry: Geometry) -> None:
        super().__init__({
            "row": Out(geometry.limits.map_bits),
            "column": Out(geometry.limits.map_bits),
            "address": Out(geometry.address_bits),
        })


class BankRead(wiring.Signature):
    """Read a word from each of several activation banks, at an address of its own.

    Members
    -------
    read : the banks that are read in this cycle, a bit each
    address : address within each bank
    data : word of each bank, in the cycle after its read and until the next one
    """

    def __init__(self, geometry: Geometry) -> None:
        super().__init__({
            "read": Out(geometry.columns),
            "address": Out(geometry.address_bits).array(geometry.columns),
            "data": In(geometry.lanes).array(geometry.columns),
        })


class PixelRead(wiring.Signature):
    """Read a word from each of several activation banks, at the same address in all.

    Members
    -------
    read : the banks that are read in this cycle, a bit each
    address : address within every bank
    data : word of each bank, in the cycle after its read and until the next one
    """

    def __init__(self, geometry: Geometry) -> None:
        super().__init__({
            "read": Out(geometry.columns),
            "address": Out(geometry.address_bits),
            "data": In(geometry.lanes).array(geometry.columns),
        })


class BankWrite(wiring.Signature):
    """Write a word into each of several activation banks, at an address of its own.

    Members
    -------
    write : the banks that are written in this cycle, a bit each
    address : address within each bank
    data : word for each bank
    """

    def __init__(self, geometry: Geometry) -> None:
        super().__init__({
            "write": Out(geometry.columns),
            "address": Out(geometry.address_bits).array(geometry.columns),
            "data": Out(geometry.lanes).array(geometry.columns),
        })


class PixelWrite(wiring.Signature):
    """Write a plane of an output pixel: slices of R lanes in several activation banks, at an address of its own.

    Members
    -------
    write : the banks that are written in this cycle, a bit each
    address : address within each bank
    slices : the slices of R lanes that are written, a bit each
    data : word for each bank
    """

    def __init__(self, geometry: Geometry) -> None:
        super().__init__({
            "write": Out(geometry.columns),
            "address": Out(geometry.address_bits).array(geometry.columns),
            "slices": Out(geometry.lane_slices),
            "data": Out(geometry.lanes).array(geometry.columns),
        })


class WeightRead(wiring.Signature):
    """The sequencer reads weight words, one cycle ahead; the address counts up from word 0 of the slot.

    Members
    -------
    read : a word is read for each row
    first : it is word 0 of the slot
    slot : slot of the row tile
    plane : number of the bit plane that the word holds
    set : operand set that takes it
    last_row_tile : the row tile is the last one of the op
    part_lanes : lanes that carry a channel in the block that is read
    tile_lane : lane of the row tile's first channel, in a depthwise layer
    """

    def __init__(self, geometry: Geometry) -> None:
        super().__init__({
            "read": Out(1),
            "first": Out(1),
            "slot": Out(1),
            "plane": Out(PLANE_BITS),
            "set": Out(1),
            "last_row_tile": Out(1),
            "part_lanes": Out(geometry.lane_bits + 1),
            "tile_lane": Out(max(1, geometry.lane_bits)),
        })


class WeightPlanes(wiring.Signature):
    """Bit planes for the weight operands of the rows.

    Members
    -------
    rows : the rows that take a plane in this cycle, a bit each; the last one is the reference row
    set : operand set that takes it
    plane : number of the bit plane
    word : the plane of each row
    """

    def __init__(self, geometry: Geometry) -> None:
        super().__init__({
            "rows": Out(geometry.rows + 1),
            "set": Out(1),
            "plane": Out(PLANE_BITS),
            "word": Out(geometry.lanes).array(geometry.rows + 1),
        })


class CodeCapture(wiring.Signature):
    """Codes of the requantizers are ready.

    Members
    -------
    units : the units of each column whose code is ready, a bit each
    row : row of the unit that the code belongs to
    set : register set that takes it
    columns : the columns that have the pixel, a bit each
    """

    def __init__(self, geometry: Geometry) -> None:
        super().__init__({
            "units": Out(geometry.units),
            "row": Out(geometry.unit_row_bits),
            "set": Out(1),
            "columns": Out(geometry.columns),
        })


class FaultReport(wiring.Signature):
    """Say that an op cannot run on.

    Members
    -------
    found : there is a fault
    op : index of the op in its program
    """

    def __init__(self, geometry: Geometry) -> None:
        super().__init__({
            "found": Out(1),
            "op": Out(geometry.op_bits),
        })


class OperandEngine(wiring.Signature):
    """An engine that makes outputs of the operand words as they arrive, without the array.

    Members
    -------
    descriptor : of the op that runs
    begun : first cycle of an op
    op_issued : the next cycle reads the last operand of an op of this engine
    arrived : what goes along with the words
    word : operand word of each column
    write : planes of the output
    done : the last plane of the op is being written
    """

    def __init__(self, geometry: Geometry) -> None:
        super().__init__({
            "descriptor": In(geometry.descriptor),
            "begun": In(1),
            "op_issued": In(1),
            "arrived": In(read_layout(geometry)),
            "word": In(geometry.lanes).array(geometry.columns),
            "write": Out(PixelWrite(geometry)),
            "done": Out(1),
        })
