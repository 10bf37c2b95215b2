"""What a bench of the whole machine is to run, as files: it works in the simulator's process, not in ours.

A job is a folder: the planned Program, the machine, arrays and facts. The bench plans again, which gives the same Plan,
since planning adds nothing to a Program that has its Loads and Stores.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.arch.machine import Machine
from sim.ir.ops import Store
from sim.ir.serialize import load_program, save_program, save_vectors
from sim.plan.plan import Plan, plan

__all__ = ["Job", "completed_by", "read_jobs", "write_job"]

PROGRAM, MACHINE, ARRAYS, FACTS = "program.safetensors", "machine.json", "arrays.npz", "facts.json"


@dataclass(frozen=True)
class Job:
    """A job as it was written.

    Attributes
    ----------
    plan : Plan
    arrays : dict of str to array
    facts : dict
        What JSON can hold.
    """

    plan: Plan
    arrays: dict[str, NDArray[Any]]
    facts: dict[str, Any]

    def part(self, prefix: str) -> dict[str, NDArray[Any]]:
        """Return the arrays whose names begin with `prefix` and a blank, under the rest of their names."""
        return {name.removeprefix(f"{prefix} "): array for name, array in self.arrays.items()
                if name.startswith(f"{prefix} ")}


def write_job(folder: Path, number: int, planned: Plan, arrays: Mapping[str, NDArray[Any]],
              facts: Mapping[str, Any]) -> None:
    """Write job `number` of a bench into `folder`."""
    place = folder / f"job{number}"
    place.mkdir()
    save_program(planned.program, place / PROGRAM)
    (place / MACHINE).write_text(planned.machine.model_dump_json())
    save_vectors(place / ARRAYS, arrays)
    (place / FACTS).write_text(json.dumps(facts))


def read_jobs(folder: Path) -> list[Job]:
    """Read the jobs in `folder`, in order of their numbers."""
    return [_read(folder / f"job{number}") for number in range(len(list(folder.glob("job*"))))]


def _read(place: Path) -> Job:
    machine = Machine.model_validate_json((place / MACHINE).read_text())
    with np.load(place / ARRAYS, allow_pickle=False) as arrays:
        return Job(plan(load_program(place / PROGRAM), machine), dict(arrays), json.loads((place / FACTS).read_text()))


def completed_by(plan: Plan, name: str) -> int | None:
    """Return the index of the op that completes a tensor on chip, None if it is only in the host's memory."""
    return max((i for i, op in enumerate(plan.program.ops) if op.output == name and not isinstance(op, Store)),
               default=None)
