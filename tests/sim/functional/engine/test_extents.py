"""Numbers at the ends of their ranges: exact, or refused before memory is taken."""

from __future__ import annotations

import re

import numpy as np
import pytest

from sim.errors import InputError
from sim.functional.engine.compiled_network import MAX_ARENA_BYTES
from sim.functional.engine.simulator import Simulator
from sim.functional.kernels.isa import available
from sim.functional.reference import simulate
from sim.io.bounds import MAX_EXTENT
from sim.ir.formats import Format
from sim.ir.ops import Conv, Pool, Steps, Tensor, out_size
from sim.ir.program import MAX_IMAGE_CODES, Program

FORMAT = Format(4, "unsigned", 3)
Extents = tuple[tuple[int, int], tuple[int, int], int | Steps, int | Steps, tuple[int, int, int, int]]
LARGE = MAX_EXTENT >> 6
CASES: dict[str, Extents] = {  # size, kernel, stride, dilation, pads; one number serves both axes
    "stride": ((3, 2), (2, 2), MAX_EXTENT, 1, (0, 0, 0, 0)),
    "stride on a column": ((LARGE, 1), (1, 1), MAX_EXTENT, 1, (0, 0, 0, 0)),
    "stride on a row": ((1, LARGE), (1, 1), LARGE - 1, 1, (0, 0, 0, 0)),
    "strides of both ends": ((3, LARGE), (2, 1), (1, LARGE - 1), 1, (0, 0, 0, 0)),
    "dilations of both ends": ((LARGE + 1, 4), (2, 3), (MAX_EXTENT, 1), (LARGE, 1), (0, 0, 0, 0)),
    "dilation of one tap": ((3, 2), (1, 1), 1, MAX_EXTENT, (0, 0, 0, 0)),
    "dilation over a column": ((LARGE + 1, 1), (2, 1), 1, LARGE, (0, 0, 0, 0)),
    "dilation over a row": ((1, LARGE + 1), (1, 2), 3, LARGE, (0, 0, 0, 0)),
    "pads above": ((2, 1), (1, 1), MAX_EXTENT, 1, (MAX_EXTENT - 2, 0, 0, 0)),
    "pads on the right": ((1, 2), (1, 1), MAX_EXTENT, 1, (0, 0, 0, MAX_EXTENT - 2)),
    "pads around": ((1, 1), (1, 1), 700, 1, (1400, 1400, 1400, 1400)),
    "a kernel of pads": ((2, 2), (1, 1500), 1, 1, (0, 700, 0, 798)),
}


def conv_program(extents: Extents, depthwise: bool) -> Program:
    size, kernel, stride, dilation, pads = extents
    weights = np.random.default_rng(0).integers(-2, 2, (2, 1 if depthwise else 2, *kernel)).astype(np.int8)
    conv = Conv("conv", "x", "y", weights, Format(2, "signed"), np.ones((2, 1), np.int8), np.full(2, 3),
                np.zeros(2, np.int64), 0, 15, 2 if depthwise else 1, both(stride), both(dilation), pads)
    return Program((Tensor("x", *size, (2,), FORMAT), Tensor("y", *target(extents), (2,), FORMAT)), (conv,))


def target(extents: Extents) -> tuple[int, int]:
    size, kernel, stride, dilation, (top, left, bottom, right) = extents
    return (out_size(size[0], top, bottom, kernel[0], both(stride)[0], both(dilation)[0]),
            out_size(size[1], left, right, kernel[1], both(stride)[1], both(dilation)[1]))


def both(steps: int | Steps) -> Steps:
    return (steps, steps) if isinstance(steps, int) else steps


def assert_exact(program: Program) -> None:
    inputs = {t.name: np.random.default_rng(1).integers(0, 16, (1, *t.shape)) for t in program.inputs}
    right = simulate(program, inputs)["y"]
    for isa in available():
        np.testing.assert_array_equal(Simulator(program, isa=isa).run(inputs)["y"], right, isa)


@pytest.mark.parametrize("depthwise", [False, True], ids=["dense", "depthwise"])
@pytest.mark.parametrize("extents", CASES.values(), ids=CASES)
def test_convolutions_with_large_numbers_are_exact(extents: Extents, depthwise: bool) -> None:
    """Strides, dilations and pads as large as they may be, where memory does not grow with them."""
    assert_exact(conv_program(extents, depthwise))


@pytest.mark.parametrize("extents", [
    pytest.param(((3, 2), (MAX_EXTENT, 1), MAX_EXTENT, 1, (MAX_EXTENT - 1, 0, 5, 0)), marks=pytest.mark.nightly),
    ((3, 2), (LARGE, 1), MAX_EXTENT, 1, (LARGE - 1, 0, 5, 0)),
    ((2, 3), (1, LARGE), MAX_EXTENT, 1, (0, 0, 0, LARGE - 1)),
    ((3, 2), (2, 2), MAX_EXTENT, 1, (1, 1, 1, 1)),
    ((1, 1), (300, 300), 1, 1, (150, 150, 150, 150)),
    ((LARGE, 5), (2, 2), (LARGE - 2, 3), 1, (0, 0, 0, 0)),
    ((5, LARGE), (2, 2), (3, LARGE - 2), 1, (0, 0, 0, 0)),
], ids=["largest", "column", "row", "stride", "square", "far down", "far across"])
def test_pools_with_large_numbers_are_exact(extents: Extents) -> None:
    """Kernels, strides and pads as large as they may be."""
    size, kernel, stride, _, pads = extents
    tensors = Tensor("x", *size, (2,), FORMAT), Tensor("y", *target(extents), (2,), FORMAT)
    assert_exact(Program(tensors, (Pool("pool", "x", "y", kernel, both(stride), pads),)))


def test_memory_is_counted_before_it_is_taken() -> None:
    """Borders that two layers ask for are wide both ways; each alone is legal, and the plain loops take each alone."""
    tensors = tuple(Tensor(name, 1, 1, (1,), FORMAT) for name in "xyz")
    ops = tuple(Conv(f"to {name}", "x", name, np.ones((1, 1, 1, 1), np.int8), Format(2, "signed"),
                         np.ones((1, 1), np.int8), np.zeros(1, np.int64), np.zeros(1, np.int64), 0, 15,
                         stride=(MAX_EXTENT, MAX_EXTENT), pads=pads)
                    for name, pads in (("y", (MAX_EXTENT - 1, 0, 0, 0)), ("z", (0, MAX_EXTENT - 1, 0, 0))))
    text = (f"a thread of the simulator takes at most {MAX_ARENA_BYTES} bytes for the tensors of an image and their "
            f"borders, not ")
    with pytest.raises(InputError, match=f"^{text}[0-9]{{15}}$"):
        Simulator(Program(tensors, ops))


def test_images_of_more_codes_than_engines_take_are_refused() -> None:
    """Many tensors, each of a legal size, and not an array is made."""
    count = 5
    tensors = tuple(Tensor(f"x{i}", 1 << 14, 1 << 14, (1,), FORMAT) for i in range(count))
    program = Program(tensors, tuple(Pool(f"p{i}", f"x{i}", f"x{i + 1}", (1, 1)) for i in range(count - 1)))
    text = (f"engines take at most {MAX_IMAGE_CODES} codes an image in all tensors together, not {count << 28}")
    codes = np.broadcast_to(np.zeros(1, np.uint8), (1, 1, 1 << 14, 1 << 14))
    with pytest.raises(InputError, match=f"^{re.escape(text)}$"):
        simulate(program, {"x0": codes})
