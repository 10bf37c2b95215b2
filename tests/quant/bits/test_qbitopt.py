"""Reallocation during training: budgets hold at every update, and the bits are where they should be."""

import json
import re
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from torch import distributed, fx, multiprocessing, nn

from quant.bits.allocate import Method
from quant.bits.budgets import BUDGETS, FLOORS, constraints
from quant.bits.discount import WEIGHT_DISCOUNT
from quant.bits.fit_sensitivity import Sensitivity, measured_errors, uniform_noise_errors
from quant.bits.qbitopt import QBitOpt, Update
from quant.convert import quantize
from quant.data.digits import digits
from quant.data.split import Split
from quant.layers.quantized import QuantConv2d, QuantLinear
from quant.lowering.lower import lower
from quant.networks import DigitsNet
from quant.training.history import Epoch
from quant.training.loop import train
from quant.training.norms import reestimate_norms
from quant.training.recipe import Recipe
from sim.arch.machine import Machine, load_machine
from sim.cost.table import CostTable, cost_table
from sim.energy.counting import count_events
from sim.energy.model import energy
from sim.energy.technology import load_technology
from sim.errors import InputError
from sim.ir.arithmetic import Arithmetic
from sim.ir.program import Program
from sim.plan.plan import plan

ROOM = {"fps": 1 - 2.0**-30, "energy_mj": 1 + 2.0**-30, "power_mw": 1 + 2.0**-30, "edp_mj_ms": 1 + 2.0**-30}
"""For roundings of budgets that are no sums of table entries."""
Quantize = Callable[[nn.Module, torch.Tensor, str, int], fx.GraphModule]


def uniform_limits(table: CostTable, bits: int, share: float) -> dict[str, float]:
    """That share of what uniform bits cost, by the table."""
    w, a = table.weight_bits.index(bits), table.activation_bits.index(bits)
    tables = {"latency_cycles": table.cycles, "energy_pj": table.energy_pj, "weight_bytes": table.bytes}
    return {name: share * float(costs[:, w, a].sum()) for name, costs in tables.items()}


@pytest.mark.trains
@pytest.mark.parametrize("method", get_args(Method))
def test_budgets_hold_at_every_update(
        wide: fx.GraphModule, lowered_digits: Program, table: CostTable, splits: tuple[Split, Split], machine: Machine,
        method: str) -> None:
    """From the first step on the bits in the network keep every budget by the table, and the lowered network does."""
    limits = uniform_limits(table, 4, 0.7)
    tables = {"latency_cycles": table.cycles, "energy_pj": table.energy_pj, "weight_bytes": table.bytes}
    train_set = splits[0].first(320)
    controller = QBitOpt(wide, lowered_digits, table, limits, every=4, until=8, method=method)
    updates: list[int] = []

    def check(step: int) -> None:
        for name, limit in limits.items():
            used = sum(costs[table.weight_bits.index(max(w, 2)), table.activation_bits.index(a)]
                       for costs, (w, a) in zip(tables[name], controller.bits.values(), strict=True))
            assert used <= limit
        updates.append(step)

    def after_step(step: int, optimizer: torch.optim.Optimizer) -> None:
        controller(step, optimizer)
        check(step)

    controller.start(train_set.images, train_set.labels)
    check(0)
    train(wide, train_set, Recipe(epochs=2, rate=0.02), after_step=after_step)
    controller.close()
    assert updates == list(range(11))
    assert [update.step for update in controller.history] == [0, 4, 8]
    assert controller.history[0].accepted
    assert controller.bits["stem"][1] == 5
    final = plan(lower(wide, splits[0].images[:1], Arithmetic(acc_bits=24, window=10, terms=3)), machine)
    bits = {conv.name: (conv.weight_format.bits, final.program.tensor(conv.input).format.bits)
            for conv in final.program.convs}
    assert bits == controller.bits
    line, technology = final.timeline, load_technology(machine.technology)
    cycles = [end - start for start, end in zip(line.starts, line.ends, strict=True)]
    used = [energy(counts | {"cycles": taken}, machine, technology).nominal_pj
            for counts, taken in zip(count_events(final), cycles, strict=True)]
    assert line.total <= limits["latency_cycles"]
    assert sum(used) <= limits["energy_pj"]


