"""Every rule that a Program must keep, and the sentence that refuses one that breaks it."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, assert_never

import numpy as np

from sim.errors import InputError
from sim.io.bounds import MAX_CODES, MAX_EXTENT, check_name, check_range, shown
from sim.ir.arithmetic import Arithmetic
from sim.ir.formats import check_codes
from sim.ir.ops import (
    Conv,
    Layer,
    Load,
    Pads,
    Pool,
    Store,
    Tensor,
    Transfer,
    accumulator_bounds,
    out_size,
    reads,
)
from sim.ir.residency import Places
from sim.ir.signed_digits import Digits

if TYPE_CHECKING:
    from sim.ir.program import Program

__all__ = ["check_program"]

ENGINE_BITS = 8
"""Widest code that an engine reads [bits]."""


def _require(condition: bool, where: str, text: str) -> None:
    if not condition:
        raise InputError(f"{where}: {text}")


def check_program(program: Program) -> None:
    """Raise InputError for the first rule that `program` breaks: what, the limit, and what came."""
    _require(bool(program.inputs), "program", "needs an input: a tensor that no op writes")
    _check_names(program)
    for tensor in program.tensors:
        where = f"tensor '{tensor.name}'"
        _require(tensor.format.bits <= program.arithmetic.acc_bits, where,
                 f"a code has at most acc_bits = {program.arithmetic.acc_bits} bits, not {tensor.format.bits}")
        _require(tensor.format.high < 1 << 31, where, f"codes must fit 32 signed bits, not {tensor.format}")
    _check_ops(program)


def _check_names(program: Program) -> None:
    for op in program.ops:
        check_name(op.name, "an op's name")
    for what, names in (("tensor", [t.name for t in program.tensors]), ("op", [r.name for r in program.ops])):
        seen = set[str]()
        for name in names:
            _require(name not in seen, f"{what} '{name}'", "the name is used twice")
            seen.add(name)


def _check_ops(program: Program) -> None:
    """Each op by itself, and what lies where when it runs."""
    tensors, places = {t.name: t for t in program.tensors}, Places(program)
    for op in program.ops:
        where = f"op '{op.name}'"
        for role, name in (("input", op.input), ("output", op.output)):
            _require(name in tensors, where, f"{role} '{shown(name)}' is not a tensor of the program")
        match op:
            case Conv():
                _check_operands(op, tensors, places, where)
                _check_conv(op, tensors, program.arithmetic, where)
                places.compute(op.output, [op.output_part], where)
            case Pool():
                _check_operands(op, tensors, places, where)
                _check_pool(op, tensors, where)
                places.compute(op.output, range(len(tensors[op.output].parts)), where)
            case Load():
                _check_transfer(op, tensors[op.output], tensors[op.input], None, where)
                places.load(op, where)
            case Store():
                _check_transfer(op, tensors[op.input], tensors[op.output], op.output_part, where)
                places.store(op, where)
            case _:
                assert_never(op)
    places.finish()


def _check_operands(layer: Layer, tensors: dict[str, Tensor], places: Places, where: str) -> None:
    """Tensors exist, are on chip before they are read, and are narrow enough for an engine to read."""
    for name in reads(layer):
        _require(name in tensors, where, f"residual '{shown(name)}' is not a tensor of the program")
        places.read(name, where)
        _require(tensors[name].format.bits <= ENGINE_BITS, where,
                 f"reads '{name}' of {tensors[name].format.bits} bits; engines read at most {ENGINE_BITS}")


def _check_transfer(transfer: Transfer, chip: Tensor, host: Tensor, part: int | None, where: str) -> None:
    """The tensor on chip is some rows of the one in the host's memory, of all its parts or of `part`."""
    _require(part is None or 0 <= part < len(host.parts), where,
             f"output_part must be in 0..{len(host.parts) - 1}, not {shown(part)}")
    parts = host.parts if part is None else (host.parts[part],)
    _require(chip.parts == parts, where, f"'{chip.name}' must have parts {shown(parts)} like '{host.name}', "
                                         f"not {shown(chip.parts)}")
    _require(chip.format == host.format, where,
             f"'{chip.name}' must have format {host.format} like '{host.name}', not {chip.format}")
    _require(chip.width == host.width, where, f"'{chip.name}' must be {host.width} wide like '{host.name}', "
                                              f"not {chip.width}")
    last = host.height - chip.height
    _require(0 <= transfer.first_row <= last, where,
             f"first_row must be in 0..{last} for {chip.height} rows of the {host.height} of '{host.name}', "
             f"not {shown(transfer.first_row)}")


