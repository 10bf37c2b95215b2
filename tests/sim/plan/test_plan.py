"""What fits on a machine, what is refused, and that no two live tensors share a place."""

import re
from dataclasses import replace

import numpy as np
import pytest

from sim.arch.machine import Machine, load_machine
from sim.errors import InputError
from sim.ir.arithmetic import Arithmetic
from sim.ir.formats import Format
from sim.ir.ops import Conv, Table, Tensor
from sim.ir.program import Program
from sim.mapping.activation_layout import tensor_words
from sim.plan.plan import plan

TINY = load_machine("tiny")


def conv(name: str, source: str, target: str, channels: int, fan_in: int, *, residual: str | None = None,
         kernel: int = 1) -> Conv:
    digits = np.ones((channels, 1), np.int8)
    return Conv(name, source, target, np.ones((channels, fan_in, kernel, kernel), np.int8), Format(2, "signed"), digits,
                np.zeros(channels, np.int64), np.zeros(channels, np.int64), 0, 3, residual=residual,
                residual_multiplier=digits if residual else np.zeros((0, 0), np.int8))


def tensor(name: str, size: int = 4, channels: int = 4) -> Tensor:
    return Tensor(name, size, size, (channels,), Format(2, "unsigned"))


def chain(length: int, size: int = 4) -> Program:
    tensors = tuple(tensor(f"t{i}", size) for i in range(length + 1))
    return Program(tensors, tuple(conv(f"c{i}", f"t{i}", f"t{i + 1}", 4, 4) for i in range(length)),
                   Arithmetic(acc_bits=24, window=10, terms=3))


def test_places_of_live_tensors_never_overlap() -> None:
    """In a chain with a long residual, tensors alive at the same op lie in different regions."""
    program = Program(
        (tensor("x"), tensor("a"), tensor("b"), tensor("c"), tensor("d")),
        (conv("r0", "x", "a", 4, 4), conv("r1", "a", "b", 4, 4), conv("r2", "b", "c", 4, 4),
         conv("r3", "c", "d", 4, 4, residual="a")), Arithmetic(acc_bits=24, window=10, terms=3))
    bases = plan(program, TINY).bases
    for alive in (("x", "a"), ("a", "b"), ("a", "b", "c"), ("a", "c", "d")):
        regions = [bases[name] // TINY.region_words for name in alive]
        assert len(set(regions)) == len(regions)


def test_regions_are_reused_when_a_tensor_is_dead() -> None:
    """A chain of any length fits wherever three of its tensors do, and uses all regions there are by turns."""
    for regions in range(3, 7):
        machine = Machine(**(TINY.model_dump() | {"act_regions": regions}))
        assert len(set(plan(chain(9), machine).bases.values())) == regions


def test_gaps_do_not_keep_a_large_tensor_out() -> None:
    """When tensors in the order of their use leave only gaps, the largest are placed first and all fit."""
    program = Program(
        (tensor("x"), tensor("a"), tensor("wide", channels=16)),
        (conv("r0", "x", "a", 4, 4), conv("r1", "a", "wide", 16, 4)), Arithmetic(acc_bits=24, window=10, terms=3))
    machine = Machine(**(TINY.model_dump() | {"region_words": 16, "act_regions": 3}))
    assert [tensor_words(t, machine) for t in program.tensors] == [16, 16, 32]
    assert plan(program, machine).bases == {"x": 0, "a": 32, "wide": 0}


def test_a_table_needs_a_machine_with_as_wide_an_index() -> None:
    """The width of the index decides, and the refusal has both."""
    table = Table(Format(5, "unsigned"), np.zeros(32, np.int16))
    program = Program((tensor("x"), tensor("y")), (replace(conv("c", "x", "y", 4, 4), table=table),),
                      Arithmetic(acc_bits=24, window=10, terms=3))
    assert plan(program, TINY.model_copy(update={"table_bits": 5})).program.convs[0].table is table
    narrow = TINY.model_copy(update={"table_bits": 4})
    with pytest.raises(InputError, match=r"^op 'c' needs a table of 5 index bits; machine 'tiny' has table_bits 4$"):
        plan(program, narrow)


REFUSALS = [
    ({"act_regions": 2, "region_words": 4}, {},
     "op 'c0' needs 4 activation regions of 4 words for a band of 1 output row; machine 'tiny' has 2"),
    ({"weight_words": 1}, {},
     "op 'c0' needs 2 weight words per row for a row tile; machine 'tiny' has weight_words 1 (1 too few)"),
    ({"max_bits_w": 1}, {}, "op 'c0' needs 2 bits for weights; machine 'tiny' has max_bits_w 1"),
    ({"max_bits_a": 1}, {}, "op 'c0' needs 2 bits for activations 't0'; machine 'tiny' has max_bits_a 1"),
    ({"roundings": ("floor",)}, {}, "the program needs rounding half_up; machine 'tiny' has floor"),
    ({"window": 9}, {}, "the program needs window 10; machine 'tiny' has 9"),
    ({"acc_bits": 20}, {}, "the program needs acc_bits 24; machine 'tiny' has 20"),
    ({}, {"acc_bits": 20, "wrap": True},
     "the program needs acc_bits 20 exactly, since it wraps; machine 'tiny' has 24"),
]


@pytest.mark.parametrize(("machine", "arithmetic", "message"), REFUSALS)
def test_what_does_not_fit_is_refused_with_both_numbers(machine: dict, arithmetic: dict, message: str) -> None:
    """Each limit of a machine has its sentence: what needs how much, and what the machine has."""
    changed, program = Machine(**(TINY.model_dump() | machine)), chain(1)
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        plan(replace(program, arithmetic=replace(program.arithmetic, **arithmetic)), changed)


def test_a_tensor_takes_whole_regions() -> None:
    """A tensor larger than a region takes consecutive ones, and the next tensor starts after them."""
    program = chain(1, size=24)
    machine = Machine(**(TINY.model_dump() | {"region_words": 128, "act_regions": 8}))
    words = tensor_words(program.tensor("t0"), machine)
    assert 128 * 2 < words <= 128 * 3
    assert plan(program, machine).bases == {"t0": 0, "t1": 3 * 128}
