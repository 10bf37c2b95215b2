"""Figures over the layers of a network: bits, cycles by what they are spent on, energy by component."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bitwright.report.page import Bar, Bars
from sim.cost.estimate import LayerEstimate
from sim.energy.band import Band
from sim.energy.events import COMPONENTS

__all__ = ["bits_figure", "cycles_figure", "energy_figure"]

PJ_OF_NJ = 1e3
CAUSES = ("array", "depthwise lanes", "operands", "requantizer", "weights", "pipeline", "pooling", "transfers")
"""What cycles are spent on (`sim.cost.layer_bound`), in the order of the bars' parts."""


def bits_figure(bits: Mapping[str, tuple[int, int]], name: str) -> Bars:
    """Draw the bits of weights and activations of layers."""
    return Bars(_title("bits per layer", name), "Width of the weights and activations of every layer that "
                "multiplies.", "width [bits]", ("weights", "activations"),
                tuple(Bar(layer, (float(w), float(a))) for layer, (w, a) in bits.items()), stacked=False)


def cycles_figure(layers: Sequence[LayerEstimate], name: str) -> Bars:
    """Draw the cycles of every layer by what they are spent on."""
    spent = {cause for layer in layers for cause, count in layer.cycles.items() if count}
    causes = (*(cause for cause in CAUSES if cause in spent), *sorted(spent.difference(CAUSES)))
    return Bars(_title("cycles per layer", name), "Cycles of every layer, stacked by what they are spent on.", "cycles",
                causes, tuple(Bar(layer.name, tuple(float(layer.cycles.get(cause, 0)) for cause in causes))
                              for layer in layers))


def energy_figure(layers: Sequence[LayerEstimate], name: str) -> Bars:
    """Draw the energy of every layer by component, with the band of the whole layer."""
    parts = [layer.energy.by_component for layer in layers]
    used = tuple(component for component in COMPONENTS if any(part[component].high_pj for part in parts))
    return Bars(_title("energy per layer", name), "Nominal energy of every layer, stacked by component, with the band "
                "of the layer.", "energy [nJ]", used, tuple(
                    Bar(layer.name, tuple(part[component].nominal_pj / PJ_OF_NJ for component in used),
                        Band(layer.energy.low_pj / PJ_OF_NJ, layer.energy.nominal_pj / PJ_OF_NJ,
                             layer.energy.high_pj / PJ_OF_NJ)) for layer, part in zip(layers, parts, strict=True)))


def _title(what: str, name: str) -> str:
    return f"{what}, {name}" if name else what
