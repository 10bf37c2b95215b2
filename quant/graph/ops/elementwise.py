"""Functions of single numbers, and of pairs of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional

from quant.graph.ops.operator import Operator

__all__ = ["COMPARISONS", "Binary", "BinaryKind", "Clip", "Elu", "HardSigmoid", "LeakyRelu", "PRelu", "Unary",
           "UnaryKind", "Where"]

UnaryKind = Literal["abs", "ceil", "cos", "elu", "erf", "exp", "floor", "gelu", "gelu_tanh", "hardswish", "identity",
                    "log", "mish", "neg", "reciprocal", "round", "selu", "sigmoid", "sign", "silu", "sin", "softplus",
                    "softsign", "sqrt", "tanh"]

_UNARY: dict[UnaryKind, Callable[[Tensor], Tensor]] = {
    **{kind: getattr(torch, kind) for kind in ("abs", "ceil", "cos", "erf", "exp", "floor", "log", "neg", "reciprocal",
                                               "round", "sigmoid", "sign", "sin", "sqrt", "tanh")},
    **{kind: getattr(functional, kind) for kind in ("elu", "gelu", "hardswish", "mish", "selu", "silu", "softplus",
                                                    "softsign")},
    "gelu_tanh": lambda x: functional.gelu(x, approximate="tanh"),
    "identity": lambda x: x,
}
assert set(_UNARY) == set(get_args(UnaryKind))


@dataclass(frozen=True)
class Unary(Operator):
    """A function of each number; `round` rounds halves to even.

    Attributes
    ----------
    kind : str
    """

    kind: UnaryKind

    def compute(self, *inputs: Tensor) -> Tensor:
        """Return the function of every number."""
        (x,) = inputs
        return _UNARY[self.kind](x)

    @property
    def title(self) -> str:
        """The function's name."""
        return self.kind


@dataclass(frozen=True)
class Clip(Operator):
    """Clamp each number to low..high; Relu is 0..inf.

    Attributes
    ----------
    low, high : float
    """

    low: float = -inf
    high: float = inf

    def compute(self, *inputs: Tensor) -> Tensor:
        """Return the clamped numbers."""
        (x,) = inputs
        return torch.clamp(x, self.low, self.high)


@dataclass(frozen=True)
class LeakyRelu(Operator):
    """x where it is positive, slope * x elsewhere.

    Attributes
    ----------
    slope : float
    """

    slope: float

    def compute(self, *inputs: Tensor) -> Tensor:
        """Return the function of every number."""
        (x,) = inputs
        return functional.leaky_relu(x, self.slope)


@dataclass(frozen=True)
class Elu(Operator):
    """scale * x where that is positive, scale * alpha * (exp(input_scale * x) - 1) elsewhere.

    Attributes
    ----------
    alpha, scale, input_scale : float
    """

    alpha: float
    scale: float = 1.0
    input_scale: float = 1.0

    def compute(self, *inputs: Tensor) -> Tensor:
        """Return the function of every number."""
        (x,) = inputs
        return self.scale * torch.where(x > 0, x, self.alpha * torch.expm1(self.input_scale * x.clamp(max=0)))


@dataclass(frozen=True)
class PRelu(Operator):
    """x where it is positive, slope * x elsewhere; inputs x and slopes that broadcast to it."""

    def compute(self, *inputs: Tensor) -> Tensor:
        """Return the function of every number."""
        x, slope = inputs
        return torch.where(x > 0, x, x * slope)


@dataclass(frozen=True)
class HardSigmoid(Operator):
    """Clamp alpha * x + beta to 0..1.

    Attributes
    ----------
    alpha, beta : float
    """

    alpha: float = 1 / 6
    beta: float = 0.5

    def compute(self, *inputs: Tensor) -> Tensor:
        """Return the function of every number."""
        (x,) = inputs
        return torch.clamp(self.alpha * x + self.beta, 0, 1)



def _truth(kind: str) -> Callable[[Tensor, Tensor], Tensor]:
    compare: Callable[[Tensor, Tensor], Tensor] = getattr(torch, kind)
    return lambda x, y: compare(x, y).to(x.dtype)


BinaryKind = Literal["add", "div", "eq", "ge", "gt", "le", "lt", "max", "min", "mul", "pow", "sub"]
COMPARISONS: tuple[BinaryKind, ...] = ("eq", "ge", "gt", "le", "lt")
"""What is 1 where it is true and 0 elsewhere."""

_BINARY: dict[BinaryKind, Callable[[Tensor, Tensor], Tensor]] = {
    "add": torch.add, "div": torch.div, "max": torch.maximum, "min": torch.minimum, "mul": torch.mul, "pow": torch.pow,
    "sub": torch.sub,
    **{kind: _truth(kind) for kind in COMPARISONS}}


@dataclass(frozen=True)
class Binary(Operator):
    """A function of two numbers at each place; shapes broadcast.

    Attributes
    ----------
    kind : str
    """

    kind: BinaryKind

    def compute(self, *inputs: Tensor) -> Tensor:
        """Return the function at every place."""
        x, y = inputs
        return _BINARY[self.kind](x, y)

    @property
    def title(self) -> str:
        """The function's name."""
        return self.kind


@dataclass(frozen=True)
class Where(Operator):
    """The second of three numbers at each place where the first is not 0, and the third elsewhere; shapes broadcast."""

    def compute(self, *inputs: Tensor) -> Tensor:
        """Return what is chosen at every place."""
        condition, x, y = inputs
        return torch.where(condition != 0, x, y)
