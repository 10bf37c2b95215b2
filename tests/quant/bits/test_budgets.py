"""Budgets: what is tabled for a choice of bits is what the network then has, counted by other means."""

import re
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from math import inf

import numpy as np
import pytest
import torch
from torch import Tensor, fx, nn

from quant.bits.allocate import Method, allocate
from quant.bits.budgets import constraints, stored_input
from quant.bits.problem import problem_of
from quant.convert import quantize
from quant.data.digits import DIGITS_EXPONENT, DIGITS_FORMAT
from quant.layers.quantized import QuantConv2d, QuantLinear
from quant.lowering.lower import lower
from quant.networks import DigitsNet
from quant.quantizers.base import ActivationQuantizer
from sim.arch.machine import load_machine
from sim.cost.table import CostTable, cost_table
from sim.energy.technology import load_technology
from sim.errors import InputError
from sim.ir.ops import Conv, Layer
from sim.ir.program import Program

COUNTED = ("bops", "mean_weight_bits", "mean_activation_bits", "peak_activation_bytes")


class Shortcuts(nn.Module):
    """A shortcut that needs a copy, one behind a max pool, one that only an add reads, and a depthwise layer."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = (nn.Conv2d(n, 8, 3, padding=1) for n in (1, 8, 8))
        self.d = nn.Conv2d(8, 8, 3, stride=2, padding=1, groups=8)
        self.e, self.f = nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 3, padding=1)
        self.pool, self.head = nn.MaxPool2d(2), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.a(x))
        x = torch.relu(self.b(x) + x)
        x = torch.relu(self.d(self.c(x)) + self.pool(x))
        x = torch.relu(self.e(x) + torch.relu(self.f(x)))
        return self.head(x.mean((2, 3)))


WITHOUT_CHOICE = {"x_quantizer", "block2.shortcut.0_quantizer", "f_quantizer"}
"""Of inputs and of tensors that only an add reads."""

Made = tuple[fx.GraphModule, Program, CostTable]


@pytest.fixture(scope="module", params=[DigitsNet, Shortcuts])
def made(request: pytest.FixtureRequest) -> Made:
    """A quantized network at 4 bits, its Program, and its table."""
    torch.manual_seed(0)
    images = torch.randint(0, 17, (32, 1, 8, 8)) * 2.0**DIGITS_EXPONENT
    model = quantize(request.param().eval(), images, scheme="qil", weight_bits=4, activation_bits=4,
                     input_format=DIGITS_FORMAT, input_exponent=DIGITS_EXPONENT)
    program = lower(model, images[:1])
    return model, program, cost_table(program, load_machine("edge"), load_technology("generic45"))


def with_bits(model: fx.GraphModule, program: Program, bits: Mapping[str, tuple[int, int]]) -> Program:
    """The Program after every layer and the tensor that it reads have got these bits."""
    given = {tensor.name for tensor in program.inputs}
    for conv in program.convs:
        bits_w, bits_a = bits[conv.name]
        tensor = stored_input(program, conv)
        if conv.weight_format.kind != "unit":
            layer = model.get_submodule(conv.name)
            layer.weight_quantizer.set_bits(bits_w, layer.weight)
        if tensor not in given:
            model.get_submodule(f"{tensor}_quantizer").set_bits(bits_a, torch.rand(256) * 4)
    return lower(model, torch.zeros(1, 1, 8, 8))


def random_bits(program: Program, rng: np.random.Generator) -> dict[str, tuple[int, int]]:
    """Any bits; readers of one tensor agree, the input has its 5."""
    given = {tensor.name for tensor in program.inputs}
    of_tensor = {tensor.name: 5 if tensor.name in given else int(rng.integers(2, 9)) for tensor in program.tensors}
    return {conv.name: (int(rng.integers(2, 9)), of_tensor[stored_input(program, conv)]) for conv in program.convs}


def tabled(program: Program, table: CostTable, name: str, bits: Mapping[str, tuple[int, int]]) -> Fraction:
    """What the constraints of a budget come to."""
    pairs = [(table.weight_bits.index(w), table.activation_bits.index(a))
             for w, a in (bits[conv.name] for conv in program.convs)]
    return max(Fraction(sum(int(made.costs[layer][pair]) for layer, pair in enumerate(pairs)), made.part.per)
               for made in constraints(program, table, {name: 9}).values())


def counted(model: fx.GraphModule, program: Program) -> dict[str, Fraction]:
    """Every budget of COUNTED, by modules while the model runs; averages, copies and liveness by the Program."""
    bops, weights, stored = 0, list[tuple[int, int]](), list[tuple[int, int]]()
    read = {conv.name: program.tensor(conv.input) for conv in program.convs}
    layers = {module: name for name, module in model.named_modules() if isinstance(module, QuantConv2d | QuantLinear)}
    quantizers = [module for name, module in model.named_modules()
                  if isinstance(module, ActivationQuantizer) and name not in WITHOUT_CHOICE]

    def see_layer(layer: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal bops
        bits = layer.weight_quantizer.bits
        weights.append((layer.weight.numel(), bits))
        bops += output.numel() * layer.weight[0].numel() * bits * read[layers[layer]].format.bits

    def see_tensor(quantizer: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
        stored.append((output.numel(), quantizer.bits))

    hooks = [layer.register_forward_hook(see_layer) for layer in layers]
    hooks += [quantizer.register_forward_hook(see_tensor) for quantizer in quantizers]
    model(torch.zeros(1, 1, 8, 8))
    for hook in hooks:
        hook.remove()
    bops += sum(np.prod(tensor.shape).item() * tensor.format.bits for name, tensor in read.items()
                if name not in layers.values())
    return {"bops": Fraction(bops), "mean_weight_bits": _mean(weights), "mean_activation_bits": _mean(stored),
            "peak_activation_bytes": Fraction(_peak_bits(program), 8)}


def _mean(sizes: list[tuple[int, int]]) -> Fraction:
    return Fraction(sum(count * bits for count, bits in sizes), sum(count for count, _ in sizes))


def _peak_bits(program: Program) -> int:
    """Backwards through the ops: what is read later, or now, and what is being written."""
    needed, most = set[str](), 0
    for op in reversed(program.ops):
        assert isinstance(op, Layer)
        operands = {op.input} | ({op.residual} if isinstance(op, Conv) and op.residual else set())
        there = {program.tensor(name) for name in needed | operands | {op.output}}
        most = max(most, sum(np.prod(t.shape).item() * t.format.bits for t in there))
        needed = (needed | operands) - {op.output}
    return most


def test_any_bits_cost_what_is_tabled(made: Made) -> None:
    """A table made at 4 bits says what the network has at random bits: equal, and above only by the logits' width."""
    model, program, table = made
    rng = np.random.default_rng(0)
    for _ in range(6):
        bits = random_bits(program, rng)
        final = with_bits(model, program, bits)
        found = counted(model, final)
        for name in COUNTED:
            assert tabled(program, table, name, bits) == found[name], name


