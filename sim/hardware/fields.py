"""Every field of the three tables that a program consists of: its bits and what it means.

A count marked 'less one' is stored minus 1. Addresses are words of a bank, calculated modulo its size. What an op does
not use is 0.
"""

from __future__ import annotations

from typing import NamedTuple

from sim.hardware.dimensions import PLANE_BITS, Dimensions
from sim.ir.formats import MAX_PLANES

__all__ = ["Field", "Fields", "compute_fields", "entry_bits", "inward_fields", "outward_fields"]


class Field(NamedTuple):
    """A field of an entry.

    Attributes
    ----------
    bits : int
        Width, of each of its numbers [bits].
    meaning : str
    signed : bool
    length : int
        How many numbers it holds, the first lowest; 0: it holds one, not a list.
    """

    bits: int
    meaning: str
    signed: bool = False
    length: int = 0

    @property
    def width(self) -> int:
        """Width of all its numbers [bits]."""
        return self.bits * max(1, self.length)


Fields = dict[str, Field]
"""Fields by name, lowest bits first."""


def inward_fields(machine: Dimensions) -> Fields:
    """Return the fields of an entry of the inward table: the table of a Conv, its row tiles, or a Load."""
    limits = machine.limits
    return {
        "valid": Field(1, "0: the end of the table"),
        "load": Field(1, "a Load"),
        "table": Field(1, "the table of a Conv; neither: the row tiles of a Conv"),
        "op": _op(machine),
        "tiles": Field(limits.tile_bits, "row tiles, less one"),
        "words": Field(machine.weight_address_bits + 1, "weight words per row of a row tile"),
        "tile_channel_groups": Field(_group_bits(machine),
                                     "channel groups of a row tile that have parameters, less one"),
        "table_words": Field(machine.table_address_bits, "words of the table, less one"),
        **_place(machine, "", "the tensor"),
        "after_computes": _after(machine, "Convs and Pools"),
        "after_stores": _after(machine, "Stores"),
    }


def outward_fields(machine: Dimensions) -> Fields:
    """Return the fields of an entry of the outward table: a Store."""
    return {
        "valid": Field(1, "0: the end of the table"),
        "op": _op(machine),
        **_place(machine, "", "the tensor"),
        "after_computes": _after(machine, "Convs and Pools"),
    }


def compute_fields(machine: Dimensions) -> Fields:
    """Return the fields of a compute descriptor: a Conv or a Pool."""
    return {
        "last": Field(1, "the program's last Conv or Pool"),
        "pool": Field(1, "a Pool; 0: a Conv"),
        "depthwise_unit": Field(1, "a Conv that runs on the depthwise lanes"),
        "op": _op(machine),
        "after_loads": _after(machine, "Loads"),
        "after_stores": _after(machine, "Stores"),
        **_loops(machine),
        **_window(machine),
        **_operands(machine),
        **_requantizer(machine),
        **_places(machine),
    }


def entry_bits(fields: Fields) -> int:
    """Return the width of an entry [bits]."""
    return sum(field.width for field in fields.values())


def _op(machine: Dimensions) -> Field:
    return Field(machine.op_bits, "index of the op in its program")


def _group_bits(machine: Dimensions) -> int:
    return max(1, machine.channel_group_bits)


def _after(machine: Dimensions, what: str) -> Field:
    return Field(machine.count_bits, f"{what} that must have ended")


def _place(machine: Dimensions, prefix: str, what: str) -> Fields:
    return {f"{prefix}{end}": Field(machine.address_bits, f"{end} word of {what} in a bank")
            for end in ("first", "last")}


def _loops(machine: Dimensions) -> Fields:
    limits = machine.limits
    return {
        "row_tiles": Field(limits.tile_bits, "row tiles, less one"),
        "chunks": Field(limits.pixel_bits, "chunks of a row tile, less one"),
        "chunk_pixels": Field(limits.pixel_bits, "pixels of every chunk but the last, less one"),
        "last_chunk_pixels": Field(limits.pixel_bits, "pixels of the last chunk, less one"),
        "tap_groups": Field(limits.tap_bits, "groups of taps that share blocks, less one"),
        "channel_blocks": Field(limits.block_bits, "words of all channels of a tap, less one"),
        "segments": Field(limits.tap_bits, "taps that a step reads, less one"),
        "phases": Field(machine.column_bits, "cycles of an operand read, less one"),
        "step_cycles": Field(limits.step_bits, "cycles of a step, less one"),
        "weights_from": Field(limits.step_bits, "cycle of a block's first step that reads its first weight plane"),
        "launch_at": Field(limits.step_bits,
                           "cycle of a step that launches its plane pairs; the last weight plane's too"),
        "taps": Field(limits.tap_bits, "taps of the window, less one"),
        "kernel_width": Field(limits.map_bits, "columns of the window, less one"),
        "out_width": Field(limits.map_bits, "columns of the output, less one"),
        "row_groups": Field(limits.map_bits, "row groups of the output, a row for each column, less one"),
        "last_row_group_columns": Field(machine.columns, "columns that have a row in the last row group, a bit each"),
        "last_tile_rows": Field(machine.rows,
                                "rows with a channel in the last row tile's last channel group, a bit each"),
        "tile_channel_groups": Field(_group_bits(machine),
                                     "groups of channels, one for each row, in a row tile, less one"),
        "last_tile_channel_groups": Field(_group_bits(machine), "the same of the last row tile"),
        "plane_rows": Field(machine.rows, "rows that hold weight planes of the depthwise lanes, a bit each"),
        "pixels": Field(limits.pixel_bits, "pixels of a column in a row tile, less one"),
        "last_row_group_pixel": Field(limits.pixel_bits, "first pixel of the last row group"),
    }


