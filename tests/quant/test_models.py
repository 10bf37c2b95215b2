"""Models of every kind of value and reader: the Program computes what the model does, in all engines."""

from collections.abc import Callable, Mapping
from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from quant.convert import quantize
from quant.lowering.lower import Lowered, lower_with_report
from quant.reference import run_reference
from sim.functional.engine.simulator import Simulator
from sim.functional.reference import simulate
from sim.ir.formats import Format
from sim.ir.ops import Pool
from sim.ir.program import Program

Follow = Callable[[nn.Module, Lowered, dict[str, np.ndarray], Tensor], int]
Value = Callable[["Parts", Tensor], Tensor]
Tail = Callable[["Parts", Tensor, Tensor], Tensor]

CODES = torch.randint(0, 256, (6, 4, 2, 2), generator=torch.Generator().manual_seed(0))
IMAGES = CODES * 2.0**-8
SIZE = 4 * 2 * 2


class Parts(nn.Module):
    """Layers from maps of 4 x 2 x 2 to such maps, and from rows of as many values to such rows, to build models of."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.other, self.wide = (nn.Conv2d(4, 4, 3, padding=1) for _ in range(3))
        self.norm, self.drop, self.flat = nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Flatten()
        self.relu, self.max, self.average = nn.ReLU(), nn.MaxPool2d(3, 1, 1), nn.AvgPool2d(2, 2)
        self.row, self.wide_row, self.head = nn.Linear(SIZE, SIZE), nn.Linear(SIZE, SIZE), nn.Linear(SIZE, 5)


class Built(Parts):
    """A map, and what is done with its flattened values."""

    def __init__(self, value: Value, tail: Tail, read_again: bool = False) -> None:
        super().__init__()
        self.value, self.tail, self.read_again = value, tail, read_again

    def forward(self, x: Tensor) -> Tensor:
        m = self.value(self, x)
        y = self.tail(self, m, self.flat(m))
        return self.head(y + torch.flatten(self.wide(m), 1) if self.read_again else y)


VALUES: dict[str, Value] = {
    "input": lambda p, x: x,
    "conv": lambda p, x: p.conv(x),
    "relu": lambda p, x: p.relu(p.conv(x)),
    "max": lambda p, x: p.max(p.conv(x)),
    "norm": lambda p, x: p.norm(p.relu(p.conv(x))),
    "add": lambda p, x: p.conv(x) + x,
}
"""Maps of all kinds of stages."""

TAILS: dict[str, Tail] = {
    "nothing": lambda p, m, f: f,
    "relu": lambda p, m, f: torch.relu(f),
    "dropout, relu6": lambda p, m, f: functional.relu6(p.drop(f)),
    "flatten, relu, flatten": lambda p, m, f: torch.relu(f.flatten(1)).flatten(1),
    "itself": lambda p, m, f: f + f,
    "other map": lambda p, m, f: f + p.flat(torch.relu(p.other(m))),
    "same map": lambda p, m, f: torch.relu(p.flat(torch.relu(m)) + f),
    "row of it": lambda p, m, f: torch.relu(p.row(f) + f),
    "it and its row": lambda p, m, f: f + torch.relu(p.row(f)),
    "relu of it and row": lambda p, m, f: torch.relu(f) + p.row(p.drop(f)),
    "open map and closed row": lambda p, m, f: p.flat(p.other(m)) + closed(p, f),
}
"""What is done behind a flatten, with the map before it too."""


def closed(parts: Parts, flat: Tensor) -> Tensor:
    """A row that two layers read."""
    row = parts.row(flat)
    return row + parts.wide_row(row)


def judge(model: nn.Module, scheme: str, follow: Follow, codes: Tensor = CODES) -> None:
    """Quantized in 8 bits a model stays near itself, each of its ops is its real map, and engines agree."""
    images = codes * 2.0**-8
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean, module.running_var = torch.tensor([0.1, -0.2, 0.3, 0.0]), torch.full((4,), 0.3)
    quantized = quantize(model.eval(), images, scheme=scheme, weight_bits=8, activation_bits=8,
                         input_format=Format(8, "unsigned"), input_exponent=-8)
    lowered = lower_with_report(quantized, images[:1])
    program = lowered.program
    given = {program.inputs[0].name: codes.numpy()}
    found = simulate(program, given)
    equal(run_reference(program, given), found)
    equal(Simulator(program).run(given), found)
    judged = [tensor for tensor in program.tensors if is_judged(program, tensor.name)]
    assert follow(quantized, lowered, found, images) == len(judged)
    with torch.no_grad():
        wanted = model(images).double().numpy()
    output = program.outputs[0].name
    error = found[output].reshape(wanted.shape) * lowered.scales[output] - wanted
    assert np.square(error).mean() < 0.01 * np.square(wanted).mean()


def is_judged(program: Program, name: str) -> bool:
    """Whether a tensor's codes are its own: not those of another tensor, at other places or the largest of them."""
    pooled = any(isinstance(op, Pool) and op.output == name for op in program.ops)
    return not pooled and not name.endswith((".copy", ".row", ".map"))


def equal(one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> None:
    for name, codes in one.items():
        np.testing.assert_array_equal(codes, other[name], err_msg=name)


@pytest.mark.parametrize(("value", "tail"), list(product(VALUES, TAILS)))
def test_a_value_may_be_read_on_both_sides_of_a_flatten(value: str, tail: str, follow: Follow) -> None:
    """Every kind of map, flattened and gone on with in every way, half of them with the map read once more.

    Adds of what a BatchNorm by itself puts out are refused where steps are powers of two.
    """
    torch.manual_seed(1)
    both = list(VALUES).index(value) + list(TAILS).index(tail)
    scheme = "lsq" if value == "norm" else ("power_of_two", "lsq")[both // 2 % 2]
    judge(Built(VALUES[value], TAILS[tail], read_again=both % 2 == 0), scheme, follow)
