"""Widths and op layouts of a machine's hardware, all derived from its `sim.Machine`."""

from __future__ import annotations

from functools import cached_property

from amaranth.hdl import Const, Value, signed
from amaranth.lib import data

from rtl.encoding.fields import Fields, compute_fields, inward_fields, outward_fields
from sim.arch.limits import MAX_OPS
from sim.arch.machine import Machine
from sim.arch.widths import lane_sum_bits, partial_sum_bits, product_bits
from sim.mapping.parameter_packet import packet_words

__all__ = ["Geometry", "exceeds"]


class Geometry:
    """What every component asks about the machine.

    Parameters
    ----------
    machine : Machine

    Attributes
    ----------
    ops : int
        Convs and Pools a program may have, Loads, and Stores: each so many.
    rows, columns, lanes, units : int
        R, C, L and the requantizers per column, Q.
    groups : int
        Groups of R lanes in a word: L / R.
    packet : int
        Parameter words of a channel.
    """

    def __init__(self, machine: Machine) -> None:
        self.machine, self.ops = machine, MAX_OPS
        self.rows, self.columns, self.lanes = machine.rows, machine.columns, machine.lanes
        self.units = machine.requantizers
        self.rows_per_unit = machine.rows // machine.requantizers
        self.groups = machine.lanes // machine.rows
        self.packet = packet_words(machine)

    @property
    def address_bits(self) -> int:
        """Word address inside an activation bank."""
        return _index_bits(self.bank_words)

    @property
    def offset_bits(self) -> int:
        """Word address inside a region."""
        return self.machine.region_words.bit_length() - 1

    @property
    def accumulator_address_bits(self) -> int:
        """Address of an accumulator: pixel of a chunk."""
        return _index_bits(self.machine.acc_depth)

    @property
    def weight_address_bits(self) -> int:
        """Word of a weight slot."""
        return _index_bits(self.machine.weight_words)

    @property
    def bank_words(self) -> int:
        """Words of an activation bank."""
        return self.machine.act_regions * self.machine.region_words

    @property
    def inward_entries(self) -> int:
        """Depth of the inward table: an entry for each Conv and each Load, and the end mark."""
        return 2 * self.ops + 1

    @property
    def outward_entries(self) -> int:
        """Depth of the outward table: an entry for each Store, and the end mark."""
        return self.ops + 1

    @property
    def count_bits(self) -> int:
        """How many ops of a kind have ended."""
        return self.ops.bit_length()

    @property
    def op_bits(self) -> int:
        """Index of an op in its program."""
        return _index_bits(3 * self.ops)

    @property
    def lane_bits(self) -> int:
        """Index of a lane."""
        return self.lanes.bit_length() - 1

    @property
    def column_bits(self) -> int:
        """Index of a column or bank."""
        return _index_bits(self.columns)

    @property
    def unit_row_bits(self) -> int:
        """Index of a row within its requantizer."""
        return _index_bits(self.rows_per_unit)

    @property
    def partial_bits(self) -> int:
        """Partial sums."""
        return partial_sum_bits(self.machine)

    @property
    def depthwise_lanes(self) -> int:
        """Lanes per column that work on depthwise layers."""
        return self.machine.depthwise_lanes

    @property
    def lane_groups(self) -> int:
        """Groups of R channels that such lanes finish together."""
        return max(1, self.depthwise_lanes // self.rows)

    @property
    def lane_group_bits(self) -> int:
        """Index of such a group."""
        return self.lane_groups.bit_length() - 1

    @property
    def product_bits(self) -> int:
        """Weight of a depthwise lane, shifted to an activation plane."""
        return product_bits(self.machine)

    @property
    def lane_sum_bits(self) -> int:
        """Sums of the depthwise lanes."""
        return lane_sum_bits(self.machine)

    @property
    def code_bits(self) -> int:
        """Signed width that holds every output code, also of an unsigned tensor as wide as the accumulator."""
        return self.machine.acc_bits + 2

    @cached_property
    def packet_layout(self) -> data.StructLayout:
        """Parameters of a channel, as `sim.mapping.layout` packs them."""
        wide, terms = self.machine.acc_bits + self.machine.window, self.machine.terms
        return data.StructLayout({
            "offset": signed(wide),
            "shift": (wide - 1).bit_length(),
            "multiplier": data.ArrayLayout(_digit((self.machine.window - 1).bit_length()), terms),
            "residual": data.ArrayLayout(_digit((wide - 10).bit_length()), terms),
        })

    @cached_property
    def inward(self) -> data.StructLayout:
        """An entry of the table of what comes on the inward stream."""
        return _layout(inward_fields(self))

    @cached_property
    def outward(self) -> data.StructLayout:
        """An entry of the table of Stores."""
        return _layout(outward_fields(self))

    @cached_property
    def descriptor(self) -> data.StructLayout:
        """An entry of the table of Convs and Pools."""
        return _layout(compute_fields(self))


def exceeds(value: Value, most: int) -> Value:
    """Whether an unsigned value is above a limit; no comparator where its width already keeps the limit."""
    return value > most if most < (1 << len(value)) - 1 else Const(0, 1)


def _layout(fields: Fields) -> data.StructLayout:
    return data.StructLayout({name: field.shape for name, field in fields.items()})


def _index_bits(count: int) -> int:
    """Bits that number `count` things, at least 1."""
    return max(1, (count - 1).bit_length())


def _digit(exponent_bits: int) -> data.StructLayout:
    return data.StructLayout({
        "present": 1,
        "negative": 1,
        "exponent": exponent_bits,
    })
