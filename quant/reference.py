"""The integer reference: a Program executed by torch's own operations on whole numbers.

It shares no arithmetic with the simulator, only the check of its inputs: convolutions are torch's, in float64, where
sums of whole numbers below 2**53 are exact in any order; multipliers are decoded here, pooling and rounding are torch's
operations on int64. Two engines that agree on every code cannot both be wrong in the same line.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from typing import assert_never

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from sim.ir.ops import Conv, Lattice, Load, Pool, Store
from sim.ir.program import Program

__all__ = ["ConvSteps", "conv_steps", "run_reference"]


@dataclass(frozen=True, eq=False)
class ConvSteps:
    """What a Conv computes on its way to its codes, int64 arrays of shape (N, O, own rows, own columns).

    Attributes
    ----------
    accumulator : int64 array
        Wrapped where the Program wraps.
    value : int64 array
        Offset, multiplied accumulator and residual and the gate's product added up, before the shift.
    requantized : int64 array
        Codes before a table.
    """

    accumulator: NDArray[np.int64]
    value: NDArray[np.int64]
    requantized: NDArray[np.int64]


def run_reference(program: Program, inputs: Mapping[str, NDArray[np.integer]]) -> dict[str, NDArray[np.int32]]:
    """Return the codes of every tensor of `program`.

    Parameters
    ----------
    program : Program
    inputs : mapping of str to integer array, shape (N, C, H, W)
        Codes of the tensors that no op writes.

    Returns
    -------
    dict of str to int32 array, shape (N, C, H, W)

    Raises
    ------
    InputError
        If a tensor is missing or unknown, has the wrong shape, or holds a number that is no code of its format.
    TypeError
        If an input is not an array of integers.
    """
    arrays = program.check_inputs(inputs)
    images = len(arrays[program.inputs[0].name])
    codes = {name: torch.from_numpy(array.astype(np.int64, order="C")) for name, array in arrays.items()}
    for tensor in program.tensors:
        codes.setdefault(tensor.name, torch.zeros((images, *tensor.shape), dtype=torch.int64))
    for op in program.ops:
        target = program.tensor(op.output)
        match op:
            case Conv():
                zero = program.tensor(op.input).format.zero_point
                part = codes[target.name][:, target.part_slice(op.output_part)]
                _write(part, op.lattice, _conv(program, op, codes, zero))
            case Pool():
                codes[target.name][:] = _max_pool(op, _read(program, op, codes))
            case Load():
                codes[target.name] = codes[op.input].narrow(2, op.first_row, target.height).clone()
            case Store():
                channels = target.part_slice(op.output_part) if op.output_part is not None else slice(None)
                rows = codes[target.name].narrow(2, op.first_row, program.tensor(op.input).height)
                rows[:, channels] = codes[op.input]
            case _:
                assert_never(op)
    return {name: tensor.numpy().astype(np.int32) for name, tensor in codes.items()}


def _read(program: Program, layer: Conv | Pool, codes: Mapping[str, Tensor]) -> Tensor:
    """Return the codes that a layer reads of its input."""
    return codes[layer.input][:, program.tensor(layer.input).run_slice(layer.input_parts)]


def _write(part: Tensor, lattice: Lattice | None, values: Tensor) -> None:
    """Write a map into an output part, or into the pixels of its lattice."""
    (top, left), (down, right) = ((0, 0), (1, 1)) if lattice is None else (lattice.offset, lattice.stride)
    rows = top + down * torch.arange(values.shape[2])
    columns = left + right * torch.arange(values.shape[3])
    part[:, :, rows[:, None], columns] = values


def conv_steps(program: Program, conv: Conv, codes: Mapping[str, NDArray[np.integer]]) -> ConvSteps:
    """Return what a Conv computes on its way to its codes.

    Parameters
    ----------
    program : Program
    conv : Conv
    codes : mapping of str to integer array, shape (N, C, H, W)
        Of the tensors that it reads.
    """
    read = {name: torch.from_numpy(codes[name].astype(np.int64, order="C")) for name in conv.reads}
    steps = _steps(program, conv, read, program.tensor(conv.input).format.zero_point)
    return ConvSteps(*(step.numpy() for step in steps))


def _conv(program: Program, conv: Conv, codes: Mapping[str, Tensor], zero: int) -> Tensor:
    clamped = _steps(program, conv, codes, zero)[2]
    return clamped if conv.table is None else torch.from_numpy(conv.table.codes.astype(np.int64))[clamped]


def _steps(program: Program, conv: Conv, codes: Mapping[str, Tensor], zero: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return accumulators, what they are made to before it is rounded, and codes before a table."""
    stored = torch.from_numpy(conv.weights.astype(np.int64))
    weights = 2 * stored - 1 if conv.weight_format.kind == "bipolar" else stored
    top, left, bottom, right = conv.pads
    padded = functional.pad(_read(program, conv, codes).double(), (left, right, top, bottom), value=zero)
    acc = functional.conv2d(padded, weights.double(), stride=conv.stride, dilation=conv.dilation,
                            groups=conv.groups).to(torch.int64)
    if program.arithmetic.wrap:
        half = 1 << (program.arithmetic.acc_bits - 1)
        acc = torch.remainder(acc + half, 2 * half) - half
    value = _per_channel(conv.offset) + _decode(conv.multiplier) * acc
    if conv.residual is not None:
        part = program.tensor(conv.residual).part_slice(conv.residual_part)
        residual = codes[conv.residual][:, part]
        value = value + _decode(conv.residual_multiplier) * residual
        if conv.gate is not None:
            value = value + (acc * residual << conv.gate)
    zero_out = conv.requantized_format(program.tensor(conv.output).format).zero_point
    rounded = _divide(value, torch.bitwise_left_shift(torch.ones((), dtype=torch.int64), _per_channel(conv.shift)),
                      program.arithmetic.rounding)
    return acc, value, (rounded + zero_out).clamp(conv.low, conv.high)


def _divide(value: Tensor, divisor: Tensor, rounding: str) -> Tensor:
    """Return value / divisor (a power of two), rounded as named."""
    quotient = torch.div(value, divisor, rounding_mode="floor")
    twice_rest = 2 * (value - quotient * divisor)
    if rounding == "floor":
        return quotient
    up = twice_rest >= divisor if rounding == "half_up" else (
        (twice_rest > divisor) | ((twice_rest == divisor) & (quotient % 2 == 1)))
    return quotient + up.to(torch.int64)


def _decode(digits: NDArray[np.int8]) -> Tensor:
    """Return the multipliers of signed digits, shape (channels, 1, 1)."""
    totals = [sum((1 if digit > 0 else -1) * 2 ** (abs(digit) - 1) for digit in row if digit)
              for row in digits.tolist()]
    return _per_channel(np.asarray(totals, np.int64))


def _per_channel(values: NDArray[np.int64]) -> Tensor:
    return torch.from_numpy(values.copy()).view(-1, 1, 1)


def _max_pool(pool: Pool, x: Tensor) -> Tensor:
    """Return the largest of every window: of its columns first, then of what they leave in its rows."""
    top, left, bottom, right = pool.pads
    found = functional.pad(x, (left, right, top, bottom), value=int(torch.iinfo(torch.int64).min))
    for axis, kernel, stride in zip((2, 3), pool.kernel, pool.stride, strict=True):
        last = (found.shape[axis] - kernel) // stride * stride
        index = torch.arange(0, last + 1, stride)
        found = reduce(torch.maximum, (found.index_select(axis, index + tap) for tap in range(kernel)))
    return found
