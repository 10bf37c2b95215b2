"""A Program for several images computes of each what the Program for one image does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sim.arch.machine import load_machine
from sim.errors import InputError
from sim.functional.reference import simulate
from sim.ir.arithmetic import Arithmetic
from sim.ir.batch import batch
from sim.ir.formats import Format
from sim.ir.ops import Conv, Load, Pool, Tensor
from sim.ir.program import Program
from sim.plan.plan import plan
from sim.testing import random_machine, random_program
from sim.testing.stimulus.programs import TRAITS

BYTE = Format(8, "unsigned")
ARITHMETIC = Arithmetic(acc_bits=24, window=10, terms=3)
STAYING = [trait for trait in TRAITS if trait not in ("spill", "large")]
"""Traits of Programs without Loads and Stores."""


def layer(name: str, source: str, target: str, weights: np.ndarray, **changes: object) -> Conv:
    """A layer of 4-bit weights that keeps sums which fit into a byte."""
    outputs = len(weights)
    plain = Conv(name, source, target, weights.astype(np.int8), Format(4, "signed"), np.ones((outputs, 1), np.int8),
                 shift=np.full(outputs, 4), offset=np.zeros(outputs, np.int64), low=0, high=255)
    return replace(plain, **changes)


def classifier(pool: bool = False) -> Program:
    """A convolution of 3 x 3, a Pool of 2 x 2 or of no size, and two linear layers."""
    rng = np.random.default_rng(0)
    tensors = [Tensor("x", 4, 4, (3,), BYTE), Tensor("map", 4, 4, (5,), BYTE), Tensor("hidden", 1, 1, (6,), BYTE),
               Tensor("y", 1, 1, (4,), BYTE)]
    first = layer("conv", "x", "map", rng.integers(-8, 8, (5, 3, 3, 3)), pads=(1, 1, 1, 1))
    linear = layer("linear", "map", "hidden", rng.integers(-8, 8, (6, 5, 4, 4)))
    last = layer("last", "hidden", "y", rng.integers(-8, 8, (4, 6, 1, 1)))
    if not pool:
        return Program(tuple(tensors), (first, linear, last), ARITHMETIC)
    halves = Tensor("pooled", 4, 4, (5,), BYTE)
    overlapping = Pool("pool", "map", "pooled", (3, 3), pads=(1, 1, 1, 1))
    return Program((*tensors, halves), (first, overlapping, replace(linear, input="pooled"), last), ARITHMETIC)


def check_equal(program: Program, images: int, runs: int, seed: int) -> None:
    """Every tensor of a batch holds the codes that its images have alone."""
    rng = np.random.default_rng(seed)
    inputs = {t.name: rng.integers(t.format.low, t.format.high + 1, (runs * images, *t.shape)) for t in program.inputs}
    alone = simulate(program, inputs)
    several = batch(program, images)
    found = simulate(several.program, several.inputs(inputs))
    for name, codes in alone.items():
        np.testing.assert_array_equal(several.codes(name, found), codes)


@pytest.mark.parametrize("seed", range(20))
def test_every_tensor_of_random_programs_is_equal(seed: int) -> None:
    """Layers of every kind: some run for all images at once, the others for each."""
    rng = np.random.default_rng(seed)
    check_equal(random_program(rng, random_machine(rng), layers=4, traits=STAYING), images=3, runs=2, seed=seed)


@pytest.mark.parametrize("pool", [False, True])
def test_linear_layers_run_once(pool: bool) -> None:
    """The last map lies in the rows of its image; a Pool's is copied there."""
    program = classifier(pool)
    several = batch(program, 3)
    check_equal(program, 3, runs=1, seed=1)
    assert [op.name for op in several.program.ops if "/" not in op.name] == ["linear", "last"]
    assert several.program.tensor("hidden").shape == (6, 3, 1)
    assert next(op for op in several.program.ops if op.name == "linear").stride == (4, 1)


def test_columns_share_the_weights() -> None:
    """On a machine of three columns, three images take the time of one in linear layers, and their weights once."""
    machine = load_machine("tiny")
    one, three = (plan(batch(classifier(), images).program, machine) for images in (1, 3))

    def last_two(planned):
        starts = {op.name: start for op, start in zip(planned.program.ops, planned.timeline.starts, strict=True)}
        ends = {op.name: end for op, end in zip(planned.program.ops, planned.timeline.ends, strict=True)}
        return ends["last"] - starts["linear"]

    assert last_two(three) == last_two(one)


def test_a_window_over_the_edge_runs_for_each_image() -> None:
    """Padding, windows that overlap, and rows that no stride divides keep a layer apart, and all before it."""
    tensors = Tensor("x", 5, 1, (1,), BYTE), Tensor("y", 3, 1, (1,), BYTE)
    apart = Program(tensors, (layer("every second", "x", "y", np.ones((1, 1, 1, 1)), stride=(2, 1)),))
    assert not batch(apart, 2).stacked
    check_equal(apart, 2, runs=1, seed=3)


@pytest.mark.parametrize("images", [0, 257])
def test_too_few_or_too_many_images_are_refused(images: int) -> None:
    """From 1 to as many as the hardware runs Convs."""
    with pytest.raises(InputError, match=rf"^images must be in 1\.\.256, not {images}$"):
        batch(classifier(), images)


def test_what_moves_tensors_is_refused() -> None:
    """Where tensors lie is decided for the whole batch, by the plan."""
    program = classifier()
    tensors = (*program.tensors, Tensor("on chip", 4, 4, (3,), BYTE))
    first, *others = program.ops
    loading = Program(tensors, (Load("load", "x", "on chip", 0), replace(first, input="on chip"), *others), ARITHMETIC)
    sentence = r"^only a Program without Loads and Stores can be batched, and 'load' is a load$"
    with pytest.raises(InputError, match=sentence):
        batch(loading, 2)


def test_images_that_do_not_fill_a_batch_are_refused() -> None:
    """Their number is a multiple of those of the Program."""
    with pytest.raises(InputError, match=r"^input 'x' must have a multiple of 3 images, not 4$"):
        batch(classifier(), 3).inputs({"x": np.zeros((4, 3, 4, 4), np.int64)})
