"""What a quantized model costs when it is lowered and simulated: the truth that cost tables bound."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from quant.bits.allocation import Part
from quant.bits.budgets import FLOORS
from quant.lowering.lower import lower
from sim.arch.machine import Machine
from sim.cost.estimate import Estimate, estimate
from sim.energy.technology import Technology
from sim.plan.plan import plan

__all__ = ["SIMULATED", "Simulation", "broken_limits", "simulated_costs"]

SIMULATED = ("latency_cycles", "energy_pj", "latency_ms", "fps", "energy_mj", "power_mw", "edp_mj_ms")
"""The budgets that depend on more than the bits: tables bound them. All others are exact sums."""


def simulated_costs(cost: Estimate) -> dict[str, float]:
    """Return the value of each budget of SIMULATED in an estimate; the last three at the high end of the band."""
    return {"latency_cycles": float(cost.latency_cycles), "energy_pj": cost.energy.nominal_pj,
            "latency_ms": cost.latency_ms, "fps": cost.fps, "energy_mj": cost.energy_mj.high,
            "power_mw": cost.power_mw.high, "edp_mj_ms": cost.edp_mj_ms.high}


def broken_limits(costs: Mapping[str, float], limits: Mapping[str, float]) -> dict[str, float]:
    """Return those of some costs that are beyond their limit."""
    return {name: cost for name, cost in costs.items()
            if name in limits and Part(name, 1, limits[name], floor=name in FLOORS).broken_by(cost)}


@dataclass(frozen=True, eq=False)
class Simulation:
    """A machine that models are lowered for.

    Attributes
    ----------
    machine : Machine
    technology : Technology
    example : float Tensor, shape (N, C, H, W)
        Fixes the shapes of all tensors.
    fold : bool
        Whether the first layer is folded (`quant.lowering.space_to_depth`).
    """

    machine: Machine
    technology: Technology
    example: Tensor
    fold: bool = False

    def costs(self, model: nn.Module) -> dict[str, float]:
        """Return what one image costs, for each budget of SIMULATED; `model` in eval mode, on the CPU.

        Raises
        ------
        InputError
            If the model cannot be lowered or does not fit on the machine.
        """
        program = lower(model, self.example, self.machine.arithmetic, fold=self.fold, phases=False)
        return simulated_costs(estimate(plan(program, self.machine), self.technology))
