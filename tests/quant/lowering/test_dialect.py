"""Concatenations, selections, clamps and differences: the Program computes what the quantized model says."""

from collections.abc import Callable
from copy import deepcopy

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from quant.analysis.layers import layer_qualities
from quant.bits.allocate import allocate
from quant.bits.problem import problem_of
from quant.bits.sensitivities import Measurement
from quant.bits.with_bits import with_bits
from quant.convert import quantize
from quant.layers.clamp import Clamp
from quant.layers.pools import PaddedMax
from quant.layers.selection import ZEROS, Selection
from quant.lowering.lower import Lowered, lower, lower_with_report
from quant.lowering.strict import check_powers_of_two
from quant.ptq.reconstruct import Reconstruction, reconstruct
from quant.ptq.units import units
from quant.reference import run_reference
from quant.stages.frontend import checked_stages
from quant.stages.stages import stages
from quant.trace.shapes import Shapes
from quant.trace.tracer import trace
from sim.arch.machine import Machine
from sim.cost.estimate import estimate
from sim.cost.table import cost_table
from sim.energy.technology import load_technology
from sim.errors import InputError
from sim.functional.reference import simulate
from sim.ir.formats import Format
from sim.ir.ops import Conv
from sim.plan.plan import plan

Follow = Callable[[nn.Module, Lowered, dict[str, np.ndarray], Tensor], int]


