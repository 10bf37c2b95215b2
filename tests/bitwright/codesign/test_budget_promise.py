"""Kept budgets: whatever bits are chosen, the lowered and simulated network costs no more than the table says."""

from math import fsum

import numpy as np
import pytest
import torch
from torch import fx, nn

from quant.bits.budgets import FLOORS, stored_input
from quant.bits.moves import has_fixed_weights
from quant.bits.problem import problem_of
from quant.bits.simulation import simulated_costs
from quant.convert import quantize
from quant.data.digits import DIGITS_EXPONENT, DIGITS_FORMAT, digits
from quant.layers.quantized import QuantConv2d, QuantLinear
from quant.lowering.lower import lower
from quant.networks import DigitsNet
from quant.quantizers.qil import QILActivation
from sim.arch.machine import Machine, load_machine
from sim.cost.estimate import estimate
from sim.cost.table import CostTable, cost_table
from sim.energy.technology import load_technology
from sim.ir.program import Program
from sim.plan.plan import plan

TECHNOLOGY = load_technology("generic45")
BITS = tuple(range(1, 9))


def lowered(model: fx.GraphModule, machine: Machine) -> Program:
    return lower(model, torch.zeros(1, 1, 8, 8), machine.arithmetic)


class OwnInput(nn.Module):
    """conv(x) + x: the shortcut needs a copy of x, whose width is x's own."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.a(x))
        return torch.relu(self.b(x) + x).mean((2, 3))


class ReluBranch(nn.Module):
    """A tensor behind a ReLU that is read as a residual alone."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = (nn.Conv2d(n, 8, 3, padding=1) for n in (1, 8, 8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.a(x))
        return torch.relu(self.b(x) + torch.relu(self.c(x))).mean((2, 3))


class PooledResidual(nn.Module):
    """The residual is the output of a max pool, as wide as the tensor before it."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 8, 3, stride=2, padding=1)
        self.pool = nn.MaxPool2d(2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.a(x))
        return torch.relu(self.b(x) + self.pool(x)).mean((2, 3))


def with_random_bits(model: fx.GraphModule, rng: np.random.Generator) -> None:
    """New widths for all weights and, in execution order, for all stored tensors that have a choice."""
    for module in model.modules():
        if isinstance(module, QuantConv2d | QuantLinear):
            module.weight_quantizer.set_bits(int(rng.choice([1, 2, 3, 8])), module.weight)
    for quantizer in [module for module in model.modules() if isinstance(module, QILActivation)]:
        quantizer.set_bits(int(rng.choice([1, 2, 3, 8])), torch.rand(256) * 4)


def bound(table: CostTable, program: Program) -> tuple[int, float]:
    """Cycles and energy of the table at the program's own bits."""
    choice = []
    for layer, conv in enumerate(program.convs):
        bits_w = table.weight_bits[0] if conv.weight_format.kind == "unit" else conv.weight_format.bits
        bits_a = program.tensor(stored_input(program, conv)).format.bits
        choice.append((layer, table.weight_bits.index(bits_w), table.activation_bits.index(bits_a)))
    return (table.fixed_cycles + sum(int(table.cycles[i]) for i in choice),
            table.fixed_energy_pj + fsum(table.energy_pj[i] for i in choice))


LOOSE = {"latency_ms": 1e9, "fps": 1e-9, "energy_mj": 1e9, "power_mw": 1e9, "edp_mj_ms": 1e9}


def spent(table: CostTable, program: Program) -> dict[str, float]:
    """What the table promises for the program's own bits, of each budget in ms, mJ, mW and their like."""
    losses = [0.0] * len(BITS)
    weights = {conv.name: losses for conv in program.convs if not has_fixed_weights(conv)}
    inputs = {tensor.name for tensor in program.inputs}
    tensors = {stored_input(program, conv): losses for conv in program.convs}
    problem = problem_of(program, table, weights, {name: row for name, row in tensors.items() if name not in inputs},
                         LOOSE)
    bits = {conv.name: (BITS[0] if has_fixed_weights(conv) else conv.weight_format.bits,
                        program.tensor(stored_input(program, conv)).format.bits) for conv in program.convs}
    return problem.spent(problem.choice(bits))


ONE_DIGIT = Machine(**load_machine("tiny").model_dump() | {"terms": 1, "requantizers": 4, "act_regions": 16})
"""Time and energy of its requantizers hang on the output's width alone: no slack hides a neighbour too narrow."""
ROOMY = Machine(**load_machine("tiny").model_dump() | {"act_regions": 16})


@pytest.mark.parametrize("network", [DigitsNet, OwnInput, ReluBranch, PooledResidual])
@pytest.mark.parametrize("machine", [ROOMY, load_machine("edge"), ONE_DIGIT], ids=["tiny", "edge", "one digit"])
def test_any_choice_of_bits_stays_inside_the_table(machine: Machine, network: type[nn.Module]) -> None:
    """A table made at 4 bits bounds the network at random choices of bits between 1 and 8."""
    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    images = digits()[0].images[:64]
    model = quantize(network(), images, scheme="qil", input_format=DIGITS_FORMAT, input_exponent=DIGITS_EXPONENT)
    table = cost_table(lowered(model, machine), machine, TECHNOLOGY, BITS, BITS)
    for _ in range(8):
        with_random_bits(model, rng)
        program = lowered(model, machine)
        cycles, energy_pj = bound(table, program)
        cost = estimate(plan(program, machine), TECHNOLOGY)
        assert cost.latency_cycles <= cycles
        assert cost.energy.nominal_pj <= energy_pj
        for name, value in spent(table, program).items():
            simulated = simulated_costs(cost)[name]
            assert simulated >= value if name in FLOORS else simulated <= value, name
