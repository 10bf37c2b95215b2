"""The final Program keeps its budget, whatever training does to scales and so to digits."""

import re
from copy import deepcopy

import pytest
import torch
from torch import Tensor, fx, nn

from quant.bits.qbitopt import QBitOpt
from quant.bits.simulation import Simulation
from quant.convert import quantize
from quant.lowering.lower import lower, lower_with_report
from quant.schemes import lsq
from quant.training.norms import reestimate_norms
from sim.arch.machine import Machine, load_machine
from sim.cost.table import cost_table
from sim.energy.technology import load_technology
from sim.errors import InputError
from sim.ir.formats import Format

MACHINE = Machine(**load_machine("tiny").model_dump() | {"terms": 6})
"""With more digits than any layer takes at first."""
TECHNOLOGY, WIDTHS = load_technology("generic45"), (2, 3, 4, 8)


@pytest.fixture(scope="module")
def data() -> tuple[Tensor, Tensor]:
    """Images and labels."""
    made = torch.Generator().manual_seed(0)
    return torch.randint(0, 16, (48, 2, 8, 8), generator=made) / 8, torch.randint(0, 5, (48,), generator=made)


@pytest.fixture(scope="module")
def trained(data: tuple[Tensor, Tensor]) -> fx.GraphModule:
    """Two normed convolutions and a classifier, at 8 bits."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(2, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(),
                        nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(),
                        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5))
    return quantize(net, data[0], scheme=lsq(per_channel=False), weight_bits=8, activation_bits=8,
                    input_format=Format(4, "unsigned"), input_exponent=-3)


@pytest.fixture
def model(trained: fx.GraphModule) -> fx.GraphModule:
    return deepcopy(trained)


@pytest.fixture
def simulation(data: tuple[Tensor, Tensor]) -> Simulation:
    return Simulation(MACHINE, TECHNOLOGY, data[0][:1])


def started(model: fx.GraphModule, data: tuple[Tensor, Tensor], limits: dict[str, float],
            simulation: Simulation | None, digits: int | None = None, **how: object) -> QBitOpt:
    """A controller that has made its first allocation."""
    program = lower(model, data[0][:1], MACHINE.arithmetic)
    table = cost_table(program, MACHINE, TECHNOLOGY, WIDTHS, WIDTHS, digits)
    controller = QBitOpt(model, program, table, limits, until=0, simulation=simulation, **how)  # type: ignore[arg-type]
    controller.start(*data)
    return controller


def move_scales(model: nn.Module, seed: int, images: Tensor) -> None:
    """Give every channel another scale, as training does: multipliers then need other digits."""
    torch.manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            with torch.no_grad():
                module.weight.uniform_(0.7, 1.4)
    reestimate_norms(model, images)


@pytest.mark.parametrize("margin", [0.0, 0.01])
def test_a_budget_that_trained_scales_break_is_repaired(
        model: fx.GraphModule, data: tuple[Tensor, Tensor], simulation: Simulation, margin: float) -> None:
    """Scales that take more digits than others break their budget; after `finish` the simulated network keeps it."""
    start = 0.6 * simulation.costs(model)["energy_pj"]
    controller = started(model, data, {"energy_pj": start}, simulation, margin=margin, pins={"0": (8, None)})
    before, costs, digits = dict(controller.bits), list[float](), list[int]()
    for seed in range(3):
        move_scales(model, seed, data[0])
        costs.append(simulation.costs(model)["energy_pj"])
        digits.append(sum(lower_with_report(model, data[0][:1], MACHINE.arithmetic).digits.values()))
    cheap, dear = costs.index(min(costs)), costs.index(max(costs))
    assert digits[dear] > digits[cheap]
    limit = controller.limits["energy_pj"] = costs[cheap]
    move_scales(model, dear, data[0])
    assert simulation.costs(model)["energy_pj"] > limit
    controller.finish(data[0])
    assert simulation.costs(model)["energy_pj"] <= limit
    last = controller.history[-1]
    assert len(controller.history) > 1
    assert last.accepted
    assert last.allocation.used["energy_pj"] <= limit
    assert controller.bits == last.allocation.bits | {"6": (1, last.allocation.bits["6"][1])} != before
    assert controller.bits["0"][0] == 8
    assert all(w <= old_w and a <= old_a for (w, a), (old_w, old_a) in
               zip(controller.bits.values(), before.values(), strict=True))


def test_bits_that_cannot_be_taken_back_are_refused(
        model: fx.GraphModule, data: tuple[Tensor, Tensor], simulation: Simulation) -> None:
    """The message gives the limit and what the network takes."""
    controller = started(model, data, {"latency_cycles": 1e9}, simulation, pins={"*": (8, 8)})
    controller.limits["latency_cycles"] = 1.0
    reestimate_norms(model, data[0])
    cost = int(simulation.costs(model)["latency_cycles"])
    with pytest.raises(InputError, match=r"^budget latency_cycles: 1 cannot be met; the narrowest widths of the "
                                         rf"trained network take {cost}$"):
        controller.finish(data[0])


def test_the_simulated_cost_fills_the_budget(
        model: fx.GraphModule, data: tuple[Tensor, Tensor], simulation: Simulation) -> None:
    """Bits that cost just the budget in the simulation are taken; the table, which bounds them, rules them out."""
    wanted = deepcopy(model)
    started(wanted, data, {"energy_pj": 0.6 * simulation.costs(model)["energy_pj"]}, None)
    limits, bounded = {"energy_pj": simulation.costs(wanted)["energy_pj"]}, deepcopy(model)
    filled = started(model, data, limits, simulation, margin=0.0).history[0].allocation
    by_table = started(bounded, data, limits, None).history[0].allocation
    assert filled.objective < by_table.objective
    assert filled.used == {"energy_pj": simulation.costs(model)["energy_pj"]}
    assert simulation.costs(bounded)["energy_pj"] < filled.used["energy_pj"] <= limits["energy_pj"]


def test_a_table_of_too_few_digits_breaks_no_budget(
        model: fx.GraphModule, data: tuple[Tensor, Tensor], simulation: Simulation) -> None:
    """A table of one digit is no bound for real scales: the simulation decides at the start, and in the end."""
    limits = {name: cost / 0.6 if name == "fps" else 0.6 * cost
              for name, cost in simulation.costs(model).items() if name != "power_mw"}
    controller = started(model, data, limits, simulation, digits=1)
    move_scales(model, 0, data[0])
    controller.finish(data[0])
    costs = simulation.costs(model)
    assert costs.pop("power_mw") > 0
    assert costs.pop("fps") >= limits["fps"]
    assert all(cost <= limits[name] for name, cost in costs.items())


def test_a_reallocation_that_gains_nothing_is_taken_where_the_budget_is_broken(
        model: fx.GraphModule, data: tuple[Tensor, Tensor], simulation: Simulation) -> None:
    """Bits that cost too much by now do not stay because they lose little."""
    controller = started(model, data, {"energy_pj": 0.6 * simulation.costs(model)["energy_pj"]}, simulation)
    controller.until = controller.every = 1
    controller.limits["energy_pj"] = 0.9 * simulation.costs(model)["energy_pj"]
    controller(1, torch.optim.SGD(model.parameters(), lr=0.0))
    assert [update.accepted for update in controller.history] == [True, True]
    assert simulation.costs(model)["energy_pj"] <= controller.limits["energy_pj"]


def test_one_bit_can_be_chosen(
        model: fx.GraphModule, data: tuple[Tensor, Tensor], simulation: Simulation) -> None:
    """Where the mean width must be small some layers get bipolar weights, as lowered, and the budget holds."""
    program = lower(model, data[0][:1], MACHINE.arithmetic)
    table = cost_table(program, MACHINE, TECHNOLOGY, (1, 2, 8), (1, 2, 4, 8))
    limits = {"energy_pj": 0.6 * simulation.costs(model)["energy_pj"], "mean_weight_bits": 3.0}
    controller = QBitOpt(model, program, table, limits, until=0, simulation=simulation)
    controller.start(*data)
    controller.finish(data[0])
    lowered = lower(model, data[0][:1], MACHINE.arithmetic)
    kinds = {conv.name: conv.weight_format.kind for conv in lowered.convs if conv.weight_format.bits == 1}
    assert "bipolar" in kinds.values()
    assert {name for name, kind in kinds.items() if kind == "bipolar"} == {
        site.layer for site in controller.sites if site.module is not None and controller.bits[site.layer][0] == 1}
    assert simulation.costs(model)["energy_pj"] <= limits["energy_pj"]


@pytest.mark.parametrize(("changes", "text"), [
    ({"weight_discount": -0.1}, "weight_discount must be finite and at least 0, not -0.1"),
    ({"margin": 1.0}, "margin must be at least 0 and below 1, not 1.0")])
def test_refuses_discounts_and_margins_out_of_range(
        model: fx.GraphModule, data: tuple[Tensor, Tensor], changes: dict[str, float], text: str) -> None:
    """The message gives the range and what came."""
    with pytest.raises(InputError, match=f"^{re.escape(text)}$"):
        started(model, data, {"energy_pj": 1e9}, None, **changes)  # type: ignore[arg-type]
