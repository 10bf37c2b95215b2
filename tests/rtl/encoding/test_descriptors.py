"""Descriptors."""

from __future__ import annotations

import re

import numpy as np
import pytest
from amaranth.lib import data

from rtl.encoding.descriptors import describe, describe_inward, describe_outward, pack
from rtl.encoding.geometry import Geometry
from sim.arch.limits import LIMITS
from sim.arch.machine import load_machine
from sim.errors import InputError
from sim.hardware.fields import compute_fields, inward_fields, outward_fields
from sim.ir.arithmetic import Arithmetic
from sim.ir.formats import Format
from sim.ir.ops import Conv, Load, Pool, Store, Tensor
from sim.ir.program import Program
from sim.ir.signed_digits import no_digits
from sim.mapping.parameter_packet import packet_fields
from sim.plan.plan import plan
from sim.testing import random_machine

MACHINES = *map(load_machine, ("tiny", "edge", "large")), random_machine(np.random.default_rng(5))


def one_conv(parts, kind="signed"):
    """A linear layer on one pixel of a tensor with `parts`."""
    weights = np.ones((1, sum(parts), 1, 1), np.int8)
    conv = Conv("sum", "a", "b", weights, Format(1 if kind == "bipolar" else 2, kind), no_digits(1), np.array([0]),
                np.array([1]), 0, 1)
    tensors = Tensor("a", 1, 1, parts, Format(1, "unsigned")), Tensor("b", 1, 1, (1,), Format(1, "unsigned"))
    return plan(Program(tensors, (conv,), Arithmetic(acc_bits=24, window=10, terms=3)), load_machine("tiny"))


def test_pack_places_fields():
    """Fields, lists of elements and two's complement lie where the layout says."""
    layout = Geometry(load_machine("tiny")).descriptor
    word = pack({"last": 1, "left": -1, "bank": [2, 1, 0]}, layout, "op 'x'")
    left, bank = layout["left"], layout["bank"]
    assert word == 1 | ((1 << left.width) - 1) << left.offset | 0b000110 << bank.offset


@pytest.mark.parametrize(("field", "value", "limits"), [
    ("taps", 4096, "0..4095"), ("left", -32769, "-32768..32767"), ("bits_w", -1, "0..7")])
def test_pack_refuses_what_does_not_fit(field, value, limits):
    """A number that is too large for its field is refused with the op, the field, its limits and the number."""
    layout = Geometry(load_machine("tiny")).descriptor
    message = f"op 'x': the hardware's field '{field}' holds {limits}, not {value}"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        pack({field: value}, layout, "op 'x'")


def transferred():
    """A Pool whose input is loaded and whose output is stored."""
    tensors = Tensor("a", 2, 2, (1,), Format(2, "unsigned")), Tensor("b", 1, 1, (1,), Format(2, "unsigned"))
    ops = Load("load", "a", "a"), Pool("pool", "a", "b", (2, 2)), Store("store", "b", "b")
    return plan(Program(tensors, ops), load_machine("edge"))


def test_stream_tables_end():
    """Pools have no weights; both tables of stream items end with a word that is not valid."""
    pool, geometry = transferred(), Geometry(load_machine("edge"))
    load, end = describe_inward(pool, geometry)
    assert (load & 3, end) == (3, 0)
    store, end = describe_outward(pool, geometry)
    assert (store & 1, end) == (1, 0)
    load, tiles, end = describe_inward(one_conv((1,)), Geometry(load_machine("tiny")))
    assert (load & 3, tiles & 3, end) == (3, 1, 0)


def test_entries_name_their_op():
    """Every entry holds the index of its op in the Program, and what it waits for."""
    planned, geometry = transferred(), Geometry(load_machine("edge"))
    (pool,) = describe(planned, geometry)
    entries = {"descriptor": pool, "inward": describe_inward(planned, geometry)[0],
               "outward": describe_outward(planned, geometry)[0]}
    found = {name: {field: view[field] for field in ("op", "after_loads", "after_computes") if field in view}
             for name, view in ((name, fields(word, getattr(geometry, name))) for name, word in entries.items())}
    assert found == {"descriptor": {"op": 1, "after_loads": 1}, "inward": {"op": 0, "after_computes": 0},
                     "outward": {"op": 2, "after_computes": 1}}


def fields(word, layout):
    """Fields of a packed word, as unsigned numbers."""
    return {name: word >> field.offset & ((1 << field.width) - 1) for name, field in layout}


@pytest.mark.parametrize("table", [compute_fields, inward_fields, outward_fields])
def test_every_field_says_what_it_means(table):
    """No field is without a meaning, and none has more than a line."""
    meanings = [field.meaning for field in table(Geometry(load_machine("edge"))).values()]
    assert all(meaning and len(meaning) < 100 for meaning in meanings)


def test_every_op_has_a_descriptor():
    """A Program of as many ops as `plan` lets through is described whole."""
    tensors = tuple(Tensor(f"t{i}", 1, 1, (1,), Format(2, "unsigned")) for i in range(LIMITS.max_ops + 1))
    pools = tuple(Pool(f"p{i}", f"t{i}", f"t{i + 1}", (1, 1)) for i in range(LIMITS.max_ops))
    assert len(describe(plan(Program(tensors, pools), load_machine("edge")), Geometry(load_machine("edge")))) == 256


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
def test_packets_are_taken_apart_as_they_are_packed(machine):
    """Every field of the parameter packet lies where `sim` puts it, and there are no others."""
    assert leaves(Geometry(machine).packet_layout) == list(packet_fields(machine).items())


def leaves(layout, prefix=""):
    """(path, width) of everything in a layout that is not itself a layout, in order."""
    found, end = [], 0
    for key, field in layout:
        assert field.offset == end
        end += field.width
        inner = isinstance(field.shape, data.Layout)
        found += leaves(field.shape, f"{prefix}{key}.") if inner else [(f"{prefix}{key}", field.width)]
    return found
