"""Networks that read pixels of 8 bits: mean and deviation are in the first layers, the host pads where it must."""

import re
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from quant.convert import quantize
from quant.data.pixels import Pixels
from quant.layers.quantized import QuantConv2d
from quant.lowering.lower import Lowered, lower_with_report
from quant.lowering.strict import beyond_one_shift
from quant.quantizers.base import ActivationQuantizer
from quant.reference import run_reference
from sim.errors import InputError
from sim.functional.reference import simulate
from sim.ir.ops import Conv

Follow = Callable[[nn.Module, Lowered, dict[str, np.ndarray], Tensor], int]

IMAGENET = Pixels((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
EQUAL = Pixels((0.4, 0.401, 0.4), (0.25, 0.2, 0.3))
"""Their mean codes are one: 102."""
CODES = torch.randint(0, 256, (24, 3, 9, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
CODES[0, :, :4], CODES[0, :, 4:] = 0, 255


class Padded(nn.Module):
    """A first layer that pads, a stride, and a layer after it."""

    def __init__(self, groups: int = 1) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, stride=2, padding=1, bias=False, groups=groups)
        self.norm, self.last = nn.BatchNorm2d(6), nn.Linear(6 * 5 * 4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.flatten(torch.relu(self.norm(self.stem(x))), 1))


class TwoReaders(nn.Module):
    """Two layers read the image and pad it as told."""

    def __init__(self, pads: tuple[int, int]) -> None:
        super().__init__()
        self.one, self.two = (nn.Conv2d(3, 4, 2 * pad + 1, padding=pad) for pad in pads)
        self.last = nn.Conv2d(4, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.relu(self.one(x) + torch.relu(self.two(x))))


def quantized(net: nn.Module, pixels: Pixels, scheme: str = "power_of_two", bits: int = 5) -> nn.Module:
    return quantize(net.eval(), CODES, scheme=scheme, weight_bits=bits, activation_bits=bits, pixels=pixels)


@pytest.mark.parametrize("fold", [False, True])
@pytest.mark.parametrize("pixels", [EQUAL, IMAGENET], ids=["equal", "different"])
@pytest.mark.parametrize("scheme", ["qil", "lsq", "uniform", "power_of_two"])
def test_programs_read_pixels(scheme: str, pixels: Pixels, fold: bool, follow: Follow) -> None:
    """Each layer computes its real map of pixels to half a code, and the host pads only where means differ."""
    torch.manual_seed(0)
    model = quantized(Padded(), pixels, scheme)
    lowered = lower_with_report(model, pixels.values(CODES[:1]), fold=fold)
    assert (lowered.padding is not None) == (pixels is IMAGENET)
    read = lowered.prepare(CODES.numpy())
    found = simulate(lowered.program, {"x": read})
    assert fold or follow(model, lowered, found, pixels.values(CODES)) == 2 + (pixels is EQUAL)
    reference = run_reference(lowered.program, {"x": read})
    assert all(np.array_equal(found[name], reference[name]) for name in found)
    if scheme == "power_of_two":
        with torch.no_grad():
            wanted = model(pixels.values(CODES)).double().numpy()
        assert np.array_equal(found["last"].reshape(24, 4) * lowered.scales["last"], wanted)
        assert beyond_one_shift(lowered) == []


def test_weights_take_up_mean_and_deviation() -> None:
    """Without padding, layers compute of pixels what they computed of normalised values."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 6, 3, groups=3), nn.ReLU(), nn.Conv2d(6, 2, 1)).eval()
    values = IMAGENET.values(CODES)
    model = quantized(net, IMAGENET, "lsq", bits=8)
    conv, given = model.get_submodule("0"), model.get_submodule("input_1_quantizer")
    assert isinstance(conv, QuantConv2d)
    assert isinstance(given, ActivationQuantizer)
    found = conv.convolve(given(values), conv.weight)
    assert torch.allclose(found, net[0](values), atol=1e-5)
    assert 0.9 < float((conv.weight / net[0].weight).detach().mean()) < 1.2
    assert torch.equal(given.values(given.codes(values)), given(values))
    assert torch.equal(given.codes(values), CODES.long())
    assert torch.equal(given.codes_of(given(values)), CODES.float())


def test_linear_layers_read_pixels() -> None:
    """A linear layer on the whole image takes up mean and deviation of each code's channel."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 9 * 8, 5))
    values = IMAGENET.values(CODES)
    lowered = lower_with_report(quantized(net, IMAGENET, "uniform", bits=8), values[:1])
    assert lowered.padding is None
    found = simulate(lowered.program, {"input_1": lowered.prepare(CODES.numpy())})["1"].reshape(24, 5)
    with torch.no_grad():
        wanted = net(values).numpy()
    assert np.abs(found * lowered.scales["1"] - wanted).max() < 0.03


def test_host_pads_with_mean_pixels() -> None:
    """Where means differ, each channel has its own code around it, and the first layer has no pads."""
    lowered = lower_with_report(quantized(Padded(), IMAGENET), IMAGENET.values(CODES[:1]))
    read = lowered.prepare(CODES[:1].numpy())
    assert read.shape == (1, 3, 11, 10)
    assert read[0, :, 0, 0].tolist() == [124, 116, 104] == read[0, :, -1, -1].tolist()
    assert np.array_equal(read[:, :, 1:-1, 1:-1], CODES[:1].numpy())
    stem = next(op for op in lowered.program.ops if op.name == "stem")
    assert isinstance(stem, Conv)
    assert stem.pads == (0, 0, 0, 0)


def test_equal_means_are_a_zero_point() -> None:
    """Where the mean codes are one, it is the input's zero point, and the first layer keeps its pads."""
    lowered = lower_with_report(quantized(Padded(), EQUAL), EQUAL.values(CODES[:1]))
    assert lowered.program.tensor("x").format.zero_point == 102
    stem = next(op for op in lowered.program.ops if op.name == "stem")
    assert isinstance(stem, Conv)
    assert stem.pads == (1, 1, 1, 1)
    with pytest.raises(InputError, match=r"^input 'x' must have shape \(N, 3, 9, 8\), not \(24, 1, 9, 8\)$"):
        lowered.prepare(CODES[:, :1].numpy())
    with pytest.raises(TypeError, match=r"^images must be an integer array, not Tensor$"):
        lowered.prepare(CODES)  # type: ignore[arg-type]


@pytest.mark.parametrize("pixels", [EQUAL, IMAGENET], ids=["equal", "different"])
def test_images_are_padded_on_one_side(pixels: Pixels) -> None:
    """Uneven pads, as TensorFlow makes them under a stride, are mean pixels too; Program and model are equal."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.ZeroPad2d((0, 1, 0, 2)), nn.Conv2d(3, 4, 3, stride=2), nn.ReLU(), nn.ZeroPad2d((1, 0, 0, 0)),
                        nn.Conv2d(4, 2, 3))
    model = quantized(net, pixels)
    lowered = lower_with_report(model, pixels.values(CODES[:1]))
    assert [op.pads for op in lowered.program.ops if isinstance(op, Conv)] == [
        (0, 0, 0, 0) if pixels is IMAGENET else (0, 0, 2, 1), (0, 1, 0, 0)]
    read = lowered.prepare(CODES.numpy())
    assert read.shape == (24, 3, *((11, 9) if pixels is IMAGENET else (9, 8)))
    found = simulate(lowered.program, {"input_1": read})["4"] * lowered.scales["4"]
    with torch.no_grad():
        assert np.array_equal(found, model(pixels.values(CODES)).double().numpy())


def test_layers_that_read_pixels_pad_alike() -> None:
    """The host can make the pads of one layer only, unless the mean codes are one or all pads are the same."""
    torch.manual_seed(0)
    differing = quantized(TwoReaders((1, 0)), IMAGENET)
    message = ("op 'x': what reads pixels must pad alike if the channels' means differ, since the host pads the image; "
               "'two' by (0, 0, 0, 0) but 'one' by (1, 1, 1, 1) (top, left, bottom, right)")
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        lower_with_report(differing, IMAGENET.values(CODES[:1]))
    for model, pixels in ((quantized(TwoReaders((1, 0)), EQUAL), EQUAL), (quantized(TwoReaders((1, 1)), IMAGENET),
                                                                          IMAGENET)):
        lowered = lower_with_report(model, pixels.values(CODES[:1]))
        found = simulate(lowered.program, {"x": lowered.prepare(CODES.numpy())})["last"] * lowered.scales["last"]
        with torch.no_grad():
            assert np.array_equal(found, model(pixels.values(CODES)).double().numpy())


class Normalised(nn.Module):
    """A network that normalises its images itself, by constants or a BatchNorm."""

    def __init__(self, first: nn.Module | None) -> None:
        super().__init__()
        self.first, self.net = first, Padded()

    def forward(self, x: Tensor) -> Tensor:
        return self.net(self.first(x) if self.first is not None else (x - 0.25) / 0.5)


def norm(*gains: float) -> nn.BatchNorm2d:
    made = nn.BatchNorm2d(len(gains), eps=0.0)
    made.running_mean, made.running_var = torch.tensor([0.2, 0.5, 0.4]), torch.tensor([0.25, 0.0625, 1.0])
    made.weight.data, made.bias.data = torch.tensor(gains), torch.tensor([0.125, 0.0, -0.25])
    return made


@pytest.mark.parametrize("scheme", ["lsq", "power_of_two"])
@pytest.mark.parametrize(("first", "codes"), [(None, (64, 64, 64)), (norm(1.0, 0.5, 2.0), (35, 128, 134))])
def test_a_second_normalisation_is_part_of_what_pixels_mean(first: nn.Module | None, codes: tuple[int, ...],
                                                            scheme: str) -> None:
    """It costs no op and no accuracy, and padding means the pixel that it makes 0."""
    torch.manual_seed(0)
    net, pixels = Normalised(first).eval(), Pixels((0.0,) * 3, (1.0,) * 3)
    model, x = quantized(net, pixels, scheme, bits=8), pixels.values(CODES)
    lowered = lower_with_report(model, x[:1])
    assert [op.name for op in lowered.program.ops] == ["net.stem", "net.last"]
    assert lowered.program.inputs[0].format.zero_point == 64 if first is None else lowered.padding.codes == codes
    with torch.no_grad():
        wanted, found = net(x), model(x)
    assert float((found - wanted).square().mean()) < 1e-3 * float(wanted.var())
    if scheme == "power_of_two":
        logits = run_reference(lowered.program, {"x": lowered.prepare(CODES.numpy())})["net.last"]
        assert np.array_equal(logits.reshape(24, 4) * lowered.scales["net.last"], found.double().numpy())


def test_what_cannot_take_up_a_mean_is_refused() -> None:
    """A pool, an add, or a BatchNorm of a gain below 0 or a mean that no pixel has, is named."""
    class Adds(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 1)

        def forward(self, x: Tensor) -> Tensor:
            return torch.relu(self.conv(x) + x)

    begin = "pixels can only be read by convolutions and linear layers, which take up their mean and deviation, not by"
    last = nn.Conv2d(3, 1, 1)
    for net, what in ((nn.Sequential(nn.MaxPool2d(2), last), "a max pool ('0')"), (Adds(), "an add ('conv')"),
                      (nn.Sequential(norm(1.0, -0.5, 2.0), last), "an add, BatchNorm or ReLU by itself ('0')"),
                      (nn.Sequential(norm(1.0, 0.5, 0.1), last), "an add, BatchNorm or ReLU by itself ('0')")):
        with pytest.raises(InputError, match=f"^{re.escape(f'{begin} {what}')}$"):
            quantized(net, IMAGENET)
