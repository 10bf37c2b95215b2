"""Kernels that requantize in registers against the plain loops: every group of channels, window, clamp and residual."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sim.functional.engine.simulator import Simulator
from sim.functional.engine.weights import quad_starts, window_quads
from sim.functional.kernels.isa import available
from sim.functional.reference import simulate
from sim.ir.formats import Format
from sim.ir.ops import Conv, Tensor
from sim.ir.program import Program
from sim.ir.signed_digits import digits_of, no_digits

pytestmark = pytest.mark.skipif("avx512" not in available(), reason="these kernels are for CPUs with AVX-512")

CODES, WEIGHTS = Format(8, "unsigned"), Format(8, "signed")
OUTPUTS = (2, 15, 16, 17, 24, 32, 48, 63, 64, 65, 96, 113, 130, 200)
REQUANTIZERS = {"narrow_free_grouped": (1, False), "narrow_grouped": (2**11, False),
                "narrow_residual_free_grouped": (1, True), "narrow_residual_grouped": (2**11, True)}
"""Multiplier with which a layer needs this requantizer, and whether it has a residual."""


def layer(rng: np.random.Generator, shape: tuple[int, int], size: tuple[int, int], kernel: tuple[int, int], stride: int,
          multiplier: int, residual: bool, depthwise: bool = False) -> Program:
    """Return a layer of 8 bits all over, perhaps with a residual of the size of its output."""
    outputs, channels = shape
    weights = rng.integers(-128, 128, (outputs, 1 if depthwise else channels, *kernel)).astype(np.int8)
    height, width = ((size[i] + 2 - kernel[i]) // stride + 1 for i in (0, 1))
    tensors = [Tensor("x", *size, (channels,), CODES), Tensor("y", height, width, (outputs,), CODES)]
    if residual:
        tensors.append(Tensor("r", height, width, (outputs,), CODES))
    shift = multiplier.bit_length() + 7
    offset = rng.integers(-2**shift, 2**shift, outputs) * 64
    if multiplier > 1:
        offset[-1] = 2**31 - 2**25
        weights[-1, 0, 0, 0] = 127  # so that even few products leave 32 bits
    digits, other = digits_of([[multiplier.bit_length()]] * outputs), digits_of([[5]] * outputs)
    conv = Conv("conv", "x", "y", weights, WEIGHTS, digits, np.full(outputs, shift), offset,
                int(rng.integers(0, 9)), int(rng.integers(200, 256)),
                groups=channels if depthwise else 1, stride=(stride, stride), pads=(1, 1, 1, 1),
                residual="r" if residual else None, residual_multiplier=other if residual else no_digits(0))
    return Program(tuple(tensors), (conv,))


def assert_every_kernel_exact(program: Program, rng: np.random.Generator) -> list[str]:
    inputs = {tensor.name: rng.integers(0, 256, (2, *tensor.shape)) for tensor in program.inputs}
    right = simulate(program, inputs)["y"]
    assert len(np.unique(right)) > 2
    possible = Simulator(program, isa="avx512").possible_kernels["conv"]
    for kernel in possible:
        found = Simulator(program, isa="avx512", kernels={"conv": kernel}).run(inputs)["y"]
        np.testing.assert_array_equal(found, right, kernel)
    return possible


@pytest.mark.parametrize("requantizer", REQUANTIZERS)
@pytest.mark.parametrize("outputs", OUTPUTS)
def test_every_group_of_channels(requantizer: str, outputs: int) -> None:
    """Whole groups, halves and what is left, with the requantizer that the layer's numbers call for."""
    rng = np.random.default_rng(outputs)
    program = layer(rng, (outputs, 5), (7, 9), (3, 3), 1, *REQUANTIZERS[requantizer])
    possible = assert_every_kernel_exact(program, rng)
    assert {f"fused_conv.{requantizer}", f"fused_conv.quads_{requantizer}"} <= set(possible)


@pytest.mark.parametrize(("size", "kernel", "stride"), [
    ((1, 1), (1, 1), 1), ((13, 11), (1, 1), 1), ((9, 8), (5, 2), 2), ((29, 27), (3, 3), 2), ((3, 17), (2, 4), 1)])
def test_every_window(size: tuple[int, int], kernel: tuple[int, int], stride: int) -> None:
    """One chunk of windows and many, and as many windows as fill no tile."""
    rng = np.random.default_rng(3)
    for channels in (1, 12, 33):
        assert_every_kernel_exact(layer(rng, (40, channels), size, kernel, stride, 1, residual=True), rng)


@pytest.mark.parametrize("multiplier", [1, 2**11])
@pytest.mark.parametrize("stride", [1, 2])
def test_depthwise(stride: int, multiplier: int) -> None:
    """Depthwise layers of every group of channels, windows two to four high."""
    rng = np.random.default_rng(stride)
    for channels in OUTPUTS:
        for height in (2, 3, 4):
            program = layer(rng, (channels, channels), (9, 8), (height, 3), stride, multiplier, residual=False,
                            depthwise=True)
            free = "_free" if multiplier == 1 else ""
            assert assert_every_kernel_exact(program, rng)[0] == f"depthwise.narrow{free}_grouped_{stride}"


def test_bytes_that_no_channel_reads_are_left_out() -> None:
    """Of a window of which half of the bytes have no weights the rest is listed, and the list is what is taken."""
    rng = np.random.default_rng(5)
    program = layer(rng, (64, 12), (20, 20), (4, 4), 1, 1, residual=False)
    weights = program.convs[0].weights.copy()
    weights[:, 6:, 1::2] = 0
    weights[:, :9, :, 2] = 0
    program = replace(program, ops=(replace(program.convs[0], weights=weights),))
    assert assert_every_kernel_exact(program, rng)[0] == "fused_conv.quads_narrow_free_grouped"


def test_listed_quads_hold_every_weight_once() -> None:
    """The places and weights of the list rebuild the pieces, and no place is listed twice."""
    rng = np.random.default_rng(6)
    values = rng.integers(-3, 4, (3, 5, 30)) * rng.integers(0, 2, (5, 30))
    offsets = np.arange(5) * 1000
    weights, places = window_quads(values, offsets)
    rebuilt = np.zeros((3, 5000), int)
    for i, place in enumerate(places[: len(quad_starts(values))]):
        rebuilt[:, place : place + 4] += weights[:, 0, 4 * i : 4 * i + 4]
    np.testing.assert_array_equal(rebuilt.reshape(3, 5, 1000)[:, :, :30], values)
    assert weights.shape == (3, 1, 4 * len(places))
    assert len(places) % 4 == 0