@pytest.mark.parametrize("method", get_args(Method))
@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.nightly) for seed in range(1, 6))])
def test_random_sensitivities_tables_and_budgets_never_break_one(
        wide: fx.GraphModule, lowered_digits: Program, table: CostTable, splits: tuple[Split, Split],
        method: Method, seed: int) -> None:
    """Whatever traces, costs and mix of budgets, the bits in the network keep every budget after every update."""
    rng, optimizer = np.random.default_rng([seed, get_args(Method).index(method)]), torch.optim.SGD(wide.parameters())
    drawn = replace(table, cycles=table.cycles * rng.integers(1, 9, table.cycles.shape),
                    energy_pj=table.energy_pj * rng.lognormal(0, 1, table.cycles.shape))
    names = rng.permutation(BUDGETS)[: rng.integers(1, len(BUDGETS) + 1)].tolist()
    possible = dict(zip(drawn.layers, rng.integers(2, 9, len(drawn.layers)).tolist(), strict=True))
    limits = {name: costs_of(lowered_digits, drawn, name, possible) * ROOM.get(name, 1.0) for name in names}
    controller = QBitOpt(wide, lowered_digits, drawn, limits, every=1, until=9, gain=-1e6, method=method)
    wide(splits[0].images[:16])
    for step in range(2):
        state = controller.state()
        averages = {name: rng.lognormal(0, 4) for name in state["sensitivity"]["averages"]}
        controller.restore(state | {"sensitivity": {"averages": averages, "counts": dict.fromkeys(averages, 9)}})
        controller(step, optimizer)
        kept = {layer: max(w, 2) for layer, (w, _) in controller.bits.items()}
        for name, limit in limits.items():
            used = costs_of(lowered_digits, drawn, name, kept, controller.bits)
            assert used >= limit if name in FLOORS else used <= limit, name
    assert [update.accepted for update in controller.history] == [True] * 2


def costs_of(program: Program, table: CostTable, name: str, weight_bits: dict[str, int],
             bits: dict[str, tuple[int, int]] | None = None) -> float:
    """The least float not below what a budget comes to, with activations of 5 bits or as given."""
    choice = np.array([(table.weight_bits.index(weight_bits[layer]),
                        table.activation_bits.index(bits[layer][1] if bits else 5)) for layer in table.layers])
    (first, *_) = found = list(constraints(program, table, {name: 1}).values())
    if first.part.value is not None:
        return float(first.part.value(choice))
    worst = max(Fraction(sum(Fraction(made.costs[row, table.weight_bits.index(weight_bits[layer]),
                                                 table.activation_bits.index(bits[layer][1] if bits else 5)].item())
                             for row, layer in enumerate(table.layers)), made.part.per)
                for made in found)
    return float(worst) if Fraction(float(worst)) >= worst else np.nextafter(float(worst), np.inf).item()


def mean_loss(model: nn.Module, data: Split) -> float:
    """Cross-entropy on all images [nats]."""
    with torch.no_grad():
        return float(torch.nn.functional.cross_entropy(model(data.images), data.labels))


@pytest.mark.trains
def test_mixed_bits_learn_the_digits(
        wide: fx.GraphModule, lowered_digits: Program, table: CostTable, splits: tuple[Split, Split]) -> None:
    """At 70 % of what 4 bits cost, two epochs in which bits go on moving lower the loss by 15 % at least, compared with
    the same reallocations of weights that stand still (seen: by 40 to 50 %): they do not break a training."""
    losses, few = [], splits[0].first(640)
    for rate in (1e-6, 0.03):
        model = deepcopy(wide)
        controller = QBitOpt(model, lowered_digits, table, uniform_limits(table, 4, 0.7), every=8, until=8)
        controller.start(few.images, few.labels)
        train(model, few, Recipe(epochs=2, rate=rate), after_step=controller)
        controller.close()
        reestimate_norms(model, few.images)
        losses.append(mean_loss(model, few))
        assert [update.step for update in controller.history] == [0, 8]
    assert losses[1] < 0.85 * losses[0]


def test_small_gains_change_nothing(
        wide: fx.GraphModule, lowered_digits: Program, table: CostTable, splits: tuple[Split, Split]) -> None:
    """A second allocation on the same sensitivities gains nothing and is not accepted: the bits stay."""
    controller = QBitOpt(wide, lowered_digits, table, uniform_limits(table, 4, 0.7), every=1, until=9)
    controller.start(splits[0].images[:64], splits[0].labels[:64])
    before, optimizer = controller.bits, torch.optim.SGD(wide.parameters(), lr=0.0)
    controller(1, optimizer)
    controller(10, optimizer)
    assert [(update.step, update.accepted) for update in controller.history] == [(0, True), (1, False)]
    assert controller.bits == before


