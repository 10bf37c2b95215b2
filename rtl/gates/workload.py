"""Layers whose operands are what networks compute: the stimulus of a calibration.

Smooth random images pass through a first layer with normally distributed weights and a ReLU; what comes out, in codes
of the wanted width, is what the layers under study read. Weights are normally distributed and clipped, multipliers are
those that spread a layer's sums over its codes. No data from elsewhere is needed, and a seed fixes everything.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sim.arch.machine import Machine
from sim.functional.reference import accumulate, simulate
from sim.ir.formats import Format
from sim.ir.ops import Conv, Tensor
from sim.ir.program import Program
from sim.ir.signed_digits import digits_of, nearest_digits
from sim.plan.plan import Plan, plan

__all__ = ["Workload", "workload"]

Codes = NDArray[np.int32]
IMAGE_CHANNELS = 3
SPREAD = 2.5
"""Standard deviations within which weights and sums are told apart; what lies beyond is clipped."""
PAIRS = 1000
"""Pairs of bit planes that each element goes through at the least."""


@dataclass(frozen=True)
class Workload:
    """A planned Program, its input, and every code that it computes.

    Attributes
    ----------
    plan : Plan
    inputs : dict of str to int32 array, shape (channels, height, width)
    codes : dict of str to int32 array, shape (channels, height, width)
    """

    plan: Plan
    inputs: dict[str, Codes]
    codes: dict[str, Codes]


def workload(machine: Machine, bits_w: int, bits_a: int, seed: int, pairs: int = PAIRS) -> Workload:
    """Return layers with these bits: a dense one, a depthwise one where there are lanes for it, and one that adds.

    Parameters
    ----------
    machine : Machine
    bits_w, bits_a : int
        Widths of weights and activations [bits].
    seed : int
    pairs : int
        Pairs of bit planes for each element, about; they decide how long the layers run.

    Raises
    ------
    InputError
        If the machine is too small for them.
    """
    rng = np.random.default_rng(seed)
    channels, width = machine.lanes, Format(bits_a, "unsigned")
    outputs = 2 * machine.rows
    side = max(2, round(np.sqrt(pairs / (bits_w * bits_a * 12))))
    features = _features(rng, machine, channels, side, width)
    source = Tensor("features", side, side, (channels,), width)
    codes = {"features": features}
    tensors, ops = [source], list[Conv]()
    for name, read, kernel, groups in _layers(machine, channels):
        target = Tensor(name, side, side, (channels if groups > 1 else outputs,), width)
        residual = "dense" if name == "sum" else None
        conv = _layer(rng, machine, tensors[_index(tensors, read)], target, kernel, groups, bits_w, codes, residual)
        codes[name] = simulate(Program((*tensors, target), (*ops, conv), machine.arithmetic),
                               {"features": features[None]})[name][0]
        tensors.append(target)
        ops.append(conv)
    program = Program(tuple(tensors), tuple(ops), machine.arithmetic)
    return Workload(plan(program, machine), {"features": features}, codes)


def _layers(machine: Machine, channels: int) -> Iterator[tuple[str, str, int, int]]:
    """Yield name, input, kernel and groups of each layer."""
    yield "dense", "features", 3, 1
    if machine.depthwise_lanes:
        yield "depthwise", "features", 3, channels
    yield "sum", "depthwise" if machine.depthwise_lanes else "features", 1, 1


def _index(tensors: list[Tensor], name: str) -> int:
    return [tensor.name for tensor in tensors].index(name)


def _features(rng: np.random.Generator, machine: Machine, channels: int, side: int, fmt: Format) -> Codes:
    """Return what a first layer makes of a smooth image."""
    image = _smooth_image(rng, side)
    source = Tensor("image", side, side, (IMAGE_CHANNELS,), Format(min(8, machine.max_bits_a), "unsigned"))
    image = image >> 8 - source.format.bits
    target = Tensor("first", side, side, (channels,), fmt)
    conv = _layer(rng, machine, source, target, 3, 1, min(8, machine.max_bits_w), {"image": image})
    codes = simulate(Program((source, target), (conv,), machine.arithmetic), {"image": image[None]})["first"]
    return np.asarray(codes[0])


def _smooth_image(rng: np.random.Generator, side: int) -> Codes:
    """Return an image of 8 bits: noise, smoothed as neighbouring pixels of photographs are alike."""
    noise = rng.normal(size=(IMAGE_CHANNELS, side + 8, side + 8))
    kernel = np.exp(-np.linspace(-2, 2, 9) ** 2)
    for axis in (1, 2):
        noise = np.apply_along_axis(np.convolve, axis, noise, kernel / np.sqrt((kernel**2).sum()), "valid")
    return np.asarray(np.clip(np.rint(128 + 50 * noise), 0, 255), np.int32)


def _layer(rng: np.random.Generator, machine: Machine, source: Tensor, target: Tensor, kernel: int, groups: int,
           bits_w: int, codes: dict[str, Codes], residual: str | None = None) -> Conv:
    """Return a layer whose ReLU leaves its sums spread over the codes of its output."""
    fmt = Format(bits_w, "bipolar" if bits_w == 1 and groups == 1 else "signed")
    fan_in = 1 if groups > 1 else source.channels
    shape = (target.channels, fan_in, kernel, kernel)
    largest = max(abs(fmt.low), abs(fmt.high))
    weights = np.clip(np.rint(rng.normal(0, max(0.6, largest / SPREAD), shape)), fmt.low, fmt.high).astype(np.int8)
    pad = kernel // 2
    channels = target.channels
    unit = Conv(target.name, source.name, target.name, weights, fmt, np.ones((channels, 1), np.int8),
                np.zeros(channels, np.int64), np.zeros(channels, np.int64), 0, target.format.high, groups,
                pads=(pad, pad, pad, pad))
    sums = accumulate(unit, source, codes[source.name][None])[0].astype(np.float64)
    spread = np.maximum(1.0, sums.std(axis=(1, 2)) + np.abs(sums.mean(axis=(1, 2))))
    wanted = (target.format.high + 1) / (SPREAD * spread)
    shift = np.clip(np.floor(np.log2(2.0 ** (machine.window - 1) / wanted)), 0, 40).astype(np.int64)
    digits = digits_of([nearest_digits(float(factor * 2.0**places), machine.terms, machine.window) or [1]
                        for factor, places in zip(wanted, shift, strict=True)])
    spread_out = replace(unit, multiplier=digits, shift=shift)
    if residual is None:
        return spread_out
    as_it_is = np.minimum(machine.window, shift + 1).astype(np.int8)[:, None]
    return replace(spread_out, residual=residual, residual_multiplier=as_it_is)
