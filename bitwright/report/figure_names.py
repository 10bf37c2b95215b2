"""What the figures of an estimate are called where people read them, with their units."""

from __future__ import annotations

__all__ = ["FIGURE_NAMES"]

FIGURE_NAMES = {
    "latency_cycles": "latency [cycles]", "latency_ms": "latency [ms]", "fps": "images per second",
    "energy_mj": "energy [mJ]", "power_mw": "power [mW]", "edp_mj_ms": "energy-delay product [mJ ms]", "tops": "TOPS",
    "leakage_mw": "leakage [mW]", "area_mm2": "area [mm2]", "tops_per_w": "TOPS/W",
    "on_chip_tops_per_w": "TOPS/W without the host's memory", "weight_bytes": "weights [bytes]"}
"""By the names that `sim.cost.estimate.Estimate` and JSON have."""
