"""Sensitivities without labels."""

import re
from copy import deepcopy

import numpy as np
import pytest
import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from quant.bits.sensitivities import Measurement, SensitivityMethod
from quant.convert import quantize
from quant.layers.quantized import QuantConv2d
from sim.errors import InputError
from sim.ir.formats import Format

BITS = (1, 4, 8)


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.randint(0, 16, (24, 2, 6, 6), generator=torch.Generator().manual_seed(0)) / 8


@pytest.fixture(scope="module")
def model(images: Tensor) -> fx.GraphModule:
    """Two convolutions with an average between them and the classifier, at 4 bits."""
    torch.manual_seed(1)
    net = nn.Sequential(nn.Conv2d(2, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 6, 3), nn.ReLU(),
                        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4))
    with torch.no_grad():
        net[-1].weight.mul_(8)
    return quantize(net, images, scheme="uniform", input_format=Format(4, "unsigned"), input_exponent=-3)


def fisher_traces(model: fx.GraphModule, images: Tensor) -> tuple[float, float, Tensor]:
    """Exact traces of the first convolution's weights and of its output, by the definition, and that output."""
    net = deepcopy(model)
    layer, quantizer = net.get_submodule("0"), net.get_submodule("0_quantizer")
    assert isinstance(layer, QuantConv2d)
    for module in net.modules():
        if hasattr(module, "set_bits") and module is not net.get_submodule("input_1_quantizer"):
            module.register_forward_hook(lambda module, args, output: args[0].view_as(args[0]))
    tensors: list[Tensor] = []
    quantizer.register_forward_hook(lambda module, args, output: tensors.append(output))
    weights = activations = 0.0
    for image in images:
        logits = net(image[None])
        for label, share in enumerate(logits.softmax(1)[0].tolist()):
            loss = functional.cross_entropy(logits, torch.tensor([label]))
            found = torch.autograd.grad(loss, [layer.weight, tensors[-1]], retain_graph=True)
            weights += share * float(found[0].square().sum()) / len(images)
            activations += share * float(found[1].square().sum()) / len(images)
    return weights, activations, torch.cat(tensors).detach()


@pytest.mark.parametrize("batch", [3, 8])
def test_traces_are_those_of_the_true_fisher_information(model: fx.GraphModule, images: Tensor, batch: int) -> None:
    """Over many draws they agree with the sum over all labels, image by image, also when images share a batch."""
    measurement = Measurement(model, images.repeat(20, 1, 1, 1), (4,), batch=batch)
    weight, activation = measurement.run()
    layer, quantizer = model.get_submodule("0"), model.get_submodule("0_quantizer")
    assert isinstance(layer, QuantConv2d)
    expected = fisher_traces(model, images)
    error = layer.weight_quantizer.error(layer.weight, 4)
    assert 2 * weight["0"][0] / error == pytest.approx(expected[0], rel=0.15)
    assert 2 * activation["0"][0] / quantizer.error(expected[2], 4) == pytest.approx(expected[1], rel=0.15)


@pytest.mark.parametrize("method", ["fisher", "measured"])
def test_losses_fall_with_the_width_and_the_model_stays(model: fx.GraphModule, images: Tensor, method: str) -> None:
    """Every layer and stored tensor but the input has a loss per width; weights, steps and widths end as they were."""
    before = {name: value.clone() for name, value in model.state_dict().items()}
    texts: list[str] = []
    measurement = Measurement(model, images, BITS, method=method, batch=10)
    weight, activation = measurement.run(texts.append)
    assert (set(weight), set(activation)) == ({"0", "3", "7"}, {"0", "3", "5"})
    for row in (*weight.values(), *activation.values()):
        assert len(row) == 3
        assert row == sorted(row, reverse=True)
        assert row[0] > 8 * row[2] >= 0
    assert len(texts) == measurement.steps == 3 + 3 + 3
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_functions_are_those_of_the_float_network(images: Tensor) -> None:
    """A table knows only the codes of its index: the float network computes the function, wherever it leads."""
    torch.manual_seed(2)
    net = nn.Sequential(nn.Conv2d(2, 6, 3), nn.SiLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4))
    net[-1].weight.detach().mul_(8)
    model = quantize(net, images[:4] / 4, scheme="uniform", input_format=Format(4, "unsigned"), input_exponent=-3)
    found, _ = Measurement(model, images, (2,), method="measured").run()
    rounded, layer = deepcopy(net), model.get_submodule("0")
    assert isinstance(layer, QuantConv2d)
    with torch.no_grad():
        layer.weight_quantizer.set_bits(2, layer.weight)
        rounded[0].weight.copy_(layer.weight_quantizer(layer.weight))
        rounded[0].bias.copy_(layer.bias)
        net[0].bias.copy_(layer.bias)
        net[-1].bias.copy_(rounded[-1].bias.copy_(model.get_submodule("4").bias))
        divergence = functional.kl_div(rounded(images).log_softmax(1), net(images).log_softmax(1),
                                       reduction="batchmean", log_target=True)
    assert found["0"] == pytest.approx([float(divergence)], rel=1e-3)


def test_measured_losses_are_the_divergence_of_the_network_with_one_rounded_tensor(
        model: fx.GraphModule, images: Tensor) -> None:
    """At 2 bits, with all other quantizers taken out by hand."""
    found, _ = Measurement(model, images, (2,), method="measured").run()
    net = deepcopy(model)
    layer = net.get_submodule("3")
    assert isinstance(layer, QuantConv2d)
    for name in [name for name, module in net.named_modules() if hasattr(module, "set_bits")]:
        if name != "input_1_quantizer":
            net.set_submodule(name, nn.Identity())
    with torch.no_grad():
        reference = net(images).log_softmax(1)
        quantizer = deepcopy(model.get_submodule("3").weight_quantizer)
        quantizer.set_bits(2, layer.weight)
        layer.weight.copy_(quantizer(layer.weight))
        divergence = functional.kl_div(net(images).log_softmax(1), reference, reduction="batchmean", log_target=True)
    assert found["3"] == pytest.approx([float(divergence)], rel=1e-4)


@pytest.mark.parametrize("method", ["fisher", "measured"])
def test_batches_are_the_same_images(model: fx.GraphModule, images: Tensor, method: SensitivityMethod) -> None:
    """A generator of batches with labels gives the losses that the images at once give."""
    found, wanted = (Measurement(model, data, (2,), method=method).run()
                     for data in (((part, 0) for part in images.split(7)), images))
    assert found == wanted


@pytest.mark.parametrize(("changes", "text"), [
    ({"method": "guess"}, "method must be fisher or measured, not guess"),
    ({"bits": (4, 2)}, "bits must rise, not [4, 2]"), ({"bits": ()}, "bits must rise, not []"),
    ({"batch": 0}, "batch must be at least 1, not 0")])
def test_refuses_what_it_cannot_use(model: fx.GraphModule, images: Tensor, changes: dict[str, object],
                                    text: str) -> None:
    """The message gives the range and what came."""
    with pytest.raises(InputError, match=f"^{re.escape(text)}$"):
        Measurement(model, images, **changes)  # type: ignore[arg-type]


def test_second_order_and_measurement_agree_where_errors_are_small(model: fx.GraphModule, images: Tensor) -> None:
    """At 8 bits the foreseen divergence of all weights together is within a factor of 3 of the measured one."""
    foreseen, _ = Measurement(model, images.repeat(8, 1, 1, 1), (8,)).run()
    measured, _ = Measurement(model, images, (8,), method="measured").run()
    assert 1 / 3 < np.sum(list(foreseen.values())) / np.sum(list(measured.values())) < 3
