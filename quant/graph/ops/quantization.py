"""Roundings to codes and back, as quantized models of other tools write them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from quant.graph.ops.operator import Operator

__all__ = ["BipolarQuantize", "Dequantize", "FakeQuantize", "Quantize", "Rounding", "Truncate"]

Rounding = Literal["half_even", "half_up", "floor", "ceil", "toward_zero"]

_ROUND: dict[Rounding, Callable[[Tensor], Tensor]] = {
    "half_even": torch.round, "half_up": lambda x: torch.floor(x + 0.5), "floor": torch.floor, "ceil": torch.ceil,
    "toward_zero": torch.trunc}
assert set(_ROUND) == set(get_args(Rounding))


def _along(values: Tensor, axis: int | None, x: Tensor) -> Tensor:
    """Return one number, or one for each place of an axis, in a shape that broadcasts to x."""
    if axis is None or values.numel() == 1:
        return values.reshape(()).to(x.device)
    return values.reshape([-1 if place == axis else 1 for place in range(x.ndim)])


@dataclass(frozen=True)
class Quantize(Operator):
    """clamp(round(x / scale) + zero_point) to low..high; inputs x, scale, zero_point. The codes stay floats.

    Attributes
    ----------
    low, high : int
    axis : int or None
        Along which scale and zero point differ.
    rounding : str
    """

    low: int
    high: int
    axis: int | None = None
    rounding: Rounding = "half_even"

    def compute(self, *inputs: Tensor) -> Tensor:
        """Return the codes."""
        x, scale, zero_point = inputs
        scale, zero_point = _along(scale, self.axis, x), _along(zero_point, self.axis, x)
        return torch.clamp(_ROUND[self.rounding](x / scale) + zero_point, self.low, self.high)


@dataclass(frozen=True)
class Dequantize(Operator):
    """(code - zero_point) * scale; inputs codes, scale, zero_point.

    Attributes
    ----------
    axis : int or None
        Along which scale and zero point differ.
    """

    axis: int | None = None

    def compute(self, *inputs: Tensor) -> Tensor:
        """Return the values."""
        codes, scale, zero_point = inputs
        scale, zero_point = _along(scale, self.axis, codes), _along(zero_point, self.axis, codes)
        return (codes.to(scale.dtype) - zero_point) * scale


@dataclass(frozen=True)
class FakeQuantize(Operator):
    """Round gain * x + shift to codes and back, with scales and zero points that broadcast: x, scale, zero_point.

    Attributes
    ----------
    low, high : int
    rounding : str
    gain, shift : float
    zero_first : bool
        Whether the zero point is added before rounding, as QONNX has it, or afterwards, as ONNX has it.
    """

    low: int
    high: int
    rounding: Rounding = "half_even"
    gain: float = 1.0
    shift: float = 0.0
    zero_first: bool = True

    def compute(self, *inputs: Tensor) -> Tensor:
        """Return the values that the codes mean."""
        _, scale, zero_point = inputs
        return (self.codes(*inputs) - zero_point) * scale

    def codes(self, *inputs: Tensor) -> Tensor:
        """Return the codes, as floats."""
        x, scale, zero_point = inputs
        ratio = (x * self.gain + self.shift) / scale
        rounded = _ROUND[self.rounding]
        codes = rounded(ratio + zero_point) if self.zero_first else rounded(ratio) + zero_point
        return torch.clamp(codes, self.low, self.high)


@dataclass(frozen=True)
class BipolarQuantize(Operator):
    """scale where gain * x + shift is not negative, -scale elsewhere; inputs x and a scale that broadcasts.

    Attributes
    ----------
    gain, shift : float
    """

    gain: float = 1.0
    shift: float = 0.0

    def compute(self, *inputs: Tensor) -> Tensor:
        """Return the values."""
        x, scale = inputs
        return torch.where(x * self.gain + self.shift >= 0, scale, -scale)


@dataclass(frozen=True)
class Truncate(Operator):
    """Cut the last bits off codes: round(code / 2**bits), again with the same scale; inputs x, scale, zero_point.

    Attributes
    ----------
    bits : int
        How many bits are cut off.
    rounding : str
    """

    bits: int
    rounding: Rounding = "floor"

    def compute(self, *inputs: Tensor) -> Tensor:
        """Return the values that the shorter codes mean."""
        x, scale, zero_point = inputs
        codes = torch.round(x / scale + zero_point)
        return (_ROUND[self.rounding](codes / 2**self.bits) - zero_point) * scale
