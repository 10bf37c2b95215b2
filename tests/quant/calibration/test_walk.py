"""Calibration of whole networks."""

from collections import OrderedDict
from typing import Any

import pytest
import torch
from torch import Tensor, fx, nn
from torch.utils.data import DataLoader, TensorDataset

from quant.calibration.patches import positions
from quant.convert import quantize
from quant.data.digits import DIGITS_EXPONENT, DIGITS_FORMAT
from quant.data.pixels import Pixels
from quant.data.split import Split
from quant.schemes import Scheme, lsq, power_of_two, qil, uniform
from sim.errors import InputError
from sim.ir.formats import Format


def small(model: nn.Module, data: Any, scheme: Scheme | str, bits: int = 3, **given: Any) -> fx.GraphModule:
    return quantize(model, data, scheme=scheme, weight_bits=bits, activation_bits=8, input_format=DIGITS_FORMAT,
                    input_exponent=DIGITS_EXPONENT, **given)


def tiny() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(),
                         nn.Conv2d(4, 4, 3, padding=1, groups=4), nn.ReLU(), nn.Conv2d(4, 3, 1)).eval()


def error(model: nn.Module, quantized: nn.Module, images: Tensor) -> float:
    with torch.no_grad():
        return float((model(images) - quantized(images)).square().mean())


@pytest.mark.parametrize("scheme", ["qil", "power_of_two"])
def test_batches_are_read_once_and_give_what_one_tensor_gives(
        splits: tuple[Split, Split], scheme: str) -> None:
    """A tensor, a DataLoader of images and labels, and an iterator that ends: the same model, to the bit."""
    images = splits[0].images[:24]
    once = iter([images[:20], [images[20:]]])
    loader = DataLoader(TensorDataset(images, torch.zeros(24)), batch_size=16)
    states = [small(tiny(), data, scheme).state_dict() for data in (images, loader, once)]
    assert next(once, None) is None
    for state in states[1:]:
        assert all(torch.equal(value, states[0][name]) for name, value in state.items())


def test_pixels_stream_too() -> None:
    """Bytes in batches give what their normalised values give at once."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 1)).eval()
    pixels, images = Pixels((0.4, 0.5), (0.2, 0.3)), torch.randint(0, 256, (12, 2, 6, 6), dtype=torch.uint8)
    states = [quantize(model, data, scheme="uniform", pixels=pixels).state_dict()
              for data in (pixels.values(images), images, images.split(5))]
    for state in states[1:]:
        assert all(torch.equal(value, states[0][name]) for name, value in state.items())


@pytest.mark.parametrize("make", [power_of_two, uniform])
def test_steps_and_biases_bring_the_output_nearer(
        float_net: nn.Module, splits: tuple[Split, Split], make: Any) -> None:
    """At 3 bits, on images that were not calibrated on: each of the two helps by itself."""
    images, others = splits[0].images[:60], splits[1].images
    plain, steps, biases = (error(float_net, small(float_net, images, make(weight_steps=by, bias_correction=biased)),
                                  others)
                            for by, biased in (("weight", False), ("output", False), ("weight", True)))
    assert steps < 0.9 * plain
    assert biases < 0.9 * plain


def test_what_training_starts_from_is_fitted_to_the_weights(splits: tuple[Split, Split]) -> None:
    """Learnt steps and intervals keep their biases, and steps do not depend on images."""
    for scheme in (lsq(), qil()):
        models = [small(tiny(), splits[0].images[part], scheme) for part in (slice(0, 20), slice(20, 40))]
        weights = [{name: value for name, value in model.state_dict().items() if "weight_quantizer" in name
                    or name.endswith("bias")} for model in models]
        assert weights[0].keys() == weights[1].keys()
        assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())


def test_a_mean_error_gets_a_bias_where_there_is_none() -> None:
    """A constant input times weights that round by a quarter step is a constant error, which a bias takes away."""
    model = nn.Sequential(nn.Conv2d(1, 2, 1, bias=False), nn.Conv2d(2, 1, 1, bias=False)).eval()
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([1.0, 1.23]).reshape(2, 1, 1, 1))
        model[1].weight.copy_(torch.tensor([1.0, 0.3]).reshape(1, 2, 1, 1))
    images = torch.full((4, 1, 2, 2), 0.75)
    plain, graph = (quantize(model, images, scheme=power_of_two(weight_steps="weight", bias_correction=corrected),
                             weight_bits=2, activation_bits=8, input_format=Format(4, "unsigned"), input_exponent=-2)
                    for corrected in (False, True))
    assert plain.get_submodule("1").bias is None
    assert graph.get_submodule("1").bias is not None
    assert error(model, graph, images) < error(model, plain, images) / 4


def test_steps_are_judged_by_what_a_bias_cannot_mend() -> None:
    """Constant inputs make a constant error, whatever the steps: where it goes into the bias, steps stay."""
    model = nn.Sequential(nn.Conv2d(8, 16, 1), nn.Conv2d(16, 1, 1)).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        model[0].weight.copy_(torch.randint(-8, 9, (16, 8, 1, 1), generator=generator) / 8)
        model[0].bias.zero_()
    images = torch.full((4, 8, 2, 2), 0.75)
    least, corrected, alone = (
        quantize(model, images, scheme=power_of_two(weight_steps=by, bias_correction=biased), weight_bits=2,
                 activation_bits=8, input_format=Format(4, "unsigned"), input_exponent=-2
                 ).get_submodule("0").weight_quantizer.scale
        for by, biased in (("weight", False), ("output", True), ("output", False)))
    assert torch.equal(corrected, least)
    assert not torch.equal(alone, least)


def test_progress_names_every_stage(float_net: nn.Module, splits: tuple[Split, Split]) -> None:
    """In execution order, with how many are done and of how many."""
    seen: list[tuple[str, int, int]] = []
    small(float_net, splits[0].images[:8], "uniform", progress=lambda *call: seen.append(call))
    assert [name for name, _, _ in seen] == ["x", "stem", "block1.conv1", "block1.conv2", "block2.conv1",
                                             "block2.shortcut.0", "block2.conv2", "pool", "classifier"]
    assert [(done, of) for _, done, of in seen] == [(place, 9) for place in range(1, 10)]


@pytest.mark.parametrize("sign", [1, -1])
def test_values_that_no_sample_holds_are_refused_too(sign: int) -> None:
    """Every value of every image is looked at, not only those that steps are fitted to."""
    model = nn.Sequential(OrderedDict(conv=nn.Conv2d(1, 1, 1, bias=False), last=nn.Conv2d(1, 1, 1)))
    nn.init.constant_(model.conv.weight, sign * 2.0**99)
    images = torch.zeros(1, 1, 64, 64)
    (sampled,) = positions(1, 64 * 64).tolist()
    images.flatten()[min({*range(64 * 64)} - {*sampled})] = 8.0
    with pytest.raises(InputError, match=r"^the largest magnitude of what 'conv' puts out on the data must be 0 or in "
                                         r"2\*\*-100\.\.2\*\*100, not 5\.0706e\+30$"):
        quantize(model, [images], scheme="uniform", input_format=Format(8, "unsigned"), input_exponent=-3)
