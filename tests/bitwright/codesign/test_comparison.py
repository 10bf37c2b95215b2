"""Networks, bits and machines side by side."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from bitwright.cli.app import main
from bitwright.codesign.comparison import Candidate, compare_figures, compare_layers
from bitwright.codesign.costs import estimate
from bitwright.codesign.programs_at_bits import programs_at_bits
from sim.arch.machine import load_machine
from sim.energy.model import prices
from sim.energy.technology import load_technology
from sim.ir.shapes import load_shapes

EDGE, GENERIC = load_machine("edge"), load_technology("generic45")
NETWORK = load_shapes("resnet8")


def candidate(name: str, bits: tuple[int, int], machine=EDGE, technology=GENERIC) -> Candidate:
    """Return ResNet-8 at some bits."""
    [program] = programs_at_bits(NETWORK, machine, [bits]).values()
    return Candidate(name, machine, technology, estimate(program, machine, technology=technology))


def by_figure(*candidates: Candidate) -> dict:
    """Return the comparisons of two candidates."""
    return {found.figure: found for found in compare_figures(candidates)}


def test_figures_are_those_of_the_estimates() -> None:
    """Values of both, and the ratio of the nominal ones."""
    eight, four = candidate("8/8", (8, 8)), candidate("4/4", (4, 4))
    found = by_figure(eight, four)
    assert set(found) == {"latency_cycles", "weight_bytes", *eight.cost.figures}
    cycles = found["latency_cycles"]
    assert (cycles.first_value, cycles.other_value, cycles.open) == (
        eight.cost.latency_cycles, four.cost.latency_cycles, False)
    energy = found["energy_mj"]
    assert energy.ratio == four.cost.energy_mj.nominal / eight.cost.energy_mj.nominal
    assert energy.other == "4/4"


def test_bands_that_overlap_need_not_leave_the_order_open() -> None:
    """On one machine both pay the same prices: 4/4 takes less of every event than 8/8. With prices of two processes it
    does not follow."""
    eight, four = candidate("8/8", (8, 8)), candidate("4/4", (4, 4))
    assert four.cost.energy_mj.high > eight.cost.energy_mj.low
    assert not by_figure(eight, four)["energy_mj"].open
    elsewhere = replace(four, technology=GENERIC.model_copy(update={"name": "another"}))
    assert by_figure(eight, elsewhere)["energy_mj"].open


def test_an_order_is_open_where_prices_turn_it_around() -> None:
    """Four times the operands' bits against twice the elements' work: which is more depends on their prices."""
    one = candidate("one", (8, 8))
    spread = prices(EDGE, GENERIC)
    more, less = "pair_lanes", "act_reads"
    counts = dict(one.cost.events)
    counts[more] += 10_000
    counts[less] -= round(10_000 * spread[more].nominal_pj / spread[less].nominal_pj)
    other = Candidate("other", EDGE, GENERIC, replace(one.cost, events=counts))
    assert by_figure(one, other)["energy_mj"].open
    assert by_figure(one, other)["power_mw"].open
    assert by_figure(one, other)["tops_per_w"].open


def test_the_same_is_the_same() -> None:
    """Nothing is open between a candidate and itself."""
    one = candidate("one", (4, 4))
    assert not any(found.open for found in compare_figures([one, one]))
    assert {found.ratio for found in compare_figures([one, one])} == {1.0}


def test_layers_that_differ_most_come_first() -> None:
    """Each layer by name with the cycles of every candidate; those that one lacks have none there."""
    eight, four = candidate("8/8", (8, 8)), candidate("4/4", (4, 4))
    short = replace(four, cost=replace(four.cost, layers=four.cost.layers[:-1]))
    found = compare_layers([eight, short])
    assert {layer.layer for layer in found} == {layer.name for layer in eight.cost.layers}
    spreads = [layer.spread_cycles for layer in found]
    assert spreads == sorted(spreads, reverse=True)
    last = next(layer for layer in found if layer.layer == eight.cost.layers[-1].name)
    assert last.latency_cycles == (eight.cost.layers[-1].latency_cycles, None)
    assert last.spread_cycles == eight.cost.layers[-1].latency_cycles


def test_the_command_names_candidates_by_what_differs(capfd: pytest.CaptureFixture[str]) -> None:
    """Bits alone, machines alone, or both; one candidate is none to compare."""
    assert main(["compare", "resnet8", "-b", "4", "-b", "2/3", "--json"]) == 0
    data = json.loads(capfd.readouterr().out)
    assert [one["name"] for one in data["candidates"]] == ["4/4", "2/3"]
    assert {found["other"] for found in data["figures"]} == {"2/3"}
    assert main(["compare", "resnet8", "resnet20", "-m", "edge", "-m", "large", "--json"]) == 0
    data = json.loads(capfd.readouterr().out)
    assert [one["name"] for one in data["candidates"]] == [
        "resnet8 edge", "resnet8 large", "resnet20 edge", "resnet20 large"]
    assert main(["compare", "resnet8", "-b", "4", "-b", "2"]) == 0
    assert "order is certain" in capfd.readouterr().out
    assert main(["compare", "resnet8"]) == 1
    assert capfd.readouterr().err == (
        "bitwright: networks, bits and machines must make 2 to 50 candidates to compare, not 1\n")
