"""Test cases on disk: a Program, a machine and input codes, in the files that the command line reads."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray

from sim.files import load_program, save_program, save_vectors
from sim.machine import Machine, load_machine
from sim.plan import Plan, plan
from sim.program import Program

__all__ = ["Case", "load_case", "save_case"]

PROGRAM, MACHINE, INPUTS, NOTES = "program.safetensors", "machine.yaml", "inputs.npz", "notes.json"


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

    @property
    def plan(self) -> Plan:
        """The Program placed on the machine."""
        return plan(self.program, self.machine)


def save_case(case: Case, folder: Path) -> Path:
    """Write a case into a folder of its own below `folder`, whole or not at all; the name is a hash of what it holds.

    A case that is already there is left alone.
    """
    folder.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(dir=folder, prefix=".case-"))
    try:
        save_program(case.program, beside / PROGRAM)
        (beside / MACHINE).write_text(yaml.safe_dump(case.machine.model_dump(mode="json"), sort_keys=False))
        save_vectors(beside / INPUTS, case.inputs)
        place = folder / _digest(case)
        (beside / NOTES).write_text(json.dumps(case.notes, indent=1) + "\n")
        if not place.exists():
            beside.rename(place)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return place


def _digest(case: Case) -> str:
    """Hash of the machine, the inputs and everything in the Program."""
    program = case.program
    digest = hashlib.sha256(repr((case.machine, program.tensors, program.rounding, program.acc_bits, program.window,
                                  program.terms, program.wrap)).encode())
    for record in program.records:
        for name, value in (("record", type(record).__name__), *vars(record).items()):
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