def test_uniform_bits_have_their_own_mean(made: Made) -> None:
    """All weights at 3 bits mean 3, all activations at 6 mean 6, whatever their sizes."""
    _, program, table = made
    bits = {conv.name: (3, 6) for conv in program.convs}
    assert tabled(program, table, "mean_weight_bits", bits) == 3
    assert tabled(program, table, "mean_activation_bits", bits) == 6


@pytest.mark.parametrize("method", ["lp", "milp", "convex", "greedy"])
@pytest.mark.parametrize("seed", range(4))
def test_every_mix_of_budgets_holds_in_the_final_network(made: Made, seed: int, method: Method) -> None:
    """Random sensitivities, random budgets that some bits use up: the lowered network at the found bits keeps all."""
    model, program, table = made
    rng = np.random.default_rng(seed)
    names, possible = rng.permutation(COUNTED)[: rng.integers(1, 5)].tolist(), random_bits(program, rng)
    limits = {name: np.nextafter(float(tabled(program, table, name, possible)), inf).item() for name in names}
    found = allocate(problem_of(program, table, *_random_losses(program, table, rng), limits), method)
    final = counted(model, with_bits(model, program, found.bits))
    for name in names:
        assert final[name] <= Fraction(limits[name])
        assert found.used[name] == float(final[name])
    assert found.gap >= 0


