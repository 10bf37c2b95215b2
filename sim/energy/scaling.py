"""Energies and areas at other nodes and voltages.

The equations are those of A. Stillmaker and B. Baas, "Scaling equations for the accurate prediction of CMOS device
performance from 180 nm to 7 nm", Integration 58 (2017) 74-81, doi 10.1016/j.vlsi.2017.02.002: at a node, energy is a
quadratic function of the voltage. Compared with gates of real libraries, one step to the next node is within 35 %, and
from 45 to 7 nm energies are 2.4 times what they say; bands are widened by as much.
"""

from __future__ import annotations

__all__ = ["HIGHEST_V", "LOWEST_V", "NODES", "area_factor", "energy_factor", "spread"]

LOWEST_V, HIGHEST_V = 0.5, 1.3
"""Voltages that are scaled to and from [V]."""
ENERGY = {65: (3.755, -4.398, 1.975), 45: (1.103, -0.362, 0.2767), 32: (0.9559, -0.7823, 0.471),
          20: (0.373, -0.1582, 0.04104), 16: (0.2958, -0.1241, 0.03024), 14: (0.2363, -0.09675, 0.02239),
          10: (0.2068, -0.09311, 0.02375), 7: (0.1776, -0.09097, 0.02447)}
"""Coefficients of the square of the voltage, of the voltage, and of 1, by node [nm]."""
AREA = {65: 1.5, 45: 1.0, 32: 0.46, 20: 0.21, 16: 0.19, 14: 0.17, 10: 0.10, 7: 0.059}
"""Area of a circuit over that at 45 nm, by node [nm]."""
NODES = tuple(AREA)
"""Nodes that are scaled to and from [nm], largest first."""


def energy_factor(node_nm: float, voltage_v: float, to_node_nm: float, to_voltage_v: float) -> float:
    """Return by what an energy grows from a node and voltage to others.

    >>> round(energy_factor(45, 1.1, 45, 0.9), 2)
    0.7
    """
    return _energy(to_node_nm, to_voltage_v) / _energy(node_nm, voltage_v)


def area_factor(node_nm: float, to_node_nm: float) -> float:
    """Return by what an area grows from a node to another."""
    return AREA[int(to_node_nm)] / AREA[int(node_nm)]


def spread(node_nm: float, to_node_nm: float) -> float:
    """Return by what the ends of a band move apart from their nominal figure, for a change of node.

    >>> spread(45, 45), spread(45, 32), spread(45, 7)
    (1.0, 1.35, 2.5)
    """
    steps = abs(NODES.index(int(node_nm)) - NODES.index(int(to_node_nm)))
    return 1.0 if not steps else 1.35 if steps == 1 else 2.5


def _energy(node_nm: float, voltage_v: float) -> float:
    square, linear, constant = ENERGY[int(node_nm)]
    return square * voltage_v**2 + linear * voltage_v + constant
