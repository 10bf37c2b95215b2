"""The section that says where the numbers of a report come from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from bitwright.report.page import Section, Table
from bitwright.report.runs import Provenance
from sim.arch.machine import Machine

__all__ = ["machine_of", "provenance_section"]

UNKNOWN = "The run does not say where its numbers come from: an older version of Bitwright has written it."


def machine_of(provenance: Provenance) -> Machine | None:
    """Return the machine of a run; None if it is not said, or not one that this version knows."""
    machines = provenance.get("machines")
    try:
        return Machine.model_validate(machines[0]) if isinstance(machines, list) and machines else None
    except ValidationError:
        return None


def provenance_section(provenance: Provenance) -> Section:
    """Return the section: command and versions, machines, sources of technologies, files."""
    if not provenance:
        return Section("Provenance", (UNKNOWN,))
    blocks = [Table("versions and command", ("", "value"), tuple(_versions(provenance)))]
    blocks += [Table(f"machine '{machine.get('name')}'", ("parameter", "value"), tuple(
        (str(name), str(value)) for name, value in machine.items())) for machine in _objects(provenance, "machines")]
    for technology in _objects(provenance, "technologies"):
        sources = _objects(technology, "sources")
        blocks.append(Table(f"sources of technology '{technology.get('name')}'", ("rows", "basis", "source"), tuple(
            (", ".join(map(str, source.get("rows") or ())), str(source.get("basis")), str(source.get("source")))
            for source in sources)))
    files = _objects(provenance, "files")
    if files:
        blocks.append(Table("files", ("file", "bytes", "SHA-256"), tuple(
            (str(file.get("path")), str(file.get("bytes")), str(file.get("sha256"))) for file in files)))
    notes = tuple(f"{technology.get('name')}: {technology.get('note')}"
                  for technology in _objects(provenance, "technologies"))
    return Section("Provenance", notes, tuple(blocks))


def _versions(provenance: Provenance) -> Iterator[tuple[str, str]]:
    for name in ("command", "seed", "bitwright", "commit", "time", "python", "platform"):
        if provenance.get(name) is not None:
            yield name, str(provenance[name])
    packages = provenance.get("packages")
    for name, number in packages.items() if isinstance(packages, dict) else ():
        yield str(name), str(number)


def _objects(data: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """Return the objects in a list of JSON; others are left out."""
    found = data.get(name)
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []
