"""Quantizing a model: where quantizers go, and what they start from."""

import re
from collections.abc import Callable
from typing import Any, cast

import pytest
import torch
from torch import Tensor, fx, nn

from quant.convert import quantize
from quant.data.digits import DIGITS_EXPONENT, DIGITS_FORMAT
from quant.data.pixels import Pixels
from quant.data.split import Split
from quant.layers.quantized import QuantConv2d, QuantLinear
from quant.quantizers.base import Quantizer
from quant.quantizers.lsq import LSQActivation, LSQWeight
from quant.quantizers.power_of_two import PowerOfTwoActivation, PowerOfTwoWeight
from quant.quantizers.qil import QILActivation, QILWeight
from quant.quantizers.uniform import UniformWeight
from quant.schemes import power_of_two
from quant.stages.stages import stages
from sim.errors import InputError
from sim.ir.formats import Format

Quantize = Callable[[nn.Module, Tensor, str, int], fx.GraphModule]

STORED = ["x", "stem", "block1.conv1", "block1.conv2", "block2.conv1", "block2.shortcut.0", "block2.conv2", "pool"]


@pytest.mark.parametrize(("scheme", "weight", "activation", "signed"), [
    ("qil", QILWeight, QILActivation, LSQActivation), ("lsq", LSQWeight, LSQActivation, LSQActivation),
    ("uniform", UniformWeight, LSQActivation, LSQActivation),
    ("power_of_two", PowerOfTwoWeight, PowerOfTwoActivation, PowerOfTwoActivation)])
def test_every_stored_tensor_has_one_quantizer(
        float_net: nn.Module, splits: tuple[Split, Split], as_digits: Quantize, scheme: str,
        weight: type[Quantizer], activation: type[Quantizer], signed: type[Quantizer]) -> None:
    """One per tensor at the width asked for; the input's is fixed, tensors without a ReLU have 8 signed bits."""
    model = as_digits(float_net, splits[0].images[:64], scheme, 3)
    found = {stage.name: model.get_submodule(stage.quantizer) for stage in stages(model) if stage.quantizer}
    assert list(found) == STORED
    widths = {name: (type(quantizer), quantizer.bits, quantizer.signed) for name, quantizer in found.items()}
    special = {"x": (PowerOfTwoActivation, 5, False), "block2.shortcut.0": (signed, 8, True)}
    assert widths == {name: special.get(name, (activation, 3, False)) for name in STORED}
    layers = [module for module in model.modules() if isinstance(module, QuantConv2d | QuantLinear)]
    assert [(type(layer.weight_quantizer), layer.weight_quantizer.bits) for layer in layers] == [(weight, 3)] * 7
    assert not any(type(module) in (nn.Conv2d, nn.Linear) for module in model.modules())


def test_weights_learn_their_scale_where_no_norm_follows(
        float_net: nn.Module, splits: tuple[Split, Split], as_digits: Quantize) -> None:
    """All convolutions of the network have a BatchNorm behind them, the classifier has none."""
    model = as_digits(float_net, splits[0].images[:64], "qil", 3)
    learnt = [name for name, parameter in model.named_parameters()
              if name.endswith("weight_quantizer.amplitude") and parameter.requires_grad]
    assert learnt == ["classifier.weight_quantizer.amplitude"]


def test_the_input_is_not_changed(float_net: nn.Module, splits: tuple[Split, Split], as_digits: Quantize) -> None:
    """Pixels are codes already: the quantizer of the input returns them exactly."""
    model = as_digits(float_net, splits[0].images[:64], "qil", 4)
    assert torch.equal(model.x_quantizer(splits[1].images), splits[1].images)
    assert torch.equal(model.x_quantizer.codes(splits[1].images), splits[1].stored.long())


@pytest.mark.parametrize("scheme", ["qil", "lsq", "uniform", "power_of_two"])
def test_eight_bits_are_nearly_float(
        float_net: nn.Module, splits: tuple[Split, Split], as_digits: Quantize, scheme: str) -> None:
    """Without any training, 8 bits predict what float does on 19 of 20 images at least (seen: 124 of 125)."""
    model = as_digits(float_net, splits[0].images, scheme, 8)
    images = splits[1].images
    with torch.no_grad():
        same = (model(images).argmax(1) == float_net(images).argmax(1)).double().mean()
    assert float(same) >= 0.95


def test_quantize_leaves_the_model_alone(
        float_net: nn.Module, splits: tuple[Split, Split], as_digits: Quantize) -> None:
    """Quantizing works on a copy: weights and statistics of the float model stay, and training the copy moves none."""
    before = {name: value.clone() for name, value in float_net.state_dict().items()}
    for scheme in ("qil", "power_of_two"):
        model = as_digits(float_net, splits[0].images[:64], scheme, 4)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(1.0)
    assert float_net.state_dict().keys() == before.keys()
    assert all(torch.equal(value, before[name]) for name, value in float_net.state_dict().items())


@pytest.mark.parametrize("corrected", [True, False])
def test_power_of_two_biases_are_whole(float_net: nn.Module, splits: tuple[Split, Split], corrected: bool) -> None:
    """Every bias is a whole number of weight step * input step; without correction it differs from the folded one, in
    the unit of the tensor, by half a step at most, with it some differ by more."""
    model = quantize(float_net, splits[0].images[:64], scheme=power_of_two(bias_correction=corrected),
                     input_format=DIGITS_FORMAT, input_exponent=DIGITS_EXPONENT)
    found = stages(model)
    tensors = {stage.end: model.get_submodule(stage.quantizer).scale for stage in found if stage.quantizer}
    steps = {stage.name: model.get_submodule(stage.name).weight_quantizer.scale * tensors[stage.source]
             for stage in found if stage.kind in ("conv", "linear")}
    assert len(steps) == 7
    for name, step in steps.items():
        whole = model.get_submodule(name).bias / step
        assert torch.equal(whole, whole.round()), name
    assert not any(isinstance(module, nn.BatchNorm2d) for module in model.modules())
    norm, conv = float_net.norm, float_net.stem
    folded = norm.bias - norm.running_mean * norm.weight / (norm.running_var + norm.eps).sqrt()
    assert conv.bias is None
    near = (model.stem.bias - folded / model.stem_quantizer.factor).detach().abs() <= steps["stem"].abs() / 2 + 1e-6
    assert bool(near.all()) != corrected


def test_refuses_unknown_schemes(float_net: nn.Module, splits: tuple[Split, Split]) -> None:
    """The schemes are named."""
    with pytest.raises(InputError, match=r"^scheme must be one of qil, lsq, power_of_two, uniform, not binary$"):
        quantize(float_net, splits[0].images[:8], scheme="binary", input_format=DIGITS_FORMAT,
                 input_exponent=DIGITS_EXPONENT)


class Widths(nn.Module):
    """Two first layers, a signed tensor that a layer reads, one that only an add reads, a pool before the last."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.side = nn.Conv2d(1, 2, 3, padding=1), nn.Conv2d(1, 2, 1)
        self.thin, self.filter = nn.Conv2d(2, 2, 1), nn.Conv2d(2, 2, 3, padding=1)
        self.keep, self.pool = nn.AdaptiveAvgPool2d(8), nn.MaxPool2d(8)
        self.last = nn.Linear(2, 3)

    def forward(self, x: Tensor) -> Tensor:
        side = self.side(x)
        thin = self.thin(torch.relu(self.first(x)))
        return self.last(self.pool(torch.relu(self.filter(self.keep(thin)) + side)).flatten(1))


@pytest.mark.parametrize("scheme", ["qil", "power_of_two"])
def test_first_and_last_layers_may_have_a_width_of_their_own(
        splits: tuple[Split, Split], as_digits: Quantize, scheme: str) -> None:
    """Weights that meet the input or make the output, and what the last layer reads through a pool."""
    images = splits[0].images[:16]
    widths = []
    for special in (None, 7):
        model = quantize(Widths(), images, scheme=scheme, weight_bits=3, activation_bits=4, first_last_bits=special,
                         input_format=DIGITS_FORMAT, input_exponent=DIGITS_EXPONENT)
        widths.append({name: (module.bits, module.signed) for name, module in model.named_modules()
                       if isinstance(module, Quantizer) and name != "x_quantizer"})
    inner = {"side_quantizer": (8, True), "first_quantizer": (4, False), "thin_quantizer": (4, True),
             "thin.weight_quantizer": (3, True), "filter.weight_quantizer": (3, True)}
    ends = ("first.weight_quantizer", "side.weight_quantizer", "last.weight_quantizer")
    assert widths[0] == inner | dict.fromkeys(ends, (3, True)) | {"filter_quantizer": (4, False)}
    assert widths[1] == inner | dict.fromkeys(ends, (7, True)) | {"filter_quantizer": (7, False)}


def test_tensors_of_both_signs_may_have_a_width_of_their_own(splits: tuple[Split, Split]) -> None:
    """What a convolution without an activation stores, whether layers or only adds read it, and nothing else."""
    model = quantize(Widths(), splits[0].images[:16], scheme="lsq", weight_bits=3, activation_bits=4, signed_bits=6,
                     input_format=DIGITS_FORMAT, input_exponent=DIGITS_EXPONENT)
    widths = {name: module.bits for name, module in model.named_modules()
              if isinstance(module, Quantizer) and name != "x_quantizer"}
    layers = ("side", "first", "thin", "filter", "last")
    assert widths == {f"{layer}.weight_quantizer": 3 for layer in layers} | {
        "side_quantizer": 6, "first_quantizer": 4, "thin_quantizer": 6, "filter_quantizer": 4}


def test_pools_that_change_nothing_are_left_out(splits: tuple[Split, Split], as_digits: Quantize) -> None:
    """An adaptive average onto the size that is there already would be a copy on the machine."""
    model = as_digits(Widths(), splits[0].images[:16], "qil", 4)
    assert "keep" not in [stage.name for stage in stages(model)]
    with pytest.raises(AttributeError):
        model.get_submodule("keep")


class Two(nn.Module):
    """Reads two images."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = conv()

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.conv(x) + self.conv(y)


