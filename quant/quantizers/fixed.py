"""Activations whose codes another tool has chosen: nothing is fitted and nothing learns."""

from __future__ import annotations

from math import inf

import torch
from torch import Tensor

from quant.quantizers.base import ActivationQuantizer, round_half_up
from sim.errors import InputError
from sim.ir.formats import Format

__all__ = ["FixedActivation"]


class FixedActivation(ActivationQuantizer):
    """Codes clamp(round(gain * x + bias)) whose values are scale * (code - zero point).

    Parameters
    ----------
    fmt : Format
        Signed, or unsigned with any zero point.
    scale : float, above 0
        Value of one code.
    halves : {"even", "up"}
        Where values half way between two codes go.
    gain, bias : float, optional
        What an input is before it is rounded: default 1 / scale and the zero point.
    bipolar : bool
        Whether the only two codes, 0 and 1, mean -scale / 2 and scale / 2.
    ends : (int, int), optional
        The lowest and the highest code that come out, if they are not the format's.

    Raises
    ------
    InputError
        If scale or gain are not above 0 and finite, or two bipolar values have more than one bit.

    Examples
    --------
    >>> quantizer = FixedActivation(Format(4, "unsigned", 8), 0.5)
    >>> quantizer.codes(torch.tensor([-9.0, -0.25, 0.0, 0.75])), quantizer(torch.tensor([-9.0, 0.75]))
    (tensor([ 0,  8,  8, 10]), tensor([-4.,  1.]))
    >>> FixedActivation(Format(1, "unsigned"), 2.0, bipolar=True)(torch.tensor([-0.1, 0.0, 3.0]))
    tensor([-1.,  1.,  1.])
    """

    _scale: Tensor
    _gain: Tensor
    _bias: Tensor

    def __init__(self, fmt: Format, scale: float, *, halves: str = "even", gain: float | None = None,
                 bias: float | None = None, bipolar: bool = False, ends: tuple[int, int] | None = None) -> None:
        if bipolar and fmt != Format(1, "unsigned"):
            raise InputError(f"two values -s and s have unsigned codes of 1 bit, not {fmt}")
        super().__init__(fmt.bits, signed=bipolar or fmt.kind == "signed" or fmt.zero_point != 0,
                         asymmetric=fmt.kind == "unsigned" and fmt.zero_point != 0)
        self.halves, self._fixed, self.two_values = "up" if bipolar else halves, fmt, bipolar
        self.ends = (fmt.low, fmt.high) if ends is None else ends
        _check_positive(scale, "scale")
        gain = 1 / scale if gain is None else gain
        _check_positive(gain, "gain")
        default = 0.5 if bipolar else float(fmt.zero_point)
        for name, number in (("_scale", scale), ("_gain", gain), ("_bias", default if bias is None else bias)):
            self.register_buffer(name, torch.tensor(number, dtype=torch.float64))

    @property
    def format(self) -> Format:
        return self._fixed

    @property
    def has_zero(self) -> bool:
        return not self.two_values

    @property
    def scale(self) -> Tensor:
        return self._scale

    @property
    def gain(self) -> Tensor:
        return self._gain

    @property
    def bias(self) -> Tensor:
        return self._bias

    def initialise(self, x: Tensor) -> None:
        """Change nothing."""

    def cover(self, low: float, high: float) -> None:
        """Change nothing, likewise."""

    def error(self, x: Tensor, bits: int) -> float:
        self._check(bits)
        with torch.no_grad():
            return float((self(x) - x).square().mean())

    def set_bits(self, bits: int, x: Tensor) -> None:
        self._check(bits)

    def _check(self, bits: int) -> None:
        if bits != self.bits:
            raise InputError(f"a tensor of another tool has its {self.bits} bits, not {bits}")

    def _value(self, x: Tensor) -> Tensor:
        return ((self._round(x) - self.zero) * self._scale).to(x.dtype)

    def _round(self, x: Tensor) -> Tensor:
        zero = self._fixed.zero_point  # added after rounding: which of two codes is even depends on it
        wanted = x.double() * self._gain + (self._bias - zero)
        rounded = torch.round(wanted) if self.halves == "even" else round_half_up(wanted)
        return (rounded + zero).clamp(*self.ends)


def _check_positive(number: float, what: str) -> None:
    if not 0 < number < inf:
        raise InputError(f"the {what} of a tensor must be finite and above 0, not {number}")
