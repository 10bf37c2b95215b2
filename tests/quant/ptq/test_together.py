"""Weights of a layer that are rounded together, to what the float network puts out."""

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from torch import Tensor, fx, nn

from quant.calibration.samples import Sample
from quant.convert import quantize
from quant.data.split import Split
from quant.layers.quantized import QuantConv2d, QuantLinear
from quant.ptq.reconstruct import Reconstruction, reconstruct
from quant.ptq.report import UnitReport
from quant.ptq.second_order import damped, improve
from quant.ptq.together import positions_for, round_layer
from quant.quantizers.strict import check_steps
from quant.quantizers.uniform import UniformWeight
from quant.schemes import uniform
from sim.ir.formats import Format

Quantize = Callable[[nn.Module, Tensor, str, int], fx.GraphModule]


def linear(inputs: int, outputs: int, bits: int, *, channels: int | None = None, bias: bool = True) -> QuantLinear:
    layer = QuantLinear(nn.Linear(inputs, outputs, bias=bias), UniformWeight(bits, channels=channels or outputs))
    layer.weight_quantizer.initialise(layer.weight)
    return layer


def error(layer: QuantLinear, read: Tensor, target: Tensor) -> float:
    with torch.no_grad():
        return float((layer(read) - target).square().mean())


@pytest.mark.parametrize("bias", [False, True])
def test_a_layer_makes_up_for_what_its_input_lost(bias: bool) -> None:
    """Where one of two almost equal inputs is lost, the weights of the other one take its place: on images that nothing
    was fitted to, less than a tenth of the error of rounding the trained weights to nearest is left."""
    torch.manual_seed(0)
    real = torch.randn(600, 4).repeat(1, 2) + 0.02 * torch.randn(600, 8) + bias
    read = real * torch.tensor([1.0] * 4 + [0.0] * 4)
    layer = linear(8, 6, 8, bias=bias)
    with torch.no_grad():
        target = nn.functional.linear(real, layer.weight, layer.bias)
    before = error(layer, read[300:], target[300:])
    round_layer(layer, Sample(read[None, :300], None, 300), target[:300], 1)
    assert error(layer, read[300:], target[300:]) < before / 10
    assert torch.equal(layer.weight_quantizer(layer.weight), layer.weight)


def test_what_is_added_counts() -> None:
    """A layer also makes up for the error of what is subtracted from its output, as far as its inputs tell."""
    torch.manual_seed(0)
    read = torch.randn(400, 8)
    layer, lost = linear(8, 6, 8), read @ torch.randn(8, 6)
    with torch.no_grad():
        target = layer(read)
    round_layer(layer, Sample(read[None], lost, 400), target, -1)
    with torch.no_grad():
        assert float((layer(read) - lost - target).square().mean()) < 1e-3 * float(lost.square().mean())


def test_few_images_leave_the_trained_weights() -> None:
    """Ten images of which least squares learns noise by heart: the weights stay where rounding to nearest at the best
    step of the same 8 bits leaves them, to within a step."""
    torch.manual_seed(0)
    read = torch.randn(10, 64)
    layer = linear(64, 4, 8)
    trained = layer.weight.detach().clone()
    with torch.no_grad():
        target = layer(read) + 5 * torch.randn(10, 4)
    round_layer(layer, Sample(read[None], None, 10), target, 1)
    moved = (layer.weight.detach() - trained).abs() / layer.weight_quantizer.scale.abs()[:, None]
    assert float(moved.square().mean().sqrt()) < 1.0


@pytest.mark.parametrize("channels", [None, 1])
def test_weights_on_a_grid_get_it_back(channels: int | None) -> None:
    """Weights that some steps represent exactly are found again, with their steps, from a step that is 10 % off."""
    torch.manual_seed(0)
    read, layer = torch.randn(500, 16), linear(16, 3, 3, channels=channels)
    steps = torch.tensor([0.5, -0.3, 0.2]) if channels is None else torch.tensor([0.5])
    codes = torch.randint(-4, 4, (3, 16)).float()
    codes[:, 0] = -4
    with torch.no_grad():
        layer.weight.copy_(codes * steps[:, None])
    layer.weight_quantizer.set_scale(1.1 * steps)
    with torch.no_grad():
        target = nn.functional.linear(read, layer.weight, layer.bias)
    round_layer(layer, Sample(read[None], None, 500), target, 1)
    torch.testing.assert_close(layer.weight_quantizer.step, steps)
    torch.testing.assert_close(layer.weight.detach(), codes * steps[:, None])


