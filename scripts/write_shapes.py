"""Write sim/ir/networks/*.yaml: the shapes of the networks that have names, as lowering makes them.

    python scripts/write_shapes.py [NAME ...]

It takes seconds for a small network and minutes for a large one.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from bitwright.codesign.network_shapes import shapes_of_model
from quant.networks.registry import LARGE, NETWORKS, make_network
from sim.arch.machine import load_machine
from sim.io.atomic_write import atomic_write_text
from sim.ir.shapes_of import shapes_yaml

FOLDER = Path(__file__).parents[1] / "sim" / "ir" / "networks"
GREY, COLOUR, DIGITS = (48, (1, 32, 32)), (1000, (3, 224, 224)), (10, (1, 8, 8))
"""Classes and the shape of an image."""


def main(names: list[str]) -> None:
    """Write the files of these networks, of all if there are none."""
    for name in names or NETWORKS:
        classes, shape = COLOUR if name in LARGE else DIGITS if name == "digits" else GREY
        torch.manual_seed(0)
        model = make_network(name, classes, shape[0]).eval()
        shapes = shapes_of_model(model, shape, name, load_machine("edge"))
        atomic_write_text(FOLDER / f"{name}.yaml", shapes_yaml(shapes))
        print(f"wrote {FOLDER / name}.yaml")


if __name__ == "__main__":
    main(sys.argv[1:])
