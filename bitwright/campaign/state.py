"""Files that hold what a campaign has done on each machine."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sim.arch.machine import Machine
from sim.errors import InputError
from sim.io.atomic_write import atomic_write_text

__all__ = ["MachineState", "PairState", "load_state", "save_state"]


@dataclass(frozen=True)
class PairState:
    """A Program that was run on a machine.

    Attributes
    ----------
    number : int
        Index of the Program among those of the machine.
    cycles : int
    extents : dict of str to int
        Extents of the largest op, by `sim.testing.coverage.extremes.extents_of`.
    found : tuple of str
        What differs from the simulator.
    command : str
        Repeats the simplest case that differs; empty if nothing does.
    """

    number: int
    cycles: int
    extents: dict[str, int]
    found: tuple[str, ...]
    command: str


@dataclass(frozen=True)
class MachineState:
    """What was run on a machine.

    Attributes
    ----------
    machine : dict
        Its parameters.
    engine : str
        The RTL simulator.
    pairs : tuple of PairState
    coverage : dict of str to int
        Bins that were met, by their text.
    seconds, cpu_seconds : float
        Elapsed time, and time of processors [s].
    """

    machine: dict[str, Any]
    engine: str
    pairs: tuple[PairState, ...] = ()
    coverage: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    cpu_seconds: float = 0.0


def load_state(place: Path, machine: Machine, engine: str) -> MachineState:
    """Read what is done on `machine`, which is nothing yet if there is no such file.

    Raises
    ------
    InputError
        If the file is damaged, or is of another machine, such as an older Bitwright drew.
    """
    fresh = MachineState(machine.model_dump(mode="json"), engine)
    if not place.exists():
        return fresh
    try:
        data = json.loads(place.read_text())
        pairs = tuple(PairState(**{**pair, "found": tuple(pair["found"])}) for pair in data.pop("pairs"))
        state = MachineState(pairs=pairs, **data)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise InputError(f"{place} does not hold what a campaign has done; remove it, or use another folder") from None
    if (state.machine, state.engine) != (fresh.machine, fresh.engine):
        raise InputError(f"{place} is of another machine than this campaign draws; remove it, or use another folder")
    return state


def save_state(place: Path, state: MachineState) -> None:
    """Write what is done, whole or not at all."""
    atomic_write_text(place, json.dumps(asdict(state)) + "\n")