def test_no_other_code_of_one_weight_is_better_after_enough_sweeps() -> None:
    """Sweeps never raise the error, and end where each weight's code is the best beside all others."""
    torch.manual_seed(0)
    read = torch.randn(300, 1) + 0.3 * torch.randn(300, 70)
    moments = damped((read.T @ read).double()[None])
    rows, scales = torch.randn(1, 5, 70).double(), torch.full((1, 5), 0.5).double()
    values = (rows / 0.5).round().clamp(-4, 3) * 0.5

    def errors(found: Tensor) -> Tensor:
        return ((found - rows) @ moments * (found - rows)).sum(2)

    last = errors(values)
    for _ in range(30):
        values = improve(values, rows, scales, moments, range(-4, 4))
        assert bool((errors(values) <= last + 1e-9).all())
        last = errors(values)
    for place in range(70):
        for step in (-0.5, 0.5):
            other = values.clone()
            other[:, :, place] = (other[:, :, place] + step).clamp(-2.0, 1.5)
            assert bool((errors(other) >= last - 1e-9).all())


def test_positions_follow_the_weights_of_a_channel() -> None:
    """Sixteen positions for each weight, between 4096 and 8192, but no more than 2**25 values in all."""
    assert [positions_for(nn.Linear(count, 2)) for count in (9, 300, 1152)] == [4096, 4800, 8192]
    assert positions_for(nn.Conv2d(1152, 1152, 5, groups=1152)) == 2**25 // (1152 * 25)


@pytest.mark.trains
@pytest.mark.parametrize("scheme", ["power_of_two", "uniform"])
def test_rounding_together_repairs_what_rounding_broke(
        float_net: nn.Module, splits: tuple[Split, Split], as_digits: Quantize, scheme: str) -> None:
    """A residual network at 3 bits ends on its grid, no unit is further from float than before, and on other images the
    logits lose a fifth of their error at least."""
    model, images = as_digits(float_net, splits[0].images, scheme, 3), splits[1].images

    def lost() -> float:
        with torch.no_grad():
            return float((model(images) - float_net(images)).square().mean())

    before = lost()
    reports = reconstruct(model, float_net, splits[0].first(256).images, Reconstruction.fast())
    assert all(unit.after <= unit.before for unit in reports)
    assert lost() < 0.8 * before
    for layer in model.modules():
        if isinstance(layer, QuantConv2d | QuantLinear):
            assert torch.equal(layer.weight_quantizer(layer.weight), layer.weight)
    if scheme == "power_of_two":
        check_steps(model)


@pytest.mark.trains
@pytest.mark.usefixtures("one_thread")
def test_a_stopped_run_ends_with_the_same_bits(
        float_net: nn.Module, splits: tuple[Split, Split], as_digits: Quantize, tmp_path: Path) -> None:
    """Stopped after the second unit and resumed, it gives all weights, steps and distances of one run."""
    images = splits[0].first(64).images
    whole = as_digits(float_net, images, "uniform", 3)
    parts, resumed = deepcopy(whole), deepcopy(whole)
    expected = reconstruct(whole, float_net, images, Reconstruction.fast())
    done: list[UnitReport] = []

    class Stopped(Exception):
        pass

    def stop(unit: UnitReport) -> None:
        done.append(unit)
        if len(done) == 2:
            raise Stopped

    with pytest.raises(Stopped):
        reconstruct(parts, float_net, images, Reconstruction.fast(), progress=stop, checkpoint=tmp_path / "state")
    found = reconstruct(resumed, float_net, images, Reconstruction.fast(), checkpoint=tmp_path / "state")
    assert [(unit.name, unit.before, unit.after) for unit in found] == [
        (unit.name, unit.before, unit.after) for unit in expected]
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


@pytest.mark.trains
def test_depthwise_filters_and_layers_without_a_bias_are_rounded_too() -> None:
    """A separable network at 2 bits, without bias correction: a quarter of the error goes at least."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(2, 8, 3, padding=1, bias=False), nn.ReLU(),
                            nn.Conv2d(8, 8, 3, padding=1, stride=2, groups=8, bias=False), nn.ReLU6(),
                            nn.Conv2d(8, 4, 1, bias=False)).eval()
    images = torch.nn.functional.avg_pool2d(torch.randint(0, 16, (64, 2, 10, 10)).float(), 3, 1).floor() / 16
    model = quantize(network, images, scheme=uniform(bias_correction=False), weight_bits=2, activation_bits=8,
                     input_format=Format(4, "unsigned"), input_exponent=-4)
    (report,) = reconstruct(model, network, images, Reconstruction.fast())
    assert report.after < 0.75 * report.before
