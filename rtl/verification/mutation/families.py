"""Module families: which modules of the netlist do what, so that mutants are spread over all of them."""

from __future__ import annotations

__all__ = ["FAMILIES"]

CORE = "bitwright.core"

FAMILIES: dict[str, tuple[str, ...]] = {
    "array": (f"{CORE}.pairs", f"{CORE}.array", f"{CORE}.array.element_*", f"{CORE}.array.reference_*",
              f"{CORE}.array.*_operands*"),
    "requantizer": (f"{CORE}.requant", f"{CORE}.requantizer_*", f"{CORE}.term_*", f"{CORE}.parameters*"),
    "loader": (f"{CORE}.loader*", f"{CORE}.taps", f"{CORE}.pixels", f"{CORE}.bank_*"),
    "control": (f"{CORE}", f"{CORE}.control*", f"{CORE}.sequencer", f"{CORE}.counters"),
    "fill": (f"{CORE}.fill*", f"{CORE}.weights*", f"{CORE}.store*", f"{CORE}.protection*"),
    "output": (f"{CORE}.packer", f"{CORE}.packer.walk*", f"{CORE}.residual*"),
    "pool": (f"{CORE}.pool*",),
    "top": ("bitwright", "bitwright.loader*", "bitwright.outlet*", "bitwright.bus*", "bitwright.registers*",
            "bitwright.watchdog*"),
}
"""Patterns of module names by family; the mutants of a family are shared out evenly among its patterns."""
