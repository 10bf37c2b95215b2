"""Slices, chunks and splits along the channels: parts of a stored tensor are read where they lie."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from quant.convert import quantize
from quant.lowering.lower import Lowered, lower_with_report
from quant.lowering.strict import check_powers_of_two
from quant.reference import run_reference
from sim.functional.reference import simulate
from sim.ir.formats import Format
from sim.ir.ops import Conv, Pool

Follow = Callable[[nn.Module, Lowered, dict[str, np.ndarray], Tensor], int]


class Slices(nn.Module):
    """Every kind of layer reads one of three concatenated parts, or two of them; one reads all."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(3, 5, 3, padding=1), nn.Conv2d(3, 4, 1), nn.Conv2d(3, 5, 1)
        self.whole, self.dense, self.deep = nn.Conv2d(14, 4, 1), nn.Conv2d(9, 4, 1), nn.Conv2d(4, 4, 3, 1, 1, 1, 4)
        self.max, self.average, self.last = nn.MaxPool2d(3, 1, 1), nn.AvgPool2d(3, 1, 1), nn.Conv2d(26, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(torch.cat([self.a(x), self.b(x), self.c(x)], 1))
        p, q, r = y.split([5, 4, 5], 1)
        found = [self.whole(y), self.dense(y[:, 5:]), self.deep(q), self.max(r), self.average(q), p + r]
        return self.last(torch.cat(found, 1)).mean((2, 3))


class Shared(nn.Module):
    """A layer's channels are read as a whole, and in halves that are no parts; the host reads one of two parts."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c, self.d = nn.Conv2d(3, 6, 1), nn.Conv2d(3, 3, 1), nn.Conv2d(3, 5, 1), nn.Conv2d(6, 5, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y, z = torch.relu(self.a(x)), torch.relu(torch.cat([self.b(x), self.c(x)], 1))
        return self.c(y[:, :3]) + self.d(y) + self.c(z[:, :3]), z[:, 3:]


def lowered(network: type[nn.Module], scheme: str) -> tuple[nn.Module, Lowered, Tensor]:
    torch.manual_seed(0)
    codes = torch.randint(-16, 16, (8, 3, 6, 5))
    model = quantize(network().eval(), codes / 16, scheme=scheme, weight_bits=4, activation_bits=4,
                     input_format=Format(5, "signed"), input_exponent=-4)
    return model, lower_with_report(model, codes[:1] / 16), codes


@pytest.mark.parametrize("scheme", ["uniform", "power_of_two"])
@pytest.mark.parametrize(("network", "runs"), [
    (Slices, {"dense": (1, 3), "deep": (1, 2), "max": (2, 3), "average": (1, 2), "add": (0, 1)}),
    (Shared, {"c_2": (0, 1), "relu_part": None, "output.0": None})])
def test_parts_are_read_without_a_copy(network: type[nn.Module], runs: dict, scheme: str, follow: Follow) -> None:
    """Each layer is its real map to half a code; only an add of two parts of one tensor copies one of them."""
    model, found, codes = lowered(network, scheme)
    program = found.program
    layers = {op.name: op for op in program.ops if isinstance(op, Conv | Pool)}
    assert {name: op.input_parts for name, op in layers.items() if name in runs} == runs
    inputs = {program.inputs[0].name: found.prepare(codes.numpy())}
    values = run_reference(program, inputs)
    for name, array in simulate(program, inputs).items():
        np.testing.assert_array_equal(values[name], array, name)
    assert follow(model, found, values, codes / 16) >= 4
    if scheme == "power_of_two":
        check_powers_of_two(found)
    moves = [op.name for op in layers.values() if isinstance(op, Conv) and op.weight_format == Format(1, "unsigned")]
    assert moves == [name for name in runs if runs[name] is None]
