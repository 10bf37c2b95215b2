"""Averages and lone BatchNorms of strict networks: shifts, and readers that make up for the rest."""

import re
from collections.abc import Callable
from copy import deepcopy

import pytest
import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from quant.convert import quantize
from quant.factors import as_stored
from quant.frontends.read_model import read_model
from quant.layers.quantized import QuantConv2d
from quant.lowering.lower import Lowered, lower_with_report
from quant.lowering.strict import check_powers_of_two
from quant.ptq.network import move_exponents
from quant.ptq.reconstruct import Reconstruction, reconstruct
from quant.reference import run_reference
from quant.shifts import shift_averages_and_norms
from quant.stages.stages import stages
from sim.errors import InputError
from sim.ir.arithmetic import Arithmetic
from sim.ir.formats import Format


def norm(channels: int) -> nn.BatchNorm2d:
    """A trained one: gains of both signs, one of them 0."""
    made = nn.BatchNorm2d(channels)
    nn.init.uniform_(made.weight, -2, 2)
    nn.init.uniform_(made.bias, -1, 1)
    nn.init.uniform_(made.running_mean, -1, 1)
    nn.init.uniform_(made.running_var, 0.2, 3)
    with torch.no_grad():
        made.weight[0] = 0.0
    return made


class Mean(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3))


class TwoPools(nn.Module):
    """One pool module that is called twice, and a function."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.pool = nn.Conv2d(2, 4, 3, padding=1), nn.AvgPool2d(3, stride=1)
        self.second, self.last = nn.Conv2d(4, 5, 1), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(torch.relu(self.first(x)))
        x = self.pool(torch.relu(self.second(x)))
        return self.last(functional.adaptive_avg_pool2d(x, 1).flatten(1))


def start() -> list[nn.Module]:
    return [nn.Conv2d(2, 4, 3, padding=1), nn.ReLU()]


NETWORKS = {
    "global": lambda: nn.Sequential(*start(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)),
    "mean": lambda: nn.Sequential(*start(), Mean(), nn.Linear(4, 3)),
    "windows": lambda: nn.Sequential(*start(), nn.AvgPool2d(3, 2, 1), nn.Conv2d(4, 6, 3, padding=1, groups=2),
                                     nn.ReLU(), nn.Flatten(), nn.Linear(96, 3)),
    "depthwise": lambda: nn.Sequential(*start(), nn.AvgPool2d(3), nn.Conv2d(4, 8, 2, groups=4)),
    "average_of_average": lambda: nn.Sequential(*start(), nn.AvgPool2d(3, 1), nn.AvgPool2d(5), nn.Flatten(),
                                                nn.Linear(4, 3)),
    "average_then_relu": lambda: nn.Sequential(nn.Conv2d(2, 4, 1), nn.AvgPool2d(7), nn.ReLU(), nn.Flatten(),
                                               nn.Linear(4, 3)),
    "average_max_flatten": lambda: nn.Sequential(*start(), nn.AvgPool2d(3, 1), nn.MaxPool2d(2), nn.Flatten(),
                                                 nn.Linear(16, 3)),
    "called_twice": TwoPools,
    "output": lambda: nn.Sequential(*start(), nn.Conv2d(4, 3, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
    "output_of_two": lambda: nn.Sequential(*start(), nn.AvgPool2d(3, 1), nn.ReLU(), nn.AvgPool2d(5)),
    "output_max": lambda: nn.Sequential(*start(), nn.AvgPool2d(3, 1), nn.MaxPool2d(5), nn.Flatten()),
    "preactivation": lambda: nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), norm(4), nn.ReLU(), nn.Conv2d(4, 3, 3)),
    "norm_first": lambda: nn.Sequential(norm(2), nn.Conv2d(2, 4, 3), nn.ReLU(), nn.AvgPool2d(5), nn.Flatten(),
                                        nn.Linear(4, 3)),
    "norm_of_average": lambda: nn.Sequential(*start(), nn.AvgPool2d(3, 1), norm(4), nn.ReLU(), nn.AvgPool2d(5),
                                             norm(4), nn.Flatten(), nn.Linear(4, 3)),
}
networks = pytest.mark.parametrize("name", NETWORKS)


def network(name: str) -> nn.Module:
    torch.manual_seed(len(name))
    return spread(NETWORKS[name]())


def spread(made: nn.Module) -> nn.Module:
    """A network whose outputs differ between images: weights are large and biases small."""
    made.eval()
    for layer in made.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.normal_(layer.weight, std=3 / layer.weight[0].numel() ** 0.5)
            nn.init.uniform_(layer.bias, -0.1, 0.1)
    return made


def images() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    codes = torch.randint(0, 16, (32, 2, 7, 7), generator=generator)
    codes = codes * torch.randint(0, 16, (32, 2, 1, 1), generator=generator) // 15
    return codes, codes * 2.0**-4


def strict(model: nn.Module, bits: int = 6, **options: int) -> nn.Module:
    return quantize(model, images()[1], scheme="power_of_two", weight_bits=bits, activation_bits=bits,
                    input_format=Format(4, "unsigned"), input_exponent=-4, **options)


def same(model: nn.Module, terms: int = 4) -> Lowered:
    """The lowered network, whose codes times scale are the model's outputs on all images."""
    codes, x = images()
    lowered = lower_with_report(model, x[:1], Arithmetic(terms=terms))
    output = lowered.program.outputs[0].name
    found = run_reference(lowered.program, {lowered.program.inputs[0].name: codes.numpy()})[output]
    with torch.no_grad():
        wanted = deepcopy(model).double()(x.double())
    values = torch.from_numpy(found).double().reshape(wanted.shape) * lowered.scales[output]
    assert len(values.unique()) > 10
    assert torch.equal(values, wanted)
    return lowered