def _window(machine: Dimensions) -> Fields:
    limits = machine.limits
    address, columns, lane = machine.address_bits, machine.columns, max(1, machine.lane_bits)
    return {
        "pitch": Field(address, "words of a row of the input"),
        "pixel_step": Field(address, "words from a pixel's window to the next one's"),
        "row_group_step": Field(address, "words from a row group's windows to the next one's"),
        "tap_step": Field(address, "words from a tap to the next one in its row"),
        "tap_row_step": Field(address, "words from a tap row to the next one, without the step over the last bank"),
        "tap_start": Field(address, "word of the first tap's column, in the input's first row group"),
        "width": Field(limits.map_bits, "columns of the input"),
        "height": Field(limits.map_bits, "rows of the input"),
        "stride": Field(limits.map_bits, "columns from window to window"),
        "row_group_rows": Field(limits.map_bits,
                                "input rows from row group to row group: vertical stride times columns"),
        "dilation": Field(limits.map_bits, "columns from tap to tap"),
        "tap_rows": Field(limits.map_bits, "rows from a tap row to the next one"),
        "left": Field(limits.map_bits, "input column of the first tap of the first window", signed=True),
        "bank_step": Field(machine.column_bits, "banks from a tap row to the next one"),
        "bank": Field(machine.column_bits, "bank of the first tap, of each column", length=columns),
        "row": Field(limits.map_bits, "input row of the first tap, of each column", signed=True, length=columns),
        "quotient": Field(address, "words to that row within its bank, of each column", length=columns),
        "phase": Field(machine.column_bits, "cycle of a read that serves each column", length=columns),
        "tile_lanes": Field(lane + 1,
                            "lanes from what a row tile reads to what the next one reads; 0: all read the same"),
        "tile_lane": Field(lane, "lane from which these are counted"),
        "tile_before": Field(1, "they are counted from the block before the first one"),
        "last_window": Field(address, "words of a pixel before the blocks that the last row tiles read"),
        "segment_lanes": Field(lane, "lanes of a segment, modulo those of a word"),
        "segment_mask": Field(lane, "bits of a lane's number that tell its segment"),
        "segment_log2": Field(4, "logarithm of the lanes of a segment"),
    }


def _operands(machine: Dimensions) -> Fields:
    limits = machine.limits
    return {
        "bits_w": Field(PLANE_BITS, "bits of a weight, less one"),
        "signed_w": Field(1, "weights are signed"),
        "bipolar": Field(1, "weights are -1 and +1: the reference row works"),
        "unit": Field(1, "weights are 1 and generated"),
        "bits_a": Field(PLANE_BITS, "bits of an activation, less one"),
        "signed_a": Field(1, "activations are signed"),
        "zero_code": Field(MAX_PLANES, "code outside the map"),
        "part_blocks": Field(limits.block_bits,
                             "for bipolar weights: words of a part, less one", length=limits.max_parts),
        "part_lanes": Field(machine.lane_bits + 1,
                            "for bipolar weights: lanes with a channel in a part's last word", length=limits.max_parts),
    }


def _requantizer(machine: Dimensions) -> Fields:
    limits = machine.limits
    code = machine.code_bits
    return {
        "terms": Field(4, "digits of a multiplier"),
        "residual_terms": Field(4, "digits of a residual multiplier"),
        "gate_terms": Field(4, "bits of a residual by which a gate multiplies the accumulator"),
        "gate_exponent": Field(6, "exponent of the lowest of them"),
        "requant_cycles": Field(limits.step_bits, "cycles of a pixel in the requantizer, less one"),
        "rounding": Field(2, "rounding mode: 0 half_up, 1 half_even, 2 floor"),
        "zero_out": Field(code, "zero point of the output, or of the table's index like the next two", signed=True),
        "low": Field(code, "lowest code of the output", signed=True),
        "high": Field(code, "highest code of the output", signed=True),
        "table": Field(1, "codes so far are indices of the op's table"),
        "bits_out": Field(6, "bits of an output, less one"),
        "has_residual": Field(1, "a residual is added"),
        "residual_bits": Field(PLANE_BITS, "bits of a residual, less one"),
        "residual_signed": Field(1, "residuals are signed"),
        "residual_map": Field(1, "a residual has one pixel, whose words in the first bank serve all columns"),
        "residual_channel": Field(1, "a residual has one channel, the first lane, which serves all rows"),
    }


def _places(machine: Dimensions) -> Fields:
    address, columns = machine.address_bits, machine.columns
    steps = {f"{prefix}{field}": Field(address, f"{meaning} of the {what}")
             for prefix, what in (("out_", "output"), ("residual_", "residual"))
             for field, meaning in (("base", "first word of the part"), ("step", "words of a pixel"),
                                    ("block_step", "words of a channel block"))}
    return {
        **steps,
        "out_row_step": Field(address, "words from the last output pixel of a row group to the first of the next one"),
        "out_bank": Field(machine.column_bits,
                          "bank of the output row, of each column", length=columns),
        "out_quotient": Field(address, "words to that row within its bank, of each column", length=columns),
        "out_phase": Field(machine.column_bits,
                           "cycle of a plane's write that serves each column", length=columns),
        "out_phases": Field(machine.column_bits, "cycles of a plane's write, less one"),
        **_place(machine, "in_", "the input"),
        **_place(machine, "out_", "the output"),
        **_place(machine, "residual_", "the residual"),
    }
