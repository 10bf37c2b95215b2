"""Energies and counts for Accelergy 0.4: a machine's energy reference table, and the action counts of a Program.

Accelergy multiplies the one by the other, so that its sum is ours. A technology file is a superset of such a table: a
table that Accelergy wrote becomes a technology when its rows get bands, sources, and the point at which they hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import yaml

from sim.arch.machine import Machine
from sim.energy.model import prices
from sim.energy.technology import Technology
from sim.io.atomic_write import atomic_write_text, ensure_folder

__all__ = ["action_counts_yaml", "ert_yaml", "write_accelergy"]

VERSION = "0.4"
End = Literal["low", "nominal", "high"]


def ert_yaml(machine: Machine, technology: Technology, end: End = "nominal") -> str:
    """Return the energy reference table of a machine: one event of each kind, scaled to it [pJ].

    Parameters
    ----------
    machine : Machine
    technology : Technology
    end : {"low", "nominal", "high"}
        Of the bands.
    """
    of_machine = prices(machine, technology)
    tables = [{"name": table.name, "actions": [
        {"name": action.name, "arguments": {}, "energy": getattr(of_machine[action.name], f"{end}_pj")}
        for action in table.actions]} for table in technology.ERT.tables]
    return _text({"ERT": {"version": VERSION, "tables": tables}})


def action_counts_yaml(events: Mapping[str, int], technology: Technology) -> str:
    """Return how often each event happens, by the components of a technology.

    Actions have no `arguments`, for which Accelergy would look in vain among those of a row without any.

    Parameters
    ----------
    events : mapping of str to int
        As an `Estimate` has them; those that are left out do not happen.
    technology : Technology
    """
    local = [{"name": table.name, "action_counts": [
        {"name": action.name, "counts": events.get(action.name, 0)} for action in table.actions]}
        for table in technology.ERT.tables]
    return _text({"action_counts": {"version": VERSION, "local": local}})


def write_accelergy(folder: Path, machine: Machine, technology: Technology, events: Mapping[str, int]) -> None:
    """Write both into a folder, as ERT.yaml and action_counts.yaml; the folder is made if it is missing.

    Raises
    ------
    InputError
        If a file cannot be written.
    """
    for name, text in (("ERT.yaml", ert_yaml(machine, technology)),
                       ("action_counts.yaml", action_counts_yaml(events, technology))):
        atomic_write_text(ensure_folder(folder) / name, text)


def _text(data: dict[str, Any]) -> str:
    return yaml.safe_dump(data, sort_keys=False)
