"""Stages: what is fused, what is stored, and what is refused."""

import re
from collections.abc import Callable
from math import inf

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from quant.networks import DigitsNet
from quant.stages.stages import stages
from quant.trace.tracer import trace
from sim.errors import InputError


def conv(channels_in: int = 2, channels_out: int = 2) -> nn.Conv2d:
    return nn.Conv2d(channels_in, channels_out, 3, padding=1)


def summary(model: nn.Module) -> list[tuple[str, str, str | None, str | None, str | None, bool]]:
    """(kind, name, source, residual, norm, relu) of each stage, tensors by the name of their stage."""
    found = stages(trace(model))
    names = {stage.end: stage.name for stage in found}
    return [(s.kind, s.name, names.get(s.source), names.get(s.residual), s.norm, s.clamps) for s in found]


def test_stages_of_the_digits_network() -> None:
    """BatchNorm, add and ReLU belong to the convolution before them; shortcuts without one are no stage."""
    assert summary(DigitsNet()) == [
        ("input", "x", None, None, None, False),
        ("conv", "stem", "x", None, "norm", True),
        ("conv", "block1.conv1", "stem", None, "block1.norm1", True),
        ("conv", "block1.conv2", "block1.conv1", "stem", "block1.norm2", True),
        ("conv", "block2.conv1", "block1.conv2", None, "block2.norm1", True),
        ("conv", "block2.shortcut.0", "block1.conv2", None, "block2.shortcut.1", False),
        ("conv", "block2.conv2", "block2.conv1", "block2.shortcut.0", "block2.norm2", True),
        ("average", "pool", "block2.conv2", None, None, False),
        ("linear", "classifier", "pool", None, None, False),
    ]


class Functions(nn.Module):
    """Everything once as a function instead of a module."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2, self.pool, self.drop = conv(), conv(), nn.MaxPool2d(2), nn.Dropout(0.5)
        self.linear = nn.Linear(2, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.conv1(x))
        y = torch.add(y, self.conv2(y)).relu()
        return self.linear(self.drop(self.pool(y).mean((2, 3))).flatten(1))


def test_functions_and_methods_are_found_too() -> None:
    """torch.relu, torch.add, .relu(), .mean() and .flatten() mean the same as modules; the conv takes the add."""
    assert summary(Functions()) == [
        ("input", "x", None, None, None, False),
        ("conv", "conv1", "x", None, None, True),
        ("conv", "conv2", "conv1", "conv1", None, True),
        ("max", "pool", "conv2", None, None, False),
        ("average", "mean", "pool", None, None, False),
        ("linear", "linear", "mean", None, None, False),
    ]


class Awkward(nn.Module):
    """Values that are read twice before and after a ReLU, and an add of two finished tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2, self.norm, self.relu = conv(), conv(), nn.BatchNorm2d(2), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        raw = self.conv1(x)
        active = self.relu(raw)
        both = active + raw
        return self.norm(both) + self.conv2(both)


def test_values_read_twice_are_stored_before_they_go_on() -> None:
    """Copies appear where a stored tensor gets a ReLU, another operand or a BatchNorm of its own."""
    assert summary(Awkward()) == [
        ("input", "x", None, None, None, False),
        ("conv", "conv1", "x", None, None, False),
        ("copy", "relu", "conv1", None, None, True),
        ("copy", "add", "relu", "conv1", None, False),
        ("conv", "conv2", "add", None, None, False),
        ("copy", "norm", "add", "conv2", "norm", False),
    ]


def test_signs_follow_relus() -> None:
    """Only what went through a ReLU last, or a pool of such, cannot be negative."""
    signed = {stage.name: stage.signed for stage in stages(trace(Awkward()))}
    assert signed == {"x": True, "conv1": True, "relu": False, "add": True, "conv2": True, "norm": True}
    signed = {stage.name: stage.signed for stage in stages(trace(Functions()))}
    assert signed == {"x": True, "conv1": False, "conv2": False, "pool": False, "mean": False, "linear": True}


class Inner(nn.Module):
    def __init__(self, module: nn.Module | None = None) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(x) if self.module is None else self.module(x)


