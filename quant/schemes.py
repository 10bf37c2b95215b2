"""Ways to quantize a network: which quantizers its weights and tensors get."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from quant.quantizers.base import ActivationQuantizer, Quantizer
from quant.quantizers.lsq import LSQActivation, LSQWeight
from quant.quantizers.power_of_two import Exponents, PowerOfTwoActivation, PowerOfTwoWeight
from quant.quantizers.qil import QILActivation, QILOptions, QILWeight
from quant.quantizers.steps import Fit
from quant.quantizers.uniform import UniformWeight
from sim.errors import InputError

__all__ = ["SCHEMES", "Scheme", "lsq", "power_of_two", "qil", "scheme_of", "uniform"]


@dataclass(frozen=True)
class Scheme:
    """The quantizers of a network.

    Attributes
    ----------
    weight : callable (bits, output channels, normed) -> Quantizer
        Normed where a BatchNorm follows the layer.
    tensor : callable (bits, signed) -> ActivationQuantizer
        Of a stored tensor; signed where its values can be negative.
    folds : bool
        Whether BatchNorms are folded into the weights first, as without training.
    strict : bool
        Whether all steps are powers of two, so that biases can be rounded to whole accumulator steps.
    equalize : bool
        Whether channels of tensors that only depthwise convolutions read are given like ranges first, by powers of two.
    """

    weight: Callable[[int, int, bool], Quantizer]
    tensor: Callable[[int, bool], ActivationQuantizer]
    folds: bool = False
    strict: bool = False
    equalize: bool = False


def qil(options: QILOptions | None = None) -> Scheme:
    """Make the scheme of learnt intervals; signed tensors get learnt steps, since QIL cannot represent them."""
    options = options or QILOptions()
    return Scheme(lambda bits, channels, normed: QILWeight(bits, options, scaled=not normed),
                  lambda bits, signed: LSQActivation(bits, signed=True) if signed else QILActivation(bits, options))


def lsq() -> Scheme:
    """Make the scheme of learnt steps, one per tensor."""
    return Scheme(lambda bits, channels, normed: LSQWeight(bits),
                  lambda bits, signed: LSQActivation(bits, signed=signed))


def power_of_two(exponents: Exponents = "best", *, mirrored: bool = True, equalize: bool = True) -> Scheme:
    """Make the scheme of steps 2**k per output channel and per tensor, for post-training quantization.

    Output channels may be mirrored: with a scale of -(2**k), where that has less squared error.
    """
    return Scheme(lambda bits, channels, normed: PowerOfTwoWeight(bits, channels=channels, choice=exponents,
                                                                  mirror=mirrored),
                  lambda bits, signed: PowerOfTwoActivation(bits, signed=signed, choice=exponents),
                  folds=True, strict=True, equalize=equalize)


def uniform(fit: Fit = "error", *, per_channel: bool = True, mirrored: bool = True,
            equalize: bool = True) -> Scheme:
    """Make the scheme of real steps per output channel, or per weight tensor, and per stored tensor.

    Output channels, or weight tensors, may be mirrored: with a negative scale, where that has less squared error.
    """
    return Scheme(lambda bits, channels, normed: UniformWeight(bits, channels=channels if per_channel else 1, fit=fit,
                                                               mirror=mirrored),
                  lambda bits, signed: LSQActivation(bits, signed=signed, fit=fit), folds=True,
                  equalize=equalize and per_channel)


SCHEMES: dict[str, Scheme] = {"qil": qil(), "lsq": lsq(), "power_of_two": power_of_two(), "uniform": uniform()}
"""Schemes by name, with their usual options."""


def scheme_of(scheme: str | Scheme) -> Scheme:
    """Return a scheme, or the one of that name.

    Raises
    ------
    InputError
        If there is none.
    """
    if isinstance(scheme, Scheme):
        return scheme
    if scheme not in SCHEMES:
        raise InputError(f"scheme must be one of {', '.join(SCHEMES)}, not {scheme}")
    return SCHEMES[scheme]
