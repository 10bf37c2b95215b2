"""Units of tensors in which steps are powers of two: what they must not change, and what they gain."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, fx, nn

from quant.calibration.stored import Stored
from quant.convert import quantize
from quant.free_tensors import free_tensors
from quant.frontends.read_model import read_model
from quant.linked_tensors import linked_tensors
from quant.lowering.lower import lower_with_report
from quant.lowering.strict import check_powers_of_two
from quant.quantizers.lsq import LSQActivation
from quant.quantizers.power_of_two import PowerOfTwoActivation
from quant.reference import run_reference
from quant.schemes import power_of_two
from quant.stages.stages import stages
from quant.tensor_units import fit_units
from sim.ir.arithmetic import Arithmetic
from sim.ir.formats import Format


class Net(nn.Module):
    """A residual block whose inside is free, and a head that an average reads."""

    def __init__(self, activation: Callable[[], nn.Module] = nn.ReLU6) -> None:
        super().__init__()
        self.stem, self.expand = nn.Conv2d(2, 4, 1), nn.Conv2d(4, 8, 1)
        self.filter, self.project = nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.Conv2d(8, 4, 1)
        self.head, self.last = nn.Conv2d(4, 6, 1), nn.Linear(6, 3)
        self.activation, self.nothing = activation(), nn.Identity()
        with torch.no_grad():
            self.expand.weight.mul_(60)

    def forward(self, x: Tensor) -> Tensor:
        x = self.activation(self.stem(x))
        wide = self.nothing(self.activation(self.expand(x)))
        x = x + self.project(self.activation(self.filter(wide)))
        return self.last(nn.functional.adaptive_avg_pool2d(self.activation(self.head(x)), 1).flatten(1))


def network(activation: Callable[[], nn.Module] = nn.ReLU6) -> nn.Module:
    torch.manual_seed(0)
    return Net(activation).eval()


def images() -> tuple[Tensor, Tensor]:
    codes = torch.randint(0, 16, (48, 2, 6, 6), generator=torch.Generator().manual_seed(0))
    return codes, codes * 2.0**-4


def values(graph: fx.GraphModule, x: Tensor) -> dict[str, Tensor]:
    """What every stage stores, by its name."""
    interpreter = fx.Interpreter(graph, garbage_collect_values=False)
    with torch.no_grad():
        interpreter.run(x)
    return {stage.name: interpreter.env[stage.end] for stage in stages(graph)}


def strict(model: nn.Module, *, own_units: bool = True, bits: int = 8) -> fx.GraphModule:
    scheme = power_of_two(own_units=own_units)
    return quantize(model, images()[1], scheme=scheme, weight_bits=bits, activation_bits=bits,
                    input_format=Format(4, "unsigned"), input_exponent=-4)


def test_tensors_are_free_that_only_depthwise_convolutions_read() -> None:
    """What dense layers, averages and adds read, what an add makes, and the output are not free."""
    graph = read_model(network(), images()[1])
    free = free_tensors(graph, stages(graph))
    assert [tensor.stage.name for tensor in free] == ["expand"]
    assert [[stage.name for stage in tensor.readers] for tensor in free] == [["filter"]]


@pytest.mark.parametrize("read", [
    lambda wide, filtered: filtered + wide, lambda wide, filtered: filtered + torch.max_pool2d(wide, 1),
    lambda wide, filtered: filtered * wide])
def test_tensors_that_others_read_too_are_not_free(read: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Adds, products and pools need the units of the float network."""
    class Reading(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.expand, self.filter, self.dense = nn.Conv2d(2, 8, 1), nn.Conv2d(8, 8, 1, groups=8), nn.Conv2d(8, 8, 1)

        def forward(self, x: Tensor) -> Tensor:
            wide = torch.relu(self.expand(x))
            return self.dense(torch.relu(read(wide, self.filter(wide))))

    graph = read_model(Reading().eval(), images()[1])
    assert "expand" not in [tensor.stage.name for tensor in free_tensors(graph, stages(graph))]


def test_added_tensors_are_linked_and_what_others_than_layers_read_is_not_free() -> None:
    """An add ties what it reads to what it makes; what an average reads, the input and the output stay."""
    graph = read_model(network(), images()[1])
    linked = linked_tensors(graph, stages(graph))
    assert [({stage.name for stage in group.makers}, {stage.name for stage in group.readers}) for group in linked] == [
        ({"stem", "project"}, {"expand", "head"}), ({"expand"}, {"filter"}), ({"filter"}, {"project"})]


@pytest.mark.parametrize("read", [
    lambda x, y: x + torch.max_pool2d(y, 1), lambda x, y: x * y, lambda x, y: torch.cat([x + y, y], 1)[:, 4:],
    lambda x, y: torch.sigmoid(x + y)])
def test_tensors_that_others_read_are_not_linked(read: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Pools, products, concatenations and functions need the units of the float network."""
    class Reading(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two, self.dense = nn.Conv2d(2, 4, 1), nn.Conv2d(2, 4, 1), nn.Conv2d(4, 8, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.dense(read(self.one(x), self.two(x)))

    graph = read_model(Reading().eval(), images()[1])
    assert linked_tensors(graph, stages(graph)) == []


@pytest.mark.parametrize(("bits", "moved"), [(8, ["expand"]), (4, ["stem", "project", "expand", "filter"])])
def test_the_network_computes_the_same(bits: int, moved: list[str]) -> None:
    """Only free tensors are stored in other units, at 8 bits those that depthwise convolutions read; the output is the
    same, to rounding."""
    model, (_, x) = network(), images()
    graph = read_model(model, x)
    factors = fit_units(graph, Stored(x, None, x.dtype), lambda stage: bits)
    wanted, stored = values(read_model(model, x), x), values(graph, x)
    assert sorted(factors) == sorted(moved)
    assert all(bool((factor != 1).all()) for factor in factors.values())
    for name, value in wanted.items():
        factor = factors.get(name, torch.ones(value.shape[1])).float()
        found = stored[name] * factor.reshape(1, -1, *[1] * (value.ndim - 2))
        assert torch.allclose(found, value, rtol=1e-5, atol=1e-6), name


def test_the_largest_code_is_where_a_relu6_cuts() -> None:
    """A step of 2**k reaches neither 6 nor just beyond it otherwise."""
    model, (_, x) = network(), images()
    quantized = strict(model)
    own, plain = (values(graph, x)["expand"].max() / graph.expand_quantizer.scale
                  for graph in (quantized, strict(model, own_units=False)))
    assert (float(own), float(plain)) == (255.0, 192.0)
    quantizer = quantized.expand_quantizer
    assert float(6.0 / quantizer.factor[0]) == pytest.approx(255 * float(quantizer.scale))


@pytest.mark.parametrize("scale", [0.7, 0.75, 1.0, 1.1])
def test_tensors_that_are_added_err_less_together(scale: float) -> None:
    """Tensors of one unit lose in all at most a quarter more than with the best real steps; in the float network's
    units they lose 50 to 90 % more at these scales."""
    model, (_, x) = network(nn.ReLU), images()
    with torch.no_grad():
        for layer in (model.stem, model.project):
            layer.weight.mul_(scale)
            layer.bias.mul_(scale)
    graph = read_model(model, x)
    fit_units(graph, Stored(x, None, x.dtype), lambda stage: 4)
    stored, lost = values(graph, x), {True: 0.0, False: 0.0}
    for name in ("stem", "project"):
        for kind in (PowerOfTwoActivation, LSQActivation):
            quantizer = kind(4, signed=name == "project")
            quantizer.initialise(stored[name])
            with torch.no_grad():
                error = (quantizer(stored[name]) - stored[name]).square().mean() / stored[name].square().mean()
            lost[isinstance(quantizer, PowerOfTwoActivation)] += float(error)
    assert lost[True] < 1.25 * lost[False]


@pytest.mark.parametrize("scale", [0.8, 0.9, 1.0, 1.1, 1.3])
def test_tensors_err_as_with_the_best_real_step(scale: float) -> None:
    """However large the values are, a free tensor's quantizer loses what the best real step loses, to a tenth."""
    model, (_, x) = network(nn.ReLU), images()
    with torch.no_grad():
        model.expand.weight.mul_(scale)
    graph = read_model(model, x)
    fit_units(graph, Stored(x, None, x.dtype), lambda stage: 4)
    stored = values(graph, x)["expand"]
    errors = []
    for quantizer in (PowerOfTwoActivation(4, signed=False), LSQActivation(4, signed=False)):
        quantizer.initialise(stored)
        with torch.no_grad():
            errors.append(float((quantizer(stored) - stored).square().mean()))
    assert errors[0] < 1.1 * errors[1]


def test_the_program_is_the_model() -> None:
    """One shift for each multiplication, and every output is the model's."""
    model, (codes, x) = network(), images()
    quantized = strict(model, bits=4)
    lowered = lower_with_report(quantized, x[:1], Arithmetic(terms=1))
    check_powers_of_two(lowered)
    output = lowered.program.outputs[0].name
    found = run_reference(lowered.program, {lowered.program.inputs[0].name: codes.numpy()})[output]
    assert torch.equal(torch.from_numpy(found).flatten(1).double() * lowered.scales[output],
                       quantized.double()(x.double()).detach())
