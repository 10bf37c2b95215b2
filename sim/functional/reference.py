"""Run a Program on codes, bit for bit as the hardware does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import assert_never

import numpy as np
from numpy.typing import NDArray

from sim.functional.loops import dense_conv, depthwise_conv, max_pool
from sim.functional.requantize import ROUNDING_MODES, requantize_maps, wrap_maps
from sim.ir.ops import Conv, Load, Op, Pads, Pool, Store, Tensor
from sim.ir.program import Program
from sim.ir.signed_digits import multipliers

__all__ = ["accumulate", "accumulators", "requantized", "run_op", "simulate"]

Codes = NDArray[np.int32]

BELOW_ALL_CODES = np.iinfo(np.int32).min
"""Pads max pooling: no code is as small, since codes have at most 8 bits there."""


def simulate(program: Program, inputs: Mapping[str, NDArray[np.integer]]) -> dict[str, Codes]:
    """Compute the codes of every tensor of `program`.

    Parameters
    ----------
    program : Program
    inputs : mapping of name to integer array, shape (N, channels, height, width)
        Codes of exactly the tensors `program.inputs`; the same N, at least 0, for all.

    Returns
    -------
    dict of str to int32 array, shape (N, channels, height, width)
        Every tensor, inputs included.

    Raises
    ------
    InputError
        If a tensor is missing or unknown, has the wrong shape, or holds a number that is no code of its format.
    TypeError
        If an array is not of integers.

    Examples
    --------
    A 1x1 convolution that halves and clamps to 0..3:

    >>> from sim.ir.signed_digits import no_digits
    >>> from sim.ir.formats import Format
    >>> one = np.ones((1, 1, 1, 1), np.int8)
    >>> digits, shift, offset = np.array([[1]], np.int8), np.array([1]), np.array([0])
    >>> halve = Conv("halve", "a", "b", one, Format(2, "signed"), digits, shift, offset, 0, 3)
    >>> tensors = Tensor("a", 1, 4, (1,), Format(4, "unsigned")), Tensor("b", 1, 4, (1,), Format(2, "unsigned"))
    >>> simulate(Program(tensors, (halve,)), {"a": np.array([[[[0, 3, 4, 15]]]])})["b"]
    array([[[[0, 2, 2, 3]]]], dtype=int32)
    """
    arrays = program.check_inputs(inputs)
    images = len(arrays[program.inputs[0].name])
    codes = {tensor.name: np.empty((images, *tensor.shape), np.int32) for tensor in program.tensors}
    for name, array in arrays.items():
        codes[name][:] = array
    for op in program.ops:
        run_op(program, op, codes)
    return codes


def run_op(program: Program, op: Op, codes: dict[str, Codes]) -> None:
    """Compute what one op of `program` writes, out of what it reads in `codes`, and put it there.

    Parameters
    ----------
    program : Program
    op : Conv, Pool, Load or Store
    codes : dict of str to int32 array, shape (N, channels, height, width)
        Of the tensors that the op reads and writes.
    """
    match op:
        case Conv():
            _conv(program, op, codes)
        case Pool():
            _pool(program, op, codes)
        case Load():
            rows = slice(op.first_row, op.first_row + program.tensor(op.output).height)
            codes[op.output][:] = codes[op.input][:, :, rows]
        case Store():
            _store(program, op, codes)
        case _:
            assert_never(op)


def accumulate(conv: Conv, source: Tensor, codes: Codes) -> Codes:
    """Sum a Conv modulo 2**32, before wrapping: int32 of shape (N, O, rows and columns of its own map).

    Parameters
    ----------
    conv : Conv
    source : Tensor
        Its input.
    codes : int32 array, shape (N, C, H, W)
        Of `source`.
    """
    padded = _padded(codes[:, source.run_slice(conv.input_parts)], conv.pads, source.format.zero_point)
    if conv.depthwise:
        return depthwise_conv(padded, conv.weight_values, conv.stride, conv.dilation)
    parts = zip(np.split(padded, conv.groups, axis=1), np.split(conv.weight_values, conv.groups), strict=True)
    return np.concatenate([dense_conv(part, weights, conv.stride, conv.dilation) for part, weights in parts], axis=1)


def accumulators(program: Program, codes: Mapping[str, Codes]) -> dict[str, Codes]:
    """Compute the accumulator of every Conv as its requantizer reads it: summed over raw codes, and wrapped.

    Parameters
    ----------
    program : Program
    codes : mapping of str to int32 array, shape (N, channels, height, width)
        Of every tensor, as `simulate` returns them.

    Returns
    -------
    dict of str to int32 array, shape (N, O, rows and columns of its own map)
        By the names of the ops.
    """
    return {conv.name: wrap_maps(accumulate(conv, program.tensor(conv.input), codes[conv.input]),
                                 program.arithmetic.acc_bits) for conv in program.convs}


def requantized(program: Program, conv: Conv, codes: Mapping[str, Codes]) -> Codes:
    """Compute what the requantizer of a Conv gives, before its table if it ends in one.

    Parameters
    ----------
    program : Program
    conv : Conv
    codes : mapping of str to int32 array, shape (N, channels, height, width)
        Of the tensors that it reads, by name.

    Returns
    -------
    int32 array, shape (N, O, rows and columns of its own map)
        Codes of `conv.requantized_format`.
    """
    source, target = program.tensor(conv.input), program.tensor(conv.output)
    acc = accumulate(conv, source, codes[conv.input])
    if conv.residual is None:
        residual, residual_multipliers = np.zeros((0, 0, 0, 0), np.int32), np.zeros(conv.channels, np.int64)
    else:
        part = program.tensor(conv.residual).part_slice(conv.residual_part)
        residual = np.ascontiguousarray(np.broadcast_to(codes[conv.residual][:, part], acc.shape))
        residual_multipliers = multipliers(conv.residual_multiplier)
    found, clamped = np.empty(acc.shape, np.int32), conv.requantized_format(target.format)
    requantize_maps(acc, program.arithmetic.acc_bits, residual, multipliers(conv.multiplier), residual_multipliers,
                    0 if conv.gate is None else 1 << conv.gate, conv.offset, conv.shift,
                    ROUNDING_MODES[program.arithmetic.rounding], clamped.zero_point, conv.low, conv.high, found)
    return found


def _conv(program: Program, conv: Conv, codes: dict[str, Codes]) -> None:
    part, found = program.tensor(conv.output).part_slice(conv.output_part), requantized(program, conv, codes)
    mapped = found if conv.table is None else conv.table.codes[found]
    conv.own_pixels(codes[conv.output][:, part], program.tensor(conv.input))[:] = mapped


def _pool(program: Program, pool: Pool, codes: dict[str, Codes]) -> None:
    read = codes[pool.input][:, program.tensor(pool.input).run_slice(pool.input_parts)]
    padded = _padded(read, pool.pads, BELOW_ALL_CODES)
    codes[pool.output][:] = max_pool(padded, pool.kernel, pool.stride)


def _store(program: Program, store: Store, codes: dict[str, Codes]) -> None:
    stored, target = codes[store.input], program.tensor(store.output)
    part = slice(None) if store.output_part is None else target.part_slice(store.output_part)
    codes[store.output][:, part, store.first_row : store.first_row + stored.shape[2]] = stored


def _padded(codes: Codes, pads: Pads, value: int) -> Codes:
    top, left, bottom, right = pads
    return np.pad(codes, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=value)
