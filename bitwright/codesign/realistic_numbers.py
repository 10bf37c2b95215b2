"""Numbers for a Program that has only shapes: weights, multipliers and offsets under which codes use their range."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from sim.functional.reference import accumulate, run_op
from sim.ir.formats import Format
from sim.ir.ops import Conv, Op, Table
from sim.ir.program import Program
from sim.ir.signed_digits import multipliers

__all__ = ["with_realistic_numbers"]

Codes = NDArray[np.int32]
DEVIATIONS = 2.5
"""Standard deviations of a weight that its largest code stands for, and of a sum between the middle and an end."""
ENOUGH = 64
"""Pixels of a map from which each channel has a mean of its own; below, all channels together have one."""


def with_realistic_numbers(program: Program, inputs: Mapping[str, NDArray[np.integer]], seed: int) -> Program:
    """Give a Program of shapes numbers; sizes, formats and digits stay, and so do its cycles.

    Weights are drawn from a normal distribution, where the shapes have weights: the zeros of a folded first layer
    remain. Digits of multipliers get signs. Shift and offset of every channel follow from the sums of the first image,
    layer after layer, so that codes neither die nor all stand at an end: half of unsigned ones are 0, as after a ReLU.

    Parameters
    ----------
    program : Program
        From `sim.ir.shapes`.
    inputs : mapping of name to integer array, shape (N, channels, height, width)
        Codes of every input.
    seed : int
    """
    rng = np.random.default_rng(seed)
    codes = {tensor.name: np.zeros((1, *tensor.shape), np.int32) for tensor in program.tensors}
    for name, given in program.check_inputs(inputs).items():
        codes[name][:] = given[:1]
    ops = list[Op]()
    for op in program.ops:
        if isinstance(op, Conv):
            op = _requantizer(program, _drawn(op, program.tensor(op.output).format, rng), codes)
        run_op(program, op, codes)
        ops.append(op)
    return replace(program, ops=tuple(ops))


def _drawn(conv: Conv, target: Format, rng: np.random.Generator) -> Conv:
    """Return a Conv with weights, signs of digits and a table."""
    kind, fmt = conv.weight_format.kind, conv.weight_format
    weights = conv.weights
    if kind == "bipolar":
        weights = rng.choice(np.array([fmt.low, fmt.high], np.int8), weights.shape)
    elif kind == "signed":
        drawn = np.rint(rng.normal(0, max(-fmt.low / DEVIATIONS, 0.5), weights.shape))
        weights = np.where(weights == 0, 0, np.clip(drawn, fmt.low, fmt.high)).astype(np.int8)
    return replace(conv, weights=weights, multiplier=_signed(conv.multiplier, rng),
                   residual_multiplier=_signed(conv.residual_multiplier, rng),
                   table=None if conv.table is None else _ramp(conv.table, target))


def _signed(digits: NDArray[np.int8], rng: np.random.Generator) -> NDArray[np.int8]:
    """Return digits of which all but the first have any sign, so that the multipliers stay positive."""
    signs: NDArray[np.int8] = rng.choice(np.array([-1, 1], np.int8), digits.shape)
    signs[:, :1] = 1
    return np.multiply(digits, signs)


def _ramp(table: Table, target: Format) -> Table:
    """Return a table that rises from end to end of the codes that the layer writes."""
    return replace(table, codes=np.rint(np.linspace(target.low, target.high, len(table.codes))).astype(np.int16))


def _requantizer(program: Program, conv: Conv, codes: Mapping[str, Codes]) -> Conv:
    """Return a Conv whose shift and offset put the sums that its channels have into the range of its codes."""
    sums = _sums(program, conv, codes)
    axes = (0, 2, 3) if sums[0, 0].size >= ENOUGH else (0, 1, 2, 3)
    mean, spread = (np.broadcast_to(found, conv.channels) for found in (sums.mean(axis=axes), sums.std(axis=axes) + 1))
    target = conv.requantized_format(program.tensor(conv.output).format)
    if target.kind == "unsigned":
        middle, reach = conv.low + 0.5, max(float(conv.high - conv.low), 1.0)
    else:
        middle, reach = (conv.low + conv.high) / 2, max((conv.high - conv.low) / 2, 0.5)
    shift = np.maximum(np.ceil(np.log2(DEVIATIONS * spread / reach)), 0)
    offset = np.rint((middle - target.zero_point) * 2**shift - mean)
    return replace(conv, shift=shift.astype(np.int64), offset=offset.astype(np.int64))


def _sums(program: Program, conv: Conv, codes: Mapping[str, Codes]) -> NDArray[np.int64]:
    """Return what the requantizer adds up, without the offset, before it shifts."""
    acc = accumulate(conv, program.tensor(conv.input), codes[conv.input]).astype(np.int64)
    factor: NDArray[np.int64] = multipliers(conv.multiplier).reshape(1, -1, 1, 1)
    if conv.residual is None:
        return factor * acc
    part = program.tensor(conv.residual).part_slice(conv.residual_part)
    residual = codes[conv.residual][:, part].astype(np.int64)
    gate = 0 if conv.gate is None else 1 << conv.gate
    own = multipliers(conv.residual_multiplier).reshape(1, -1, 1, 1)
    return (factor + gate * residual) * acc + own * residual
