"""Winograd's convolutions against the plain loops, at the bounds that they are exact within, and beyond them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sim.functional.engine.simulator import Simulator
from sim.functional.engine.winograd import winograd_kernels
from sim.functional.kernels.isa import available
from sim.functional.reference import simulate
from sim.ir.arithmetic import Arithmetic
from sim.ir.formats import Format
from sim.ir.ops import Conv, Tensor
from sim.ir.program import Program
from sim.ir.signed_digits import digits_of

pytestmark = pytest.mark.skipif("avx512" not in available(), reason="these kernels are for CPUs with AVX-512")

KERNELS = ("rows_2", "rows_4", "squares_4")
CHANNELS = (1, 3, 17, 33, 64, 130)
CODES = {"rows_2": 63, "rows_4": 7, "squares_4": 255}
"""Highest stored codes."""
WEIGHTS = {"rows_2": 14, "rows_4": 6, "squares_4": 127}
"""Highest absolute weights, the same with either sign."""
POWERS = {"rows_2": 4, "rows_4": 16, "squares_4": 64}
"""Powers of 2 that the sums of products are multiples of."""


def conv(name: str, source: str, target: str, weights: np.ndarray, fmt: Format, target_format: Format, shift: int = 0,
         pads: tuple[int, int, int, int] = (1, 1, 1, 1)) -> Conv:
    outputs = len(weights)
    return Conv(name, source, target, weights.astype(np.int8), fmt, digits_of([[1]] * outputs),
                np.full(outputs, shift), np.zeros(outputs, np.int64), target_format.low, target_format.high, pads=pads)


def layer(weights: np.ndarray, fmt: Format, source: Format, size: tuple[int, int],
          pads: tuple[int, int, int, int] = (1, 1, 1, 1)) -> Program:
    """A layer whose outputs are its sums."""
    outputs, channels = weights.shape[:2]
    height, width = (size[i] + pads[i] + pads[i + 2] - 2 for i in (0, 1))
    wide = Format(32, "signed")
    tensors = Tensor("x", *size, (channels,), source), Tensor("y", height, width, (outputs,), wide)
    return Program(tensors, (conv("conv", "x", "y", weights, fmt, wide, pads=pads),), Arithmetic(wrap=True))


def assert_exact(program: Program, codes: np.ndarray, name: str) -> None:
    kernels = {op.name: f"winograd.{name}" for op in program.convs}
    found = Simulator(program, isa="avx512", kernels=kernels).run({"x": codes})
    for tensor, right in simulate(program, {"x": codes}).items():
        if tensor in found:
            np.testing.assert_array_equal(found[tensor], right, tensor)


def random_codes(fmt: Format, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    return rng.integers(fmt.low, fmt.high + 1, shape)


def possible(program: Program) -> list[str]:
    return [str(kernel) for kernel in winograd_kernels(program.convs[0], program.tensor("x").format)]


@pytest.mark.parametrize(("name", "weight_format", "bits"), [
    *[("rows_2", Format(w, "signed"), a) for w in range(1, 5) for a in range(1, 7)],
    *[("rows_4", Format(w, "signed"), a) for w in range(1, 4) for a in range(1, 4)],
    *[("squares_4", Format(w, "signed"), a) for w in range(1, 9) for a in range(1, 9)],
    ("squares_4", Format(7, "unsigned"), 8), ("squares_4", Format(1, "bipolar"), 7),
    ("rows_2", Format(3, "unsigned"), 6), ("rows_4", Format(2, "unsigned"), 3), ("rows_2", Format(1, "bipolar"), 6),
    ("rows_4", Format(1, "bipolar"), 3)], ids=str)
def test_every_pair_of_bits(name: str, weight_format: Format, bits: int) -> None:
    """Random codes, and the lowest and highest ones with channels whose weights are all lowest or all highest."""
    rng = np.random.default_rng(bits)
    source = Format(bits, "signed", -1) if bits % 2 else Format(bits, "unsigned", 1)
    weights = random_codes(weight_format, (17, 33, 3, 3), rng)
    weights[0], weights[16] = weight_format.low, weight_format.high
    codes = random_codes(source, (3, 33, 5, 7), rng)
    codes[1], codes[2] = source.low, source.high
    assert_exact(layer(weights, weight_format, source, (5, 7)), codes, name)


@pytest.mark.parametrize("name", KERNELS)
def test_the_largest_sums_of_codes_and_weights(name: str) -> None:
    """Patterns of lowest and highest codes and weights, of all signs that a transform adds up."""
    rng = np.random.default_rng(3)
    most, highest = WEIGHTS[name], CODES[name]
    for seed in range(8):
        weights = rng.choice([-most, most], (64, 1, 3, 3)) * np.ones((1, 64, 1, 1), int)
        codes = rng.choice([0, highest], (4, 1, 6, 8)) * np.ones((1, 64, 1, 1), int)
        if seed == 0:
            weights[:], codes[:] = most, highest
        program = layer(weights, Format(8, "signed"), Format(highest.bit_length(), "unsigned"), (6, 8), (0, 0, 0, 0))
        assert_exact(program, codes, name)


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("outputs", CHANNELS)
@pytest.mark.parametrize("channels", CHANNELS)
def test_every_number_of_channels(name: str, outputs: int, channels: int) -> None:
    """Channels that fill registers and panels, and those that do not."""
    rng = np.random.default_rng(channels)
    fmt, source = Format(3, "signed"), Format(3, "unsigned")
    weights = random_codes(fmt, (outputs, channels, 3, 3), rng)
    assert_exact(layer(weights, fmt, source, (5, 6)), random_codes(source, (1, channels, 5, 6), rng), name)


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("size", [(1, 1), (1, 2), (2, 1), (2, 4), (3, 3), (4, 5), (6, 6), (7, 7), (13, 11), (29, 27)])
def test_every_size(name: str, size: tuple[int, int]) -> None:
    """Maps that tiles cover and those where they end beyond; pads of 0 to 3 on each side; one chunk and many."""
    rng = np.random.default_rng(size[0])
    fmt, source = Format(3, "signed"), Format(3, "signed", 3)
    weights = random_codes(fmt, (3, 20, 3, 3), rng)
    for pads in [(1, 1, 1, 1), (0, 1, 2, 3), (3, 2, 1, 0), (2, 0, 0, 3), (0, 0, 0, 0)]:
        if min(size[i] + pads[i] + pads[i + 2] for i in (0, 1)) >= 3:
            assert_exact(layer(weights, fmt, source, size, pads), random_codes(source, (2, 20, *size), rng), name)


@pytest.mark.parametrize("name", KERNELS)
def test_what_lies_beyond_the_map_does_not_count(name: str) -> None:
    """Three layers that read one another's borders, the last with a residual: outputs beyond a map go nowhere."""
    rng = np.random.default_rng(8)
    fmt, codes = Format(3, "signed"), Format(3, "unsigned", 2)
    tensors = tuple(Tensor(n, 7, 9, (70,), codes) for n in ("x", "a", "b", "y"))
    convs = [conv(f"to {b}", a, b, random_codes(fmt, (70, 70, 3, 3), rng), fmt, codes, 6)
             for a, b in (("x", "a"), ("a", "b"), ("b", "y"))]
    convs[2] = replace(convs[2], residual="a", residual_multiplier=digits_of([[8]] * 70))
    program = Program(tensors, tuple(convs))
    assert_exact(program, random_codes(codes, (3, 70, 7, 9), rng), name)