@networks
def test_the_program_is_the_model(name: str) -> None:
    """One exact shift everywhere, and every output is the model's, bit for bit."""
    check_powers_of_two(same(strict(network(name)), terms=1))


def values(graph: fx.GraphModule, x: Tensor) -> dict[str, Tensor]:
    """What every stage stores, by its name, and the output."""
    interpreter = fx.Interpreter(graph, garbage_collect_values=False)
    with torch.no_grad():
        output = interpreter.run(x)
    return {stage.name: interpreter.env[stage.end] for stage in stages(graph)} | {"output": output}


@networks
def test_the_network_computes_the_same(name: str) -> None:
    """Before anything is quantized, only the order of roundings has changed; every tensor is its factor smaller."""
    model, x = network(name).double(), images()[1].double()
    before, after = (read_model(model, x) for _ in range(2))
    factors = shift_averages_and_norms(after)
    assert bool(factors) == (name != "output")  # that one leaves its only factor to the host
    wanted, found = values(before, x), values(after, x)
    for stage, value in wanted.items():
        stored = as_stored(value, factors.get(stage))
        assert torch.allclose(found[stage], stored, rtol=1e-12, atol=1e-12), stage


@networks
def test_the_quantized_model_is_near_the_float_one(name: str) -> None:
    """At 8 bits outputs keep their real magnitude: they are within a tenth of their spread of the float network's."""
    model, (_, x) = network(name), images()
    with torch.no_grad():
        wanted = model(x)
        assert float((strict(model, 8)(x) - wanted).abs().mean()) < 0.1 * float(wanted.std())


@pytest.mark.trains
@pytest.mark.parametrize("name", ["called_twice", "norm_of_average", "output"])
def test_reconstruction_compares_with_what_is_stored(name: str) -> None:
    """Learnt, moved and lowered: still exact; and no unit is further from float than at the start."""
    model, (_, x) = network(name), images()
    quantized = strict(model)
    reports = reconstruct(quantized, model, x, Reconstruction(iterations=3))
    move_exponents(quantized, model, x, trials=4)
    check_powers_of_two(same(quantized, terms=1))
    assert all(report.after <= report.before for report in reports)


