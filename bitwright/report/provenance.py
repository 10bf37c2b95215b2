"""Where results come from: versions, command, seed, machines, technologies with sources, files by their hashes."""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from bitwright.codesign.resolve import resolve_machine, resolve_technology
from sim.arch.machine import Machine
from sim.energy.rows import Sourced
from sim.energy.technology import Technology
from sim.io.regular_file import MIB, open_regular

__all__ = ["provenance"]

PACKAGES = ("numpy", "numba", "torch", "scipy", "amaranth", "cocotb", "onnx", "onnxruntime")
MOST_BYTES = 1 << 34
"""Largest file that is hashed."""
SOURCE = Path(__file__).parents[2]


def provenance(command: Sequence[str], *, seed: int | None = None, machines: Iterable[str | Path | Machine] = (),
               technology: str | Path | None = None, files: Iterable[str | Path] = ()) -> dict[str, Any]:
    """Say where results come from, as plain data.

    Parameters
    ----------
    command : sequence of str
        Its words.
    seed : int, optional
    machines : iterable of Machine, str or Path
    technology : str or Path, optional
        That of the machines if None.
    files : iterable of str or Path
        That were read; of those that are no regular files nothing is said.

    Returns
    -------
    dict
        The time is UTC, or that of SOURCE_DATE_EPOCH if the environment has it.
    """
    targets = [resolve_machine(machine) for machine in machines]
    technologies = {priced.name: priced for priced in (resolve_technology(technology, target) for target in targets)}
    return {
        "bitwright": version("bitwright"), "commit": _commit(), "python": platform.python_version(),
        "platform": platform.platform(), "packages": _packages(), "time": _time(), "command": shlex.join(command),
        "seed": seed, "machines": [target.model_dump(mode="json") for target in targets],
        "technologies": [_technology(priced) for priced in technologies.values()],
        "files": [_file(Path(file)) for file in dict.fromkeys(map(str, files)) if Path(file).is_file()]}


def _packages() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _commit() -> str | None:
    """Return the commit of the checkout that the package lies in, if it lies in one."""
    if not (SOURCE / ".git").exists():
        return None
    try:
        done = subprocess.run(["git", "-C", str(SOURCE), "rev-parse", "HEAD"], capture_output=True, text=True,
                              timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _time() -> str:
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    moment = datetime.fromtimestamp(int(epoch), UTC) if epoch.isdecimal() else datetime.now(UTC)
    return moment.isoformat(timespec="seconds")


def _technology(technology: Technology) -> dict[str, Any]:
    """Describe a technology: the sources of its numbers, each with the rows that it is of."""
    rows: dict[tuple[str, str], list[str]] = {}
    kinds: tuple[Mapping[str, Sourced], ...] = (
        technology.prices, technology.areas if technology.ART else {}, technology.leakages)
    for kind in kinds:
        for name, row in kind.items():
            named = rows.setdefault((row.basis, row.source), [])
            named += [] if name in named else [name]
    return {"name": technology.name, "node_nm": technology.node_nm, "voltage_v": technology.voltage_v,
            "note": technology.note, "sources": [{"basis": basis, "source": source, "rows": names}
                                                 for (basis, source), names in rows.items()]}


def _file(path: Path) -> dict[str, object]:
    with open_regular(path, "file", MOST_BYTES) as stream:
        digest = sha256()
        while piece := stream.read(MIB):
            digest.update(piece)
        return {"path": str(path), "bytes": stream.tell(), "sha256": digest.hexdigest()}
