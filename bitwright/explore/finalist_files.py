"""Files of finalists, with which other commands go on."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from bitwright.codesign.json_text import to_json
from bitwright.explore.candidate import Evaluated
from bitwright.explore.space import Space
from sim.io.atomic_write import atomic_write_text, ensure_folder

__all__ = ["finalist_folder", "plain_name", "write_finalist"]


def finalist_folder(one: Evaluated, out: Path) -> Path:
    """Return the folder of a finalist in that of its run."""
    return out / f"candidate-{one.candidate.number}"


def plain_name(label: str) -> str:
    """Return the name of a network as part of the name of a file."""
    return re.sub("[^0-9A-Za-z_.-]", "_", label)


def write_finalist(one: Evaluated, space: Space, technology: str, out: Path) -> Path:
    """Write the machine of a candidate, and the bits that were allocated to its networks, and return their folder.

    Every command takes `machine.yaml` as `--machine`, and `bitwright quantize --bits-file` a network's bits.
    """
    folder = ensure_folder(finalist_folder(one, out))
    machine = one.candidate.machine.model_copy(update={"technology": technology})
    atomic_write_text(folder / "machine.yaml", yaml.safe_dump(
        machine.model_dump(mode="json", exclude_defaults=True), sort_keys=False))
    for place, network in enumerate(space.networks):
        bits = one.networks[network.label].bits
        if bits is not None:
            limits = network.choices[one.candidate.point.choices[place]]["budgets"]
            atomic_write_text(folder / f"{plain_name(network.label)}-bits.json", to_json(
                {"machine": machine.name, "technology": technology, "bits": bits, "limits": limits}))
    return folder
