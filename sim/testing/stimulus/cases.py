"""Draw, save and shrink test cases: a Program, a machine and input codes, in the files that the command line reads."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from sim.arch.machine import Machine, load_machine
from sim.errors import InputError
from sim.functional.reference import simulate
from sim.io.atomic_write import atomic_folder, ensure_folder
from sim.ir.program import Program
from sim.ir.serialize import load_program, save_program, save_vectors
from sim.plan.plan import Plan, plan
from sim.testing.stimulus.choices import Choices, choices_of
from sim.testing.stimulus.corner_codes import corner_inputs, plain_inputs
from sim.testing.stimulus.machines import random_memory
from sim.testing.stimulus.programs import random_program
from sim.testing.stimulus.recorded_choices import RecordedChoices, shrink

__all__ = ["Case", "draw_case", "load_case", "redraw", "save_case", "shrink_case"]

PROGRAM, MACHINE, INPUTS, NOTES = "program.safetensors", "machine.yaml", "inputs.npz", "notes.json"
RANDOM = 0.97
"""Probability of codes that reach all corners instead of the highest everywhere, to which failing cases shrink."""


@dataclass(frozen=True, eq=False)
class Case:
    """A Program on a machine with codes for its inputs.

    Attributes
    ----------
    program : Program
    machine : Machine
    inputs : dict of str to int32 array, shape (N, C, H, W)
    notes : dict
        What was seen, for people; plain data.
    """

    program: Program
    machine: Machine
    inputs: dict[str, NDArray[np.int32]]
    notes: dict[str, object] = field(default_factory=dict)

    @cached_property
    def plan(self) -> Plan:
        """The Program placed on the machine."""
        return plan(self.program, self.machine)

    @cached_property
    def codes(self) -> dict[str, NDArray[np.int32]]:
        """The codes of every tensor of the Plan, as the simulator computes them."""
        return simulate(self.plan.program, self.inputs)


def draw_case(source: np.random.Generator | Choices, machine: Machine, **options: Any) -> Case:
    """Draw a Program on `machine` with a memory for its streams and an image of codes, all decided by `source`.

    Parameters
    ----------
    source : numpy.random.Generator or Choices
    machine : Machine
    options
        Of `sim.testing.random_program`.

    Raises
    ------
    InputError
        If the Program does not fit.
    """
    choices = choices_of(source)
    remembering = machine.model_copy(update={"memory": random_memory(choices)})
    program = random_program(choices, machine, **options)
    corners = choices.chance("corner codes", RANDOM)
    inputs = corner_inputs(choices.values("codes"), program, 1) if corners else plain_inputs(program)
    case = Case(program, remembering, inputs)
    _ = case.plan
    return case


def redraw(decisions: Sequence[int], machine: Machine, **options: Any) -> tuple[Case, list[int]] | None:
    """Draw the case that follows from decisions, and return it with those that were used; None if it does not fit."""
    choices = RecordedChoices(None, decisions)
    try:
        return draw_case(choices, machine, **options), choices.decisions
    except InputError:
        return None


def shrink_case(decisions: Sequence[int], machine: Machine, fails: Callable[[Case], bool], attempts: int,
                **options: Any) -> tuple[Case, list[int]]:
    """Find the simplest case near the one of `decisions` that fails, and its decisions, in at most `attempts` runs."""

    def try_out(simpler: Sequence[int]) -> Sequence[int] | None:
        drawn = redraw(simpler, machine, **options)
        return drawn[1] if drawn is not None and fails(drawn[0]) else None

    drawn = redraw(shrink(decisions, try_out, attempts), machine, **options)
    assert drawn is not None, "what failed can be drawn"
    return drawn


def save_case(case: Case, folder: Path) -> Path:
    """Write a case into a new folder below `folder`, whole or not at all; the name is a hash of what it holds.

    A case that is already there is left alone.
    """
    place = ensure_folder(folder) / _digest(case)
    with atomic_folder(place) as beside:
        save_program(case.program, beside / PROGRAM)
        (beside / MACHINE).write_text(yaml.safe_dump(case.machine.model_dump(mode="json"), sort_keys=False))
        save_vectors(beside / INPUTS, case.inputs)
        (beside / NOTES).write_text(json.dumps(case.notes, indent=1) + "\n")
    return place


def _digest(case: Case) -> str:
    """Hash of the machine, the inputs and everything in the Program."""
    program = case.program
    digest = hashlib.sha256(repr((case.machine, program.tensors, program.arithmetic)).encode())
    for op in program.ops:
        for name, value in (("op", type(op).__name__), *vars(op).items()):
            digest.update(f"{name} {value.shape if isinstance(value, np.ndarray) else value}".encode())
            digest.update(value.tobytes() if isinstance(value, np.ndarray) else b"")
    for name, codes in sorted(case.inputs.items()):
        digest.update(f"{name} {codes.shape}".encode() + codes.tobytes())
    return digest.hexdigest()[:12]


def load_case(place: Path) -> Case:
    """Read what `save_case` wrote."""
    with np.load(place / INPUTS) as arrays:
        inputs = {name: np.asarray(arrays[name], np.int32) for name in arrays.files}
    return Case(load_program(place / PROGRAM), load_machine(place / MACHINE), inputs,
                json.loads((place / NOTES).read_text()))
