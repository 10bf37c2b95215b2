"""The quantizers of a network's inputs, from what the host gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias, TypeVar

from quant.data.pixels import Pixels
from quant.quantizers.base import ActivationQuantizer
from quant.quantizers.pixel import PixelActivation
from quant.quantizers.power_of_two import PowerOfTwoActivation
from quant.trace.checks import check_input_format
from sim.errors import InputError
from sim.io.bounds import listed
from sim.ir.formats import Format

__all__ = ["ByInput", "quantizers_of_inputs"]

Of = TypeVar("Of")
ByInput: TypeAlias = Of | Mapping[str, Of]
"""One thing for all inputs, or by their names."""


def quantizers_of_inputs(names: Sequence[str], fmt: ByInput[Format] | None, exponent: ByInput[int] | None,
                         pixels: ByInput[Pixels] | None) -> dict[str, ActivationQuantizer]:
    """Return a quantizer for each input, by name and in their order.

    Parameters
    ----------
    names : sequence of str
        Of the inputs.
    fmt, exponent, pixels
        As for `quant.convert.quantize`: each input is described by pixels, or by format and exponent.

    Raises
    ------
    InputError
        If an input is described twice or not at all, or there is no such input.
    """
    for given in (fmt, exponent, pixels):
        if isinstance(given, Mapping) and (strangers := [str(name) for name in given if name not in names]):
            raise InputError(f"the model has no input {listed(strangers)}; its inputs are {listed(names)}")
    return {name: _quantizer(_of(fmt, name), _of(exponent, name), _of(pixels, name)) for name in names}


def _of(given: ByInput[Of] | None, name: str) -> Of | None:
    return given.get(name) if isinstance(given, Mapping) else given


def _quantizer(fmt: Format | None, exponent: int | None, pixels: Pixels | None) -> ActivationQuantizer:
    """Return the quantizer of an input, which is described in one of two ways."""
    if (pixels is None) == (fmt is None and exponent is None):
        raise InputError("give either pixels, or input_format and input_exponent")
    if pixels is not None:
        if not isinstance(pixels, Pixels):  # of another type, whatever is declared
            raise InputError(f"pixels must be Pixels(mean, deviation), not {type(pixels).__name__}")
        return PixelActivation(pixels)
    if fmt is None or exponent is None:
        raise InputError("input_format and input_exponent must be given together")
    check_input_format(fmt, exponent)
    return PowerOfTwoActivation(fmt.bits, signed=fmt.kind == "signed", exponent=exponent)