class Branches(nn.Module):
    """Branches of other ranges, a max pool, the image, a value that is read again; every kind of layer reads them."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.three = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 5, 3, padding=1)
        self.norm, self.act = nn.BatchNorm2d(4), nn.ReLU()
        self.max, self.average = nn.MaxPool2d(3, 1, padding=1), nn.AvgPool2d(2, 2)
        self.filter, self.thin = nn.Conv2d(22, 22, 3, padding=1, groups=22), nn.Conv2d(22, 6, 1)
        self.last = nn.Linear(6 * 12, 5)

    def forward(self, x: Tensor) -> Tensor:
        one, three = self.act(self.norm(self.one(x))), self.three(x)
        joined = torch.cat([one, self.max(three), x, three, torch.cat([self.three(x)], 1)], 1)
        y = self.filter(joined) + joined
        z = self.thin(self.max(y)) + self.thin(joined)
        return self.last(self.average(z.relu()).flatten(1))


class Dense(nn.Module):
    """DenseNet: BatchNorm and ReLU of all maps so far before each convolution, and an average of all at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.norms = nn.ModuleList(nn.BatchNorm2d(channels) for channels in (4, 7, 10))
        self.convs = nn.ModuleList(nn.Conv2d(channels, 3, 3, padding=1) for channels in (4, 7))
        self.pool, self.last = nn.AdaptiveAvgPool2d(1), nn.Linear(10, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for norm, conv in zip(self.norms, self.convs, strict=False):
            x = torch.cat((x, conv(norm(x).relu())), 1)
        return self.last(self.pool(self.norms[2](x).relu()).flatten(1))


class Rows(nn.Module):
    """Rows: joined after a flatten, normed, picked from, and joined as the output."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.pool, self.norm = nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d((2, 1)), nn.BatchNorm1d(14)
        self.inner, self.inner_norm, self.pick = nn.Linear(8, 6), nn.BatchNorm1d(6), Selection((3, ZEROS, 12, 0, 5))
        self.left, self.right = nn.Linear(14, 2), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        flat = self.pool(torch.relu(self.conv(x))).flatten(1)
        joined = torch.cat((flat, self.inner_norm(self.inner(flat))), 1)
        return torch.cat((self.left(self.norm(joined)), self.right(self.pick(joined))), -1)


class Picks(nn.Module):
    """A shortcut of option A, a crop, channels with zeros around them, clamps at any ends, differences."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.deep = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 8, 3, stride=2, padding=1)
        self.short = Selection((ZEROS, ZEROS, 0, 1, 2, 3, ZEROS, ZEROS), range(0, 8, 2), range(0, 7, 2))
        self.crop, self.around = Selection(None, range(1, 3), range(2, 4)), Selection((1, 0, 7), pads=(1, 0, 2, 1))
        self.clamp, self.above = Clamp(-0.5, 1.25), nn.Hardtanh(0.25, 2.0)
        self.last, self.other = nn.Linear(32, 5), nn.Linear(105, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.clamp(self.conv(x))
        y = self.above(self.deep(x) + self.short(x))
        return self.last(self.crop(y).flatten(1)) - self.other(self.around(y - self.deep(x)).flatten(1))


NETWORKS = [Branches, Dense, Rows, Picks]


def made(network: type[nn.Module]) -> nn.Module:
    """A network with random weights, and random BatchNorm statistics of both signs of gain."""
    torch.manual_seed(0)
    model = network()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            for tensor, low, high in ((module.weight, -1.5, 1.5), (module.bias, -0.5, 0.5),
                                      (module.running_mean, -0.5, 0.5), (module.running_var, 0.25, 2.0)):
                assert tensor is not None
                tensor.detach().uniform_(low, high)
    return model.eval()


CODES = torch.randint(-128, 128, (32, 3, 8, 7), generator=torch.Generator().manual_seed(1))
IMAGES = CODES / 32


def quantized(model: nn.Module, scheme: str, bits: int = 4) -> nn.Module:
    """The network for inputs of 8 signed bits with 1/32 to a code."""
    return quantize(model, IMAGES, scheme=scheme, weight_bits=bits, activation_bits=bits,
                    input_format=Format(8, "signed"), input_exponent=-5)


@pytest.mark.parametrize("scheme", ["qil", "lsq", "uniform", "power_of_two"])
@pytest.mark.parametrize("network", NETWORKS)
def test_each_layer_is_its_real_map_to_half_a_code(network: type[nn.Module], scheme: str, follow: Follow) -> None:
    """Every stored tensor has, in two engines, the codes of the real map of what is read; strict logits are equal."""
    model = quantized(made(network), scheme)
    lowered = lower_with_report(model, IMAGES[:1])
    few = CODES[:4].numpy()
    found = run_reference(lowered.program, {"x": few})
    for name, codes in simulate(lowered.program, {"x": few.astype(np.int32)}).items():
        np.testing.assert_array_equal(found[name], codes)
    with torch.no_grad():
        kept = [stage for stage in stages(model) if not stage.keeps_codes and not stage.is_part]
        assert follow(model, lowered, found, IMAGES[:4]) == len(kept)
        if scheme == "power_of_two":
            check_powers_of_two(lowered)
            (target,) = lowered.program.outputs
            logits = torch.from_numpy(found[target.name][:, :, 0, 0]).double() * lowered.scales[target.name]
            assert torch.equal(logits, deepcopy(model).double()(IMAGES[:4].double()))


def ops_of(network: type[nn.Module]) -> list[tuple[str, str, str, int]]:
    """(op, input, output, part) of the network's Program."""
    program = lower(quantized(made(network), "uniform"), IMAGES[:1])
    return [(op.name, op.input, op.output, op.output_part if isinstance(op, Conv) else 0) for op in program.ops]


def test_what_writes_and_reads_parts() -> None:
    """Producers that nothing else reads write their part, others are copied; one dense copy makes one part of all."""
    assert ops_of(Branches) == [
        ("three", "x", "three", 0), ("max_1", "three", "max_1", 0), ("one", "x", "cat_1", 0),
        ("cat_1_part.1", "max_1", "cat_1", 1), ("cat_1_part.2", "x", "cat_1", 2), ("cat_1_part.3", "three", "cat_1", 3),
        ("three_1", "x", "cat_1", 4), ("cat_1.joined", "cat_1", "cat_1.joined", 0),
        ("cat_1.joined.copy", "cat_1.joined", "cat_1.joined.copy", 0), ("filter", "cat_1.joined", "filter", 0),
        ("max_2", "filter", "max_2", 0), ("thin_1", "cat_1", "thin_1", 0), ("thin", "max_2", "thin", 0),
        ("average", "thin", "average", 0), ("last", "average", "last", 0)]


def test_a_norm_of_joined_maps_is_in_their_copies() -> None:
    """DenseNet's BatchNorm and ReLU cost no op: each part is normed where it is written."""
    assert ops_of(Dense)[3:8] == [("cat_part.0", "stem", "cat", 0), ("cat_part.1", "convs.0", "cat", 1),
                                  ("cat_1_part.0", "stem", "cat_1", 0), ("cat_1_part.1", "convs.0", "cat_1", 1),
                                  ("convs.1", "cat", "cat_1", 2)]


def test_a_selection_keeps_codes() -> None:
    """What is picked has the codes of its source, zeros its zero point, and places those that torch picks."""
    lowered = lower_with_report(quantized(made(Picks), "uniform"), IMAGES[:1])
    found = run_reference(lowered.program, {"x": CODES[:2].numpy()})
    zero = lowered.program.tensor("conv").format.zero_point
    np.testing.assert_array_equal(found["short"][:, 2:6], found["conv"][:, :, ::2, ::2])
    assert (found["short"][:, [0, 1, 6, 7]] == zero).all()
    np.testing.assert_array_equal(found["crop"], found["deep"][:, :, 1:3, 2:4])
    assert (found["around"][:, :, 0] == zero).all()
    np.testing.assert_array_equal(found["around"][:, :, 1:5, :4], found["sub"][:, [1, 0, 7]])


@pytest.mark.parametrize("pads", [(0, 0, 1, 1), (2, 1, 0, 0), (0, 0, 0, 0)])
def test_max_pools_have_pads_of_their_own(pads: tuple[int, int, int, int]) -> None:
    """Codes are the largest of each window of torch's, padded places never; those of ceil_mode are one case."""
    pool = PaddedMax((3, 2), (2, 2), pads)
    network = nn.Sequential(nn.Conv2d(3, 2, 1), pool, nn.Conv2d(2, 2, 1))
    lowered = lower_with_report(quantized(network.eval(), "uniform"), IMAGES[:1])
    found = run_reference(lowered.program, {"input_1": CODES[:4].numpy()})
    wanted = pool(torch.from_numpy(found["0"]).double())
    np.testing.assert_array_equal(found["1"], wanted.numpy())
    if pads == (0, 0, 1, 1):
        assert torch.equal(wanted, nn.MaxPool2d((3, 2), 2, ceil_mode=True)(torch.from_numpy(found["0"]).double()))


@pytest.mark.parametrize("size", [(5, 6), (6, 5), (7, 7), (8, 8)])
@pytest.mark.parametrize("slopes", [1, 2])
@pytest.mark.parametrize("pool", [nn.MaxPool2d(2, ceil_mode=True), nn.MaxPool2d(3, 2, 1, ceil_mode=True)])
def test_windows_of_ceil_mode_follow_the_size(pool: nn.MaxPool2d, slopes: int, size: tuple[int, int]) -> None:
    """A network may be lowered for another size than that with which it was quantized, also one that is exported."""
    layers = nn.Conv2d(3, 2, 1), pool, nn.PReLU(slopes), nn.Conv2d(2, 2, 1)
    model = quantized(nn.Sequential(*layers).eval(), "uniform")
    program = lower_with_report(model, torch.zeros(1, 3, *size)).program
    codes = np.random.default_rng(0).integers(-8, 8, (2, 3, *size))
    found = run_reference(program, {"input_1": codes})
    np.testing.assert_array_equal(found["1"], pool(torch.from_numpy(found["0"]).double()).numpy())


@pytest.mark.trains
def test_parts_are_reconstructed_together() -> None:
    """The layers that write one tensor are a unit; what is learnt stays on the grid of single shifts."""
    model = made(Branches)
    strict = quantized(model, "power_of_two")
    assert [[stage.name for stage in unit.stages] for unit in units(strict)][:2] == [
        ["three"], ["one", "cat_1_part.1", "cat_1_part.2", "cat_1_part.3", "three_1", "cat_1"]]
    reports = reconstruct(strict, model, IMAGES, Reconstruction(iterations=2))
    assert all(report.after <= report.before for report in reports)
    lowered = lower_with_report(strict, IMAGES[:1])
    check_powers_of_two(lowered)
    qualities = {layer.name: layer for layer in layer_qualities(strict, model, IMAGES[:4], lowered)}
    assert qualities["cat_1"].tensor_bits == 4
    assert qualities["one"].tensor_bits is None


@pytest.mark.parametrize("network", [Branches, Picks])
def test_bits_are_allocated(network: type[nn.Module], machine: Machine) -> None:
    """What only moves codes has no choice of bits; the network with the chosen ones keeps the budget."""
    model = quantized(made(network), "uniform", 8)
    program, technology = lower(model, IMAGES[:1], machine.arithmetic), load_technology("generic45")
    table = cost_table(program, machine, technology)
    weights, activations = Measurement(model, IMAGES[:8]).run()
    most = problem_of(program, table, weights, activations, {"latency_cycles": 1e9})
    budget = int(0.7 * most.spent(most.choice(allocate(most).bits))["latency_cycles"])
    found = allocate(problem_of(program, table, weights, activations, {"latency_cycles": budget}))
    changed = lower(with_bits(model, found.bits, IMAGES[:8]), IMAGES[:1], machine.arithmetic)
    assert estimate(plan(changed, machine), technology).latency_cycles <= budget


def test_zeros_need_a_code() -> None:
    """A tensor of 1 signed bit has no zeros beside it."""
    model = quantized(made(Picks), "lsq", 1)
    with pytest.raises(InputError, match=r"^'short' puts zeros beside a tensor of 1 signed bit, which has no code for "
                                         r"them$"):
        lower(model, IMAGES[:1])


@pytest.mark.parametrize(("selection", "reason"), [
    (Selection(None, range(1, 8), pads=(1, 0, 0, 0)),
     "zeros can be put around 8 rows or columns, not around some of them"),
], ids=["zeros"])
def test_selections_that_no_convolution_makes(selection: Selection, reason: str) -> None:
    """Pads stand around a whole map."""
    graph = trace(nn.Sequential(selection, nn.Conv2d(3, 2, 1)))
    Shapes(graph).run(IMAGES[:1])
    with pytest.raises(InputError, match=f"^selection at '0': {reason}$"):
        checked_stages(graph)