def _check_window(where: str, source: Tensor, target: Tensor, kernel: tuple[int, int], stride: int, dilation: int,
                  pads: Pads) -> None:
    for what, values in (("kernel", kernel), ("stride", (stride,)), ("dilation", (dilation,))):
        for value in values:
            check_range(value, 1, MAX_EXTENT, f"{where}: {what}")
    _require(len(pads) == 4, where, "pads must be four numbers, top, left, bottom and right")
    for pad in pads:
        check_range(pad, 0, MAX_EXTENT, f"{where}: a pad")
    top, left, bottom, right = pads
    padded = source.channels, source.height + top + bottom, source.width + left + right
    codes = prod(map(int, padded))
    _require(codes <= MAX_CODES, where,
             f"'{source.name}' with its pads must have at most {MAX_CODES} codes, not {codes} in {padded}")
    size = (out_size(source.height, top, bottom, kernel[0], stride, dilation),
            out_size(source.width, left, right, kernel[1], stride, dilation))
    _require(size == (target.height, target.width), where,
             f"output '{target.name}' must be {size[0]} x {size[1]}, not {target.height} x {target.width}")


def _check_pool(pool: Pool, tensors: dict[str, Tensor], where: str) -> None:
    source, target = tensors[pool.input], tensors[pool.output]
    if source.parts != target.parts:
        raise InputError(f"{where}: output parts must be {shown(source.parts)}, not {shown(target.parts)}")
    _require(source.format == target.format, where, f"output format must be {source.format}, not {target.format}")
    _check_window(where, source, target, pool.kernel, pool.stride, 1, pool.pads)
    for what, pad, extent in zip(("top", "left", "bottom", "right"), pool.pads, pool.kernel * 2, strict=True):
        _require(pad < extent, where, f"{what} pad must be below the kernel's {extent}, not {pad}")


def _check_conv(conv: Conv, tensors: dict[str, Tensor], arithmetic: Arithmetic, where: str) -> None:
    source, target = tensors[conv.input], tensors[conv.output]
    _require(0 <= conv.output_part < len(target.parts), where,
             f"output_part must be in 0..{len(target.parts) - 1}, not {shown(conv.output_part)}")
    channels = target.parts[conv.output_part]
    _check_weights(conv, source, channels, where)
    _check_window(where, source, target, conv.kernel, conv.stride, conv.dilation, conv.pads)
    _require(target.format.low <= conv.low <= conv.high <= target.format.high, where,
             f"low..high must lie in {target.format.low}..{target.format.high}, "
             f"not {shown(conv.low)}..{shown(conv.high)}")
    _check_requantizer(conv, channels, arithmetic, where)
    operands = [name for name in (conv.input, conv.residual, conv.output) if name is not None]
    _require(len(set(operands)) == len(operands), where, "input, residual and output must be different tensors")
    if conv.residual is None:
        check_range(conv.residual_part, 0, 0, f"{where}: without a residual, residual_part")
    else:
        other = tensors[conv.residual]
        _require(0 <= conv.residual_part < len(other.parts), where,
                 f"residual_part must be in 0..{len(other.parts) - 1}, not {shown(conv.residual_part)}")
        shape = (other.parts[conv.residual_part], other.height, other.width)
        _require(shape == (channels, target.height, target.width), where,
                 f"residual must have shape {(channels, target.height, target.width)}, not {shape}")
    limit = (1 << (arithmetic.acc_bits - 1)) - 1
    bounds = accumulator_bounds(conv, source.format)
    worst = int(bounds.argmax())
    _require(arithmetic.wrap or int(bounds[worst]) <= limit, where,
             f"the accumulator of channel {worst} can reach {int(bounds[worst])}; {arithmetic.acc_bits} bits hold "
             f"{limit} (declare wrap, or use a wider accumulator or fewer bits)")


