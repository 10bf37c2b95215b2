"""Shapes: Programs that cost what the networks cost whose shapes they have."""

from dataclasses import replace

import numpy as np
import pytest

from sim.arch.machine import load_machine
from sim.cost.estimate import estimate
from sim.energy.technology import load_technology
from sim.errors import InputError
from sim.io.yaml_model import parse
from sim.ir.ops import Conv
from sim.ir.program import Program
from sim.ir.shapes import ChosenBits, Shapes, builtin_networks, load_shapes
from sim.ir.shapes_of import shapes_of, shapes_yaml
from sim.plan.plan import plan
from sim.testing import random_machine, random_program

SMALL = """
name: small
inputs:
  image: {channels: 3, height: 8, width: 8, bits: 8}
layers:
- {name: stem, channels: 8, kernel: [3, 3], pads: [1, 1, 1, 1], weights: first_last}
- {name: pool, pool: true, kernel: [2, 2], stride: 2}
- {name: wide, channels: 8, kernel: [3, 3], pads: [1, 1, 1, 1]}
- {name: deep, channels: 8, kernel: [3, 3], pads: [1, 1, 1, 1], residual: pool}
- {name: depthwise, channels: 8, kernel: [3, 3], pads: [1, 1, 1, 1], groups: 8}
- {name: average, channels: 8, kernel: [4, 4], weights: unit, bits: first_last}
- {name: fc, channels: 5, weights: first_last, bits: 16, signed: true}
"""


def with_equal_digits(program: Program, digits: int) -> Program:
    """The Program with so many digits in every multiplier, gates excepted."""
    def changed(op: Conv) -> Conv:
        row = np.arange(digits, 0, -1, dtype=np.int8)
        zeros = np.zeros(op.channels, np.int64)
        return replace(op, multiplier=op.multiplier if op.gate is not None else np.tile(row, (op.channels, 1)),
                       shift=zeros, offset=zeros,
                       residual_multiplier=np.tile(row, (op.channels, 1)) if op.residual and op.gate is None
                       else np.zeros((op.channels, 0), np.int8))
    return replace(program, ops=tuple(changed(op) if isinstance(op, Conv) else op for op in program.ops))


@pytest.mark.parametrize("seed", range(25))
def test_programs_of_shapes_cost_what_their_programs_cost(seed: int) -> None:
    """Written to a file and read again, the shapes of any Program give its cycles, events and bytes."""
    rng = np.random.default_rng(seed)
    machine = random_machine(rng)
    program = random_program(rng, machine, layers=4, traits=("residual", "broadcast", "concat", "bipolar", "table"))
    if any(str(conv.weight_format) == "signed1" and conv.groups == 1 for conv in program.convs):
        return
    program = with_equal_digits(program, 1)
    marks = ChosenBits(weights=8, activations=8, first_last=8, digits=1)
    shapes = shapes_of(program, "random", marks)
    again = parse(Shapes, shapes_yaml(shapes), "t").program(marks, program.arithmetic)
    try:
        expected = estimate(plan(program, machine), load_technology("generic45"))
    except InputError:
        return
    found = estimate(plan(again, machine), load_technology("generic45"))
    assert (found.latency_cycles, found.events, found.weight_bytes) == (
        expected.latency_cycles, expected.events, expected.weight_bytes)


def test_bits_are_chosen_where_shapes_leave_them_open() -> None:
    """First and last layers and what the last one reads have bits of their own; inputs and outputs keep theirs."""
    program = parse(Shapes, SMALL, "t").program(ChosenBits(weights=2, activations=3, first_last=6, digits=2))
    assert [str(conv.weight_format) for conv in program.convs] == [
        "signed6", "signed2", "signed2", "signed2", "unit1", "signed6"]
    assert [tensor.format.bits for tensor in program.tensors] == [8, 3, 3, 3, 3, 3, 6, 16]
    assert program.convs[2].reads == ("wide", "pool")
    assert {conv.digits for conv in program.convs} == {2}


def test_dense_weights_of_one_bit_are_bipolar() -> None:
    """As lowering makes them; those of depthwise layers are signed."""
    program = parse(Shapes, SMALL, "t").program(ChosenBits(weights=1, activations=2, digits=1))
    assert [program.convs[i].weight_format.kind for i in (2, 3)] == ["bipolar", "signed"]


@pytest.mark.parametrize("name", builtin_networks())
def test_built_in_networks_run_on_edge(name: str) -> None:
    """Each has a name, is its file's network, and is placed at 4 bits."""
    network = load_shapes(name)
    assert network.name == name
    program = network.program(ChosenBits(weights=4, activations=4, digits=4))
    assert estimate(plan(program, load_machine("edge")), load_technology("generic45")).macs > 0


@pytest.mark.parametrize(("old", "new", "text"), [
    ("residual: pool", "residual: roof", "layer 'deep' reads 'roof', which no layer before it writes"),
    ("name: deep,", "name: deep, input: roof,", "layer 'deep' reads 'roof', which no layer before it writes"),
])
def test_layers_read_what_is_there(old: str, new: str, text: str) -> None:
    """A tensor that no layer before writes is refused with the layer's name."""
    with pytest.raises(InputError, match=f"^{text}$"):
        parse(Shapes, SMALL.replace(old, new), "t").program(ChosenBits(weights=2, activations=2, digits=1))


@pytest.mark.parametrize(("old", "new", "text"), [
    ("channels: 5", "channels: 0", "layers.6.channels: Input should be greater than or equal to 1, not 0"),
    ("groups: 8", "group: 8", "layers.4.group: Extra inputs are not permitted"),
    ("bits: 16", "bits: 64", "layers.6.bits.constrained-int: Input should be less than or equal to 32, not 64"),
])
def test_files_are_checked_field_by_field(old: str, new: str, text: str) -> None:
    """A wrong field is refused with its place and what came."""
    with pytest.raises(InputError) as caught:
        parse(Shapes, SMALL.replace(old, new), "t")
    assert str(caught.value) == f"shapes t: {text}"


def test_shapes_have_no_transfers() -> None:
    """A planned Program, with its Loads and Stores, is refused."""
    program = parse(Shapes, SMALL, "t").program(ChosenBits(weights=2, activations=2, digits=1))
    planned = plan(program, load_machine("edge")).program
    text = "shapes are of a Program without Loads and Stores, which op 'load image' is"
    with pytest.raises(InputError, match=f"^{text}$"):
        shapes_of(planned, "small", ChosenBits(weights=2, activations=2, digits=1))