def _random_losses(program: Program, table: CostTable, rng: np.random.Generator
                   ) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    def falling(count: int) -> list[float]:
        return sorted(rng.lognormal(0, 3, count).tolist(), reverse=True)

    given = {tensor.name for tensor in program.inputs}
    return ({conv.name: falling(len(table.weight_bits)) for conv in program.convs
             if conv.weight_format.kind != "unit"},
            {name: falling(len(table.activation_bits))
             for name in dict.fromkeys(stored_input(program, conv) for conv in program.convs) if name not in given})


@pytest.mark.parametrize("name", COUNTED)
def test_the_smallest_achievable_value_is_achievable(made: Made, name: str) -> None:
    """The number in the refusal of a tiny limit can be met; that of a peak is the peak of all ops."""
    _, program, table = made
    losses = _random_losses(program, table, np.random.default_rng(0))
    with pytest.raises(InputError, match=rf"^budget {name}: 0\.5 cannot be met; the smallest achievable is ") as caught:
        allocate(problem_of(program, table, *losses, {name: 0.5}))
    smallest = float(str(caught.value).rsplit(" ", 1)[1])
    assert allocate(problem_of(program, table, *losses, {name: smallest})).used[name] == smallest
    below = np.nextafter(smallest, 0).item()
    with pytest.raises(InputError, match=rf"^budget {name}: {re.escape(repr(below))} cannot be met"):
        allocate(problem_of(program, table, *losses, {name: below}))


def test_a_budget_is_met_to_the_last_bit(made: Made) -> None:
    """A mean of exactly 4 allows 4 bits everywhere; the next float below does not."""
    _, program, table = made
    weight, activation = _random_losses(program, table, np.random.default_rng(1))
    table = replace(table, weight_bits=(4, 8), cycles=table.cycles[:, :2], energy_pj=table.energy_pj[:, :2],
                    bytes=table.bytes[:, :2], fits=table.fits[:, :2])
    weight = {layer: losses[:2] for layer, losses in weight.items()}
    found = allocate(problem_of(program, table, weight, activation, {"mean_weight_bits": 4.0}))
    assert found.used == {"mean_weight_bits": 4.0}
    below = np.nextafter(4.0, 0).item()
    with pytest.raises(InputError, match=rf"^budget mean_weight_bits: {below!r} cannot be met; "
                                         r"the smallest achievable is 4$"):
        allocate(problem_of(program, table, weight, activation, {"mean_weight_bits": below}))


@pytest.mark.parametrize("name", ["peak_activation_bytes", "mean_weight_bits", "latency_cycles"])
def test_limits_at_the_end_of_floats_bind_nothing(made: Made, name: str) -> None:
    """A limit whose eighth or multiple is beyond floats is one that every choice keeps."""
    _, program, table = made
    for limit in (1e308, 1.7976931348623157e308):
        for constraint in constraints(program, table, {name: limit}).values():
            assert constraint.costs.max(axis=(1, 2)).sum() < constraint.limit


def test_limits_are_never_rounded_up(made: Made) -> None:
    """A limit in units of another size is rounded down, also where floats are sparser than whole numbers."""
    _, program, table = made
    limit = 2.0**53 + 2
    for constraint in constraints(program, table, {"mean_weight_bits": limit}).values():
        assert Fraction(constraint.limit) <= Fraction(limit) * constraint.part.per
