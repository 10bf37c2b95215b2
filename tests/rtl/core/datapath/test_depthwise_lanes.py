"""Depthwise lanes on the whole machine: the same bits, cycles and counters as the simulator."""

from __future__ import annotations

import numpy as np
import pytest

from sim.arch.machine import Machine, load_machine
from sim.errors import InputError
from sim.ir.arithmetic import Arithmetic
from sim.ir.formats import Format
from sim.ir.ops import Conv, Tensor
from sim.ir.program import Program
from sim.plan.plan import Plan, plan
from sim.testing import corner_inputs, random_program

KINDS = ("depthwise", "average", "add")
MACHINES: dict[str, dict[str, int]] = {
    "half of a word": {"rows": 4, "lanes": 16, "depthwise_lanes": 8},
    "four groups": {"rows": 4, "lanes": 16, "depthwise_lanes": 16, "max_bits_w": 4, "columns": 4},
    "a lane per row": {"rows": 2, "lanes": 8, "depthwise_lanes": 2, "requantizers": 1, "columns": 2},
    "a single row": {"rows": 1, "lanes": 8, "depthwise_lanes": 1, "requantizers": 1},
}


SUMS = Format(20, "signed")
WEIGHTS = (Format(8, "signed"), Format(3, "signed"), Format(7, "unsigned"), Format(2, "unsigned"), Format(1, "signed"),
           Format(1, "unit"))


def lane_machine(name: str, **changes: int) -> Machine:
    return Machine(**load_machine("tiny").model_dump() | {
        "name": name, "stream_bits": 8, "acc_depth": 16, "act_regions": 8, "region_words": 512, **MACHINES[name],
        **changes})


def lane_plans(rng: np.random.Generator, machine: Machine, count: int, kinds: tuple[str, ...] = KINDS) -> list[Plan]:
    """Plans of random Programs, each with a layer on the lanes; every second one may have many channels."""
    plans: list[Plan] = []
    while len(plans) < count:
        try:
            planned = plan(random_program(rng, machine, kinds=kinds, channels=40 if len(plans) % 2 else 10), machine)
        except InputError:
            continue
        if any(schedule.on_depthwise_unit for _, schedule in planned.convs()):
            plans.append(planned)
    return plans


@pytest.mark.parametrize("name", ["half of a word", "four groups", *(
    pytest.param(name, marks=pytest.mark.nightly) for name in ("a lane per row", "a single row"))])
def test_layers_on_lanes_are_exact(compare, name):
    """Strides, pads, dilations, every width, residuals and unit weights: codes, cycles and counters are equal."""
    rng, machine = np.random.default_rng(11), lane_machine(name)
    for planned in lane_plans(rng, machine, 2):
        assert compare(planned, corner_inputs(rng, planned.program, 2)) == []


def test_lanes_and_array_take_turns(compare):
    """Dense layers and pools before and after a layer on lanes find everything as they left it."""
    rng, machine = np.random.default_rng(12), lane_machine("half of a word")
    for planned in lane_plans(rng, machine, 2, (*KINDS, "dense", "max")):
        assert compare(planned, corner_inputs(rng, planned.program, 1)) == []


def sum_layer(name: str, weight_format: Format) -> Conv:
    """A strided, padded and dilated depthwise layer of 13 channels whose outputs are its sums."""
    rng, low, high = np.random.default_rng(13), weight_format.low, weight_format.high
    weights = np.where(rng.random((13, 1, 3, 2)) < 0.4, rng.choice([low, high], (13, 1, 3, 2)),
                       rng.integers(low, high + 1, (13, 1, 3, 2))).astype(np.int8)
    zero, one = np.zeros(13, np.int64), np.ones((13, 1), np.int8)
    return Conv(f"sum into {name}", "a", name, weights, weight_format, one, zero, zero, SUMS.low, SUMS.high,
                groups=13, stride=(2, 2), dilation=(2, 2), pads=(1, 1, 1, 1))


@pytest.mark.parametrize("activations", [Format(8, "signed", -3), Format(3, "unsigned", 5), Format(1, "signed")])
def test_sums_are_exact_for_every_kind_of_code(compare, activations):
    """Signs, extremes and padding: the sums themselves, with nothing rounded away."""
    layers = tuple(sum_layer(f"b{index}", weight_format) for index, weight_format in enumerate(WEIGHTS))
    targets = (Tensor(layer.output, 3, 3, (13,), SUMS) for layer in layers)
    program = Program((Tensor("a", 7, 5, (13,), activations), *targets), layers,
                      Arithmetic(acc_bits=24, window=10, terms=3))
    planned = plan(program, lane_machine("half of a word", act_regions=16))
    assert compare(planned, corner_inputs(np.random.default_rng(14), program, 2)) == []


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(40))
def test_random_layers_on_lanes_are_exact(compare, seed):
    """The same on every machine with lanes, far more often."""
    rng = np.random.default_rng(seed)
    for name in MACHINES:
        for planned in lane_plans(rng, lane_machine(name), 2, (*KINDS, "dense", "max")):
            assert compare(planned, corner_inputs(rng, planned.program, 1)) == [], name