def conv() -> nn.Conv2d:
    return nn.Conv2d(3, 4, 3)


def hooked() -> nn.Module:
    layer = conv()
    layer.register_forward_hook(lambda module, args, output: 2 * output)
    return nn.Sequential(layer)


def spoilt(value: float) -> nn.Module:
    layer = conv()
    with torch.no_grad():
        layer.weight[1, 2] = value
    return nn.Sequential(layer)


IMAGES = torch.rand(2, 3, 6, 6, generator=torch.Generator().manual_seed(0))
BROKEN = IMAGES.index_fill(0, torch.tensor([1]), torch.nan)


def huge() -> nn.Module:
    """Finite weights whose sums are not."""
    model = nn.Sequential(conv(), nn.ReLU(), nn.Conv2d(4, 2, 1))
    for layer in model[0], model[2]:
        nn.init.constant_(layer.weight, 1e28)
    return model


def times(power: float, dtype: torch.dtype = torch.float32) -> nn.Module:
    """A first layer whose largest weight is the power and whose bias is 0."""
    model = nn.Sequential(conv(), nn.ReLU(), nn.Conv2d(4, 2, 1)).to(dtype)
    nn.init.constant_(model[0].weight, power)
    nn.init.zeros_(model[0].bias)
    return model


def with_variance(variance: float, eps: float) -> nn.Module:
    norm = nn.BatchNorm2d(4, eps=eps)
    norm.running_var[2] = variance
    return nn.Sequential(conv(), norm, nn.ReLU(), nn.Conv2d(4, 2, 1))


class Doubled(nn.Sequential):
    """Gives twice what its forward does to everybody who calls it."""

    def __call__(self, x: Tensor) -> Tensor:
        return cast(Tensor, 2 * super().__call__(x))


