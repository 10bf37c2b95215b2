"""Data without rows or columns, and values that are maps at one place and rows at another."""

from collections.abc import Callable
from copy import deepcopy

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bitwright.codesign.evaluation import evaluate
from quant.convert import quantize
from quant.data.split import Split
from quant.layers.view import View
from quant.lowering.lower import Lowered, lower_with_report
from quant.lowering.strict import check_powers_of_two
from quant.ptq.reconstruct import Reconstruction, reconstruct
from quant.reference import run_reference
from quant.training.loop import train
from quant.training.norms import reestimate_norms
from quant.training.recipe import Recipe
from sim.errors import InputError
from sim.ir.formats import Format

Follow = Callable[[nn.Module, Lowered, dict[str, np.ndarray], Tensor], int]


class Perceptron(nn.Module):
    """Linear layers on rows, as for tables of numbers: BatchNorm after one and by itself, a shortcut, no map at all."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.inner = nn.Linear(12, 8), nn.BatchNorm1d(8), nn.Linear(8, 8)
        self.again, self.last = nn.BatchNorm1d(8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm(self.first(x)))
        return self.last(self.again(torch.relu(self.inner(x)) + x))


class Sequence(nn.Module):
    """A sequence as a map of one column: kernels, strides and pads along it alone."""

    def __init__(self) -> None:
        super().__init__()
        self.columns, self.rows = View((4, 12, 1)), View((6, 3))
        self.first = nn.Conv2d(4, 6, (3, 1), stride=(2, 1), padding=(1, 0), dilation=(1, 2))
        self.max, self.average = nn.MaxPool2d((2, 1)), nn.AvgPool2d((2, 1), stride=(1, 1))
        self.last = nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.max(torch.relu(self.first(self.columns(x))))
        return self.last(self.average(x).flatten(1))


class Decoder(nn.Module):
    """A map becomes a row and a row a map: one that was a map before, and one that a linear layer makes."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(4, 3, 1), nn.BatchNorm1d(36)
        self.thin, self.wide = nn.Linear(36, 5), nn.Linear(5, 36)
        self.map, self.max, self.out = View((3, 4, 3)), nn.MaxPool2d(2), nn.Conv2d(3, 2, 3, padding=1)
        self.maps, self.filter, self.last = View((4, 4, 3)), nn.Conv2d(3, 3, 1, groups=3), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        row = torch.relu(self.conv(self.maps(x)).flatten(1))
        again = self.filter(self.map(row)) + self.map(self.wide(self.thin(self.norm(row))))
        wide = self.max(self.map(self.wide(self.thin(row))))
        return self.last(torch.cat((self.out(again).mean((2, 3)), self.out(wide).mean((2, 3))), 1))


class Unequal(nn.Module):
    """Windows that step further down than across, or the other way, as those of text recognition do."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.deep = nn.Conv2d(3, 6, 3, (2, 1), 1), nn.Conv2d(6, 6, 3, (1, 2), (1, 3), (1, 2), groups=6)
        self.max, self.average, self.last = nn.MaxPool2d(2, (1, 2)), nn.AvgPool2d((2, 3), (2, 1)), nn.Linear(12, 3)
        self.cells = nn.AdaptiveAvgPool2d((2, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = self.max(torch.relu(self.deep(torch.relu(self.stem(x)))))
        return self.last(self.cells(self.average(x)).flatten(1))


SHAPES = {Perceptron: (12,), Sequence: (4, 12), Decoder: (48,), Unequal: (3, 10, 12)}


def made(network: type[nn.Module], scheme: str) -> tuple[nn.Module, nn.Module, Tensor]:
    """The float network, quantized, and codes of 5 signed bits for it with 1/16 to a code."""
    torch.manual_seed(1)
    model, codes = network().eval(), torch.randint(-16, 16, (32, *SHAPES[network]))
    return model, quantize(model, codes / 16, scheme=scheme, weight_bits=4, activation_bits=4,
                           input_format=Format(5, "signed"), input_exponent=-4), codes


@pytest.mark.parametrize("scheme", ["qil", "power_of_two"])
@pytest.mark.parametrize("network", SHAPES)
def test_each_layer_is_its_real_map_to_half_a_code(network: type[nn.Module], scheme: str, follow: Follow) -> None:
    """The host gives codes in the shape of the data; strict logits are equal."""
    _, model, codes = made(network, scheme)
    lowered = lower_with_report(model, codes[:1] / 16)
    (source,), (target,) = lowered.program.inputs, lowered.program.outputs
    found = run_reference(lowered.program, {source.name: lowered.prepare(codes.numpy())})
    assert follow(model, lowered, found, codes / 16) > 2
    if scheme == "power_of_two":
        check_powers_of_two(lowered)
        logits = torch.from_numpy(found[target.name][:, :, 0, 0]).double() * lowered.scales[target.name]
        with torch.no_grad():
            assert torch.equal(logits, deepcopy(model).double()(codes.double() / 16))


@pytest.mark.parametrize("network", [Perceptron, Sequence])
def test_rows_and_sequences_are_evaluated(network: type[nn.Module]) -> None:
    """The Program, alone and with the host's part, is judged on data of the network's own shape."""
    _, model, codes = made(network, "power_of_two")
    data = Split(codes, model(codes / 16).argmax(1), Format(5, "signed"), -4)
    lowered = lower_with_report(model, codes[:1] / 16)
    assert evaluate(model, data) == evaluate(lowered, data) == evaluate(lowered.program, data) == 1.0


@pytest.mark.trains
def test_rows_are_reconstructed_and_trained_on() -> None:
    """Both take rows; statistics of BatchNorm1d are estimated anew; shifts of images are refused."""
    network, model, codes = made(Perceptron, "power_of_two")
    assert [report.name for report in reconstruct(model, network, codes / 16, Reconstruction(iterations=1))] == [
        "first", "add", "last"]
    data = Split(codes, torch.arange(32) % 3, Format(5, "signed"), -4)
    history = train(network, data, Recipe(epochs=1, batch=16, shift=0))
    assert len(history) == 1
    before = network.norm.running_mean.clone()
    reestimate_norms(network, codes / 16)
    assert not torch.equal(before, network.norm.running_mean)
    with pytest.raises(InputError, match=r"^only images of shape \(n, C, H, W\) can be shifted: the recipe's shift "
                                         r"must be 0, not 1$"):
        train(network, data, Recipe(epochs=1, batch=16, shift=1))
