"""Runs read from where commands have left them: a folder, or the JSON that they printed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from bitwright.codesign.json_file import read_json
from bitwright.report.of_provenance import machine_of
from bitwright.report.read_exploration import RESULTS, read_exploration
from bitwright.report.runs import (
    CompareRun,
    DemoRun,
    EstimateRun,
    LayersRun,
    MachinesRun,
    NetworkRun,
    Prices,
    Provenance,
    Run,
    VerifyRun,
)
from sim.cost.estimate import Estimate
from sim.energy.events import COMPONENTS, PRICED
from sim.errors import InputError
from sim.io.bounds import shown, shown_path
from sim.io.yaml_model import sentence

__all__ = ["read_run", "run_file"]

SUMMARY, SQLITE = "summary.json", ".sqlite"
KINDS = "demo, train, quantize, estimate, verify, compare, explore"
KEYS: Mapping[type[LayersRun | VerifyRun | NetworkRun | CompareRun | MachinesRun], set[str]] = {
    LayersRun: {"comparisons", "pieces"}, VerifyRun: {"comparisons", "predicted", "counted"},
    NetworkRun: {"network", "scheme", "accuracy"}, CompareRun: {"candidates", "figures", "layers"},
    MachinesRun: {"machines", "parameters", "areas"}}
"""Keys by which the JSON of a command is known."""

Kind = TypeVar("Kind")


def run_file(source: Path) -> Path:
    """Return the file that holds the result of a run, `summary.json` or `results.sqlite` in its folder.

    Raises
    ------
    InputError
        If the folder has neither.
    """
    if not source.is_dir():
        return source
    for name in (SUMMARY, RESULTS):
        if (source / name).is_file():
            return source / name
    raise InputError(f"folder '{shown_path(source)}' has no {SUMMARY}, as demo, train and quantize write it, and no "
                     f"{RESULTS} of explore")


def read_run(source: Path) -> tuple[Run, Provenance]:
    """Read a run and what its JSON says about where it comes from, nothing if it says nothing.

    Raises
    ------
    InputError
        If the file cannot be read, is of no command that reports are of, or is not as this command writes it.
    """
    file = run_file(source)
    if file.suffix == SQLITE:
        explored = read_exploration(file)
        return explored, {"bitwright": explored.version, "seed": explored.seed}
    where, data = f"run '{shown_path(file)}'", read_json(file, "run")
    if not isinstance(data, dict):
        raise InputError(f"{where}: expected the JSON of a command, an object")
    if "error" in data:
        failed = data["error"].get("message") if isinstance(data["error"], dict) else data["error"]
        raise InputError(f"{where}: that command failed: {shown(failed)}")
    provenance = data.get("provenance", {})
    if not isinstance(provenance, dict):
        raise InputError(f"{where}: provenance must be an object")
    return _run(data, file, provenance, where), provenance


def _run(data: Mapping[str, Any], file: Path, provenance: Provenance, where: str) -> Run:
    """Tell by the keys which command has written the data."""
    if "verifications" in data and "programs" in data:
        run = _valid(DemoRun, data, where)
        for name, cost in run.programs.items():
            _check_known(cost, f"{where}: programs.{shown(name)}")
        return run
    if "choices" in data or {"layers", "over_data"} <= data.keys():
        return _estimate(data, file, provenance, where)
    for kind, keys in KEYS.items():
        if keys <= data.keys():
            return _valid(kind, data, where)
    if {"front", "points"} <= data.keys():
        raise InputError(f"{where}: the report of an exploration is made from its folder, which has {RESULTS}")
    raise InputError(f"{where}: it is not what one of these commands writes: {KINDS}")


def _estimate(data: Mapping[str, Any], file: Path, provenance: Provenance, where: str) -> EstimateRun:
    choices = data.get("choices", {str(data.get("bits", "")): data})
    if not isinstance(choices, dict) or not choices:
        raise InputError(f"{where}: choices must be estimates by their bits")
    found = {name: _valid(Estimate, one, where) for name, one in choices.items()}
    for cost in found.values():
        _check_known(cost, where)
    order = data.get("energy_order") or {}
    return EstimateRun(
        name=str(data.get("network", file.stem)), machine_name=str(data.get("machine", "")),
        machine=machine_of(provenance),
        prices=_valid(Prices, data.get("prices"), f"{where}: prices"), choices=found,
        uncertain=_valid(tuple[tuple[str, str], ...], order.get("uncertain", ()), f"{where}: energy_order"))


def _valid(kind: type[Kind], data: object, where: str) -> Kind:
    """Make an object of plain data."""
    try:
        return TypeAdapter(kind).validate_python(data)
    except ValidationError as error:
        raise InputError(f"{where}: {sentence(error.errors()[0])}") from None


def _check_known(cost: Estimate, where: str) -> None:
    """Refuse events and components that there are not, as another version may have them."""
    for energy in (cost.energy, *(layer.energy for layer in cost.layers)):
        for name in (*(set(energy.by_event) - set(PRICED)), *(set(energy.of_cycles) - set(COMPONENTS))):
            raise InputError(f"{where}: no event or component is called '{shown(name)}'")
