"""What does not fit the requantizer is refused with its layer; what only seems so is lowered."""

import pytest
import torch
from torch import nn

from quant.convert import quantize, round_biases
from quant.lowering.lower import lower_with_report
from quant.reference import run_reference
from sim.errors import InputError
from sim.ir.formats import Format

CODES = torch.randint(0, 16, (16, 2, 4, 4), generator=torch.Generator().manual_seed(0))


def two_layers() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 3, 1), nn.ReLU(), nn.Conv2d(3, 4, 1)).eval()


def quantized(model: nn.Module, scheme: str) -> nn.Module:
    return quantize(model, CODES * 2.0**-4, scheme=scheme, input_format=Format(4, "unsigned"), input_exponent=-4)


class Added(nn.Module):
    """A convolution whose input is added to what it puts out."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second, self.last = nn.Conv2d(2, 3, 1), nn.Conv2d(3, 3, 1), nn.Conv2d(3, 4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.first(x).relu()
        return self.last((self.second(y) + y).relu())


def test_a_scale_that_does_not_fit_is_named_with_its_layer() -> None:
    """A step of a sum far below its accumulator's: the layer, the channel, the limit and what came."""
    model = quantized(Added().eval(), "lsq")
    with torch.no_grad():
        model.get_parameter("second_quantizer.step").fill_(2.0**-30)
    with pytest.raises(InputError, match=r"^'second' does not fit the requantizer \[codes of its output\]: channel 0: "
                                         r"scale must be at most 2\*\*11 in magnitude, not -?\d\S*$"):
        lower_with_report(model, torch.zeros(1, 2, 4, 4))


@pytest.mark.parametrize("exponent", [-10, -30, -60])
def test_a_step_that_training_shrank_to_nothing_is_lowered(exponent: int) -> None:
    """Without a sum the codes are those of the model: a unit of the accumulator is worth more than all of them."""
    model = quantized(two_layers(), "power_of_two")
    model.get_buffer("0_quantizer.exponent").fill_(exponent)
    round_biases(model)
    lowered = lower_with_report(model, torch.zeros(1, 2, 4, 4))
    found = run_reference(lowered.program, {lowered.program.inputs[0].name: CODES.numpy()})
    out = lowered.program.outputs[0].name
    hidden = set(model.get_submodule("0_quantizer").codes(model.get_submodule("0")(CODES * 2.0**-4)).flatten().tolist())
    assert len(hidden) > 1
    wanted = model(CODES * 2.0**-4).detach()
    torch.testing.assert_close(torch.from_numpy(found[out] * lowered.scales[out]).float(), wanted, rtol=1e-6, atol=0)


@pytest.mark.parametrize("scheme", ["qil", "lsq", "uniform", "power_of_two"])
@pytest.mark.parametrize("bias", [2.0**-40, 2.0**-20, 1.0, 2.0**20])
def test_a_layer_of_zeros_puts_out_its_bias(scheme: str, bias: float) -> None:
    """Weights that are 0 have any scale: the Program gives the biases' codes, small or large."""
    model = two_layers()
    with torch.no_grad():
        model.get_parameter("0.weight").zero_()
        model.get_parameter("0.bias").copy_(torch.tensor([1.0, 0.5, -1.0]) * bias)
    quant = quantized(model, scheme)
    lowered = lower_with_report(quant, torch.zeros(1, 2, 4, 4))
    name = lowered.program.inputs[0].name
    found = run_reference(lowered.program, {name: CODES.numpy()})
    expected = quant(CODES * 2.0**-4).detach()
    out = lowered.program.outputs[0].name
    error = torch.from_numpy(found[out] * lowered.scales[out]) - expected
    assert float(error.abs().max()) <= 2e-2 * float(expected.abs().max())
