"""Ways to quantize a network: which quantizers its weights and tensors get."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import get_args

from quant.calibration.options import PERCENTILE, Calibration, Ranges, WeightSteps
from quant.quantizers.base import ActivationQuantizer, Quantizer
from quant.quantizers.lsq import LSQActivation, LSQWeight
from quant.quantizers.power_of_two import Exponents, PowerOfTwoActivation, PowerOfTwoWeight
from quant.quantizers.qil import QILActivation, QILOptions, QILWeight
from quant.quantizers.steps import Fit
from quant.quantizers.uniform import UniformWeight
from sim.errors import InputError

__all__ = ["SCHEMES", "Scheme", "WeightedLayer", "lsq", "power_of_two", "qil", "scheme_of", "uniform"]


@dataclass(frozen=True)
class WeightedLayer:
    """What the quantizer of a layer's weights depends on.

    Attributes
    ----------
    channels : int
        Output channels.
    normed : bool
        Whether a BatchNorm follows the layer.
    grouped : bool
        Whether it is a depthwise or another grouped convolution: its one-bit codes are not bipolar, because
        depthwise layers of the machine have no bipolar weights and other groups become dense layers with zeros between
        them.
    """

    channels: int
    normed: bool = False
    grouped: bool = False


@dataclass(frozen=True)
class Scheme:
    """The quantizers of a network.

    Attributes
    ----------
    weight : callable (bits, layer) -> Quantizer
    tensor : callable (bits, signed) -> ActivationQuantizer
        Of a stored tensor; signed where its values can be negative.
    stepped : callable (bits, signed, asymmetric) -> ActivationQuantizer
        Of what a function reads or puts out and of products: with one step, and a zero point where asymmetric.
    folds : bool
        Whether BatchNorms are folded into the weights first, as without training.
    strict : bool
        Whether all steps are powers of two, so that biases can be rounded to whole accumulator steps.
    equalize : bool
        Whether channels of tensors that only depthwise convolutions read are given like ranges first, by powers of two.
    own_units : bool
        Whether tensors that only depthwise convolutions read are stored in units in which the best steps, their own and
        those of the weights that make them, are powers of two.
    calibration : Calibration
        How steps and biases are fitted to images.
    """

    weight: Callable[[int, WeightedLayer], Quantizer]
    tensor: Callable[[int, bool], ActivationQuantizer]
    stepped: Callable[[int, bool, bool], ActivationQuantizer] = field(
        default=lambda bits, signed, asymmetric: LSQActivation(bits, signed=signed, asymmetric=asymmetric))
    folds: bool = False
    strict: bool = False
    equalize: bool = False
    own_units: bool = False
    calibration: Calibration = field(default_factory=Calibration)


def qil(options: QILOptions | None = None, *, asymmetric: bool = False, ranges: Ranges = "mse",
        percentile: float = PERCENTILE) -> Scheme:
    """Make the scheme of learnt intervals; signed tensors get learnt steps, since QIL cannot represent them.

    If asymmetric, they get a zero point too, fitted with their first steps. `ranges` and `percentile` say what steps of
    tensors start from, as in `Calibration`.
    """
    options = options or QILOptions()
    return Scheme(lambda bits, layer: QILWeight(bits, options, channels=layer.channels, scaled=not layer.normed,
                                                bipolar=not layer.grouped),
                  lambda bits, signed: (LSQActivation(bits, signed=True, asymmetric=asymmetric) if signed
                                        else QILActivation(bits, options)),
                  calibration=Calibration(ranges, percentile))


def lsq(*, per_channel: bool = True, mirrored: bool = True, asymmetric: bool = False, ranges: Ranges = "mse",
        percentile: float = PERCENTILE) -> Scheme:
    """Make the scheme of learnt steps per output channel, or per weight tensor, and per stored tensor.

    Output channels, or weight tensors, may be mirrored: with a negative scale, where that has less squared error before
    training. If asymmetric, signed tensors get a zero point, fitted with their first steps. `ranges` and `percentile`
    say what steps of tensors start from, as in `Calibration`.
    """
    return Scheme(lambda bits, layer: LSQWeight(bits, channels=layer.channels if per_channel else 1, mirror=mirrored,
                                                bipolar=not layer.grouped),
                  lambda bits, signed: LSQActivation(bits, signed=signed, asymmetric=asymmetric),
                  calibration=Calibration(ranges, percentile))


def power_of_two(exponents: Exponents = "best", *, mirrored: bool = True, equalize: bool = True,
                 own_units: bool = True, asymmetric: bool = False, ranges: Ranges = "mse",
                 percentile: float = PERCENTILE, weight_steps: WeightSteps = "output",
                 bias_correction: bool = True) -> Scheme:
    """Make the scheme of steps 2**k per output channel and per tensor, for post-training quantization.

    Output channels may be mirrored: with a scale of -(2**k), where that has less squared error. If asymmetric, signed
    tensors get a zero point, fitted with their step. `exponents` says where the search for `weight_steps` starts;
    `equalize` and `own_units` are those of `Scheme`, the last four options those of `Calibration`.
    """
    _check_choice("exponents", exponents, get_args(Exponents))
    return Scheme(lambda bits, layer: PowerOfTwoWeight(bits, channels=layer.channels, choice=exponents, mirror=mirrored,
                                                       bipolar=not layer.grouped),
                  lambda bits, signed: PowerOfTwoActivation(bits, signed=signed, choice=exponents,
                                                            asymmetric=asymmetric),
                  lambda bits, signed, skewed: PowerOfTwoActivation(bits, signed=signed, choice=exponents,
                                                                    asymmetric=skewed),
                  folds=True, strict=True, equalize=equalize, own_units=own_units,
                  calibration=Calibration(ranges, percentile, weight_steps, bias_correction))


def uniform(fit: Fit = "error", *, per_channel: bool = True, mirrored: bool = True, equalize: bool = True,
            asymmetric: bool = False, ranges: Ranges | None = None, percentile: float = PERCENTILE,
            weight_steps: WeightSteps | None = None, bias_correction: bool | None = None) -> Scheme:
    """Make the scheme of real steps per output channel, or per weight tensor, and per stored tensor.

    Output channels, or weight tensors, may be mirrored: with a negative scale, where that has less squared error. If
    asymmetric, signed tensors get a zero point, fitted with their step. The last four options are those of
    `Calibration`, by default those of `power_of_two`; with the fit `range`, which clips neither weights nor tensors,
    steps of weights stay and biases are not corrected unless that is asked for.
    """
    _check_choice("fit", fit, get_args(Fit))
    plain = fit == "range"
    how = Calibration(ranges or ("range" if plain else "mse"), percentile,
                      weight_steps or ("weight" if plain else "output"),
                      not plain if bias_correction is None else bias_correction)
    return Scheme(lambda bits, layer: UniformWeight(bits, channels=layer.channels if per_channel else 1, fit=fit,
                                                    mirror=mirrored, bipolar=not layer.grouped),
                  lambda bits, signed: LSQActivation(bits, signed=signed, asymmetric=asymmetric), folds=True,
                  equalize=equalize and per_channel, calibration=how)


def _check_choice(name: str, choice: object, choices: tuple[str, ...]) -> None:
    if choice not in choices:
        raise InputError(f"{name} must be one of {', '.join(choices)}, not {choice}")


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
    if not isinstance(scheme, str) or scheme not in SCHEMES:
        raise InputError(f"scheme must be one of {', '.join(SCHEMES)}, not {scheme}")
    return SCHEMES[scheme]
