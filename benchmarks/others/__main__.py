"""`python -m benchmarks.others make | zoo | measure | apart FOLDER`: models that other tools have quantized."""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.others.apart import apart, table_of
from benchmarks.others.measure import Row, measure
from benchmarks.others.models import MODELS, make
from benchmarks.others.table import markdown
from benchmarks.others.zoo import take
from bitwright.cli.console import message
from bitwright.codesign.import_model import parse_input_codes
from quant.lowering.imported import InputCodes


def stored(path: Path, images: int | None) -> tuple[NDArray[np.float32], NDArray[np.int64] | None, InputCodes | None]:
    """Return the first images that lie beside a model, their labels, and how its input is described."""
    with np.load(path.with_suffix(".npz")) as arrays:
        described = parse_input_codes(str(arrays["input_codes"])) if "input_codes" in arrays else None
        return arrays["x"][:images], arrays["labels"][:images] if "labels" in arrays else None, described


def measured(path: Path, machine: str, images: int | None) -> Row:
    """Measure a model on the images that lie beside it, or on the first of them."""
    given, labels, described = stored(path, images)
    return measure(path, given, labels, machine, described)


def main() -> int:
    """Make models, or measure those of a folder and write what is found."""
    parser = argparse.ArgumentParser("others", description=__doc__)
    parser.add_argument("what", choices=("make", "zoo", "measure", "apart"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="*", help="names of files")
    parser.add_argument("--machine", default="edge")
    parser.add_argument("--images", type=int, help="measure: at most so many of each model")
    parser.add_argument("--models", type=Path, help="zoo: folder of the public models")
    parser.add_argument("--mnist", type=Path, help="zoo: folder of MNIST's test images")
    parser.add_argument("--out", type=Path, help="measure: JSON file to write; rows that are there already stay")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    arguments.folder.mkdir(exist_ok=True, parents=True)
    if arguments.what == "zoo":
        take(arguments.models, arguments.mnist, arguments.folder)
    elif arguments.what == "make":
        for name in arguments.only or MODELS:
            message(name)
            make(name, arguments.folder)
    elif arguments.what == "apart":
        for name in arguments.only or ():
            images, _, described = stored(arguments.folder / name, arguments.images)
            print(table_of(apart(arguments.folder / name, images, arguments.machine, described)), end="")
    else:
        _measure(arguments)
    return 0


def _measure(arguments: argparse.Namespace) -> None:
    """Measure one model after the other and keep each row at once."""
    out, rows = arguments.out, dict[str, Row]()
    if out is not None and out.exists():
        rows = {row["file"]: Row(**row) for row in json.loads(out.read_text())["models"]}
    names = arguments.only or sorted(path.name for path in arguments.folder.iterdir()
                                     if path.suffix in (".onnx", ".pt2") and path.with_suffix(".npz").exists())
    for name in names:
        if name in rows and not arguments.only:
            continue
        message(name)
        rows[name] = measured(arguments.folder / name, arguments.machine, arguments.images)
        if out is not None:
            found = {"machine": arguments.machine, "models": [asdict(rows[each]) for each in sorted(rows)]}
            out.write_text(json.dumps(found, indent=1) + "\n")
    print(markdown([asdict(rows[each]) for each in sorted(rows)], arguments.machine), end="")


if __name__ == "__main__":
    sys.exit(main())