def test_losses_are_half_of_traces_times_measured_errors(
        wide: fx.GraphModule, lowered_digits: Program, table: CostTable, splits: tuple[Split, Split]) -> None:
    """Rows of the problem: each weight's own at the discount, each tensor's once, none for input and unit weights."""
    controller = QBitOpt(wide, lowered_digits, table, uniform_limits(table, 4, 0.7), until=0)
    traces: dict[str, float] = {}
    watching = Sensitivity(wide, {"block2.conv2.weight": wide.get_submodule("block2.conv2").weight_quantizer,
                                  "block1.conv2": wide.get_submodule("block1.conv2_quantizer")})
    controller.start(splits[0].images[:256], splits[0].labels[:256])
    traces.update(watching.traces)
    watching.close()
    problem = controller.problem()
    layer = wide.get_submodule("block2.conv2")
    errors = measured_errors(layer.weight_quantizer, layer.weight, table.weight_bits)
    foreseen = 0.5 * traces["block2.conv2.weight"] * errors
    np.testing.assert_array_equal(problem.weight_loss[5], WEIGHT_DISCOUNT * foreseen)
    assert controller.losses()[0]["block2.conv2"] == foreseen.tolist()
    errors = measured_errors(wide.get_submodule("block1.conv2_quantizer"), watching.samples["block1.conv2"],
                             table.activation_bits)
    np.testing.assert_array_equal(problem.activation_loss[3], 0.5 * traces["block1.conv2"] * errors)
    assert not problem.activation_loss[4].any()
    assert not problem.activation_loss[0].any()
    assert not problem.weight_loss[6].any()
    assert (problem.allowed_weights, problem.allowed_activations) == ({6: (2,)}, {0: (5,)})
    # Six bits more: 4**6 = 4096 where the noise is uniform, 2000 to 4300 on these weights.
    assert (problem.weight_loss[:6, 0] > 100 * problem.weight_loss[:6, -1]).all()


@pytest.mark.trains
def test_momentum_of_refitted_steps_is_forgotten(
        wide: fx.GraphModule, lowered_digits: Program, table: CostTable, splits: tuple[Split, Split]) -> None:
    """When a quantizer's bits change, the optimizer's state of its parameters goes; that of weights stays."""
    controller = QBitOpt(wide, lowered_digits, table, uniform_limits(table, 4, 0.7), every=1, until=1)
    optimizer = torch.optim.SGD(wide.parameters(), lr=1e-4, momentum=0.9)
    torch.nn.functional.cross_entropy(wide(splits[0].images[:64]), splits[0].labels[:64]).backward()
    optimizer.step()
    controller(1, optimizer)
    changed = next(layer for layer in wide.modules() if isinstance(layer, QuantConv2d | QuantLinear)
                   and layer.weight_quantizer.bits < 8)
    assert changed.weight_quantizer.high not in optimizer.state
    assert changed.weight in optimizer.state


def test_impossible_budgets_are_refused_before_training(
        wide: fx.GraphModule, lowered_digits: Program, table: CostTable, splits: tuple[Split, Split]) -> None:
    """The smallest achievable latency is named."""
    smallest = int(sum(costs.min() for costs in np.delete(table.cycles, (0, 3, 4), axis=0)))
    smallest += int(table.cycles[0, :, table.activation_bits.index(5)].min())
    smallest += int((table.cycles[3].min(axis=0) + table.cycles[4].min(axis=0)).min()) + table.fixed_cycles
    controller = QBitOpt(wide, lowered_digits, table, {"latency_cycles": 10}, until=0)
    text = f"budget latency_cycles: 10 cannot be met; the smallest achievable is {smallest}"
    with pytest.raises(InputError, match=f"^{re.escape(text)}$"):
        controller.start(splits[0].images[:64], splits[0].labels[:64])


def test_refuses_the_table_of_another_network(
        wide: fx.GraphModule, lowered_digits: Program, table: CostTable, splits: tuple[Split, Split]) -> None:
    """Layers must be the Program's own, in its order."""
    other = replace(table, layers=("conv", *table.layers[1:]))
    text = (f"the cost table is of the layers {', '.join(other.layers)}, "
            f"the program's are {', '.join(table.layers)}")
    controller = QBitOpt(wide, lowered_digits, other, {"latency_cycles": 1e9}, until=0)
    with pytest.raises(InputError, match=f"^{re.escape(text)}$"):
        controller.start(splits[0].images[:64], splits[0].labels[:64])


