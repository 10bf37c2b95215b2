"""The steps of quantizing a network without training, to the same bits everywhere or to bits chosen for each layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import fx, nn

from bitwright.codesign.chosen_bits import ChosenBits, check_budgets
from bitwright.codesign.networks import accuracies, lowered_for, pixels_of, worst_fit
from bitwright.codesign.post_training import Reconstructed, equalized_channels, quantize_network, quantizer_steps
from quant.analysis.layers import LayerQuality
from quant.bits.with_bits import with_bits
from quant.calibration.options import Ranges
from quant.data.registry import DataSet
from quant.lowering.lower import Lowered
from quant.ptq.reconstruct import Reconstruction
from quant.schemes import Scheme, lsq, power_of_two, qil, uniform
from sim.arch.machine import Machine
from sim.errors import InputError

__all__ = ["Widths", "quantize_to", "reconstruction_for", "scheme_for", "summary_of"]

WIDEST = 8


@dataclass(frozen=True)
class Widths:
    """Bits of the weights and of the tensors of a network.

    Attributes
    ----------
    bits : (int, int)
        Those of weights and activations where none are chosen for each layer.
    first_last_bits : int
        Those of the first and the last layer in that case.
    signed_bits : int, optional
        Those of tensors of both signs in that case, if not those of the others.
    chosen : ChosenBits, optional
        Bits of every layer instead, with the budgets that they keep.
    """

    bits: tuple[int, int]
    first_last_bits: int
    signed_bits: int | None = None
    chosen: ChosenBits | None = None


def scheme_for(name: Literal["power_of_two", "uniform", "lsq", "qil"], *, asymmetric: bool,
               ranges: Ranges = "mse") -> Scheme:
    """Return the scheme of this name; `asymmetric` gives tensors of both signs zero points."""
    makers: dict[str, Callable[..., Scheme]] = {
        "power_of_two": power_of_two, "uniform": uniform, "lsq": lsq, "qil": qil}
    return makers[name](asymmetric=asymmetric, ranges=ranges)


def reconstruction_for(preset: Literal["thorough", "fast"], *, iterations: int | None, rate: float, exponents: bool,
                       seed: int, downscale: int = 1) -> Reconstruction | None:
    """Return a preset with changes, or None for 0 iterations; with `iterations` None it keeps the preset's.

    Raises
    ------
    InputError
        If the fast preset gets iterations.
    """
    if iterations == 0:
        return None
    if preset == "fast":
        if iterations is not None:
            raise InputError(f"the fast preset learns nothing, so it takes no iterations, not {iterations}")
        return replace(Reconstruction.fast(seed=seed), exponents=exponents, downscale=downscale)
    start = Reconstruction(seed=seed)
    return replace(start, iterations=iterations or start.iterations, rate=rate, exponents=exponents,
                   downscale=downscale)


def quantize_to(widths: Widths, net: nn.Module, data: DataSet, images: torch.Tensor, scheme: Scheme,
                machine: Machine) -> fx.GraphModule:
    """Quantize a copy of a network at these widths, with steps fitted on `images` of the training data.

    Raises
    ------
    InputError
        If the chosen bits are not those of the network's layers, its Program is above a budget, or the machine cannot
        run it: that is said before any reconstruction.
    """
    if widths.chosen is None:
        model = quantize_network(net, data.train, images, scheme, widths.bits, widths.first_last_bits,
                                 widths.signed_bits)
        lowered_for(model, data, machine)
        return model
    model = quantize_network(net, data.train, images, scheme, (WIDEST, WIDEST), WIDEST)
    model = with_bits(model, widths.chosen.bits, images)
    check_budgets(lowered_for(model, data, machine).program, machine, widths.chosen)
    return model


def summary_of(model: fx.GraphModule, lowered: Lowered, data: DataSet, machine: Machine, widths: Widths,
               reconstructed: Reconstructed, layers: Sequence[LayerQuality]) -> dict[str, Any]:
    """Describe a quantized network: its bits and budgets, how accurate its Program is, and what was done to it.

    Raises
    ------
    InputError
        If the Program is above a budget.
    """
    chosen = widths.chosen
    used = {} if chosen is None else check_budgets(lowered.program, machine, chosen)
    limits = {} if chosen is None else chosen.limits
    return {
        "bits": f"{widths.bits[0]}/{widths.bits[1]}" if chosen is None else chosen.bits,
        "budgets": {name: {"limit": limit, "used": used.get(name)} for name, limit in limits.items()},
        "accuracy": accuracies(lowered, data),
        "distances": reconstructed.distances, "fell_back": reconstructed.fell_back,
        "unit_seconds": reconstructed.seconds, "moved": reconstructed.moved,
        "fit_error_codes": worst_fit(lowered), "digits": lowered.digits,
        "pixels": pixels_of(data),
        "layers": layers, "equalized": equalized_channels(model), "steps": quantizer_steps(model)}
