"""Mirrored channels on the machine: a negative digit, and not one code that differs."""

from typing import cast

import pytest
import torch
from torch import Tensor, fx, nn

from quant.convert import quantize
from quant.lowering.lower import lower_with_report
from quant.lowering.strict import check_powers_of_two
from quant.ptq.network import move_exponents
from quant.ptq.reconstruct import Reconstruction, reconstruct
from quant.quantizers.stepped import SteppedWeight
from quant.reference import run_reference
from sim.ir.arithmetic import Arithmetic
from sim.ir.formats import Format
from sim.ir.signed_digits import multipliers


class Net(nn.Module):
    """A dense and a depthwise convolution, a projection with a residual, a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.dense, self.filter = nn.Conv2d(2, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.project, self.last = nn.Conv2d(8, 8, 1), nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        start = self.dense(x).relu()
        end = self.project(nn.functional.relu6(self.filter(start))) + start
        return cast(Tensor, self.last(end.relu().mean((2, 3))))


def compare(model: fx.GraphModule, codes: Tensor) -> None:
    """All layers have channels of both signs and one digit; all logits of the Program are the model's."""
    images = codes * 2.0**-4
    lowered = lower_with_report(model, images[:1], Arithmetic(terms=1))
    check_powers_of_two(lowered)
    output = lowered.program.outputs[0].name
    found = run_reference(lowered.program, {"x": codes.numpy()})[output][:, :, 0, 0] * lowered.scales[output]
    assert torch.equal(torch.from_numpy(found).double(), model.double()(images.double()).detach())
    signs = [conv.name for conv in lowered.program.convs if len(set(multipliers(conv.multiplier) < 0)) == 2]
    assert signs == ["dense", "filter", "project", "last"]


def quantized(net: nn.Module, codes: Tensor, bits: int) -> fx.GraphModule:
    return quantize(net, codes * 2.0**-4, scheme="power_of_two", weight_bits=bits, activation_bits=4,
                    input_format=Format(4, "unsigned"), input_exponent=-4)


@pytest.mark.parametrize("learn", [False, pytest.param(True, marks=pytest.mark.trains)])
def test_programs_compute_what_mirrored_models_do(learn: bool) -> None:
    """At 2 bits, with nearest codes or learnt ones and exponents that have moved."""
    torch.manual_seed(0)
    net, codes = Net().eval(), torch.randint(0, 16, (64, 2, 4, 4))
    model = quantized(net, codes, 2)
    if learn:
        reconstruct(model, net, codes * 2.0**-4, Reconstruction(iterations=3))
        move_exponents(model, net, codes * 2.0**-4, trials=5)
    compare(model, codes)


@pytest.mark.parametrize("bits", [4, 8])
def test_whatever_signs_the_channels_have(bits: int) -> None:
    """Every other channel is given the other sign, also where it fits worse."""
    torch.manual_seed(bits)
    codes = torch.randint(0, 16, (64, 2, 4, 4))
    model = quantized(Net().eval(), codes, bits)
    for quantizer in model.modules():
        if isinstance(quantizer, SteppedWeight):
            quantizer.set_scale(quantizer.scale.abs() * torch.tensor([-1.0, 1.0]).repeat(5)[: quantizer.channels])
    compare(model, codes)