def _check_weights(conv: Conv, source: Tensor, channels: int, where: str) -> None:
    fmt = conv.weight_format
    _require(conv.weights.ndim == 4 and conv.weights.dtype == np.int8, where,
             f"weights must be int8 of shape (O, C, kh, kw), not {conv.weights.dtype} {conv.weights.shape}")
    _require(conv.groups == 1 or (conv.groups == channels and source.parts == (channels,)), where,
             f"groups must be 1, or {channels} with an input of one part of {channels} channels, "
             f"not {shown(conv.groups)} with parts of {shown(source.parts)}")
    fan_in = source.channels // conv.groups
    _require(conv.weights.shape[:2] == (channels, fan_in), where,
             f"weights must start with shape ({channels}, {fan_in}), not {conv.weights.shape[:2]}")
    _require(not conv.prefer_depthwise or (channels, source.parts) == (1, (1,)), where,
             "prefer_depthwise is for ops of one channel only")
    _require(fmt.kind != "unit" or (fan_in == 1 and source.parts == (channels,)), where,
             "unit weights are for depthwise ops only")
    _require(fmt.kind != "bipolar" or not conv.depthwise, where, "bipolar weights are for dense ops only")
    _require(fmt.zero_point == 0, where, f"weights have zero point 0, not {fmt.zero_point}")
    most = ENGINE_BITS - 1 if fmt.kind == "unsigned" else ENGINE_BITS
    _require(fmt.bits <= most, where, f"{fmt.kind} weights have at most {most} bits, not {fmt.bits}")
    check_codes(conv.weights, fmt, f"{where}: weights")


def _check_requantizer(conv: Conv, channels: int, arithmetic: Arithmetic, where: str) -> None:
    bits = arithmetic.offset_bits
    for what, array in (("shift", conv.shift), ("offset", conv.offset)):
        _require(array.shape == (channels,) and array.dtype == np.int64, where,
                 f"{what} must be int64 of shape ({channels},), not {array.dtype} {array.shape}")
    _check_digits(conv.multiplier, channels, arithmetic.window, arithmetic.terms, f"{where}: multiplier")
    if conv.residual is None:
        _require(conv.residual_multiplier.size == 0, where, "residual_multiplier without a residual")
    else:
        _check_digits(conv.residual_multiplier, channels, arithmetic.residual_window, arithmetic.terms,
                      f"{where}: residual_multiplier")
    _require(bool(np.all((conv.shift >= 0) & (conv.shift < bits))), where,
             f"shift must be in 0..{bits - 1}, not {conv.shift.min()}..{conv.shift.max()}")
    limit = 1 << (bits - 1)
    beyond = conv.offset[(conv.offset <= -limit) | (conv.offset >= limit)]
    _require(not beyond.size, where, f"offset must stay below {limit} in magnitude, not {beyond[:1].sum()}")


def _check_digits(digits: Digits, channels: int, window: int, terms: int, where: str) -> None:
    _require(digits.ndim == 2 and digits.shape[0] == channels and digits.dtype == np.int8, where,
             f"must be int8 of shape ({channels}, terms), not {digits.dtype} {digits.shape}")
    _require(digits.shape[1] <= terms, where, f"at most {terms} digits, not {digits.shape[1]}")
    exponents = np.abs(digits.astype(np.int64)) - 1
    _require(digits.size == 0 or int(exponents.max()) < window, where,
             f"exponents must be in 0..{window - 1}, not {int(exponents.max(initial=0))}")
    falling = np.all((exponents[:, 1:] < exponents[:, :-1]) | ((exponents[:, 1:] == -1) & (exponents[:, :-1] == -1)))
    _require(bool(falling), where, "digits must have falling exponents, absent ones last")
