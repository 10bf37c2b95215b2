"""What every quantizer is: a map from reals to integer codes and back, with declared gradients.

A quantizer maps x to a code by a monotone map, rounding half up and a clamp, and a code to the value
`scale * (code - zero_point)`. The codes are what the machine computes with, the values are what the network is trained
with. Rounding passes gradients unchanged (straight-through); everything else is differentiated exactly. Freezing
a quantizer means not updating its parameters: its gradients to `x` stay.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from math import gcd
from numbers import Integral
from typing import Any, cast

import torch
from torch import Tensor, nn

from sim.errors import InputError
from sim.ir.formats import MAX_PLANES, Format

__all__ = ["SAMPLE_SIZE", "ActivationQuantizer", "Quantizer", "checked_bits", "levels_of", "nearest_codes",
           "round_half_up", "sample_of", "scale_gradient", "sign_codes", "widened"]

BITS = range(1, MAX_PLANES + 1)
"""Widths that can be chosen [bits]: no engine reads wider codes."""

SAMPLE_SIZE = 1 << 14
"""Most elements that a fit looks at: enough for a step size, small enough to be free."""


class _RoundHalfUp(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return (x + 0.5).floor_()

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return grads[0]


class _Sign(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        signs = torch.where(x < 0, -torch.ones_like(x), torch.ones_like(x))
        return torch.where(x.isnan(), x, signs)

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


def sign_codes(ratio: Tensor) -> Tensor:
    """Return -1 below 0 and 1 elsewhere, with the gradient 1 of the straight-through estimator at every ratio.

    >>> sign_codes(torch.tensor([-0.3, 0.0, 4.0]))
    tensor([-1.,  1.,  1.])
    """
    return cast(Tensor, _Sign.apply(ratio))


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


def levels_of(fmt: Format) -> range:
    """Return what the codes of a format mean, rising: bipolar ones -1 and 1, which a machine stores as 0 and 1.

    >>> levels_of(Format(2, "signed")), levels_of(Format(1, "bipolar"))
    (range(-2, 2), range(-1, 2, 2))
    """
    return range(-1, 2, 2) if fmt.kind == "bipolar" else range(fmt.low, fmt.high + 1)


def nearest_codes(ratio: Tensor, levels: range) -> Tensor:
    """Return the code next to each ratio of x to the scale, with the gradients of `round_half_up` or `sign_codes`."""
    return sign_codes(ratio) if levels.step == 2 else round_half_up(ratio).clamp(levels[0], levels[-1])


class Quantizer(nn.Module, ABC):
    """Reals to codes and back.

    Parameters
    ----------
    bits : int, 1..8
        Width of a code [bits].
    signed : bool
    bipolar : bool
        Whether codes of one bit are -1 and 1, as weights of dense layers can be, else -1 and 0 or 0 and 1.

    Attributes
    ----------
    bits : int
        Change it with `set_bits`.
    format : sim.ir.formats.Format
        How a machine stores the codes.
    levels : range
        The codes that can come out.
    scale : Tensor
        Value of one code, shape () or (channels,); of weights it may be negative (`quant.quantizers.stepped`).

    Raises
    ------
    InputError
        If the width is not 1..8.
    """

    _bits: Tensor

    def __init__(self, bits: int, *, signed: bool, bipolar: bool = False) -> None:
        super().__init__()
        self.signed, self.bipolar = signed, bipolar
        self.register_buffer("_bits", torch.tensor(checked_bits(bits)))

    @property
    def bits(self) -> int:
        return int(self._bits)

    @property
    def format(self) -> Format:
        return self.format_at(self.bits)

    def format_at(self, bits: int) -> Format:
        """Return the format that the codes would have at another width."""
        if bits == 1 and self.bipolar:
            return Format(1, "bipolar")
        return Format(bits, "signed" if self.signed else "unsigned")

    @property
    def levels(self) -> range:
        return levels_of(self.format)

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
        """Return the codes of `x`, int64 of the same shape: exactly what the machine computes with.

        Raises
        ------
        InputError
            If `x` holds NaN, which no code stands for; infinity is clamped.
        """
        rounded = self.rounded(x)
        if bool(rounded.isnan().any()):
            raise InputError("NaN has no code")
        return rounded.to(torch.int64)

    @torch.no_grad()
    def rounded(self, x: Tensor) -> Tensor:
        """Return the codes of `x` as floats that are whole numbers; NaN stays NaN."""
        return self._round(widened(x))

    def set_bits(self, bits: int, x: Tensor) -> None:
        """Change the width, and the step with it: keeping the range would triple the error at few bits.

        Parameters
        ----------
        bits : int, 1..8
        x : Tensor
            Data to fit the new step to: the weights, or a sample of the activations.
        """
        self.set_width(bits)
        self.initialise(x)

    def set_width(self, bits: int) -> None:
        """Change the width alone, to 1..8 bits: the step is then to be fitted."""
        self._bits.fill_(checked_bits(bits))

    def continue_with(self, bits: int, x: Tensor) -> None:
        """Change the width like `set_bits`, but keep what training has learnt in relation to the fit on `x`.

        A step that ended at 0.8 times the best one of the old width becomes 0.8 times the best one of the new width.
        """
        self.set_bits(bits, x)

    def project(self) -> None:
        """Enforce the constraints of the parameters; to be called after each optimizer step."""


class ActivationQuantizer(Quantizer):
    """A quantizer of a whole tensor by an affine map: code = clamp(floor(gain * x + bias + 0.5)).

    A tensor of both signs has signed codes, or, if asymmetric, unsigned ones with a zero point. One bit of it means
    -scale / 2 or scale / 2: no code means 0, which lies half way between them, and convolutions pad with the code 0.

    Parameters
    ----------
    bits : int, 1..8
    signed : bool
        Whether values can be negative.
    asymmetric : bool
        Whether signed values get a zero point.

    Attributes
    ----------
    factor : Tensor of shape (channels,), or None
        Positive numbers by which the float network's values are larger than those that are stored here; whatever reads
        the tensor makes up for them. None: they are the same.
    """

    factor: Tensor | None
    _zero_point: Tensor | None

    def __init__(self, bits: int, *, signed: bool, asymmetric: bool = False) -> None:
        super().__init__(bits, signed=signed)
        self.asymmetric = asymmetric and signed
        self.register_buffer("factor", None)
        self.register_buffer("_zero_point", torch.tensor(0) if self.asymmetric else None)

    @property
    def format(self) -> Format:
        fmt = self.format_at(self.bits)
        return fmt if self._zero_point is None or not self.has_zero else replace(fmt, zero_point=int(self._zero_point))

    def format_at(self, bits: int) -> Format:
        unsigned = self.signed and (self.asymmetric or bits == 1)
        return Format(bits, "unsigned") if unsigned else super().format_at(bits)

    @property
    def has_zero(self) -> bool:
        """Whether a code means 0: all but one bit of signed values have one."""
        return self.bits > 1 or not self.signed

    @property
    def zero(self) -> float:
        """Where 0 lies among the codes: at the zero point, or 0.5 where no code means it."""
        return float(self.format.zero_point) if self.has_zero else 0.5

    @property
    def lowest(self) -> Tensor:
        """Value of the lowest code."""
        return (self.format.low - self.zero) * self.scale

    @property
    @abstractmethod
    def gain(self) -> Tensor:
        """Codes per unit of x, before rounding."""

    @property
    @abstractmethod
    def bias(self) -> Tensor:
        """Code of x = 0, before rounding."""

    @abstractmethod
    def cover(self, low: float, high: float) -> None:
        """Choose the smallest step at which values from `low` to `high` are not clipped.

        Parameters
        ----------
        low, high : float
            Finite; an unsigned quantizer without a zero point reaches from 0 whatever `low` is.
        """

    def shorten_zero_point(self) -> None:
        """Move the zero point, if there is one to choose, to one near that is a sum or difference of two powers of 2.

        The machine multiplies by the zero points of tensors whose product it computes, a digit in each cycle.
        """
        if self._zero_point is not None and self.has_zero:
            powers = [0, *(1 << exponent for exponent in range(MAX_PLANES + 1))]
            short = {one + sign * other for one in powers for other in powers for sign in (-1, 1)}
            zero, high = int(self._zero_point), self.format.high
            self._zero_point.fill_(min(short.intersection(range(high + 1)),
                                       key=lambda number: (number < zero, abs(number - zero))))

    @property
    def zero_points(self) -> Tensor:
        """Where 0 lies among the codes, shape (), or (channels,) where channels differ: then the format has no such."""
        return torch.tensor(self.zero)

    def values(self, codes: Tensor) -> Tensor:
        """Return what codes of shape (n, channels, ...) mean: scale * (code - zero point), in the scale's precision."""
        scale = self.scale.detach()
        return codes.to(scale.dtype, copy=True).sub_(self._zeros_along(codes)).mul_(scale)

    def read_from(self, codes: Tensor) -> Tensor:
        """Return inputs that have these codes: what the quantizer puts out for them, if that is in the same unit."""
        return self.values(codes)

    def codes_of(self, values: Tensor) -> Tensor:
        """Return the codes that mean these values, which this quantizer has put out, as whole floats."""
        return torch.round(values / self.scale.detach() + self._zeros_along(values))

    def _codes_near(self, ratio: Tensor) -> Tensor:
        """Return the codes next to ratios of x to the scale, clamped by the caller before or afterwards."""
        zero = self.zero
        if zero == 0:
            return round_half_up(ratio)
        whole = int(zero)  # added after rounding, so that no digit of the ratio is lost
        return round_half_up(ratio + 0.5 if zero != whole else ratio) + whole

    def _zeros_along(self, x: Tensor) -> Tensor:
        """Return the zero points, shaped and placed to be added to images."""
        zeros = self.zero_points.to(x.device)
        return zeros.reshape(-1, *[1] * (x.ndim - 2)) if zeros.ndim else zeros


def along_channels(scale: Tensor, x: Tensor) -> Tensor:
    """Return `scale` of shape () or (channels,), shaped to multiply `x` along its first axis."""
    return scale.reshape(-1, *[1] * (x.ndim - 1)) if scale.ndim else scale


def checked_bits(bits: Any, name: str = "bits") -> int:
    """Return a width that codes can have.

    Raises
    ------
    InputError
        If it is none: the message calls it `name`.
    """
    if isinstance(bits, bool) or not isinstance(bits, Integral) or bits not in BITS:
        raise InputError(f"{name} must be in {BITS[0]}..{BITS[-1]}, not {bits!r}")
    return int(bits)