class Adding(nn.Module):
    """An average or a BatchNorm, and a convolution that adds it or a copy that does."""

    def __init__(self, made: nn.Module, *, first: bool) -> None:
        super().__init__()
        self.conv, self.made, self.other, self.first = nn.Conv2d(2, 4, 1), made, nn.Conv2d(4, 4, 1), first

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x).relu()
        made = self.made(x)
        return made + self.other(made if self.first else x)


def average() -> nn.Module:
    return nn.AvgPool2d(3, 1, 1)


@pytest.mark.parametrize(("made", "first", "text"), [
    (average, True, "'other' adds what average 'made' puts out; {over}"),
    (average, False, "'made' adds to what average 'made' puts out; {over}"),
    (lambda: nn.Sequential(average(), nn.ReLU6()), True, "'made.0' clamps what average 'made.0' puts out; {over}"),
])
def test_what_cannot_take_up_a_factor_is_refused(made: Callable[[], nn.Module], first: bool, text: str) -> None:
    """An add, or a ReLU6, at an average over 9 pixels; only in strict networks."""
    model, (_, x) = Adding(made(), first=first).eval(), images()
    text = text.format(over="with steps of powers of two it must be over 2**k values, not 9")
    with pytest.raises(InputError, match=f"^{re.escape(text)}$"):
        strict(model)
    quantize(model, x, scheme="uniform", input_format=Format(4, "unsigned"), input_exponent=-4)


def test_a_norm_that_is_added_becomes_weights() -> None:
    """Its gains are those of a depthwise convolution, which need not be 2**k."""
    model = strict(Adding(norm(4), first=True).eval())
    made = model.get_submodule("made")
    assert isinstance(made, QuantConv2d)
    assert (made.groups, made.kernel_size) == (4, (1, 1))


class Joined(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = nn.Conv2d(4, 1, 1), nn.Conv2d(4, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat((self.one(x), self.other(x).relu()), 1)


@pytest.mark.parametrize("before", [nn.Identity(), nn.AvgPool2d(2), nn.MaxPool2d(3, 2), Joined()])
def test_a_norm_that_became_weights_is_rounded_with_the_others(before: nn.Module) -> None:
    """Also after a pool or a concatenation, before a ReLU6, and rounded to what the float network puts out."""
    torch.manual_seed(0)
    model = spread(nn.Sequential(*start(), before, norm(4), nn.ReLU6(), nn.Conv2d(4, 3, 1)))
    quantized = strict(model)
    assert isinstance(quantized.get_submodule("3"), QuantConv2d)
    reconstruct(quantized, model, images()[1], Reconstruction.fast())
    check_powers_of_two(same(quantized, terms=1))


def test_an_output_has_one_scale() -> None:
    """A BatchNorm that is the output would need one for each channel."""
    text = "the model's output is what BatchNorm '1' puts out; with steps of powers of two its gains must be 2**k"
    with pytest.raises(InputError, match=f"^{re.escape(text)}$"):
        strict(nn.Sequential(nn.MaxPool2d(2), norm(2)).eval())


def test_gains_and_counts_of_powers_of_two_may_be_added() -> None:
    """Nothing has to be taken up there."""
    made = nn.BatchNorm2d(4, eps=0.0)
    made.weight.data.copy_(torch.tensor([0.5, -2.0, 1.0, 4.0]))
    for model in (Adding(made, first=True), Adding(nn.AvgPool2d(2, 1), first=True)):
        check_powers_of_two(same(strict(model.eval()), terms=1))


def test_smaller_images_keep_the_share() -> None:
    """A network for maps of 7 x 7 stores 49/64 of the mean of other maps too, so that it can run on smaller images."""
    model, x = network("global"), images()[1][:, :, :5, :5]
    with torch.no_grad():
        wanted = model(x)
        assert float((strict(model, 8)(x) - wanted).abs().mean()) < 0.1 * float(wanted.std())
