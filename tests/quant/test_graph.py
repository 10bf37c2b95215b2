"""Stages: what is fused, what is stored, and what is refused."""

import re
from math import inf

import pytest
import torch
from torch import Tensor, nn

from quant.graph import stages, trace
from quant.networks import DigitsNet
from sim.errors import InputError


def conv(channels_in: int = 2, channels_out: int = 2) -> nn.Conv2d:
    return nn.Conv2d(channels_in, channels_out, 3, padding=1)


def summary(model: nn.Module) -> list[tuple[str, str, str | None, str | None, str | None, bool]]:
    """(kind, name, source, residual, norm, relu) of each stage, tensors by the name of their stage."""
    found = stages(trace(model))
    names = {stage.end: stage.name for stage in found}
    return [(s.kind, s.name, names.get(s.source), names.get(s.residual), s.norm, s.relu) for s in found]


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
    assert [(s.kind, s.name, s.relu, s.ceiling) for s in found] == [
        ("input", "x", False, inf), ("conv", "conv1", False, inf), ("copy", "act", True, 6.0),
        ("conv", "conv2", True, 6.0), ("copy", "act_2", True, 6.0), ("copy", "add", False, inf)]


class Pair(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, x


class Branching(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


shared = conv()

REFUSED = {
    "unsupported module Sigmoid at '1.module'": nn.Sequential(conv(), Inner(nn.Sigmoid())),
    "unsupported function sigmoid at '1'": nn.Sequential(conv(), Inner()),
    "unsupported operand 1 of add at '1'": nn.Sequential(conv(), Scaled()),
    "unsupported operand 1 of add at the top of the model": Scaled(),
    "module '0' is called twice; every call needs parameters of its own": nn.Sequential(shared, nn.ReLU(), shared),
    "the model must return one tensor": Pair(),
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
