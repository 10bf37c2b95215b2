"""What a quantized model costs when it is lowered and simulated: the truth that cost tables bound."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from quant.lowering.lower import lower
from sim.arch.machine import Machine
from sim.cost.estimate import estimate
from sim.energy.technology import Technology
from sim.plan.plan import plan

__all__ = ["SIMULATED", "Simulation"]

SIMULATED = ("latency_cycles", "energy_pj")
"""The budgets that depend on more than the bits: tables bound them. All others are exact sums."""


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
        program = lower(model, self.example, self.machine.arithmetic, fold=self.fold)
        found = estimate(plan(program, self.machine), self.technology)
        return {"latency_cycles": found.latency_cycles, "energy_pj": found.energy.nominal_pj}