class Scaled(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + 1


class OneReLU(nn.Module):
    """Calls one ReLU6 wherever it needs one: behind a layer, and on stored values."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2, self.act = conv(), conv(), nn.ReLU6()

    def forward(self, x: Tensor) -> Tensor:
        raw = self.conv1(x)
        return self.act(self.conv2(self.act(raw))) + self.act(raw)


def test_one_module_without_parameters_may_be_called_often() -> None:
    """Each call is a stage of its own or part of one, under a name of its own; its ceiling is known."""
    found = stages(trace(OneReLU()))
    assert [(s.kind, s.name, s.clamps, s.ceiling) for s in found] == [
        ("input", "x", False, inf), ("conv", "conv1", False, inf), ("copy", "act", True, 6.0),
        ("conv", "conv2", True, 6.0), ("copy", "act_2", True, 6.0), ("copy", "add", False, inf)]


class Branching(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


REFUSED = {
    "unsupported module Sigmoid at '1.module'": nn.Sequential(conv(), Inner(nn.Sigmoid()), conv()),
    "unsupported function sigmoid at '1'": nn.Sequential(conv(), Inner(), conv()),
    "unsupported operand 1 of add at '1'": nn.Sequential(conv(), Scaled()),
    "unsupported operand 1 of add at the top of the model (node 'add')": Scaled(),
}


@pytest.mark.parametrize(("text", "model"), REFUSED.items(), ids=REFUSED.keys())
def test_refuses_what_the_chip_has_not(text: str, model: nn.Module) -> None:
    """The message names the module or function and where it is."""
    with pytest.raises(InputError, match=f"^{re.escape(text)}$"):
        stages(trace(model))


def test_refuses_data_dependent_control_flow() -> None:
    """A model without one graph cannot be traced."""
    with pytest.raises(InputError, match=r"^the model cannot be traced: symbolically traced variables cannot be used"):
        trace(Branching())


class Call(nn.Module):
    """A function of a convolution's value, and of another's."""

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.conv1, self.conv2, self.function = conv(), conv(), function

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(x)
        return self.function(y, self.conv2(y))


def late_reader(change: Callable[[Tensor], object]) -> Call:
    """Something changes a value, or a view of it, and an add reads the value afterwards."""
    def function(y: Tensor, z: Tensor) -> Tensor:
        change(z)
        return y + z
    return Call(function)


TOP = "at the top of the model (node '{}') "
MEANT = {
    "argument alpha=3 of add " + TOP.format("add") + "is not supported": Call(lambda y, z: torch.add(y, z, alpha=3)),
    "argument alpha=2 of add " + TOP.format("add") + "is not supported": Call(lambda y, z: y.add(z, alpha=2)),
    "argument training=True of dropout " + TOP.format("dropout") + "is not supported":
        Call(lambda y, z: functional.dropout(y + z, 0.5)),
    "argument dtype=torch.float64 of mean " + TOP.format("mean") + "is not supported":
        Call(lambda y, z: torch.mean(y + z, (2, 3), dtype=torch.float64)),
    "argument axis=(2, 3) of mean " + TOP.format("mean") + "is not supported":
        Call(lambda y, z: (y + z).mean(axis=(2, 3))),
    "argument start_dim=0 of flatten " + TOP.format("flatten") + "is not supported":
        Call(lambda y, z: torch.flatten(y + z)),
    "argument end_dim=2 of flatten " + TOP.format("flatten") + "is not supported":
        Call(lambda y, z: (y + z).flatten(1, 2)),
    "argument out=None of add " + TOP.format("add") + "is not supported": Call(lambda y, z: torch.add(y, z, out=None)),
    "mean " + TOP.format("mean") + "has 5 arguments; only 4 are supported":
        Call(lambda y, z: y.mean((2, 3), False, None, None)),
    "Flatten at '1' must start at axis 1 and end at -1, not 0 and -1": nn.Sequential(conv(), nn.Flatten(0)),
    "unsupported method reshape " + TOP.format("reshape").strip():
        Call(lambda y, z: y.reshape(y.shape[0], -1)),
    "unsupported function reshape " + TOP.format("reshape").strip():
        Call(lambda y, z: torch.reshape(y, (-1, 32))),
    "unsupported method view " + TOP.format("view").strip():
        Call(lambda y, z: y.view(y.shape[0], 2, y.shape[1] // 2, 4, 4)),
    "argument output_size of adaptive_avg_pool2d " + TOP.format("adaptive_avg_pool2d") + "is computed "
    "while the model runs; write the number":
        Call(lambda y, z: functional.adaptive_avg_pool2d(y, y.shape[2] // 2)),
    "unsupported attribute T " + TOP.format("getattr_1").strip(): Call(lambda y, z: y.T + z),
    "unsupported operand size of add " + TOP.format("add").strip(): Call(lambda y, z: y + y.size(1)),
    "the model must return a tensor that it computes from its input, not 'size'": Call(lambda y, z: y.size(1)),
    "relu_ " + TOP.format("relu_") + "changes 'conv2' in place, which 'add' reads later": late_reader(torch.relu_),
    "relu " + TOP.format("relu") + "changes 'conv2' in place, which 'add' reads later":
        late_reader(lambda z: functional.relu(z, inplace=True)),
    "relu6 " + TOP.format("relu6") + "changes 'conv2' in place, which 'add' reads later":
        late_reader(lambda z: functional.relu6(torch.flatten(z, 1), inplace=True)),
    "add_ " + TOP.format("add_") + "changes 'conv2' in place, which 'add' reads later":
        late_reader(lambda z: z.add_(z)),
    "function.0 at 'function.0' changes 'conv1' in place, which 'add' reads later": None,
    "0 at '0' changes the model's input in place": nn.Sequential(nn.ReLU(inplace=True), conv()),
}


class InPlaceModule(nn.Module):
    """A ReLU module in place on a value that an add reads afterwards."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.function = conv(), nn.Sequential(nn.ReLU(inplace=True), conv())

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(x)
        return self.function(y) + y


@pytest.mark.parametrize(("text", "model"), MEANT.items(), ids=MEANT.keys())
def test_refuses_calls_that_mean_something_else(text: str, model: nn.Module | None) -> None:
    """An argument that the machine would not follow, or a value that torch reads changed, is named with its place."""
    with pytest.raises(InputError, match=f"^{re.escape(text)}$"):
        stages(trace(model or InPlaceModule()))


class InPlace(nn.Module):
    """In-place calls whose old value nobody needs, as published networks write them."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2, self.relu = conv(), conv(), nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.conv1(x))
        z = self.conv2(y)
        z += y
        return functional.max_pool2d(self.relu(z), 2)


def test_in_place_calls_without_later_readers_are_fine() -> None:
    """They mean what their plain forms mean; so does a max pool as a function."""
    assert summary(InPlace()) == [
        ("input", "x", None, None, None, False),
        ("conv", "conv1", "x", None, None, True),
        ("conv", "conv2", "conv1", "conv1", None, True),
        ("max", "max_pool2d", "conv2", None, None, False),
    ]


def test_padding_belongs_to_the_convolutions_after_it() -> None:
    """Zeros that a call by itself adds are (top, left, bottom, right) of each convolution that reads them."""
    class Padded(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two, self.pad = conv(), conv(), nn.ConstantPad2d((1, 2, 3, 4), 0.0)

        def forward(self, x: Tensor) -> Tensor:
            x = self.pad(x)
            return self.one(x) + self.two(x)

    found = {stage.name: stage for stage in stages(trace(Padded()))}
    assert {name: stage.pads for name, stage in found.items()} == {
        "x": (0, 0, 0, 0), "one": (3, 1, 4, 2), "two": (3, 1, 4, 2)}
    assert found["one"].source is found["x"].end

    class Sideways(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one = conv()

        def forward(self, x: Tensor) -> Tensor:
            return self.one(functional.pad(torch.relu(x), (1, 0), value=0.0))

    assert [stage.pads for stage in stages(trace(Sideways()))][-1] == (0, 1, 0, 0)


@pytest.mark.parametrize(("pad", "message"), [
    (nn.ConstantPad2d(1, 0.5), "padding at '0' must be by zeros, not by 0.5"),
    (nn.ZeroPad2d((0, -1, 0, 0)), (
        "padding at '0' must be by (left, right) or (left, right, top, bottom), numbers of at least 0, not "
        "(0, -1, 0, 0)")),
    (nn.ReflectionPad2d(1), "unsupported module ReflectionPad2d at '0'"),
])
def test_padding_of_other_kinds_is_refused(pad: nn.Module, message: str) -> None:
    """Padding is by zeros, and takes nothing away."""
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        stages(trace(nn.Sequential(pad, conv())))


@pytest.mark.parametrize("reader", [nn.MaxPool2d(2), nn.ReLU(), nn.BatchNorm2d(2), nn.ZeroPad2d(1), nn.Dropout(0.1)])
def test_padding_before_anything_but_a_convolution_is_refused(reader: nn.Module) -> None:
    """The machine pads what a convolution reads; the output of the model is not padded either."""
    with pytest.raises(InputError, match=r"^padding at '1' must be followed by convolutions alone$"):
        stages(trace(nn.Sequential(conv(), nn.ZeroPad2d(1), reader, conv())))
    with pytest.raises(InputError, match=r"^padding at '1' must be followed by convolutions alone$"):
        stages(trace(nn.Sequential(conv(), nn.ZeroPad2d(1))))
