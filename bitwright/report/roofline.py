"""The roofline of a network on a machine: how much of the array every layer uses, and what its weights allow."""

from __future__ import annotations

from collections.abc import Sequence

from bitwright.report.page import Axis, Point, Scatter, Series
from sim.arch.machine import Machine
from sim.cost.estimate import LayerEstimate

__all__ = ["roofline"]

BITS_OF_BYTE = 8


def roofline(layers: Sequence[LayerEstimate], machine: Machine | None, name: str) -> Scatter | None:
    """Draw one-bit products per cycle over those per byte of weights, of layers that have both.

    Returns None if the machine is not known or there is no such layer.
    """
    points = tuple(_point(layer) for layer in layers if layer.macs and layer.weight_bytes and layer.latency_cycles
                   and all(layer.bits))
    if machine is None or not points:
        return None
    peak = float(machine.rows * machine.columns * machine.lanes)
    memory = machine.memory
    bandwidth = machine.stream_bits / BITS_OF_BYTE * memory.beats / memory.period_cycles
    knee = peak / bandwidth
    left, right = min(knee, *(point.x for point in points)) / 2, max(knee, *(point.x for point in points)) * 2
    roof = (Point("stream of weights", left, left * bandwidth), Point("knee", knee, peak), Point("array", right, peak))
    return Scatter(f"roofline{f', {name}' if name else ''}",
                   f"In a cycle the array makes {peak:,.0f} one-bit products, the stream brings {bandwidth:g} bytes.",
                   Axis("one-bit products per byte of weights", True), Axis("one-bit products per cycle", True),
                   (Series("layers", points), Series("what the machine allows", roof, joined=True, marks=False)))


def _point(layer: LayerEstimate) -> Point:
    products = layer.macs * layer.bits[0] * layer.bits[1]
    return Point(layer.name, products / layer.weight_bytes, products / layer.latency_cycles, more=(
        ("bits", f"{layer.bits[0]}/{layer.bits[1]}"), ("utilisation [%]", 100 * layer.utilisation)))
