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
from sim.energy.of_parts import areas_um2
from sim.energy.technology import Technology
from sim.io.atomic_write import atomic_write_text, ensure_folder

__all__ = ["action_counts_yaml", "art_yaml", "ert_yaml", "write_accelergy"]

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


def art_yaml(machine: Machine, technology: Technology, end: End = "nominal") -> str:
    """Return the area reference table of a machine: all instances of each part together [um2].

    Parameters
    ----------
    machine : Machine
    technology : Technology
    end : {"low", "nominal", "high"}
        Of the bands.

    Raises
    ------
    InputError
        If the technology has no areas.
    """
    tables = [{"name": f"bitwright.{part}", "area": getattr(band, end)}
              for part, band in areas_um2(machine, technology).items()]
    return _text({"ART": {"version": VERSION, "tables": tables}})


def write_accelergy(folder: Path, machine: Machine, technology: Technology, events: Mapping[str, int]) -> None:
    """Write them into a folder, as ERT.yaml, action_counts.yaml and, if the technology has areas, ART.yaml.

    The folder is made if it is missing.

    Raises
    ------
    InputError
        If a file cannot be written.
    """
    texts = {"ERT.yaml": ert_yaml(machine, technology), "action_counts.yaml": action_counts_yaml(events, technology)}
    if technology.ART is not None:
        texts["ART.yaml"] = art_yaml(machine, technology)
    for name, text in texts.items():
        atomic_write_text(ensure_folder(folder) / name, text)


def _text(data: dict[str, Any]) -> str:
    return yaml.safe_dump(data, sort_keys=False)
