"""What every quantizer is: a map from reals to integer codes and back, with declared gradients.

A quantizer maps x to a code by a monotone map, rounding half up and a clamp, and a code to the value
`scale * (code - zero_point)`. The codes are what the chip stores, the values are what the network is trained with.
Rounding passes gradients unchanged (straight-through); everything else is differentiated exactly. Freezing
a quantizer means not updating its parameters: its gradients to `x` stay.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from math import gcd
from typing import Any, cast

import torch
from torch import Tensor, nn

from sim.errors import InputError
from sim.ir.formats import MAX_PLANES, Format

__all__ = ["ActivationQuantizer", "Quantizer", "round_half_up", "sample_of", "scale_gradient", "widened"]

BITS = range(2, MAX_PLANES + 1)
"""Widths that can be chosen [bits]: below 2 a signed code has no positive value, above 8 no engine reads it."""

SAMPLE_SIZE = 1 << 14
"""Most elements that a fit looks at: enough for a step size, small enough to be free."""


class _RoundHalfUp(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return torch.floor(x + 0.5)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return grads[0]


class _ScaleGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return grads[0] * ctx.factor, None


def round_half_up(x: Tensor) -> Tensor:
    """Return `floor(x + 0.5)`, with the gradient 1 of the straight-through estimator.

    >>> round_half_up(torch.tensor([-1.5, -0.5, 0.49, 0.5, 2.5]))
    tensor([-1.,  0.,  0.,  1.,  3.])
    """
    return cast(Tensor, _RoundHalfUp.apply(x))


def scale_gradient(x: Tensor, factor: float) -> Tensor:
    """Return `x` itself, with its gradient multiplied by `factor`."""
    return cast(Tensor, _ScaleGradient.apply(x, factor))


def widened(x: Tensor) -> Tensor:
    """Return `x`, halves in single precision, in which codes and steps are computed."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


def sample_of(x: Tensor) -> Tensor:
    """Return at most `SAMPLE_SIZE` elements of `x`, evenly spread, detached and flat: what activation fits look at.

    The distance between them has no divisor in common with the number of elements, so that they fall on all channels
    and pixels alike.
    """
    flat = widened(x.detach()).flatten()
    count = flat.numel()
    distance = max(-(-count // SAMPLE_SIZE), 1)
    while gcd(distance, count) > 1 and distance < count:
        distance += 1
    return flat[::distance]


class Quantizer(nn.Module, ABC):
    """Reals to codes of `format` and back.

    Parameters
    ----------
    bits : int, 2..8
        Width of a code [bits].
    signed : bool

    Attributes
    ----------
    bits : int
        Change it with `set_bits`.
    format : sim.ir.formats.Format
        Which codes can come out; zero point 0.
    scale : Tensor
        Value of one code, shape () or (channels,); of weights it may be negative (`quant.quantizers.stepped`).

    Raises
    ------
    InputError
        If the width is not 2..8.
    """

    _bits: Tensor

    def __init__(self, bits: int, *, signed: bool) -> None:
        super().__init__()
        self.signed = signed
        self.register_buffer("_bits", torch.tensor(_checked(bits)))

    @property
    def bits(self) -> int:
        return int(self._bits)

    @property
    def format(self) -> Format:
        return Format(self.bits, "signed" if self.signed else "unsigned")

    @property
    @abstractmethod
    def scale(self) -> Tensor:
        """Value of one code, shape () or (channels,); of weights it may be negative."""

    @abstractmethod
    def initialise(self, x: Tensor) -> None:
        """Choose the step of least mean squared error on `x` at the present width.

        Raises
        ------
        InputError
            If `x` is empty or not finite: nothing says then what a good step is.
        """

    @abstractmethod
    def error(self, x: Tensor, bits: int) -> float:
        """Return the mean squared error on `x` of a quantizer of this kind, `bits` wide and initialised on `x`."""

    @abstractmethod
    def _round(self, x: Tensor) -> Tensor:
        """Return the codes of `x` as floats that are whole numbers, with the declared gradients."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the values of the codes of `x`, same shape; halves are widened first, since they would round twice."""
        return self._value(widened(x))

    def _value(self, x: Tensor) -> Tensor:
        return self._round(x) * along_channels(self.scale, x)

    def codes(self, x: Tensor) -> Tensor:
        """Return the codes of `x`, int64 of the same shape: exactly what the chip stores.

        Raises
        ------
        InputError
            If `x` holds NaN, which no code stands for; infinity is clamped.
        """
        with torch.no_grad():
            rounded = self._round(widened(x))
        if bool(rounded.isnan().any()):
            raise InputError("NaN has no code")
        return rounded.to(torch.int64)

    def set_bits(self, bits: int, x: Tensor) -> None:
        """Change the width, and the step with it: keeping the range would triple the error at few bits.

        Parameters
        ----------
        bits : int, 2..8
        x : Tensor
            Data to fit the new step to: the weights, or a sample of the activations.
        """
        self._bits.fill_(_checked(bits))
        self.initialise(x)

    def project(self) -> None:
        """Enforce the constraints of the parameters; to be called after each optimizer step."""


class ActivationQuantizer(Quantizer):
    """A quantizer of a whole tensor by an affine map: code = clamp(floor(gain * x + bias + 0.5)).

    Attributes
    ----------
    factor : Tensor of shape (channels,), or None
        Positive numbers by which the float network's values are larger than those that are stored here; whatever reads
        the tensor makes up for them. None: they are the same.
    """

    factor: Tensor | None

    def __init__(self, bits: int, *, signed: bool) -> None:
        super().__init__(bits, signed=signed)
        self.register_buffer("factor", None)

    @property
    @abstractmethod
    def gain(self) -> Tensor:
        """Codes per unit of x, before rounding."""

    @property
    @abstractmethod
    def bias(self) -> Tensor:
        """Code of x = 0, before rounding."""

    @property
    def zero_points(self) -> Tensor:
        """Codes whose value is 0, int64 of shape (), or (channels,) where channels differ: then the format has none."""
        return torch.tensor(self.format.zero_point)

    def values(self, codes: Tensor) -> Tensor:
        """Return what codes of shape (n, channels, ...) mean: scale * (code - zero point), in the scale's precision."""
        scale = self.scale.detach()
        return (codes.to(scale.dtype) - self._zeros_along(codes)) * scale

    def codes_of(self, values: Tensor) -> Tensor:
        """Return the codes that mean these values, which this quantizer has put out, as whole floats."""
        return torch.round(values / self.scale.detach()) + self._zeros_along(values)

    def _zeros_along(self, x: Tensor) -> Tensor:
        """Return the zero points, shaped and placed to be added to images."""
        zeros = self.zero_points.to(x.device)
        return zeros.reshape(-1, *[1] * (x.ndim - 2)) if zeros.ndim else zeros


def along_channels(scale: Tensor, x: Tensor) -> Tensor:
    """Return `scale` of shape () or (channels,), shaped to multiply `x` along its first axis."""
    return scale.reshape(-1, *[1] * (x.ndim - 1)) if scale.ndim else scale


def _checked(bits: int) -> int:
    if bits not in BITS:
        raise InputError(f"bits must be in {BITS[0]}..{BITS[-1]}, not {bits}")
    return bits
