"""What a Program costs on a machine that is named or given."""

from __future__ import annotations

from pathlib import Path

from bitwright.codesign.resolve import check_program, resolve_machine, resolve_technology
from bitwright.codesign.trace import load_trace
from sim.arch.machine import Machine
from sim.cost.area import AreaEstimate
from sim.cost.area import area as area_of
from sim.cost.estimate import Estimate
from sim.cost.estimate import estimate as estimate_plan
from sim.cost.toggles import layer_toggles
from sim.energy.technology import Technology
from sim.ir.program import Program
from sim.plan.plan import Plan
from sim.plan.plan import plan as place

__all__ = ["area", "estimate", "plan"]


def plan(program: Program, machine: Machine | str | Path) -> Plan:
    """Place a Program on a machine.

    Parameters
    ----------
    program : Program
    machine : Machine, str or Path
        A built-in machine by its name (tiny, edge, large), or a YAML file that describes one.

    Returns
    -------
    Plan
        Where every tensor lies and how every layer runs.

    Raises
    ------
    InputError
        If there is no such machine, or the Program does not fit on it; the message gives what it needs and what the
        machine has.
    """
    check_program(program)
    return place(program, resolve_machine(machine))


def estimate(program: Program, machine: Machine | str | Path, *,
             technology: Technology | str | Path | None = None, trace: str | Path | None = None) -> Estimate:
    """Count cycles, energy and bytes of every layer of a Program on a machine.

    Parameters
    ----------
    program : Program
    machine : Machine, str or Path
        A built-in machine by its name (tiny, edge, large), or a YAML file that describes one.
    technology : Technology, str or Path, optional
        Energy of every event: a built-in table by its name, or a YAML file; that of the machine if None.
    trace : str or Path, optional
        What `bitwright simulate --trace --json` prints: energies are those of this data. Without it, of data that
        toggles as the technology says.

    Returns
    -------
    Estimate
        Of one image: exact cycles and bytes, energies with their bands [pJ].

    Raises
    ------
    InputError
        If there is no such machine or technology, the Program does not fit on the machine, or the trace is of another.
    """
    planned = plan(program, machine)
    toggles = None if trace is None else layer_toggles(program, load_trace(trace))
    return estimate_plan(planned, resolve_technology(technology, planned.machine), toggles)


def area(machine: Machine | str | Path, *, technology: Technology | str | Path | None = None) -> AreaEstimate:
    """Count the area of every block and memory of a machine.

    Parameters
    ----------
    machine : Machine, str or Path
        A built-in machine by its name (tiny, edge, large), or a YAML file that describes one.
    technology : Technology, str or Path, optional
        Area of every part: a built-in table by its name, or a YAML file; that of the machine if None.

    Returns
    -------
    AreaEstimate
        Cells and macros with their bands [mm2], neither placed nor routed.

    Raises
    ------
    InputError
        If there is no such machine or technology, or the technology has no areas.

    Examples
    --------
    >>> import bitwright as bw
    >>> bw.area("tiny").total_mm2.nominal < bw.area("edge").total_mm2.nominal
    True
    """
    target = resolve_machine(machine)
    return area_of(target, resolve_technology(technology, target))
