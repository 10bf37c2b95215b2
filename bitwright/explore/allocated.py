"""Networks whose bits are allocated under budgets on a machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bitwright.codesign.sensitivities import Losses
from quant.bits.allocate import Method, allocate
from quant.bits.allocation import Allocation
from quant.bits.budgets import BUDGETS
from quant.bits.problem import problem_of
from sim.arch.machine import Machine
from sim.cost.table import CostTable, cost_table
from sim.energy.technology import Technology, load_technology
from sim.errors import InputError
from sim.ir.program import Program
from sim.ir.shapes import ChosenBits, Shapes

__all__ = ["AllocatedNetwork", "check_budgets"]


def check_budgets(shapes: Shapes, losses: Losses, budgets: Sequence[Mapping[str, float]], machine: Machine) -> None:
    """Refuse budgets that are unknown, and sensitivities that are not the network's.

    Raises
    ------
    InputError
        With what is wrong.
    """
    for limits in budgets:
        for name in limits:
            if name not in BUDGETS:
                raise InputError(f"a budget must be one of {', '.join(BUDGETS)}, not '{name}'")
    program = _widest(shapes, machine)
    table = cost_table(program, machine, load_technology(machine.technology), losses.bits, losses.bits)
    problem_of(program, table, losses.weight, losses.activation, {})


@dataclass(frozen=True)
class AllocatedNetwork:
    """A network on a machine, with what every choice of bits costs there.

    Attributes
    ----------
    program : Program
    table : CostTable
    losses : Losses
    """

    program: Program
    table: CostTable
    losses: Losses

    @classmethod
    def on(cls, shapes: Shapes, losses: Losses, machine: Machine, technology: Technology) -> AllocatedNetwork:
        """Tabulate the costs of a network on a machine.

        Raises
        ------
        InputError
            If the machine cannot run the network.
        """
        program = _widest(shapes, machine)
        return cls(program, cost_table(program, machine, technology, losses.bits, losses.bits), losses)

    def under(self, budgets: Mapping[str, float], method: Method) -> Allocation:
        """Return the bits that lose least under budgets.

        Raises
        ------
        InputError
            If a budget cannot be met; the message gives its smallest achievable value.
        """
        return allocate(problem_of(self.program, self.table, self.losses.weight, self.losses.activation, budgets),
                        method)


def _widest(shapes: Shapes, machine: Machine) -> Program:
    """Return a Program of which only the shapes and the widths of inputs count."""
    return shapes.program(ChosenBits(weights=8, activations=8, digits=1), machine.arithmetic)
