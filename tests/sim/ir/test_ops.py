"""Tensors and ops on their own."""

import re
from dataclasses import replace

import numpy as np
import pytest

from sim.errors import InputError
from sim.ir.arithmetic import Arithmetic
from sim.ir.formats import Format
from sim.ir.ops import Conv, Load, Op, Pool, Store, Tensor, accumulator_bounds, out_size
from sim.ir.program import Program
from sim.ir.signed_digits import no_digits

U4 = Format(4, "unsigned")


@pytest.mark.parametrize(("arguments", "message"), [
    (("", 1, 1, (1,), U4), "a tensor's name must not be empty"),
    (("a", 0, 1, (1,), U4), "tensor 'a': height must be in 1..16777216, not 0"),
    (("a", 1, -1, (1,), U4), "tensor 'a': width must be in 1..16777216, not -1"),
    (("a", 1, 1, (1, 0), U4), "tensor 'a': part must be in 1..16777216, not 0"),
    (("a", 1, 1, (), U4), "tensor 'a': needs at least one part"),
    (("a", 1, 1, (1,), Format(1, "bipolar")), "tensor 'a': activations are unsigned or signed, not bipolar"),
])
def test_impossible_tensors_are_refused(arguments: tuple, message: str) -> None:
    """The message names the tensor, the limit and what came."""
    with pytest.raises(InputError) as caught:
        Tensor(*arguments)
    assert str(caught.value) == message


def test_parts_cover_the_channels_in_order() -> None:
    """Slices of the parts follow each other and end at the last channel."""
    tensor = Tensor("a", 2, 3, (4, 1, 5), U4)
    assert [tensor.part_slice(part) for part in range(3)] == [slice(0, 4), slice(4, 5), slice(5, 10)]
    assert tensor.shape == (10, 2, 3)


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("dilation", [1, 2])
def test_out_size_counts_the_windows(stride: int, dilation: int) -> None:
    """The formula equals counting the start positions at which the whole window fits."""
    for size, before, after, kernel in np.ndindex(9, 3, 3, 4):
        span = dilation * kernel + 1
        starts = range(0, size + 1 + before + after - span + 1, stride)
        assert max(out_size(size + 1, before, after, kernel + 1, stride, dilation), 0) == len(starts)


def conv(kind: str = "signed", residual: str | None = None) -> Conv:
    zeros = np.zeros(2, np.int64)
    weights = np.array([[0, 1], [1, 1]], np.int8).reshape(2, 2, 1, 1)
    fmt, digits = Format(1 if kind == "bipolar" else 2, kind), np.array([[3, 1], [0, 0]], np.int8)
    return Conv("c", "a", "b", weights, fmt, digits, zeros, zeros, 0, 1, residual=residual,
                residual_multiplier=np.array([[1, 0], [2, 1]], np.int8))


def test_bipolar_bits_mean_minus_one_and_one() -> None:
    """Values, not codes, enter the sum; each counts 1 in the bound."""
    assert conv("bipolar").weight_values.reshape(2, 2).tolist() == [[-1, 1], [1, 1]]
    assert conv("signed").weight_values.reshape(2, 2).tolist() == [[0, 1], [1, 1]]
    assert accumulator_bounds(conv("bipolar"), U4).tolist() == [30, 30]
    assert accumulator_bounds(conv("signed"), U4).tolist() == [15, 30]


@pytest.mark.parametrize("name", ["weights", "multiplier", "shift", "offset", "residual_multiplier"])
def test_arrays_of_a_op_never_change(name: str) -> None:
    """An op owns contiguous copies of the same type: neither they nor writes to the originals change it."""
    original = np.array(getattr(conv(residual="r"), name), order="F")
    op = replace(conv(residual="r"), **{name: original})
    kept = getattr(op, name)
    assert kept.flags.c_contiguous
    assert (kept.dtype, kept.tolist()) == (original.dtype, original.tolist())
    with pytest.raises(ValueError, match=r"^assignment destination is read-only$"):
        kept[0] = 1
    before = kept.tolist()
    original[...] = 0
    assert kept.tolist() == before


def test_what_passed_once_is_checked_again_where_more_is_asked() -> None:
    """A layer that fits a Program is refused in one of fewer bits, fewer digits or other channels, by its own name."""
    layer, source = replace(conv(), residual_multiplier=no_digits(2)), Tensor("a", 1, 1, (2,), U4)
    target, wide = Tensor("b", 1, 1, (2,), Format(1, "unsigned")), Arithmetic(acc_bits=16, window=4, terms=2)
    Program((source, target), (layer,), wide)
    moved = layer.on_operands("moved", ("a",), "b", (0, 0, 0, 0))
    assert moved.weights is layer.weights
    for tensors, arithmetic, text in (
            ((replace(source, format=Format(8, "unsigned")), target), replace(wide, acc_bits=9),
             ("the accumulator of channel 1 can reach 510; 9 bits hold 255 (declare wrap, or use a wider accumulator "
              "or fewer bits)")),
            ((source, target), replace(wide, terms=1), "multiplier: at most 1 digits, not 2"),
            ((replace(source, parts=(3,)), target), wide, "weights must start with shape (2, 3), not (2, 2)")):
        for one in (layer, moved):
            with pytest.raises(InputError, match=f"^op '{one.name}': {re.escape(text)}$"):
                Program(tensors, (one,), arithmetic)
    Program((source, target), (moved,), wide)


def test_types_of_arrays_are_not_changed() -> None:
    """A wrong type stays as it is, for the Program to refuse."""
    assert replace(conv(), shift=np.zeros(2, np.int32)).shift.dtype == np.int32


def test_terms_are_those_of_the_widest_channel() -> None:
    """T is at least 1, even when every M is 0; Tr is 0 without a residual."""
    assert (conv().terms, conv().residual_terms) == (2, 0)
    assert conv(residual="r").residual_terms == 2
    assert replace(conv(), multiplier=no_digits(2)).terms == 1


@pytest.mark.parametrize(("op", "read", "written", "chip"), [
    (conv(), ["a"], "b", ("a", "b")),
    (conv(residual="r"), ["a", "r"], "b", ("a", "r", "b")),
    (Pool("p", "a", "b", (2, 2)), ["a"], "b", ("a", "b")),
    (Load("l", "a", "b"), ["a"], "b", ("b",)),
    (Store("s", "a", "b"), ["a"], "b", ("a",)),
    (Load("l", "a", "a"), [], None, ("a",)),
    (Store("s", "a", "a"), [], None, ("a",)),
])
def test_what_ops_read_write_and_hold_on_chip(op: Op, read: list, written: str | None, chip: tuple) -> None:
    """A residual is read too; a tensor that changes its place alone is neither read nor written."""
    assert (list(op.reads), op.writes, op.chip_tensors) == (read, written, chip)
