"""Which event pays for which gate: every instance of the accelerator's netlist has one component."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rtl.gates.circuit import Circuit
from rtl.gates.stages import stages
from rtl.verilog.emit import TOP
from sim.energy.parts import block_of_module

__all__ = ["COMPONENTS", "ELEMENT_STAGES", "OPERAND_STAGES", "blocks", "components"]

ELEMENT_STAGES = ("pair_lanes", "narrow_adds", "wide_adds")
OPERAND_STAGES = ("operand_reads", "operand_bits")
COMPONENTS = (*ELEMENT_STAGES, *OPERAND_STAGES, "lane_adds", "requant_terms", "banks", "moving", "control")
"""Names of components: of the events that pay for them, or of parts that several events share."""
OF_BLOCK = {"depthwise_lanes": "lane_adds", "requantizers": "requant_terms", "banks": "banks", "outputs": "moving",
            "streams": "moving", "control": "control"}


def blocks(circuit: Circuit) -> NDArray[np.str_]:
    """Return the block of `sim.energy.parts` of every instance."""
    return np.array([block_of_module(_short(one.module)) for one in circuit.netlist.instances])


def components(circuit: Circuit) -> NDArray[np.str_]:
    """Return the component of every instance.

    In an element, what computes the count of ones pays for pairs of lanes, what computes the partial sum for narrow
    additions, the rest for wide ones. In operand registers, what chooses the plane that is shown pays for reading.
    """
    block = blocks(circuit)
    found = np.array([OF_BLOCK.get(name, "control") for name in block])
    element = block == "elements"
    found[element] = np.array(ELEMENT_STAGES)[stages(circuit, element, ("ones", "partial"))[element]]
    operands = (block == "row_operands") | (block == "column_operands")
    found[operands] = np.array(OPERAND_STAGES)[stages(circuit, operands, ("word",))[operands]]
    return found


def _short(module: str) -> str:
    """Return a module's name without those of the top and the core."""
    return module.removeprefix(TOP).removeprefix("_").removeprefix("core").removeprefix("_")
