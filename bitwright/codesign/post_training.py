"""A trained network to few bits without training, from unlabelled images."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import fx, nn

from bitwright.codesign.progress import Progress
from quant.convert import quantize
from quant.data.images import Images
from quant.lowering.lower import Lowered
from quant.lowering.strict import beyond_one_shift
from quant.ptq.network import move_exponents
from quant.ptq.reconstruct import Moment, Reconstruction, UnitReport, reconstruct
from quant.ptq.units import units
from quant.quantizers.base import Quantizer
from quant.schemes import Scheme, scheme_of

__all__ = ["Reconstructed", "equalized_channels", "inexact_multiplications", "quantize_network", "quantizer_steps",
           "reconstruct_network", "step_count"]

TOLD_ITERATIONS = 10
"""Iterations between two notes of progress."""


@dataclass
class Reconstructed:
    """What reconstruction did.

    Attributes
    ----------
    distances : dict of str to (float, float)
        For the last layer of each unit, how far its output is from that of the float network before and after.
    fell_back : list of str
        Units for which nothing learnt was better than rounding to nearest.
    seconds : dict of str to float
        That the units took [s]; not those that a checkpoint already held.
    moved : list
        Exponents that the output of the whole network moved.
    """

    distances: dict[str, tuple[float, float]] = field(default_factory=dict)
    fell_back: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    moved: list[object] = field(default_factory=list)


def quantize_network(net: nn.Module, data: Images, images: torch.Tensor, scheme: str | Scheme, bits: tuple[int, int],
                     first_last_bits: int, signed_bits: int | None = None) -> fx.GraphModule:
    """Quantize a copy of a network at these weight and activation bits, with steps fitted on `images` of `data`."""
    given: dict[str, Any] = {"pixels": data.pixels}
    if data.pixels is None:
        given = {"input_format": data.format, "input_exponent": data.exponent}
    return quantize(net, images, scheme=scheme, weight_bits=bits[0], activation_bits=bits[1],
                    first_last_bits=first_last_bits, signed_bits=signed_bits, **given)


def step_count(model: fx.GraphModule) -> int:
    """Return how many steps of progress `reconstruct_network` makes."""
    return len(units(model)) + 1


def reconstruct_network(model: fx.GraphModule, net: nn.Module, images: torch.Tensor, scheme: str,
                        how: Reconstruction, progress: Progress, checkpoint: Path | None = None) -> Reconstructed:
    """Reconstruct every unit of a quantized network, then move exponents by the output of the whole.

    Parameters
    ----------
    model : fx.GraphModule
        From `quantize_network`; its weights are changed.
    net : nn.Module
        The float network that it came from.
    images : float Tensor, shape (n, C, H, W)
    scheme : str
        That of `model`; exponents move only if it is strict.
    how : Reconstruction
    progress : Progress
        Gets `step_count` steps; a unit that falls back is a message.
    checkpoint : Path, optional
        Where to write what is done after each unit, and to go on from.
    """
    result = Reconstructed()

    def report(unit: UnitReport) -> None:
        progress.done(f"'{unit.name}' reconstructed, distance from float {unit.before:.3g} to {unit.after:.3g}")
        result.seconds[unit.name] = unit.seconds

    def tell(moment: Moment) -> None:
        if moment.iteration % TOLD_ITERATIONS == 0:
            progress.note(f"'{moment.unit}' {moment.iteration}/{moment.iterations}, "
                          f"about {moment.seconds_left / 60:.0f} min left")

    for unit in reconstruct(model, net, images, how, progress=report, during=tell, checkpoint=checkpoint):
        result.distances[unit.name] = unit.before, unit.after
        if unit.fell_back:
            result.fell_back.append(unit.name)
            progress.message(f"'{unit.name}' fell back to rounding to nearest: nothing learnt was better")
    if scheme_of(scheme).strict and how.exponents:
        result.moved += move_exponents(model, net, images)
    progress.done(f"{len(result.moved)} exponents moved by the whole network's output")
    return result


def quantizer_steps(model: nn.Module) -> dict[str, list[float]]:
    """Return the steps of every quantizer by its name, one for each channel or a single one."""
    return {name: module.scale.detach().flatten().tolist() for name, module in model.named_modules()
            if isinstance(module, Quantizer)}


def equalized_channels(model: fx.GraphModule) -> dict[str, dict[str, int]]:
    """Count the channels of each tensor that may be equalized: all, those stored larger, those held by a ReLU6."""
    return {tensor.name: {"channels": len(tensor.factor), "moved": tensor.moved, "held": tensor.held}
            for tensor in model.meta.get("equalized", [])}


def inexact_multiplications(lowered: Lowered, scheme: str) -> list[str]:
    """Return the ops of a strict scheme's Program that take more than one exact shift, in words."""
    return beyond_one_shift(lowered) if scheme_of(scheme).strict else []