@pytest.mark.trains
@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("scheme", ["qil", "lsq"])
def test_an_interrupted_training_ends_the_same(
        float_net: nn.Module, as_digits: Quantize, splits: tuple[Split, Split], machine: Machine, tmp_path: Path,
        scheme: str) -> None:
    """Stopped after its first epoch and begun again, bits, history and every parameter come out as without a stop."""
    few = splits[0].first(48)
    wide = as_digits(float_net, few.images, scheme, 8)
    program = lower(wide, few.images[:1], machine.arithmetic)
    table = cost_table(program, machine, load_technology("generic45"), (2, 3, 8), (2, 3, 5))
    limits, recipe = uniform_limits(table, 3, 0.9), Recipe(epochs=2, rate=0.02, batch=16)

    def stop(record: Epoch) -> None:
        if record.epoch == 1:
            raise KeyboardInterrupt

    def trained_by(controller: QBitOpt, **options: object) -> tuple[dict[str, object], list[Update]]:
        train(controller.model, few, recipe, after_step=controller, **options)
        controller.close()
        return {name: value.tolist() for name, value in controller.model.state_dict().items()}, controller.history

    def controlled() -> QBitOpt:
        controller = QBitOpt(deepcopy(wide), program, table, limits, every=2, until=5, gain=-1.0)
        controller.start(few.images, few.labels)
        return controller

    expected = trained_by(controlled())
    with pytest.raises(KeyboardInterrupt):
        trained_by(controlled(), checkpoint=tmp_path / "run.safetensors", progress=stop)
    found = trained_by(controlled(), checkpoint=tmp_path / "run.safetensors")
    assert [update.step for update in expected[1]] == [0, 2, 4]
    assert found == expected


def in_a_process(rank: int, folder: Path, scheme: str) -> None:
    """Train with reallocations in one of two processes and write its bits and a sum of every parameter."""
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    machine, data = load_machine("tiny"), digits()[0].first(64)
    model = quantize(DigitsNet().eval(), data.images, scheme=scheme, weight_bits=8, activation_bits=8,
                     input_format=data.format, input_exponent=data.exponent)
    program = lower(model, data.images[:1], machine.arithmetic)
    controller = QBitOpt(model, program, cost_table(program, machine, load_technology(machine.technology)),
                         {"mean_weight_bits": 2.4, "mean_activation_bits": 4.0}, every=2, until=12, gain=-1.0)
    controller.start(data.images, data.labels)
    train(model, data, Recipe(epochs=3, rate=0.05, batch=16), after_step=controller)
    sums = {name: float(value.detach().double().sum()) for name, value in model.named_parameters()}
    (folder / f"{rank}.json").write_text(json.dumps([controller.bits, sums, len(controller.history)]))
    distributed.destroy_process_group()


@pytest.mark.trains
@pytest.mark.nightly
@pytest.mark.parametrize("scheme", ["lsq", "qil"])
def test_processes_choose_the_same_bits(tmp_path: Path, scheme: str) -> None:
    """Two processes that see half of each batch end with the same bits and the same parameters."""
    multiprocessing.spawn(in_a_process, (tmp_path, scheme), nprocs=2)
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2))
    assert first == second
    assert first[2] == 7


def test_a_state_survives_json(
        wide: fx.GraphModule, lowered_digits: Program, table: CostTable, splits: tuple[Split, Split]) -> None:
    """Written and read, it is the same state, and history holds the same updates."""
    limits = uniform_limits(table, 4, 0.7)
    first, second = (QBitOpt(wide, lowered_digits, table, limits, until=0) for _ in range(2))
    first.start(splits[0].images[:64], splits[0].labels[:64])
    second.restore(json.loads(json.dumps(first.state())))
    assert second.state() == first.state()
    assert second.history == first.history


@pytest.mark.trains
@pytest.mark.parametrize("scheme", ["lsq", "uniform", "power_of_two"])
def test_every_scheme_can_be_reallocated(
        float_net: nn.Module, as_digits: Quantize, splits: tuple[Split, Split], machine: Machine, scheme: str) -> None:
    """Learnt steps, real steps and powers of two: the bits get into the network and keep the budgets, which its first
    bits do not."""
    few = splits[0].first(128)
    wide = as_digits(float_net, few.images, scheme, 8)
    program = lower(wide, few.images[:1], machine.arithmetic)
    limits = {"bops": 3e6, "mean_weight_bits": 3.5, "mean_activation_bits": 5.0, "peak_activation_bytes": 900.0}
    controller = QBitOpt(wide, program, cost_table(program, machine, load_technology("generic45")), limits, every=2,
                         until=2)
    controller.start(few.images, few.labels)
    train(wide, few, Recipe(epochs=1, rate=0.01, batch=32), after_step=controller)
    controller.close()
    final = lower(wide, few.images[:1], machine.arithmetic)
    assert {conv.name: (conv.weight_format.bits, final.tensor(conv.input).format.bits)
            for conv in final.convs} == controller.bits
    for update in controller.history:
        assert all(update.allocation.used[name] <= limit for name, limit in limits.items())


