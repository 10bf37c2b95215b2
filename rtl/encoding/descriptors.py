"""Descriptors: planned ops as the bits of `sim.hardware.fields`, every quotient and product worked out here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import ceil, gcd

from amaranth.hdl import Shape
from amaranth.lib import data

from rtl.encoding.geometry import Geometry
from sim.errors import InputError
from sim.functional.requantize import ROUNDING_MODES
from sim.ir.ops import Conv, Lattice, Layer, Load, Op, Pool, Store, Tensor
from sim.mapping.activation_layout import blocks_of, tensor_words
from sim.mapping.conv_schedule import ConvSchedule
from sim.mapping.pool_schedule import PoolSchedule
from sim.mapping.schedule import Schedule
from sim.mapping.table_words import table_words
from sim.plan.plan import Plan
from sim.timing.dependencies import Waits

__all__ = ["describe", "describe_inward", "describe_outward", "pack"]

Fields = dict[str, int | list[int]]


def describe(plan: Plan, geometry: Geometry) -> list[int]:
    """Return the descriptor words of all Convs and Pools, in order.

    Raises
    ------
    InputError
        If a number is too large for its field.
    """
    words = []
    items = list(_items(plan, (Conv, Pool)))
    for index, op, schedule, waits in items:
        fields: Fields = {"op": index, "after_loads": waits.loads, "after_stores": waits.stores,
                          "last": int(index == items[-1][0])}
        if isinstance(op, Conv) and isinstance(schedule, ConvSchedule):
            fields |= _common_fields(plan, op, schedule, geometry) | _conv_loops(schedule, geometry)
            fields |= _operand_fields(plan, op, geometry) | _output_fields(plan, op, schedule, geometry)
        elif isinstance(op, Pool) and isinstance(schedule, PoolSchedule):
            fields |= _common_fields(plan, op, schedule, geometry) | _pool_fields(plan, op, schedule)
        words.append(pack(fields, geometry.descriptor, f"op '{op.name}'"))
    return words


def describe_inward(plan: Plan, geometry: Geometry) -> list[int]:
    """Return the words of the inward table: one for each table, Conv and Load in order, then the end mark."""
    words = []
    for index, op, schedule, waits in _items(plan, (Conv, Load)):
        fields: Fields = {"valid": 1, "op": index}
        if isinstance(schedule, ConvSchedule):
            count = table_words(schedule.shape.index_bits, plan.machine)
            if count:
                table = fields | {"table": 1, "table_words": count - 1, "after_computes": waits.table}
                words.append(pack(table, geometry.inward, f"op '{op.name}'"))
            fields |= {"tiles": schedule.row_tiles - 1, "words": schedule.weight_words,
                       "tile_channel_groups": schedule.tile_channel_groups - 1}
        elif isinstance(op, Load):
            fields |= {"load": 1, "after_computes": waits.computes, "after_stores": waits.stores}
            fields |= _place_fields(plan, op.output, "")
        words.append(pack(fields, geometry.inward, f"op '{op.name}'"))
    return [*words, 0]


def describe_outward(plan: Plan, geometry: Geometry) -> list[int]:
    """Return the words of the outward table: one for each Store in order, then the end mark."""
    words = [pack({"valid": 1, "op": index, "after_computes": waits.computes,
                   **_place_fields(plan, op.input, "")}, geometry.outward, f"op '{op.name}'")
             for index, op, _, waits in _items(plan, (Store,))]
    return [*words, 0]


def _items(plan: Plan, kinds: tuple[type[Op], ...]) -> Iterator[tuple[int, Op, Schedule, Waits]]:
    """Yield the ops of some kinds, with their index in the Program."""
    for index, (op, schedule, waits) in enumerate(
            zip(plan.program.ops, plan.schedules, plan.waits, strict=True)):
        if isinstance(op, kinds):
            yield index, op, schedule, waits


def pack(fields: Mapping[str, int | list[int]], layout: data.StructLayout, where: str) -> int:
    """Pack a structure into bits; absent fields are 0.

    Raises
    ------
    InputError
        If a value does not fit into its field.
    """
    word = 0
    for name, value in fields.items():
        field = layout[name]
        shape, offset = field.shape, field.offset
        element = shape.elem_shape if isinstance(shape, data.ArrayLayout) else shape
        kind = Shape.cast(element)
        low = -(1 << (kind.width - 1)) if kind.signed else 0
        high = low + (1 << kind.width) - 1
        for item in value if isinstance(value, list) else [value]:
            if not low <= item <= high:
                raise InputError(f"{where}: the hardware's field '{name}' holds {low}..{high}, not {item}")
            word |= (item & ((1 << kind.width) - 1)) << offset
            offset += kind.width
    return word


def _bits_to(limit: int) -> int:
    return (1 << limit) - 1


def _place_fields(plan: Plan, name: str, prefix: str) -> Fields:
    """Return the first and last word of a tensor in its banks."""
    base = plan.bases[name]
    words = tensor_words(plan.program.tensor(name), plan.machine)
    return {f"{prefix}first": base, f"{prefix}last": base + words - 1}


def _common_fields(plan: Plan, op: Layer, schedule: ConvSchedule | PoolSchedule, geometry: Geometry) -> Fields:
    """Return how a window moves over its input, which is the same for Conv and Pool."""
    source, target = plan.program.tensor(op.input), plan.program.tensor(op.output)
    kernel, columns = op.kernel, geometry.columns
    height, width = op.map_size(source)
    groups = ceil(height / columns)
    return {
        "phases": schedule.phases - 1, "taps": kernel[0] * kernel[1] - 1, "kernel_width": kernel[1] - 1,
        "out_width": width - 1, "row_groups": groups - 1,
        "last_row_group_columns": _bits_to(height - (groups - 1) * columns),
        "bits_a": source.format.bits - 1, "signed_a": int(source.format.kind == "signed"),
        "pixels": schedule.pixels - 1, "last_row_group_pixel": (groups - 1) * width,
        **_place_fields(plan, source.name, "in_"), **_place_fields(plan, target.name, "out_"),
        **_walk_fields(source, plan.bases[source.name] + _first_read(source, op, geometry), op, geometry),
    }


def _first_read(source: Tensor, op: Layer, geometry: Geometry) -> int:
    """Return the words of a pixel before those that an op reads."""
    return _first_block(source, 0 if op.input_parts is None else op.input_parts[0], geometry) * source.format.bits


def _walk_fields(source: Tensor, base: int, op: Layer, geometry: Geometry) -> Fields:
    """Return how a window moves over its input from word `base` on."""
    (down, across), dilation, pads, columns = op.stride, op.dilation, op.pads, geometry.columns
    words = blocks_of(source.parts, geometry.lanes) * source.format.bits
    pitch, size = source.width * words, 1 << geometry.address_bits
    rows = [down * column - pads[0] for column in range(columns)]
    per_phase = columns // gcd(down, columns)
    return {
        "pitch": pitch % size, "pixel_step": across * words % size, "row_group_step": down * pitch % size,
        "tap_step": dilation[1] * words % size, "tap_row_step": dilation[0] // columns * pitch % size,
        "tap_start": (base - pads[1] * words) % size,
        "width": source.width, "height": source.height, "stride": across, "row_group_rows": down * columns,
        "dilation": dilation[1], "tap_rows": dilation[0], "left": -pads[1], "bank_step": dilation[0] % columns,
        "bank": [row % columns for row in rows], "row": rows,
        "quotient": [row // columns * pitch % size for row in rows],
        "phase": [column // per_phase for column in range(columns)],
    }


def _conv_loops(schedule: ConvSchedule, geometry: Geometry) -> Fields:
    shape, rows = schedule.shape, geometry.rows
    longest = schedule.read_cycles if schedule.on_depthwise_unit else max(schedule.read_cycles, shape.bits_w)
    segment = geometry.depthwise_lanes if schedule.on_depthwise_unit else geometry.lanes // schedule.packing
    fields: Fields = {
        "row_tiles": schedule.row_tiles - 1, "chunks": len(schedule.chunks) - 1,
        "chunk_pixels": schedule.chunk_pixels - 1, "last_chunk_pixels": schedule.chunks[-1] - 1,
        "tap_groups": schedule.blocks // schedule.channel_blocks - 1,
        "channel_blocks": schedule.channel_blocks - 1, "segments": schedule.packing - 1,
        "step_cycles": schedule.step_cycles - 1, "launch_at": longest - 1,
        "last_tile_rows": _bits_to(shape.out_channels - (schedule.channel_groups - 1) * rows),
        **_tile_fields(schedule, geometry), "segment_lanes": segment % geometry.lanes,
        "segment_mask": geometry.lanes - segment, "segment_log2": segment.bit_length() - 1,
    }
    if not schedule.on_depthwise_unit:
        return fields | {"weights_from": longest - shape.bits_w}
    return fields | {
        "depthwise_unit": 1, "segments": shape.taps - 1, "segment_lanes": 0,
        "plane_rows": _bits_to(min(shape.bits_w, rows)),
        "tile_channel_groups": schedule.tile_channel_groups - 1,
        "last_tile_channel_groups": schedule.last_tile_channel_groups - 1,
    }


def _tile_fields(schedule: ConvSchedule, geometry: Geometry) -> Fields:
    """Return which blocks of channels a row tile reads."""
    window, shape = schedule.window, schedule.shape
    if window is None:
        return {}
    last = blocks_of(shape.in_parts, geometry.lanes) - window.blocks
    return {"tile_lanes": window.advance, "tile_lane": -window.delay % geometry.lanes,
            "tile_before": int(window.delay > 0), "last_window": last * shape.bits_a}


def _operand_fields(plan: Plan, conv: Conv, geometry: Geometry) -> Fields:
    source, lanes = plan.program.tensor(conv.input), geometry.lanes
    fields: Fields = {
        "bits_w": conv.weight_format.bits - 1, "signed_w": int(conv.weight_format.kind == "signed"),
        "bipolar": int(conv.weight_format.kind == "bipolar"), "unit": int(conv.weight_format.kind == "unit"),
        "zero_code": source.format.zero_point & 255,
    }
    if conv.weight_format.kind == "bipolar":
        parts = source.of_run(conv.input_parts).parts
        fields["part_blocks"] = [ceil(part / lanes) - 1 for part in parts]
        fields["part_lanes"] = [(part - 1) % lanes + 1 for part in parts]
    return fields


def _output_fields(plan: Plan, conv: Conv, schedule: ConvSchedule, geometry: Geometry) -> Fields:
    target = plan.program.tensor(conv.output)
    bits = target.format.bits
    width = conv.map_size(plan.program.tensor(conv.input))[1]
    fields: Fields = {
        "terms": schedule.shape.terms, "residual_terms": schedule.shape.residual_terms,
        "requant_cycles": schedule.requant_cycles - 1, "rounding": ROUNDING_MODES[plan.program.arithmetic.rounding],
        "zero_out": conv.requantized_format(target.format).zero_point, "low": conv.low, "high": conv.high,
        "table": int(conv.table is not None), "bits_out": bits - 1,
        "out_block_step": bits, "out_phases": schedule.write_phases - 1,
        **_lattice_fields(target, plan.bases[target.name] + _first_block(target, conv.output_part, geometry) * bits,
                          conv.lattice or Lattice(), width, geometry),
    }
    if conv.residual is not None:
        fields |= _residual_fields(plan, conv, plan.program.tensor(conv.residual), geometry)
    return fields


def _lattice_fields(target: Tensor, base: int, lattice: Lattice, width: int, geometry: Geometry) -> Fields:
    """Return how a map that many pixels wide lies in the output, whose pixel 0 has its words from `base` on."""
    columns, size = geometry.columns, 1 << geometry.address_bits
    words, (down, right) = _pixel_words(target, geometry), lattice.stride
    rows, pitch = [lattice.offset[0] + down * column for column in range(columns)], target.width * words
    per_phase = columns // gcd(down, columns)
    return {
        "out_base": base + lattice.offset[1] * words, "out_step": right * words % size,
        "out_row_step": (down * pitch - right * (width - 1) * words) % size,
        "out_bank": [row % columns for row in rows],
        "out_quotient": [row // columns * pitch % size for row in rows],
        "out_phase": [column // per_phase for column in range(columns)],
    }


def _residual_fields(plan: Plan, conv: Conv, other: Tensor, geometry: Geometry) -> Fields:
    """Return what the requantizer adds or multiplies by; a broadcast residual does not step where it is the same."""
    bits, broadcast = other.format.bits, conv.residual_broadcast
    return {
        "has_residual": 1, "residual_bits": bits - 1, "residual_signed": int(other.format.kind == "signed"),
        "gate_terms": 0 if conv.gate is None else bits, "gate_exponent": conv.gate or 0,
        "residual_map": int(broadcast == "map"), "residual_channel": int(broadcast == "channel"),
        "residual_base": plan.bases[other.name] + _first_block(other, conv.residual_part, geometry) * bits,
        "residual_step": 0 if broadcast == "map" else _pixel_words(other, geometry),
        "residual_block_step": 0 if broadcast == "channel" else bits,
        **_place_fields(plan, other.name, "residual_"),
    }


def _pool_fields(plan: Plan, pool: Pool, schedule: PoolSchedule) -> Fields:
    """Return the fields of a Pool: a tile whose step reads all taps of a pixel and block; pads are the lowest code."""
    target, taps = plan.program.tensor(pool.output), pool.kernel[0] * pool.kernel[1]
    return {
        "pool": 1, "chunk_pixels": schedule.pixels - 1, "last_chunk_pixels": schedule.pixels - 1,
        "channel_blocks": schedule.blocks - 1, "segments": taps - 1,
        "step_cycles": taps * schedule.bits * schedule.phases - 1, "zero_code": target.format.low & 255,
        "out_base": plan.bases[target.name], "out_step": schedule.blocks * schedule.bits,
        "out_block_step": schedule.bits, "bits_out": schedule.bits - 1,
    }


def _first_block(tensor: Tensor, part: int, geometry: Geometry) -> int:
    return blocks_of(tensor.parts[:part], geometry.lanes)


def _pixel_words(tensor: Tensor, geometry: Geometry) -> int:
    return blocks_of(tensor.parts, geometry.lanes) * tensor.format.bits