CANNOT = {
    "batch 0 of data must be a tensor of floats, not float": (nn.Sequential(conv()), {"data": [1.0]}),
    "data must be a tensor, or an iterable of batches such as a DataLoader, not int":
        (nn.Sequential(conv()), {"data": 1}),
    "data must have at least one batch of images, but has none": (nn.Sequential(conv()), {"data": []}),
    "batch 1 of data must be finite, but image 1 is not": (nn.Sequential(conv()), {"data": [IMAGES, (BROKEN, [0, 1])]}),
    "all images must have one shape, but those of batch 1 have (3, 6, 5) and those before it (3, 6, 6)":
        (nn.Sequential(conv()), {"data": [IMAGES, IMAGES[:, :, :, 1:]]}),
    "data must be a tensor of floats, not torch.int64": (nn.Sequential(conv()), {"data": IMAGES.long()}),
    "data must have shape (n, C, H, W), (n, C, L) or (n, C) without a 0, not (0, 3, 6, 6)":
        (nn.Sequential(conv()), {"data": IMAGES[:0]}),
    "data must have shape (n, C, H, W), (n, C, L) or (n, C) without a 0, not (6,)":
        (nn.Sequential(conv()), {"data": IMAGES[0, 0, 0]}),
    "data must be finite, but image 1 is not": (nn.Sequential(conv()), {"data": BROKEN}),
    "the model does not run on data of shape (2, 1, 6, 6): Given groups=1, weight of size [4, 3, 3, 3], expected "
    "input[1, 1, 6, 6] to have 3 channels, but got 1 channels instead":
        (nn.Sequential(conv()), {"data": IMAGES[:, :1]}),
    "data must be a tuple of 2 tensors, for x, y, or a dict of them, not Tensor": (Two(), {}),
    "input_format must be a Format, not 'u8'": (nn.Sequential(conv()), {"input_format": "u8"}),
    "input_format must be signed or unsigned with zero point 0, not unsigned8 z=3":
        (nn.Sequential(conv()), {"input_format": Format(8, "unsigned", zero_point=3)}),
    "input_exponent must be an int, not -8.0": (nn.Sequential(conv()), {"input_exponent": -8.0}),
    "Conv2d at '0' has forward hooks, which a quantized model would lose; remove them first": (hooked(), {}),
    "'0.weight' must be finite, but holds nan": (spoilt(torch.nan), {}),
    "'0.weight' must be finite, but holds -inf": (spoilt(-torch.inf), {}),
    "what '2' puts out on the data must be finite, but is not": (huge(), {}),
    "the largest magnitude of '0.weight' must be 0 or in 2**-100..2**100, not 1e+36": (times(1e36), {}),
    "the largest magnitude of '0.weight' must be 0 or in 2**-100..2**100, not 1e-38": (times(1e-38), {}),
    "the largest magnitude of '0.weight' must be 0 or in 2**-100..2**100, not 1e+45": (times(1e45, torch.float64), {}),
    "the largest magnitude of '0.weight' must be 0 or in 2**-100..2**100, not 1e-45": (times(1e-45, torch.float64), {}),
    "the largest magnitude of what '0' puts out on the data must be 0 or in 2**-100..2**100, not 1.70464e+31":
        (times(2.0**99), {"data": IMAGES * 0 + 1}),
    "'1.running_var' + eps must be above 0, but is 0": (with_variance(0.0, 0.0), {}),
    "'1.running_var' + eps must be above 0, but is -0.5": (with_variance(-1.0, 0.5), {}),
    "the model has a __call__ of its own, which a quantized model would lose; write its forward instead":
        (Doubled(conv()), {}),
    "the model is one Conv2d by itself; put it into an nn.Sequential": (conv(), {}),
    "the model is one BatchNorm2d by itself; put it into an nn.Sequential": (nn.BatchNorm2d(3), {}),
    "the model must compute something; its output is its input": (nn.Sequential(nn.Identity(), nn.Dropout()), {}),
    "the model must compute something on the machine; all of it is the host's: softmax":
        (nn.Sequential(nn.Identity(), nn.Softmax(1)), {}),
    "AvgPool2d at '1' has divisor_override -3; only positive ones are supported":
        (nn.Sequential(conv(), nn.AvgPool2d(2, divisor_override=-3)), {}),
}


@pytest.mark.parametrize(("text", "given"), CANNOT.items(), ids=CANNOT.keys())
def test_refuses_what_cannot_be_quantized(text: str, given: tuple[nn.Module, dict[str, Any]]) -> None:
    """One sentence says what is wrong and where, in place of a traceback from inside torch."""
    model, changes = given
    arguments = {"data": IMAGES, "scheme": "qil", "input_format": Format(8, "unsigned"), "input_exponent": -8} | changes
    with pytest.raises(InputError, match=f"^{re.escape(text)}$"):
        quantize(model, **arguments)


def test_an_input_is_described_once(float_net: nn.Module, splits: tuple[Split, Split]) -> None:
    """Either pixels, or a format and an exponent, and images of as many channels as there are means."""
    grey, images = Pixels((0.5,), (0.5,)), splits[0].images[:8]
    with pytest.raises(InputError, match=r"^give either pixels, or input_format and input_exponent$"):
        quantize(float_net, images, scheme="lsq")
    with pytest.raises(InputError, match=r"^give either pixels, or input_format and input_exponent$"):
        quantize(float_net, images, scheme="lsq", pixels=grey, input_exponent=0)
    with pytest.raises(InputError, match=r"^pixels must be Pixels\(mean, deviation\), not tuple$"):
        quantize(float_net, images, scheme="lsq", pixels=((0.5,), (0.5,)))  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"^input_format and input_exponent must be given together$"):
        quantize(float_net, images, scheme="lsq", input_format=DIGITS_FORMAT)
    with pytest.raises(InputError, match=r"^images must have shape \(n, 2, H, W\), as there are 2 means, "
                                         r"not \(8, 1, 8, 8\)$"):
        quantize(float_net, images, scheme="lsq", pixels=Pixels((0.5, 0.5), (0.5, 0.5)))
