"""Widths and record layouts of a machine's hardware, all derived from its `sim.Machine`."""

from __future__ import annotations

from functools import cached_property

from amaranth.hdl import Const, Value, signed, unsigned
from amaranth.lib import data

from sim.limits import (
    BLOCK_BITS,
    MAP_BITS,
    MAX_PARTS,
    MAX_RECORDS,
    PIXEL_BITS,
    STEP_BITS,
    TAP_BITS,
    TILE_BITS,
)
from sim.machine import Machine
from sim.packet import packet_words

__all__ = ["Geometry", "exceeds"]


class Geometry:
    """What every component asks about the machine.

    Parameters
    ----------
    machine : Machine

    Attributes
    ----------
    records : int
        Convs and Pools a program may have, Loads, and Stores: each so many.
    rows, columns, lanes, units : int
        R, C, L and the requantizers per column, Q.
    groups : int
        Groups of R lanes in a word: L / R.
    packet : int
        Parameter words of a channel.
    """

    def __init__(self, machine: Machine) -> None:
        self.machine, self.records = machine, MAX_RECORDS
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
        return 2 * self.records + 1

    @property
    def outward_entries(self) -> int:
        """Depth of the outward table: an entry for each Store, and the end mark."""
        return self.records + 1

    @property
    def count_bits(self) -> int:
        """How many records of a kind have ended."""
        return self.records.bit_length()

    @property
    def record_bits(self) -> int:
        """Index of a record in its program."""
        return _index_bits(3 * self.records)

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
        """Partial sums: log2 L + b_w + b_a bits, and one more where unsigned weights may be as wide as signed ones.

        Weight codes are int8, so unsigned ones end at 7 bits.
        """
        signed_bits = self.lanes.bit_length() - 1 + self.machine.max_bits_w + self.machine.max_bits_a
        most = self.lanes * ((1 << min(self.machine.max_bits_w, 7)) - 1) * ((1 << self.machine.max_bits_a) - 1)
        return max(signed_bits, most.bit_length() + 1)

    @property
    def code_bits(self) -> int:
        """Signed width that holds every output code, also of an unsigned tensor as wide as the accumulator."""
        return self.machine.acc_bits + 2

    @cached_property
    def packet_layout(self) -> data.StructLayout:
        """Parameters of a channel, as `sim.layout` packs them."""
        wide, terms = self.machine.acc_bits + self.machine.window, self.machine.terms
        return data.StructLayout({
            "offset": signed(wide),
            "shift": (wide - 1).bit_length(),
            "multiplier": data.ArrayLayout(_digit((self.machine.window - 1).bit_length()), terms),
            "residual": data.ArrayLayout(_digit((wide - 10).bit_length()), terms),
        })

    @cached_property
    def inward(self) -> data.StructLayout:
        """An item of the inward stream: `tiles` row tiles of `words` weight words, or a Load; not valid: the end."""
        return data.StructLayout({"valid": 1, "load": 1, "record": self.record_bits, "tiles": TILE_BITS,
                                  "words": self.weight_address_bits + 1, **self._place_fields(),
                                  "after_computes": self.count_bits, "after_stores": self.count_bits})

    @cached_property
    def outward(self) -> data.StructLayout:
        """An item of the outward stream: a Store; not valid: the end."""
        return data.StructLayout({"valid": 1, "record": self.record_bits, **self._place_fields(),
                                  "after_computes": self.count_bits})

    def _place_fields(self) -> dict[str, object]:
        """First and last word of a tensor in its banks."""
        return {"first": self.address_bits, "last": self.address_bits}

    @cached_property
    def descriptor(self) -> data.StructLayout:
        """What the machine knows of a record. Counts are stored less one; addresses are modulo the bank."""
        return data.StructLayout({**self._order_fields(), **self._loop_fields(), **self._address_fields(),
                                  **self._operand_fields(), **self._output_fields()})

    def _order_fields(self) -> dict[str, object]:
        return {"last": 1, "pool": 1, "record": self.record_bits, "after_loads": self.count_bits,
                "after_stores": self.count_bits}

    def _loop_fields(self) -> dict[str, object]:
        return {
            "row_tiles": TILE_BITS, "chunks": PIXEL_BITS, "chunk_pixels": PIXEL_BITS, "last_chunk_pixels": PIXEL_BITS,
            "tap_groups": TAP_BITS, "channel_blocks": BLOCK_BITS, "segments": TAP_BITS,
            "phases": self.column_bits, "step_cycles": STEP_BITS, "weights_from": STEP_BITS, "launch_at": STEP_BITS,
            "taps": TAP_BITS, "kernel_width": MAP_BITS, "out_width": MAP_BITS, "out_groups": MAP_BITS,
            "last_group_columns": self.columns, "last_tile_rows": self.rows,
        }

    def _address_fields(self) -> dict[str, object]:
        address, columns = unsigned(self.address_bits), self.columns
        return {
            "pitch": address, "pixel_step": address, "group_step": address, "tap_step": address,
            "tap_row_step": address, "tap_start": address,
            "width": MAP_BITS, "height": MAP_BITS, "stride": MAP_BITS, "group_rows": MAP_BITS, "dilation": MAP_BITS,
            "left": signed(MAP_BITS), "bank_step": self.column_bits,
            "bank": data.ArrayLayout(self.column_bits, columns), "row": data.ArrayLayout(signed(MAP_BITS), columns),
            "quotient": data.ArrayLayout(address, columns), "phase": data.ArrayLayout(self.column_bits, columns),
            "depthwise": 1, "segment_lanes": max(1, self.lane_bits), "segment_mask": max(1, self.lane_bits),
            "segment_log2": 4,
        }

    def _operand_fields(self) -> dict[str, object]:
        return {
            "bits_w": 3, "signed_w": 1, "bipolar": 1, "unit": 1,
            "bits_a": 3, "signed_a": 1, "zero_code": 8,
            "in_first": self.address_bits, "in_last": self.address_bits,
            "part_blocks": data.ArrayLayout(BLOCK_BITS, MAX_PARTS),
            "part_lanes": data.ArrayLayout(self.lane_bits + 1, MAX_PARTS),
        }

    def _output_fields(self) -> dict[str, object]:
        address = unsigned(self.address_bits)
        return {
            "terms": 4, "residual_terms": 4, "requant_cycles": STEP_BITS, "pixels": PIXEL_BITS,
            "last_group_pixel": PIXEL_BITS, "rounding": 2,
            "zero_out": signed(self.code_bits), "low": signed(self.code_bits), "high": signed(self.code_bits),
            "bits_out": 6, "out_base": address, "out_step": address, "out_block_step": address,
            "out_first": address, "out_last": address,
            "has_residual": 1, "residual_bits": 3, "residual_signed": 1,
            "residual_base": address, "residual_step": address, "residual_block_step": address,
            "residual_first": address, "residual_last": address,
        }


def exceeds(value: Value, most: int) -> Value:
    """Whether an unsigned value is above a limit; no comparator where its width already keeps the limit."""
    return value > most if most < (1 << len(value)) - 1 else Const(0, 1)


def _index_bits(count: int) -> int:
    """Bits that number `count` things, at least 1."""
    return max(1, (count - 1).bit_length())


def _digit(exponent_bits: int) -> data.StructLayout:
    return data.StructLayout({"present": 1, "negative": 1, "exponent": exponent_bits})
