"""The two layers of docs/energy.md: what the page works out by hand is what the simulator counts and charges."""

import ast
import operator
import re
from pathlib import Path

import numpy as np
import pytest

from sim.arch.machine import load_machine
from sim.cost.estimate import LayerEstimate, estimate
from sim.energy.counting import count_events
from sim.energy.events import PRICED
from sim.energy.model import prices
from sim.energy.technology import load_technology
from sim.ir.formats import Format
from sim.ir.ops import Conv, Tensor
from sim.ir.program import Program
from sim.plan.plan import Plan, plan

PAGE = (Path(__file__).parents[3] / "docs" / "energy.md").read_text()
EDGE, TABLE = load_machine("edge"), load_technology("generic45")
OPERATORS = {ast.Add: operator.add, ast.Mult: operator.mul}


def worked_out(text: str) -> int:
    """Return the value of sums and products of integers."""
    def value(node: ast.expr) -> int:
        if isinstance(node, ast.BinOp):
            return OPERATORS[type(node.op)](value(node.left), value(node.right))
        assert isinstance(node, ast.Constant)
        return int(node.value)

    return value(ast.parse(text.replace("·", "*"), mode="eval").body)


def rows() -> list[list[str]]:
    """Return the cells of the table below the comment that names this file."""
    lines = PAGE.partition("tests/sim/energy/test_two_layers.py")[2].partition("\n\n")[0].splitlines()[3:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


@pytest.fixture(scope="module")
def planned() -> Plan:
    """Return both layers on `edge`."""
    codes = Format(4, "unsigned")

    def conv(name: str, read: str, written: str, channels: int, groups: int) -> Conv:
        return Conv(name, read, written, np.ones((32, channels, 3, 3), np.int8), Format(4, "signed"), pads=(1, 1, 1, 1),
                    multiplier=np.tile(np.array([4, -1], np.int8), (32, 1)), shift=np.full(32, 12), groups=groups,
                    offset=np.zeros(32, np.int64), low=0, high=15)

    tensors = (Tensor("image", 28, 28, (64,), codes), Tensor("middle", 28, 28, (32,), codes),
               Tensor("out", 28, 28, (32,), codes))
    ops = conv("dense", "image", "middle", 64, 1), conv("lanes", "middle", "out", 1, 32)
    return plan(Program(tensors, ops), EDGE)


def layers(planned: Plan) -> list[tuple[dict[str, int], LayerEstimate]]:
    """Return what both layers count and cost."""
    cost = estimate(planned, TABLE)
    counts = dict(zip((op.name for op in planned.program.ops), count_events(planned), strict=True))
    return [(counts[layer.name] | {"cycles": layer.latency_cycles}, layer) for layer in cost.layers
            if layer.name in ("dense", "lanes")]


def test_every_event_is_counted_by_hand(planned: Plan) -> None:
    """Each count of each layer is worked out on the page, to the last event; those that are left out are 0."""
    for column, (counts, _) in zip((2, 4), layers(planned), strict=True):
        by_hand = {row[0].strip("`"): worked_out(row[column]) for row in rows() if row[column] != "–"}
        assert by_hand == {event: counts[event] for event in PRICED if counts[event]}


def test_every_energy_is_a_count_times_a_price(planned: Plan) -> None:
    """Prices and energies are shown as they are, and add up to the totals below the table with their bands."""
    of_edge = prices(EDGE, TABLE)
    assert [row[1] for row in rows()] == [f"{of_edge[row[0].strip('`')].nominal_pj:.4g}" for row in rows()]
    for column, (counts, layer) in zip((3, 5), layers(planned), strict=True):
        for row in rows():
            event = row[0].strip("`")
            shown = f"{counts[event] * of_edge[event].nominal_pj / 1e3:,.1f}" if counts[event] else "–"
            assert row[column] == shown
        low, nominal, high = (end / 1e3 for end in (layer.energy.low_pj, layer.energy.nominal_pj, layer.energy.high_pj))
        assert f"{nominal:,.1f} nJ ({low:,.0f} to {high:,.0f})" in re.sub(r"\s+", " ", PAGE)