@pytest.mark.parametrize("name", KERNELS)
def test_the_bounds(name: str) -> None:
    """One more in the weights, codes or sums than what fits, or another window, and the kernel is not offered."""
    most, bits = WEIGHTS[name], CODES[name].bit_length()
    fmt, source = Format(8, "signed"), Format(bits, "unsigned")
    weights = np.full((1, 2, 3, 3), most)
    assert f"winograd.{name}" in possible(layer(weights, fmt, source, (4, 4)))
    if bits < 8:  # else all weights fit, and no codes are stored with more bits
        assert f"winograd.{name}" not in possible(layer(weights + 1, fmt, source, (4, 4)))
        assert f"winograd.{name}" not in possible(layer(-weights - 1, fmt, source, (4, 4)))
        assert f"winograd.{name}" not in possible(layer(weights, fmt, Format(bits + 1, "unsigned"), (4, 4)))
    last = (2**31 - 1) // (POWERS[name] * 9 * most * CODES[name])
    assert f"winograd.{name}" in possible(layer(np.full((1, last, 3, 3), most), fmt, source, (3, 3)))
    assert f"winograd.{name}" not in possible(layer(np.full((1, last + 1, 3, 3), most), fmt, source, (3, 3)))
    plain = layer(weights, fmt, source, (9, 9)).convs[0]
    for changed in (replace(plain, stride=(1, 2)), replace(plain, dilation=(2, 1)),
                    replace(plain, weights=plain.weights[..., :2]),
                    replace(plain, weights=plain.weights[:, :1], prefer_depthwise=True)):
        assert winograd_kernels(changed, source) == []


@pytest.mark.parametrize(("name", "most"), [("rows_2", 31), ("rows_4", 15)])
def test_a_lone_weight_may_be_larger(name: str, most: int) -> None:
    """What counts are the sums of weights: of one in a corner, 4 or 8 times itself, which 128 is too much for."""
    rng = np.random.default_rng(9)
    fmt, source = Format(8, "signed"), Format(CODES[name].bit_length(), "unsigned")
    weights = np.zeros((2, 5, 3, 3), int)
    weights[0, 0, 2, 2], weights[1, 0, 2, 2] = most, -most
    assert_exact(layer(weights, fmt, source, (5, 5)), random_codes(source, (1, 5, 5, 5), rng), name)
    weights[0, 0, 2, 2] += 1
    assert f"winograd.{name}" not in possible(layer(weights, fmt, source, (5, 5)))


@pytest.mark.parametrize("name", KERNELS)
def test_sums_next_to_32_bits(name: str) -> None:
    """As many channels as the bound allows, with all weights and codes at their ends."""
    most, highest = WEIGHTS[name], CODES[name]
    channels = (2**31 - 1) // (POWERS[name] * 9 * most * highest)
    weights = np.full((2, channels, 3, 3), most) * np.array([1, -1])[:, None, None, None]
    program = layer(weights, Format(8, "signed"), Format(highest.bit_length(), "unsigned"), (3, 3), (0, 0, 0, 0))
    assert_exact(program, np.full((1, channels, 3, 3), highest), name)


@pytest.mark.parametrize(("weight_bits", "bits", "first"), [
    (3, 3, "winograd.rows_4"), (4, 6, "winograd.rows_2"), (5, 6, "winograd.squares_4"), (8, 8, "winograd.squares_4")])
def test_few_bits_on_large_maps_are_winograd(weight_bits: int, bits: int, first: str) -> None:
    """The dispatch takes the one of fewer products that is exact."""
    fmt = Format(weight_bits, "signed")
    program = layer(np.full((64, 64, 3, 3), fmt.low), fmt, Format(bits, "unsigned"), (28, 28))
    assert Simulator(program, isa="avx512").kernels == {"conv": first}
