"""Planes of bits against the plain loops: sums of one layer, for all formats and shapes."""

from __future__ import annotations

import numpy as np
import pytest

from sim.functional.engine.bitplane import bitplane_kernels
from sim.functional.engine.simulator import Simulator
from sim.functional.kernels.isa import available
from sim.functional.reference import simulate
from sim.ir.arithmetic import Arithmetic
from sim.ir.formats import Format
from sim.ir.ops import Conv, Steps, Tensor
from sim.ir.program import Program
from sim.ir.signed_digits import digits_of

pytestmark = pytest.mark.skipif("avx512" not in available(), reason="planes of bits are for CPUs with AVX-512")

CHANNELS = (1, 3, 17, 33, 64, 96, 130)
WEIGHT_BITS = [*(("signed", bits) for bits in range(1, 9)), *(("unsigned", bits) for bits in range(1, 8)),
               ("bipolar", 1)]


def layer(weights: np.ndarray, fmt: Format, source: Format, size: tuple[int, int], stride: Steps = (1, 1),
          dilation: Steps = (1, 1), pads: tuple[int, int, int, int] = (0, 0, 0, 0)) -> Program:
    """A dense layer whose outputs are its sums."""
    outputs, channels, *kernel = weights.shape
    height, width = ((size[i] + pads[i] + pads[i + 2] - dilation[i] * (kernel[i] - 1) - 1) // stride[i] + 1
                     for i in (0, 1))
    tensors = (Tensor("x", *size, (channels,), source), Tensor("y", height, width, (outputs,), Format(32, "signed")))
    conv = Conv("conv", "x", "y", weights.astype(np.int8), fmt, digits_of([[1]] * outputs), np.zeros(outputs, np.int64),
                np.zeros(outputs, np.int64), -(2**31), 2**31 - 1, stride=stride, dilation=dilation, pads=pads)
    return Program(tensors, (conv,), Arithmetic(wrap=True))


def assert_exact(program: Program, codes: np.ndarray) -> None:
    kernel = f"bitplane_conv.avx512_{program.tensor('x').format.bits}"
    simulator = Simulator(program, isa="avx512", kernels={"conv": kernel})
    np.testing.assert_array_equal(simulator.run({"x": codes})["y"], simulate(program, {"x": codes})["y"])


def random_codes(fmt: Format, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    return rng.integers(fmt.low, fmt.high + 1, shape)


@pytest.mark.parametrize(("kind", "weight_bits"), WEIGHT_BITS)
@pytest.mark.parametrize("bits", range(1, 9))
def test_every_pair_of_bits(kind: str, weight_bits: int, bits: int) -> None:
    """Random codes, and the lowest and highest ones with channels whose weights are all lowest or all highest."""
    rng = np.random.default_rng(100 * weight_bits + bits)
    fmt = Format(weight_bits, kind)
    source = Format(bits, "signed", -1) if rng.integers(2) else Format(bits, "unsigned", 1)
    weights = random_codes(fmt, (17, 33, 3, 3), rng)
    weights[0], weights[16] = fmt.low, fmt.high
    codes = random_codes(source, (3, 33, 4, 5), rng)
    codes[1], codes[2] = source.low, source.high
    assert_exact(layer(weights, fmt, source, (4, 5), pads=(1, 1, 1, 1)), codes)


@pytest.mark.parametrize("outputs", CHANNELS)
@pytest.mark.parametrize("channels", CHANNELS)
def test_every_number_of_channels(outputs: int, channels: int) -> None:
    """Channels that fill words and panels, and those that do not."""
    rng = np.random.default_rng(channels)
    fmt, source = Format(2, "signed"), Format(2, "unsigned")
    weights = random_codes(fmt, (outputs, channels, 2, 3), rng)
    assert_exact(layer(weights, fmt, source, (8, 9)), random_codes(source, (1, channels, 8, 9), rng))


@pytest.mark.parametrize("stride", [(1, 1), (2, 1), (4, 4)])
@pytest.mark.parametrize("dilation", [(1, 1), (1, 2), (2, 1), (2, 2)])
@pytest.mark.parametrize("kernel", [(1, 1), (2, 2), (1, 4), (3, 3), (3, 5), (5, 5)])
def test_every_window(kernel: tuple[int, int], dilation: Steps, stride: Steps) -> None:
    """All strides and dilations, pads of 0 to 3 on each side, down to one output."""
    rng = np.random.default_rng(stride[0])
    fmt, source = Format(3, "signed"), Format(2, "unsigned", 3)
    weights = random_codes(fmt, (5, 35, *kernel), rng)
    for size, pads in [((9, 11), (0, 1, 2, 3)), ((7, 8), (3, 2, 1, 0)), ((9, 9), (0, 0, 0, 0))]:
        assert_exact(layer(weights, fmt, source, size, stride, dilation, pads),
                     random_codes(source, (1, 35, *size), rng))


@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_maps_of_one_pixel(kernel: int) -> None:
    """All but one tap see the border."""
    rng = np.random.default_rng(kernel)
    fmt, source, pad = Format(1, "bipolar"), Format(4, "signed", 7), kernel // 2
    weights = random_codes(fmt, (66, 70, kernel, kernel), rng)
    program = layer(weights, fmt, source, (1, 1), pads=(pad, pad, pad, pad))
    assert_exact(program, random_codes(source, (2, 70, 1, 1), rng))


def test_few_bits_are_planes() -> None:
    """The dispatch takes planes for one-bit weights of codes of up to four bits; depthwise layers have none."""
    rng = np.random.default_rng(0)
    for bits, first in ((2, "bitplane_conv.avx512_2"), (4, "bitplane_conv.avx512_4"), (5, "gemm_conv.avx512_4")):
        program = layer(rng.integers(0, 2, (64, 64, 1, 1)), Format(1, "bipolar"), Format(bits, "unsigned"), (3, 3))
        assert Simulator(program, isa="avx512").kernels == {"conv": first}
    conv = Conv("conv", "x", "y", np.zeros((4, 1, 3, 3), np.int8), Format(1, "signed"), digits_of([[1]] * 4),
                np.zeros(4, np.int64), np.zeros(4, np.int64), 0, 1, groups=4)
    assert bitplane_kernels(conv, Format(1, "unsigned")) == []
