"""Equalization by powers of two: what it must not change, and what it gains."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, fx, nn

from quant.convert import quantize
from quant.equalize import Equalized, equalize
from quant.factors import as_stored
from quant.frontends.read_model import read_model
from quant.lowering.lower import lower_with_report
from quant.lowering.strict import check_powers_of_two
from quant.ptq.reconstruct import Reconstruction, reconstruct
from quant.quantizers.stepped import SteppedWeight
from quant.reference import run_reference
from quant.schemes import Scheme, power_of_two, uniform
from quant.stages.stages import stages
from sim.ir.arithmetic import Arithmetic
from sim.ir.formats import Format

SPREAD = torch.tensor([1.0, 0.3, 0.06, 0.01, 2.0, 0.5, 0.1, 0.0])


class Net(nn.Module):
    """Channels of very different ranges before a depthwise convolution, which has two filters for each."""

    def __init__(self, activation: Callable[[], nn.Module] = nn.ReLU) -> None:
        super().__init__()
        self.expand, self.filter = nn.Conv2d(2, 8, 1), nn.Conv2d(8, 16, 3, padding=1, groups=8)
        self.project, self.other = nn.Conv2d(16, 3, 1), nn.Conv2d(2, 8, 1)
        self.last, self.activation = nn.Conv2d(8, 3, 1), activation()
        with torch.no_grad():
            for parameter in (self.expand.weight, self.expand.bias):
                parameter.copy_(4 * torch.rand_like(parameter) - 1)
                parameter.mul_(SPREAD.reshape(-1, *[1] * (parameter.ndim - 1)))

    def forward(self, x: Tensor) -> Tensor:
        wide = self.activation(self.expand(x))
        return self.project(torch.relu(self.filter(wide))) + self.last(torch.relu(self.other(x)))


def images() -> tuple[Tensor, Tensor]:
    codes = torch.randint(0, 16, (48, 2, 6, 6), generator=torch.Generator().manual_seed(0))
    return codes, codes * 2.0**-4


def network(activation: Callable[[], nn.Module] = nn.ReLU) -> nn.Module:
    torch.manual_seed(0)
    return Net(activation).eval()


def strict(model: nn.Module, scheme: Scheme, bits: int = 4) -> fx.GraphModule:
    return quantize(model, images()[1], scheme=scheme, weight_bits=bits, activation_bits=bits,
                    input_format=Format(4, "unsigned"), input_exponent=-4)


def values(graph: fx.GraphModule, x: Tensor) -> dict[str, Tensor]:
    """What every stage stores, by its name."""
    interpreter = fx.Interpreter(graph, garbage_collect_values=False)
    with torch.no_grad():
        interpreter.run(x)
    return {stage.name: interpreter.env[stage.end] for stage in stages(graph)}


def equalized(model: nn.Module, x: Tensor, pieces: int = 1) -> tuple[fx.GraphModule, list[Equalized]]:
    graph = read_model(model, x)
    return graph, equalize(graph, x.split(len(x) // pieces))


def test_channels_reach_into_the_second_quarter_and_nothing_else_changes() -> None:
    """To the bit: rows and filters are scaled by powers of two. A channel of zeros stays, and growth has an end."""
    model, (_, x) = network(), images()
    graph, (found,) = equalized(model, x)
    wanted, stored = values(read_model(model, x), x), values(graph, x)
    reach = stored["expand"].amax((0, 2, 3))
    grown = 1 / found.factor
    assert (found.name, found.held, found.moved) == ("expand", 0, int((grown > 1).sum()))
    assert torch.equal(grown, torch.exp2(grown.log2().round()))
    assert bool(((reach > reach.max() / 4) | (grown == 64) | (reach == 0)).all())
    assert bool(((reach <= reach.max() / 2) | (grown == 1)).all())
    assert float(grown[7]) == 1.0
    assert float(grown.max()) > 16
    for name, value in wanted.items():
        assert torch.equal(stored[name], as_stored(value, found.factor if name == "expand" else None)), name


def test_batches_are_looked_at_together() -> None:
    """Eight pieces of the images give the factors that all of them give at once."""
    model, (_, x) = network(), images()
    (_, (whole,)), (_, (parts,)) = equalized(model, x), equalized(model, x, 8)
    assert torch.equal(whole.factor, parts.factor)


def test_other_images_may_reach_twice_as_far() -> None:
    """A ReLU6 cuts nothing more there, to the bit, than it did before channels grew."""
    model, (_, x) = network(nn.ReLU6), images()
    with torch.no_grad():
        model.get_parameter("expand.weight").mul_(4)
        model.get_parameter("expand.bias").zero_()
    graph, (found,) = equalized(model, x)
    assert found.moved > 0
    assert torch.equal(values(graph, 2 * x)["filter"], values(read_model(model, x), 2 * x)["filter"])


def test_channels_at_the_ceiling_of_a_relu6_are_held() -> None:
    """On the data the network stays the same, to the bit, since what grows stays below 6."""
    model, (_, x) = network(nn.ReLU6), images()
    with torch.no_grad():
        model.get_parameter("expand.weight").mul_(4)
    graph, (found,) = equalized(model, x)
    wanted, stored = values(read_model(model, x), x), values(graph, x)
    assert 0 < found.held < found.held + found.moved <= 8
    assert float(stored["expand"].max()) == 6.0
    assert torch.equal(stored["expand"], as_stored(wanted["expand"], found.factor))
    assert torch.equal(stored["filter"], wanted["filter"])


class Reading(nn.Module):
    """A tensor that a depthwise convolution reads and something else too."""

    def __init__(self, read: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.expand, self.filter, self.read = nn.Conv2d(2, 8, 1), nn.Conv2d(8, 8, 1, groups=8), read
        self.dense = nn.Conv2d(8, 8, 1)

    def forward(self, x: Tensor) -> Tensor:
        wide = torch.relu(self.expand(x))
        return self.dense(torch.relu(self.read(wide, self.filter(wide))))


@pytest.mark.parametrize("read", [
    lambda wide, filtered: filtered + wide, lambda wide, filtered: filtered + torch.max_pool2d(wide, 1)])
def test_tensors_that_others_read_too_stay(read: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Not across adds, nor through pools."""
    assert equalized(Reading(read).eval(), images()[1])[1] == []


