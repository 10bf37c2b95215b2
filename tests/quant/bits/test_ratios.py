"""Budgets that are no sums: whatever is allocated keeps them, and what a refusal says can be met."""

import re
from fractions import Fraction

import numpy as np
import pytest

from quant.bits.allocate import Method, allocate
from quant.bits.allocation import Allocation, Problem
from quant.bits.budgets import FLOORS
from quant.bits.problem import problem_of
from sim.arch.machine import load_machine
from sim.cost.table import CostTable, cost_table
from sim.energy.technology import load_technology
from sim.errors import InputError
from sim.ir.program import Program
from sim.ir.shapes import ChosenBits, load_shapes

EDGE = load_machine("edge")
PROGRAM = load_shapes("resnet8").program(ChosenBits(weights=4, activations=4, digits=4), EDGE.arithmetic)
TABLE = cost_table(PROGRAM, EDGE, load_technology("generic45"), (2, 4, 8), (2, 4, 8))
NAMES = ("latency_ms", "fps", "energy_mj", "power_mw", "edp_mj_ms")


def problem(limits: dict[str, float], program: Program = PROGRAM, table: CostTable = TABLE) -> Problem:
    """Losses that fall fourfold with every bit."""
    losses = [4.0**-bits for bits in (2, 4, 8)]
    weights = {conv.name: losses for conv in program.convs if conv.weight_format.kind != "unit"}
    tensors = {tensor.name: losses for tensor in program.tensors if tensor not in (*program.inputs, *program.outputs)}
    read = {conv.input for conv in program.convs}
    return problem_of(program, table, weights, {name: row for name, row in tensors.items() if name in read}, limits)


def exact(found: Allocation) -> dict[str, Fraction]:
    """Each budget of an allocation from the table itself, with the power that the fewest cycles would make."""
    at = [(row, TABLE.weight_bits.index(w), TABLE.activation_bits.index(a))
          for row, (w, a) in enumerate(found.bits[layer] for layer in TABLE.layers)]
    cycles = TABLE.fixed_cycles + sum(int(TABLE.cycles[i]) for i in at)
    least = sum(int(TABLE.least_cycles[i]) for i in at)
    energy_pj = Fraction(TABLE.fixed_energy_high_pj) + sum(Fraction(TABLE.energy_high_pj[i]) for i in at)
    clock = Fraction(EDGE.clock_mhz)
    return {"latency_ms": cycles / (1000 * clock), "fps": 10**6 * clock / cycles, "energy_mj": energy_pj / 10**9,
            "power_mw": energy_pj * clock / (1000 * least), "edp_mj_ms": energy_pj * cycles / (10**12 * clock)}


WIDE, NARROW = (exact(allocate(problem({"weight_bytes": limit}))) for limit in (1e9, 22400.0))


@pytest.mark.parametrize("share", [0.05, 0.3, 0.7])
@pytest.mark.parametrize("name", NAMES)
def test_what_is_allocated_keeps_the_budget_exactly(name: str, share: float) -> None:
    """Between what the narrowest and the widest bits take, a limit is kept in exact arithmetic, and used well."""
    low, high = sorted([float(WIDE[name]), float(NARROW[name])])
    limit = low + share * (high - low)
    found = allocate(problem({name: limit}))
    value, used = exact(found)[name], found.used[name]
    if name in FLOORS:
        assert value >= Fraction(limit)
        assert limit <= used <= 1.25 * limit
    else:
        assert value <= Fraction(limit)
        assert 0.75 * limit <= used <= limit
        assert float(value) <= used * (1 + 1e-15)


@pytest.mark.parametrize("method", ["lp", "milp"])
def test_limits_hold_together(method: Method) -> None:
    """All five at once, with room for none of them alone to decide, and beside bytes."""
    limits = {name: float(WIDE[name] + NARROW[name]) / 2 for name in NAMES} | {"weight_bytes": 60000.0}
    found = allocate(problem(limits), method)
    values = exact(found)
    assert all(values[name] >= Fraction(limits[name]) if name in FLOORS else values[name] <= Fraction(limits[name])
               for name in NAMES)
    assert found.used["weight_bytes"] <= 60000


@pytest.mark.parametrize("name", NAMES)
def test_refusals_say_what_can_be_met(name: str) -> None:
    """A limit that is out of reach is answered by one that is not, and a hair beyond which nothing is promised."""
    beyond = 1e9 if name in FLOORS else 1e-9
    with pytest.raises(InputError, match=f"^budget {name}: .* cannot be met; ") as caught:
        allocate(problem({name: beyond}))
    (number,) = re.findall(r"[0-9.e-]+(?= can$|$)", str(caught.value))
    allocate(problem({name: float(number)}))


@pytest.mark.parametrize("name", ["fps", "power_mw", "edp_mj_ms"])
def test_limits_are_above_zero(name: str) -> None:
    """A power, a rate or a product of 0 is no budget."""
    with pytest.raises(InputError, match=f"^limit of {name} must be above 0, not 0.0$"):
        problem({name: 0.0})


def test_power_is_bounded_by_the_fewest_cycles() -> None:
    """The bound is above what the table's own cycles would make, since a network may take fewer."""
    found = allocate(problem({"power_mw": 1e6}))
    at = np.array([(TABLE.weight_bits.index(w), TABLE.activation_bits.index(a)) for w, a in found.bits.values()])
    rows = np.arange(len(at))
    cycles = TABLE.fixed_cycles + TABLE.cycles[rows, at[:, 0], at[:, 1]].sum()
    energy_pj = TABLE.fixed_energy_high_pj + TABLE.energy_high_pj[rows, at[:, 0], at[:, 1]].sum()
    assert found.used["power_mw"] > energy_pj * EDGE.clock_mhz / (1000 * cycles)
