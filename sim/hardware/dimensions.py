"""Counts and widths of a machine's hardware, all derived from its `sim.arch.machine.Machine` and the fixed limits."""

from __future__ import annotations

from sim.arch.limits import LIMITS, HardwareLimits
from sim.arch.machine import Machine
from sim.arch.table_memory import TABLE_CODE_BITS, slot_words, table_word_bits
from sim.arch.widths import lane_sum_bits, partial_sum_bits, product_bits
from sim.ir.formats import MAX_PLANES
from sim.mapping.parameter_packet import packet_words

__all__ = ["PARAMETER_SLOTS", "PLANE_BITS", "Dimensions"]

PLANE_BITS = (MAX_PLANES - 1).bit_length()
"""Width of the index of a bit plane of the widest weights and activations [bits]."""
PARAMETER_SLOTS = 4
"""Row tiles whose parameters are kept: the requantizer works up to two row tiles later than the load DMA."""


class Dimensions:
    """Count what a machine has of everything.

    Parameters
    ----------
    machine : Machine
    limits : HardwareLimits
        Depths and widths that no machine parameter changes.

    Attributes
    ----------
    rows, columns, lanes, units : int
        R, C, L and the requantizers per column, Q.
    rows_per_unit : int
        Rows that share a requantizer: R / Q.
    lane_slices : int
        Groups of R lanes in a word: L / R.
    packet : int
        Parameter words of a channel.
    """

    def __init__(self, machine: Machine, limits: HardwareLimits = LIMITS) -> None:
        self.machine, self.limits = machine, limits
        self.rows, self.columns, self.lanes = machine.rows, machine.columns, machine.lanes
        self.units = machine.requantizers
        self.rows_per_unit = machine.rows // machine.requantizers
        self.lane_slices = machine.lanes // machine.rows
        self.packet = packet_words(machine)

    @property
    def address_bits(self) -> int:
        """Width of a word address inside an activation bank [bits]."""
        return _index_bits(self.bank_words)

    @property
    def offset_bits(self) -> int:
        """Width of a word address inside a region [bits]."""
        return self.machine.region_words.bit_length() - 1

    @property
    def accumulator_address_bits(self) -> int:
        """Width of the address of an accumulator, which is a pixel of a chunk [bits]."""
        return _index_bits(self.machine.acc_depth)

    @property
    def weight_address_bits(self) -> int:
        """Width of a word address inside a weight slot [bits]."""
        return _index_bits(self.machine.weight_words)

    @property
    def bank_words(self) -> int:
        """Words of an activation bank."""
        return self.machine.act_regions * self.machine.region_words

    @property
    def inward_entries(self) -> int:
        """Depth of the inward table: an entry for each table, each Conv and each Load, and the end mark."""
        return 3 * self.limits.max_ops + 1

    @property
    def outward_entries(self) -> int:
        """Depth of the outward table: an entry for each Store, and the end mark."""
        return self.limits.max_ops + 1

    @property
    def count_bits(self) -> int:
        """Width of the count of ended ops [bits]."""
        return self.limits.max_ops.bit_length()

    @property
    def op_bits(self) -> int:
        """Width of the index of an op in its program [bits]."""
        return _index_bits(3 * self.limits.max_ops)

    @property
    def lane_bits(self) -> int:
        """Width of the index of a lane [bits]."""
        return self.lanes.bit_length() - 1

    @property
    def column_bits(self) -> int:
        """Width of the index of a column or bank [bits]."""
        return _index_bits(self.columns)

    @property
    def unit_row_bits(self) -> int:
        """Width of the index of a row within its requantizer [bits]."""
        return _index_bits(self.rows_per_unit)

    @property
    def partial_bits(self) -> int:
        """Width of a partial sum [bits]."""
        return partial_sum_bits(self.machine)

    @property
    def depthwise_lanes(self) -> int:
        """Lanes per column that work on depthwise layers."""
        return self.machine.depthwise_lanes

    @property
    def tile_channel_groups(self) -> int:
        """Groups of R channels that such lanes finish together."""
        return max(1, self.depthwise_lanes // self.rows)

    @property
    def channel_group_bits(self) -> int:
        """Width of the index of such a group [bits]."""
        return self.tile_channel_groups.bit_length() - 1

    @property
    def product_bits(self) -> int:
        """Width of a depthwise lane's weight, shifted to an activation plane [bits]."""
        return product_bits(self.machine)

    @property
    def lane_sum_bits(self) -> int:
        """Width of a sum of the depthwise lanes [bits]."""
        return lane_sum_bits(self.machine)

    @property
    def code_bits(self) -> int:
        """Signed width that holds every output code, even of an unsigned tensor as wide as the accumulator [bits]."""
        return self.machine.acc_bits + 2

    @property
    def table_words(self) -> int:
        """Words of a slot of the table memory, 0 on a machine without tables."""
        return slot_words(self.machine)

    @property
    def table_word_bits(self) -> int:
        """Width of such a word [bits]."""
        return table_word_bits(self.machine)

    @property
    def table_code_bits(self) -> int:
        """Width of a code of a table [bits]."""
        return TABLE_CODE_BITS

    @property
    def table_address_bits(self) -> int:
        """Width of the number of a word within its slot [bits]."""
        return _index_bits(max(1, self.table_words))

    @property
    def parameter_slots(self) -> int:
        """Packets that a bank of the parameter memory holds, one for each channel group of each row tile."""
        return PARAMETER_SLOTS * self.tile_channel_groups


def _index_bits(count: int) -> int:
    """Return the width of an index of `count` things, at least 1 [bits]."""
    return max(1, (count - 1).bit_length())
