"""The gate of strict power-of-two networks, at what is lowered."""

import re
from typing import cast

import pytest
import torch
from torch import Tensor, nn

from quant.convert import quantize
from quant.lowering.lower import Lowered, lower_with_report
from quant.lowering.strict import beyond_one_shift, check_powers_of_two
from quant.quantizers.power_of_two import PowerOfTwoActivation
from quant.reference import run_reference
from sim.errors import InputError
from sim.ir.arithmetic import Arithmetic
from sim.ir.formats import Format


class Residual(nn.Module):
    """A residual block behind a convolution, then an average over `pool` x `pool` pixels."""

    def __init__(self, pool: int, *, norm: bool = False) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4) if norm else nn.Identity()
        self.pool, self.last = nn.AvgPool2d(pool), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        start = self.first(x).relu()
        return cast(Tensor, self.last(self.pool(self.norm((self.second(start) + start).relu())).flatten(1)))


def strict(model: nn.Module, size: int, terms: int = 4) -> tuple[Lowered, bool]:
    """The lowered network, and whether all its codes and logits are the model's on 32 images."""
    codes = torch.randint(0, 16, (32, 2, size, size))
    images = codes * 2.0**-4
    quantized = quantize(model.eval(), images, scheme="power_of_two", weight_bits=4, activation_bits=6,
                         input_format=Format(4, "unsigned"), input_exponent=-4)
    lowered = lower_with_report(quantized, images[:1], Arithmetic(terms=terms))
    name = lowered.program.outputs[0].name
    found = run_reference(lowered.program, {"x": codes.numpy()})[name][:, :, 0, 0] * lowered.scales[name]
    return lowered, torch.equal(torch.from_numpy(found).double(), quantized.double()(images.double()).detach())


@pytest.mark.parametrize("size", [1, 2, 4, 8])
def test_one_shift_everywhere_is_exact(size: int) -> None:
    """A residual network with an average over a power of two passes, and computes what its model does."""
    torch.manual_seed(size)
    lowered, same = strict(Residual(size), size)
    check_powers_of_two(lowered)
    assert same
    assert set(lowered.digits.values()) == {1}


class TwoReaders(nn.Module):
    """Two convolutions that read one tensor; their sum is the output."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(2, 3, 1), nn.Conv2d(2, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.a(x) + self.b(x))


@pytest.mark.parametrize("bits", [8, 1])
def test_logits_are_as_fine_as_what_they_add(bits: int) -> None:
    """A stored tensor of finer steps than the accumulator's is added without a rounding, half codes too."""
    torch.manual_seed(0)
    codes = torch.randint(0, 16, (32, 2, 4, 4))
    images = codes * 2.0**-4
    quantized = quantize(TwoReaders().eval(), images, scheme="power_of_two", weight_bits=4, activation_bits=8,
                         input_format=Format(4, "unsigned"), input_exponent=-4)
    added = cast(PowerOfTwoActivation, quantized.b_quantizer)
    added.set_bits(bits, torch.randn(100))
    added.exponent.fill_(-12)
    lowered = lower_with_report(quantized, images[:1], Arithmetic(terms=1))
    check_powers_of_two(lowered)
    found = torch.from_numpy(run_reference(lowered.program, {"x": codes.numpy()})["a"]).double() * lowered.scales["a"]
    assert torch.equal(found, quantized.double()(images.double()).detach())


@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("size", [3, 6, 7])
def test_other_averages_and_batchnorms_are_shifts_too(size: int, norm: bool) -> None:
    """1 / 49 is no shift, and neither are gains: the next layer takes up the rest."""
    torch.manual_seed(size)
    model = Residual(size, norm=norm)
    if norm:
        with torch.no_grad():
            model.get_parameter("norm.weight").copy_(torch.tensor([0.3, 0.7, 1.1, 1.9]))
    lowered, same = strict(model, size, terms=1)
    check_powers_of_two(lowered)
    assert same


def real(terms: int) -> Lowered:
    """A lowered network with real steps."""
    torch.manual_seed(0)
    images = torch.randint(0, 16, (32, 2, 7, 7)) * 2.0**-4
    model = quantize(Residual(7).eval(), images, scheme="uniform", input_format=Format(4, "unsigned"),
                     input_exponent=-4)
    return lower_with_report(model, images[:1], Arithmetic(terms=terms))


def test_ops_of_several_digits_are_named() -> None:
    """Real steps take some: the gate names every op with its digits."""
    lowered = real(4)
    named = [f"'{name}' takes {digits} digits" for name, digits in lowered.digits.items() if digits > 1]
    assert len(named) > 2
    assert beyond_one_shift(lowered) == named
    text = f"strict powers of two take one exact shift for each multiplication, but {', '.join(named)}"
    with pytest.raises(InputError, match=f"^{re.escape(text)}$"):
        check_powers_of_two(lowered)


def test_one_digit_that_is_not_exact_does_not_pass() -> None:
    """Where a multiplier may have one digit alone, real steps are refused for their error."""
    lowered = real(1)
    assert set(lowered.digits.values()) == {1}
    with pytest.raises(InputError, match=r"^strict powers of two take .*, but 'first' is up to \d+(\.\d+)? codes "):
        check_powers_of_two(lowered)
