"""Weights of one bit on the machine: bipolar in dense layers, signed in grouped ones, and not one code that differs."""

from typing import cast

import pytest
import torch
from torch import Tensor, fx, nn

from quant.convert import quantize
from quant.lowering.lower import Lowered, lower_with_report
from quant.lowering.strict import check_powers_of_two
from quant.reference import run_reference
from sim.functional.engine.simulator import Simulator
from sim.ir.arithmetic import Arithmetic
from sim.ir.formats import Format


class Net(nn.Module):
    """Padded convolutions, dense, depthwise and of two groups, a projection with a residual, a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.dense, self.filter = nn.Conv2d(2, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.halves, self.norm = nn.Conv2d(8, 8, 3, padding=1, groups=2), nn.BatchNorm2d(8)
        self.project, self.last = nn.Conv2d(8, 8, 1), nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        start = self.dense(x).relu()
        inner = self.norm(self.halves(self.filter(start).relu())).relu()
        end = self.project(inner) + start
        return cast(Tensor, self.last(end.relu().mean((2, 3))))


def quantized(scheme: str, activation_bits: int) -> tuple[fx.GraphModule, Tensor]:
    torch.manual_seed(1)
    net, codes = Net().eval(), torch.randint(0, 16, (64, 2, 4, 4))
    return quantize(net, codes * 2.0**-4, scheme=scheme, weight_bits=1, activation_bits=activation_bits,
                    input_format=Format(4, "unsigned"), input_exponent=-4), codes


def outputs(lowered: Lowered, codes: Tensor) -> Tensor:
    """What the Program gives, which the reference and the compiled engine must agree on."""
    output = lowered.program.outputs[0].name
    found = run_reference(lowered.program, {"x": codes.numpy()})[output]
    assert (Simulator(lowered.program).run({"x": codes.numpy()})[output] == found).all()
    return torch.from_numpy(found[:, :, 0, 0]) * lowered.scales[output]


@pytest.mark.parametrize("activation_bits", [1, 4])
def test_programs_compute_what_strict_models_do(activation_bits: int) -> None:
    """All logits are the model's, at the borders of padded maps too; every kind of layer has its kind of bit.

    Images of noise have nearly the same averages, which 4 bits round to about ten codes in each of four channels: of
    64 images 8 to 56 have logits of their own, depending on the weights, whatever the tensors' units are.
    """
    model, codes = quantized("power_of_two", activation_bits)
    lowered = lower_with_report(model, codes[:1] * 2.0**-4, Arithmetic(terms=1))
    check_powers_of_two(lowered)
    kinds = {conv.name: str(conv.weight_format) for conv in lowered.program.convs}
    assert kinds == {"dense": "bipolar1", "filter": "signed1", "halves": "signed1", "project": "bipolar1",
                     "mean": "unit1", "last": "bipolar1"}
    found = outputs(lowered, codes)
    assert len(found.unique(dim=0)) > (1 if activation_bits == 1 else 24)
    assert torch.equal(found.double(), model.double()(codes.double() * 2.0**-4).detach())


@pytest.mark.parametrize("scheme", ["lsq", "qil", "uniform"])
def test_programs_agree_with_models_of_real_steps(scheme: str) -> None:
    """Multipliers are fitted to a quarter of a code there; images keep their class but for a few near ties."""
    model, codes = quantized(scheme, 4)
    found = outputs(lower_with_report(model, codes[:1] * 2.0**-4), codes)
    same = found.argmax(1) == model(codes * 2.0**-4).argmax(1)
    assert float(same.float().mean()) > 0.95


@pytest.mark.parametrize("scheme", ["lsq", "uniform"])
def test_logits_of_few_sums_keep_their_biases(scheme: str) -> None:
    """Where all is one bit wide, logits are few sums and a real bias: as whole steps of sums, classes would tie."""
    model, codes = quantized(scheme, 1)
    lowered = lower_with_report(model, codes[:1] * 2.0**-4)
    assert lowered.program.outputs[0].format.bits == 16
    found = outputs(lowered, codes).sort(1).values
    assert float((found[:, 1:] - found[:, :-1]).min()) > 0
    wanted = model(codes * 2.0**-4).detach().sort(1).values
    assert float((found - wanted).abs().median()) < 0.01 * float(wanted.abs().max())
