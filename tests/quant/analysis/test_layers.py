"""The report of what each layer loses: every number is recomputed here in another way, on networks small enough."""

import re
from math import log10

import pytest
import torch
from torch import Tensor, fx, nn

from quant.analysis.layers import LayerQuality, layer_qualities
from quant.convert import quantize
from quant.data.pixels import Pixels
from quant.lowering.lower import lower_with_report
from quant.schemes import power_of_two, uniform
from sim.errors import InputError
from sim.ir.formats import Format

PIXELS = Pixels((0.4, 0.5, 0.6), (0.2, 0.25, 0.3))


def network() -> nn.Module:
    """An expansion with channels of different range, a depthwise convolution, an average of 49, and a classifier."""
    torch.manual_seed(3)
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU6(), nn.Conv2d(8, 8, 3, padding=1, groups=8),
        nn.ReLU(), nn.AvgPool2d(7), nn.Flatten(), nn.Linear(8, 5)).eval()
    with torch.no_grad():
        net[0].weight *= 2.0 ** -torch.arange(8.0)[:, None, None, None]
    return net


def images(count: int) -> Tensor:
    pixels = torch.randint(0, 256, (count, 3, 7, 7), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    return PIXELS.values(pixels)


def quantized(net: nn.Module, data: Tensor, bits: int = 4) -> fx.GraphModule:
    return quantize(net, data, scheme=power_of_two(), weight_bits=bits, activation_bits=bits, pixels=PIXELS)


def decibels(exact: Tensor, found: Tensor) -> float:
    exact, found = exact.detach().double(), found.detach().double()
    return 10 * log10(float(exact.square().sum() / (found - exact).square().sum()))


def by_name(found: list[LayerQuality]) -> dict[str, LayerQuality]:
    return {layer.name: layer for layer in found}


def test_the_output_is_compared_with_the_float_networks() -> None:
    """What all layers lose together is the distance of the outputs, whatever the batches were."""
    net, data = network(), images(11)
    model = quantized(net, data)
    found = layer_qualities(model, net, data)
    assert [layer.name for layer in found] == ["input_1", "0", "3", "5", "7"]
    assert found[-1].output_sqnr_db == pytest.approx(decibels(net(data), model(data)))
    assert found[0].output_sqnr_db is None, "the images are pixels, of which nothing is lost"


def test_tensors_are_compared_in_the_units_of_the_float_network() -> None:
    """At 8 bits every stage is near the float network's, though channels are stored larger and averages as sums."""
    net, data = network(), images(16)
    model = quantized(net, data, bits=8)
    found = by_name(layer_qualities(model, net, data))
    assert model.get_submodule("0_quantizer").factor.max() > model.get_submodule("0_quantizer").factor.min()
    assert float(model.get_submodule("5_quantizer").factor[0]) == pytest.approx(64 / 49)
    for layer in found.values():
        assert layer.output_sqnr_db is None or layer.output_sqnr_db > 30, layer


def test_weights_are_compared_with_the_real_ones() -> None:
    """Weights on their grid, as reconstruction leaves them, are compared with the float network's, folded and scaled:
    that gives what comparing the real weights gave."""
    net, data = network(), images(16)
    model = quantized(net, data)
    before = by_name(layer_qualities(model, net, data))
    for name in ("0", "3", "7"):
        layer = model.get_submodule(name)
        with torch.no_grad():
            layer.weight.copy_(layer.weight_quantizer(layer.weight))
    after = by_name(layer_qualities(model, net, data))
    for name in ("0", "3", "7"):
        assert after[name].weight_sqnr_db == pytest.approx(before[name].weight_sqnr_db, rel=1e-4)
        assert after[name].weight_bits == 4
    assert after["5"].weight_bits is None


def test_a_trained_layer_is_compared_with_its_own_weights() -> None:
    """Training moves weights: what quantizing takes from them has nothing to do with the float network's."""
    net, data = network(), images(16)
    model = quantize(net, data, scheme="lsq", weight_bits=3, activation_bits=3, pixels=PIXELS)
    layer = model.get_submodule("0")
    with torch.no_grad():
        layer.weight.copy_(torch.randn(layer.weight.shape, generator=torch.Generator().manual_seed(0)))
        expected = decibels(layer.weight, layer.weight_quantizer(layer.weight))
    assert by_name(layer_qualities(model, net, data))["0"].weight_sqnr_db == pytest.approx(expected)


def test_clipping_counts_what_lies_beyond_the_codes() -> None:
    """A quarter of the values lies above the largest code by more than half a step; zeros of a ReLU are codes."""
    net = nn.Sequential(nn.Conv2d(1, 1, 1, bias=False), nn.ReLU(), nn.Conv2d(1, 1, 1)).eval()
    nn.init.ones_(net[0].weight)
    data = torch.tensor([-8.0, 2.0, 3.0, 3.75]).reshape(1, 1, 2, 2)
    model = quantize(net, data, scheme=uniform(), weight_bits=8, activation_bits=2, input_format=Format(8, "signed"),
                     input_exponent=-3)
    with torch.no_grad():
        model.get_submodule("0_quantizer").step.fill_(1.0)
    layer = by_name(layer_qualities(model, net, data))["0"]
    assert layer.clipped_share == 0.25
    assert layer.tensor_sqnr_db == pytest.approx(10 * log10((4 + 9 + 3.75**2) / 0.75**2))


def test_fit_errors_are_the_lowerings() -> None:
    """In codes where a machine reads the tensor; in the unit of the answers where the host does."""
    net, data = network(), images(16)
    model = quantize(net, data, scheme=uniform(), weight_bits=4, activation_bits=4, pixels=PIXELS)
    lowered = lower_with_report(model, data)
    found = by_name(layer_qualities(model, net, data, lowered))
    assert found["0"].fit_error_codes == lowered.errors["0"].error > 0
    assert found["7"].fit_error_codes is None
    assert found["7"].fit_error_output == lowered.errors["7"].error * lowered.scales["7"]
    assert found["0"].fit_error_output is None


def test_agreement_is_that_of_the_quantized_network_at_the_end() -> None:
    """Nothing has changed before the first quantizer; after the last stage all that is left is the quantized network's
    answer. In between the float network goes on from what the quantized one has made."""
    net, data = network(), images(64)
    model = quantized(net, data, bits=2)
    found = layer_qualities(model, net, data, agreement_images=40)
    answers, own = net(data[:40]).argmax(1), model(data[:40]).argmax(1)
    made = model.get_submodule("0")(model.get_submodule("input_1_quantizer")(data[:40])).clamp(0, 6)
    tensor = model.get_submodule("0_quantizer")
    mixed = net[3:](tensor(made) * tensor.factor.float()[:, None, None]).argmax(1)
    assert found[0].agreement == 1.0
    assert found[-1].agreement == float((answers == own).double().mean()) < 1.0
    assert found[1].agreement == float((answers == mixed).double().mean()) < 1.0


def test_without_images_for_it_there_is_no_agreement() -> None:
    """The rest of the float network need not run."""
    net, data = network(), images(8)
    assert all(layer.agreement is None for layer in layer_qualities(quantized(net, data), net, data,
                                                                    agreement_images=0))


def test_refuses_another_network() -> None:
    """A stage that the float network lacks is named."""
    net, data = network(), images(8)
    text = ("the quantized network has a stage '0' that the float network lacks; give the float network that it was "
            "made from")
    with pytest.raises(InputError, match=f"^{re.escape(text)}$"):
        layer_qualities(quantized(net, data), nn.Sequential(nn.Sequential(nn.Conv2d(3, 2, 1))).eval(), data)


def test_refuses_a_negative_number_of_images() -> None:
    """The limit is named."""
    net, data = network(), images(8)
    with pytest.raises(InputError, match=r"^agreement_images must be at least 0, not -1$"):
        layer_qualities(quantized(net, data), net, data, agreement_images=-1)


def test_progress_counts_images() -> None:
    """To the last one."""
    net, data = network(), images(5)
    seen: list[tuple[int, int]] = []
    layer_qualities(quantized(net, data), net, data, progress=lambda done, whole: seen.append((done, whole)))
    assert seen[-1] == (5, 5)