@pytest.mark.parametrize("scheme", [partial(power_of_two, own_units=False), uniform], ids=["power_of_two", "uniform"])
def test_codes_of_weights_stay_and_the_tensor_errs_less(scheme: Callable[..., Scheme]) -> None:
    """Steps that are fitted to the weights take the factors up; what is stored is nearer to float."""
    model, (_, x) = network(), images()
    own = {"weight_steps": "weight", "bias_correction": False}
    plain, better = strict(model, scheme(equalize=False, **own)), strict(model, scheme(**own))
    wanted = values(read_model(model, x), x)["expand"]
    errors = []
    for quantized in (plain, better):
        factor = quantized.expand_quantizer.factor
        stored = values(quantized, x)["expand"]
        real = stored if factor is None else stored * factor[:, None, None]
        errors.append(float(((real - wanted) / SPREAD[:, None, None].clamp(min=0.01)).square().mean()))
    assert errors[1] < 0.5 * errors[0]
    assert [item.name for item in better.meta["equalized"]] == ["expand"]
    for layer in ("expand", "filter"):
        one, other = plain.get_submodule(layer), better.get_submodule(layer)
        assert isinstance(one.weight_quantizer, SteppedWeight)
        assert torch.equal(one.weight_quantizer.codes(one.weight), other.weight_quantizer.codes(other.weight))
        assert not torch.equal(one.weight_quantizer.scale, other.weight_quantizer.scale)


def test_one_step_for_all_weights_takes_up_nothing() -> None:
    """So that scheme does not equalize."""
    assert not uniform(per_channel=False).equalize


@pytest.mark.parametrize("learn", [False, pytest.param(True, marks=pytest.mark.trains)])
def test_the_program_is_the_model(learn: bool) -> None:
    """One shift for each multiplication, and every output is the model's; reconstruction compares with what is stored,
    so that at 8 bits there is hardly an error to begin with."""
    model, (codes, x) = network(), images()
    quantized = strict(model, power_of_two(), bits=8)
    if learn:
        reports = reconstruct(quantized, model, x, Reconstruction(iterations=2, drop=0.0))
        assert max(report.before for report in reports) < 0.05
    lowered = lower_with_report(quantized, x[:1], Arithmetic(terms=1))
    check_powers_of_two(lowered)
    output = lowered.program.outputs[0].name
    found = run_reference(lowered.program, {lowered.program.inputs[0].name: codes.numpy()})[output]
    assert torch.equal(torch.from_numpy(found).double() * lowered.scales[output],
                       quantized.double()(x.double()).detach())
