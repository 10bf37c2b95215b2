"""Build the Programs that the simulator is timed on: networks of 8 to 1 bits, and single layers of them."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from quant.convert import quantize
from quant.data.image_format import IMAGE_EXPONENT, IMAGE_FORMAT, noise_codes
from quant.lowering.lower import lower_with_report
from quant.lowering.space_to_depth import fold_image
from quant.networks import AlexNet, MobileNetV2, make_realistic, resnet18, resnet34
from sim.arch.machine import load_machine
from sim.functional.reference import accumulate, simulate
from sim.ir.formats import Format
from sim.ir.ops import Conv, Pool, Tensor
from sim.ir.program import Program
from sim.ir.signed_digits import digits_of, multiplier, nearest_digits, no_digits

__all__ = ["NETWORKS", "Case", "layer_case", "network_case"]

NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "ResNet-18": resnet18, "ResNet-34": resnet34, "AlexNet": AlexNet, "MobileNetV2": MobileNetV2}
MACHINE = "edge"
BIT = Format(1, "unsigned")
WIDE_SHIFT = 8
WIDE_DEVIATION = 64
"""Standard deviation of the codes that the last layer of a network of 1 bit reads."""

Codes = NDArray[np.int32]


@dataclass(frozen=True)
class Case:
    """A Program, and codes of different images for its only input."""

    program: Program
    codes: Codes


def network_case(name: str, bits: str, size: int, images: int) -> Case:
    """Build a random but realistic network: first and last layer 8 bits, the others weights/activations of `bits`."""
    torch.manual_seed(0)
    model, codes = NETWORKS[name](), noise_codes(max(images, 2), size, seed=0)
    values = codes * 2.0**IMAGE_EXPONENT
    make_realistic(model, values[:2], seed=0)
    single, machine = bits == "1/1", load_machine(MACHINE)
    weight_bits, activation_bits = (2, 2) if single else map(int, bits.split("/"))
    quantized = quantize(model, values[:2], scheme="qil", weight_bits=weight_bits, activation_bits=activation_bits,
                         first_last_bits=8, input_format=IMAGE_FORMAT, input_exponent=IMAGE_EXPONENT)
    lowered = lower_with_report(quantized, values[:1], machine.arithmetic, fold=True)
    assert lowered.folding is not None
    folded = fold_image(codes[:images].numpy(), lowered.folding)
    return Case(_one_bit(lowered.program, folded) if single else lowered.program, folded)


def _one_bit(program: Program, codes: Codes) -> Program:
    """Inner weights are -1 and 1 (0 and 1 if depthwise), tensors between inner layers 0 and 1, about half of them 1."""
    last = program.convs[-1]
    kept = {tensor.name for tensor in (*program.inputs, *program.outputs)} | {last.input}
    tensors = {t.name: t if t.name in kept else replace(t, format=BIT) for t in program.tensors}
    found, ops = {program.inputs[0].name: codes}, []
    for op in program.ops:
        made = op
        if isinstance(op, Conv) and op is not last:
            made, found[op.output] = _recast(op, program, tensors, found)
        elif isinstance(op, Pool):
            part = tuple(tensors[name] for name in (op.input, op.output))
            pooled = simulate(Program(part, (op,)), {op.input: found[op.input]})
            found[op.output] = pooled[op.output]
        ops.append(made)
    return replace(program, tensors=tuple(tensors.values()), ops=tuple(ops))


def _recast(conv: Conv, program: Program, tensors: dict[str, Tensor], found: dict[str, Codes]) -> tuple[Conv, Codes]:
    """Give the layer 1 bit and a requantizer for the sums that occur; return it and its codes."""
    source, target = tensors[conv.input], tensors[conv.output]
    weights, weight_format = conv.weights, conv.weight_format
    if weight_format.kind != "unit" and source.name not in {tensor.name for tensor in program.inputs}:
        weights, weight_format = (weights >= 0).astype(np.int8), BIT if conv.depthwise else Format(1, "bipolar")
    made = replace(conv, weights=weights, weight_format=weight_format, low=target.format.low, high=target.format.high)
    sums = accumulate(made, source, found[conv.input]).astype(np.int64)
    residual = no_digits(0 if conv.residual is None else conv.channels)
    if conv.residual is not None:
        exponent = int(np.log2(max(sums.std(), 1)))
        residual = digits_of([[exponent + 1]] * conv.channels)
        sums += found[conv.residual].astype(np.int64) << exponent
    one_pixel = target.height * target.width == 1
    middle = np.floor(np.median(sums, axis=None if one_pixel else (0, 2, 3)) + np.zeros(conv.channels)).astype(np.int64)
    if target.format == BIT:
        shift, digits, offset = 0, [1], 1 - _threshold(sums, middle)
    else:
        value = WIDE_DEVIATION / max(float(sums.std()), 1) * 2**WIDE_SHIFT
        window, terms = program.arithmetic.window, program.arithmetic.terms
        digits = nearest_digits(min(value, 2**window - 1), terms, window)
        shift, offset = WIDE_SHIFT, -multiplier(digits) * middle
    v = multiplier(digits) * sums + offset.reshape(-1, 1, 1)
    codes = (v + (1 << shift >> 1) >> shift).clip(made.low, made.high).astype(np.int32)
    return replace(made, multiplier=digits_of([digits] * conv.channels), shift=np.full(conv.channels, shift),
                   offset=offset, residual_multiplier=residual), codes


def _threshold(sums: NDArray[np.int64], middle: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return for each channel the median or the next number, which nearer to half of the sums reach."""
    from_median, beyond = (np.abs((sums >= (middle + step).reshape(-1, 1, 1)).mean(axis=(0, 2, 3)) - 0.5)
                           for step in (0, 1))
    return np.asarray(np.where(beyond < from_median, middle + 1, middle), np.int64)


def layer_case(channels: int, size: int, stride: int, depthwise: bool, count: int) -> Case:
    """Build `count` random 3x3 convolutions of 8 bits, one after the other, of as many channels as they read."""
    rng = np.random.default_rng(channels)
    fan_in = 1 if depthwise else channels
    shift = int(np.ceil(np.log2(np.sqrt(9 * fan_in) * 74 * 147 / 64)))
    byte = Format(8, "unsigned")
    tensors, ops = [Tensor("x", size, size, (channels,), byte)], []
    for i in range(count):
        size = -(-size // stride)
        weights = rng.integers(-128, 128, (channels, fan_in, 3, 3)).astype(np.int8)
        tensors.append(Tensor(f"y{i}", size, size, (channels,), byte))
        ops.append(Conv(f"conv{i}", tensors[i].name, f"y{i}", weights, Format(8, "signed"),
                            digits_of([[1]] * channels), np.full(channels, shift), np.full(channels, 64 << shift),
                            0, 255, groups=channels if depthwise else 1, stride=(stride, stride), pads=(1, 1, 1, 1)))
    codes = rng.integers(0, 256, (1, *tensors[0].shape)).astype(np.int32)
    return Case(Program(tuple(tensors), tuple(ops)), codes)
