"""An estimate's rows add up to the whole, Loads and Stores among them."""

from math import isclose

import numpy as np
import pytest

from sim.arch.host_memory import Memory
from sim.arch.machine import load_machine
from sim.cost.estimate import estimate
from sim.cost.totals import totals
from sim.energy.technology import load_technology
from sim.errors import InputError
from sim.ir.formats import Format
from sim.ir.ops import Conv, Tensor
from sim.ir.program import Program
from sim.plan.plan import plan
from sim.testing import random_machine, random_program


@pytest.mark.parametrize("seed", range(30))
def test_rows_add_up_to_the_whole(seed: int) -> None:
    """Cycles and energy of all ops sum to those of the Program, however much of it overlaps."""
    rng = np.random.default_rng(seed)
    machine = random_machine(rng).model_copy(update={"memory": Memory(latency_cycles=9, beats=2, period_cycles=3)})
    try:
        planned = plan(random_program(rng, machine, layers=4), machine)
    except InputError:
        return
    cost = estimate(planned, load_technology("generic45"))
    assert [layer.name for layer in cost.layers] == [op.name for op in planned.program.ops]
    assert sum(layer.latency_cycles for layer in cost.layers) == cost.latency_cycles
    assert isclose(sum(layer.energy.nominal_pj for layer in cost.layers), cost.energy.nominal_pj, rel_tol=1e-12)
    assert sum(count for name, count in cost.cycles.items() if name != "total") == cost.latency_cycles
    assert {"load", "store"} <= {layer.kind for layer in cost.layers}
    assert all(layer.utilisation == 0 for layer in cost.layers if not layer.macs)
    for layer in cost.layers:
        assert sum(layer.cycles.values()) == layer.latency_cycles
        assert min(layer.cycles.values()) >= 0
        assert layer.cycles[layer.bound] == max(layer.cycles.values())
    assert sum(cost.cycles_by_cause.values()) == cost.latency_cycles
    assert cost.macs == sum(layer.macs for layer in cost.layers)
    whole = totals(planned, load_technology("generic45"))
    assert vars(whole).items() <= vars(cost).items()
    assert whole.figures == cost.figures
    busy = cost.cycles_by_cause.get("array", 0) + cost.cycles_by_cause.get("depthwise lanes", 0)
    assert busy == cost.cycles["pairs"]
    parts = cost.energy.by_component
    assert isclose(sum(part.high_pj for part in parts.values()), cost.energy.high_pj, rel_tol=1e-12)
    assert isclose(cost.energy.on_chip.low_pj + parts["host memory"].low_pj, cost.energy.low_pj, rel_tol=1e-12)


def conv_program(bits: int, channels: int, outputs: int, kernel: int = 1, size: int = 14) -> Program:
    """One Conv from `channels` to `outputs` channels, on a map of so many pixels, all of so many bits."""
    fmt, pad = Format(bits, "unsigned"), kernel // 2
    tensors = Tensor("x", size, size, (channels,), fmt), Tensor("y", size, size, (outputs,), fmt)
    digits = np.tile(np.array([4, 3, 2, 1], np.int8), (outputs, 1))
    zeros = np.zeros(outputs, np.int64)
    conv = Conv("conv", "x", "y", np.ones((outputs, channels, kernel, kernel), np.int8), Format(bits, "signed"),
                digits, zeros, zeros, fmt.low, fmt.high, pads=(pad,) * 4)
    return Program(tensors, (conv,))


@pytest.mark.parametrize(("program", "bound"), [
    (conv_program(8, 64, 64, 3), "array"), (conv_program(2, 64, 256), "requantizer"),
    (conv_program(4, 2048, 1000, size=1), "weights"),
])
def test_layers_are_bound_by_what_is_slow(program: Program, bound: str) -> None:
    """Many bits keep the array busy, few bits and channels the requantizers; on one pixel weights come too late."""
    cost = estimate(plan(program, load_machine("edge")), load_technology("generic45"))
    assert next(layer.bound for layer in cost.layers if layer.name == "conv") == bound


def test_figures_are_those_of_the_totals() -> None:
    """1 ms at 500 MHz is half a million cycles; power, efficiency and energy times delay follow, with their bands."""
    cost = estimate(plan(conv_program(4, 64, 64, 3), load_machine("edge")), load_technology("generic45"))
    seconds, used = cost.latency_cycles / 500e6, cost.energy
    assert cost.macs == 14 * 14 * 64 * 64 * 9
    assert cost.latency_ms == pytest.approx(1e3 * seconds)
    assert cost.fps == pytest.approx(1 / seconds)
    assert cost.energy_mj.nominal == pytest.approx(1e-9 * used.nominal_pj)
    assert cost.power_mw.high == pytest.approx(1e-9 * used.high_pj / seconds)
    assert cost.edp_mj_ms.low == pytest.approx(1e-9 * used.low_pj * 1e3 * seconds)
    assert cost.tops == pytest.approx(2e-12 * cost.macs / seconds)
    assert cost.tops_per_w.low == pytest.approx(2 * cost.macs / used.high_pj)
    assert cost.on_chip_tops_per_w.nominal == pytest.approx(2 * cost.macs / used.on_chip.nominal_pj)