def test_learnt_steps_follow_their_new_width(
        float_net: nn.Module, as_digits: Quantize, splits: tuple[Split, Split]) -> None:
    """The gradient of a step is divided by the root of elements times the new largest code, not the old one."""
    layer = as_digits(float_net, splits[0].images[:64], "lsq", 8).get_submodule("block1.conv1")
    layer.weight_quantizer.set_bits(2, layer.weight)
    scale = layer.weight_quantizer.scale.detach()[:, None, None, None]
    layer.weight_quantizer(layer.weight.detach()).sum().backward()
    ratio = layer.weight.detach() / scale
    codes = torch.floor(ratio.clamp(-2, 1) + 0.5)
    inside = (ratio >= -2) & (ratio <= 1)
    by_channel = ((codes - ratio * inside) * scale.sign()).flatten(1)
    expected = by_channel.sum(1) / (by_channel.shape[1] * 1) ** 0.5
    assert torch.allclose(layer.weight_quantizer.step.grad, expected, rtol=1e-4, atol=1e-5)


def test_the_model_of_uniform_noise_can_be_compared(
        wide: fx.GraphModule, lowered_digits: Program, table: CostTable, splits: tuple[Split, Split]) -> None:
    """With `uniform_noise` the losses are half of traces times the model's errors."""
    controller = QBitOpt(wide, lowered_digits, table, uniform_limits(table, 4, 0.7), until=0, errors="uniform_noise")
    controller.start(splits[0].images[:64], splits[0].labels[:64])
    weight_loss, _ = controller.losses()
    layer = wide.get_submodule("block2.conv2")
    errors = uniform_noise_errors(layer.weight, table.weight_bits)
    trace = controller.state()["sensitivity"]["averages"]["block2.conv2.weight"] / (1 - 0.99)
    assert np.array(weight_loss["block2.conv2"]) == pytest.approx(0.5 * trace * errors, rel=1e-9)


@pytest.mark.parametrize(("options", "message"), [
    ({"errors": "guessed"}, "errors must be measured or uniform_noise, not guessed"),
    ({"every": 0}, "every must be an int of at least 1, not 0"),
    ({"every": 2.5}, "every must be an int of at least 1, not 2.5"),
    ({"until": -1}, "until must be an int of at least 0, not -1"),
    ({"gain": float("nan")}, "gain must be finite and below 1, not nan"),
    ({"gain": 1}, "gain must be finite and below 1, not 1"),
    ({"margin": -0.1}, "margin must be at least 0 and below 1, not -0.1"),
    ({"weight_discount": "a fifth"}, "weight_discount must be finite and at least 0, not a fifth"),
])
def test_refuses_options_out_of_range(options: dict[str, Any], message: str, wide: fx.GraphModule,
                                      lowered_digits: Program, table: CostTable) -> None:
    """Each with what it may be and what came."""
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        QBitOpt(wide, lowered_digits, table, {"latency_cycles": 1e9}, **{"until": 0, **options})


def test_what_needs_a_start_asks_for_it(wide: fx.GraphModule, lowered_digits: Program, table: CostTable,
                                        splits: tuple[Split, Split]) -> None:
    """The end and the losses; `start` itself asks for a batch."""
    controller, images, labels = controlled(wide, lowered_digits, table), splits[0].images, splits[0].labels
    with pytest.raises(InputError, match=r"^no bits have been chosen yet: call start before training$"):
        controller.finish(images[:64])
    with pytest.raises(InputError, match=r"^losses are known only after start or a step of training$"):
        controller.losses()
    with pytest.raises(InputError, match=r"^batch must be at least 1, not 0$"):
        controller.start(images[:64], labels[:64], 0)


def controlled(model: fx.GraphModule, program: Program, table: CostTable) -> QBitOpt:
    return QBitOpt(model, program, table, {"latency_cycles": 1e9}, until=0)
