"""What lowering refuses, and quantizing before it: options, models, examples, each by its layer and reason."""

import re
from collections.abc import Callable
from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn

from quant.convert import quantize
from quant.data.split import Split
from quant.lowering.lower import lower
from sim.errors import InputError
from sim.ir.arithmetic import Arithmetic
from sim.ir.formats import Format


def as_signed(model: nn.Module, codes: Tensor, scheme: str) -> nn.Module:
    """`model` quantized in 4 bits for inputs of 8 signed bits with 1/32 to a code."""
    return quantize(model, codes / 32, scheme=scheme, input_format=Format(8, "signed"), input_exponent=-5)


def signed_codes(images: int, height: int = 8, width: int = 7) -> Tensor:
    """Random 8-bit signed codes with 3 channels."""
    return torch.randint(-128, 128, (images, 3, height, width), generator=torch.Generator().manual_seed(1))


def small(*layers: nn.Module) -> nn.Module:
    """Layers behind a convolution from 3 to 4 channels and a ReLU."""
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), *layers).eval()


COUNT = ("fewer at the border; the machine divides by one number everywhere: count the padding (count_include_pad=True"
         ") and have no ceil_mode")
REFUSED = {
    "Pad at '2' pads by circular; the machine pads by zeros": nn.Conv2d(4, 4, 3, padding=1, padding_mode="circular"),
    f"AveragePool at '2' divides by 4 to 9 numbers, {COUNT}": nn.AvgPool2d(3, padding=1, count_include_pad=False),
    f"AveragePool at '2' divides by 2 to 9 numbers, {COUNT}": nn.AvgPool2d(3, ceil_mode=True),
    "adaptive average pool at '2' makes 3 x 3 of 8 x 7; only cells of a whole size are supported":
        nn.AdaptiveAvgPool2d(3),
    "MaxPool at '2' has dilation (2, 2); only 1 is supported": nn.MaxPool2d(2, dilation=2),
    "unsupported operator batch_norm at '3': it stays in training mode, where it has no fixed gain":
        nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4, track_running_stats=False)),
    "Linear at '2' takes axis 3 of a value of shape (4, 8, 7) for channels, which is not stored as channels; flatten "
    "images to rows first, or have the channels there": nn.Linear(7, 3),
}


@pytest.mark.parametrize(("text", "layer"), REFUSED.items(), ids=REFUSED.keys())
@pytest.mark.parametrize("scheme", ["qil", "power_of_two"])
def test_refuses_options_the_chip_has_not(scheme: str, text: str, layer: nn.Module) -> None:
    """Whatever the scheme, quantizing already says the layer, where it is, and the option."""
    layers = list(layer) if isinstance(layer, nn.Sequential) else [layer]
    with pytest.raises(InputError, match=f"^{re.escape(text)}$"):
        as_signed(small(*layers, nn.ReLU(), nn.Conv2d(4, 2, 1)), signed_codes(2), scheme)


def test_refuses_models_in_training_mode(trained_qil: nn.Module, splits: tuple[Split, Split]) -> None:
    """BatchNorm has no fixed gain while it trains."""
    model = deepcopy(trained_qil).train()
    with pytest.raises(InputError, match=r"^only a model in eval mode can be lowered: call model.eval\(\) first$"):
        lower(model, splits[1].images[:1])


def test_refuses_models_without_quantizers(float_net: nn.Module, splits: tuple[Split, Split]) -> None:
    """A float model has no codes: the first place that lacks a quantizer is named."""
    with pytest.raises(InputError, match=r"^input 'x' has no quantizer; nothing says what its codes are$"):
        lower(float_net, splits[1].images[:1])


def test_refuses_unquantized_weights_and_tensors() -> None:
    """A plain layer among quantized ones is named, and so is a tensor without a quantizer that is read."""
    codes = signed_codes(2)
    model = as_signed(small(nn.Conv2d(4, 4, 1)), codes, "qil")
    plain = deepcopy(model)
    plain.set_submodule("2", nn.Conv2d(4, 4, 1).eval())
    with pytest.raises(InputError, match=r"^the weights of Conv2d at '2' are not quantized$"):
        lower(plain, codes[:1] / 32)
    bare = deepcopy(model)
    bare.set_submodule("0_quantizer", nn.Identity())
    with pytest.raises(InputError, match=r"^what '0' puts out is read on the machine, but has no quantizer$"):
        lower(bare, codes[:1] / 32)


def test_accumulators_that_could_overflow_are_refused(trained_qil: nn.Module, splits: tuple[Split, Split]) -> None:
    """The Program's own proof speaks: layer, channel, bound and limit."""
    text = (r"^op 'stem': the accumulator of channel \d+ can reach \d+; 9 bits hold 255 "
            r"\(declare wrap, or use a wider accumulator or fewer bits\)$")
    with pytest.raises(InputError, match=text):
        lower(trained_qil, splits[1].images[:1], Arithmetic(acc_bits=9, window=12))


def test_refuses_wrapping_sums_and_weights_that_are_not_finite(
        trained_qil: nn.Module, splits: tuple[Split, Split]) -> None:
    """Sums are proved; a network whose training diverged is refused by the name of what is not finite."""
    with pytest.raises(InputError, match=r"^the arithmetic of a lowered model must not wrap$"):
        lower(trained_qil, splits[1].images[:1], Arithmetic(wrap=True))
    model = deepcopy(trained_qil)
    with torch.no_grad():
        model.get_submodule("block1.conv1").weight[0] = torch.nan
    with pytest.raises(InputError, match=r"^'block1.conv1.weight' must be finite, but holds nan$"):
        lower(model, splits[1].images[:1])


def test_an_example_of_the_wrong_shape_is_one_sentence(
        as_digits: Callable[..., nn.Module], float_net: nn.Module) -> None:
    """Three channels where the network reads one: the shape that came, and torch's own reason."""
    model = as_digits(float_net, torch.rand(8, 1, 8, 8), "qil", 4)
    with pytest.raises(InputError, match=r"^the model does not run on data of shape \(1, 3, 8, 8\): \S.*$"):
        lower(model, torch.zeros(1, 3, 8, 8))


def test_only_models_on_the_cpu_are_lowered(as_digits: Callable[..., nn.Module], float_net: nn.Module) -> None:
    """Lowering reads values; the message names one that is elsewhere."""
    model = as_digits(float_net, torch.rand(8, 1, 8, 8), "qil", 4).to("meta")
    text = r"^only a model on the CPU can be lowered, and '[^']*' is on meta: call model.cpu\(\) first$"
    with pytest.raises(InputError, match=text):
        lower(model, torch.zeros(1, 1, 8, 8))


@pytest.mark.parametrize(("example", "text"), [
    ([1.0], "example must be a tensor of floats, not list"),
    (torch.zeros(1, 1, 8, 8, dtype=torch.uint8), "example must be a tensor of floats, not torch.uint8"),
    (torch.zeros(8), "example must have shape (n, C, H, W), (n, C, L) or (n, C) without a 0, not (8,)")])
def test_refuses_what_is_no_example(
        as_digits: Callable[..., nn.Module], float_net: nn.Module, example: object, text: str) -> None:
    """The same words as for data to quantize with."""
    model = as_digits(float_net, torch.rand(8, 1, 8, 8), "qil", 4)
    with pytest.raises(InputError, match=f"^{re.escape(text)}$"):
        lower(model, example)  # type: ignore[arg-type]


def test_examples_may_be_in_another_precision(as_digits: Callable[..., nn.Module], float_net: nn.Module) -> None:
    """Only their shape counts."""
    model = as_digits(float_net, torch.rand(8, 1, 8, 8), "qil", 4)
    kinds = torch.float32, torch.float64, torch.half
    programs = [lower(model, torch.zeros(1, 1, 8, 8, dtype=kind)) for kind in kinds]
    for program in programs[1:]:
        assert program.tensors == programs[0].tensors


class Wrapped(nn.Module):
    """A quantized model that a class of its own calls, or does not."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        y = self.model(x)
        return y if isinstance(x, Tensor) else torch.relu(y)


def test_graphs_of_models_written_by_hand_are_compared_too(
        as_digits: Callable[..., nn.Module], float_net: nn.Module) -> None:
    """A decision that tracing takes otherwise is refused, not lowered."""
    images = torch.rand(8, 1, 8, 8)
    model = Wrapped(as_digits(float_net, images, "qil", 4)).eval()
    text = r"^the traced graph does not compute what the model does: they differ in the output; forward must not decide"
    with pytest.raises(InputError, match=text):
        lower(model, images[:1])


FAILING: dict[str, Callable[[nn.Module], object]] = {
    r"'2' does not fit the requantizer \[codes of its output\]: channel 0: scale must be finite, not -?inf":
        lambda model: model.get_submodule("2.weight_quantizer").exponent.fill_(5000),
    r"what '2' puts out is read on the machine, but has no quantizer":
        lambda model: model.set_submodule("2_quantizer", nn.Identity()),
}


@pytest.mark.parametrize(("text", "spoil"), FAILING.items(), ids=FAILING.keys())
def test_errors_of_lowering_name_the_layer(text: str, spoil: Callable[[nn.Module], object]) -> None:
    """Whatever part of it fails says which op it was, once."""
    codes = signed_codes(2)
    model = as_signed(small(nn.Conv2d(4, 4, 1), nn.ReLU(), nn.Conv2d(4, 4, 1)), codes, "power_of_two")
    spoil(model)
    with pytest.raises(InputError, match=f"^{text}$"):
        lower(model, codes[:1] / 32)


@pytest.mark.parametrize("size", [63, 65])
def test_what_crosses_a_flatten_is_bounded(size: int) -> None:
    """A row is added to a flattened map by weights that grow with its square; beyond a limit that is refused."""
    class Crossing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.thin, self.row = nn.Conv2d(3, 1, 1), nn.Linear(size * size, 1), nn.Linear(1, size * size)

        def forward(self, x: Tensor) -> Tensor:
            flat = torch.flatten(torch.relu(self.conv(x)), 1)
            return self.row(self.thin(flat)) + flat

    codes = signed_codes(1, size, size)
    model = as_signed(Crossing().eval(), codes, "power_of_two")
    if size * size <= 4096:
        assert "conv.row" in [op.name for op in lower(model, codes / 32).ops]
    else:
        text = (r"^op 'row': 'conv' of shape \(1, 65, 65\) is added in shape \(4225, 1, 1\); the machine moves at "
                r"most 4096 codes to other places, not 4225$")
        with pytest.raises(InputError, match=text):
            lower(model, codes / 32)
