"""Reconstruction that was stopped goes on after the last unit that it finished, to the same bits.

The file is safetensors, written whole after each unit or not at all, under a checksum: the quantized model so far and
the state of the random numbers. It carries a description of the run, so that no other run goes on from it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any
from zlib import crc32

import torch
from torch import Tensor, nn

from quant.ptq.options import Reconstruction
from quant.ptq.report import UnitReport
from quant.trace.inputs import Read, each
from quant.training.stored import check_tensors, most_bytes, read_tensors, write_tensors
from sim.errors import InputError
from sim.io.bounds import shown, shown_path

__all__ = ["describe_reconstruction", "load_progress", "save_progress"]

KIND = "reconstruction 1"
FIELDS = ("run", "reports")
GENERATOR = "generator"


def describe_reconstruction(quantized: nn.Module, model: nn.Module, data: Read,
                            how: Reconstruction) -> dict[str, Any]:
    """Describe a run: its options, and checksums of the images, the float model and the quantized one at the start."""
    images = {"" if place == 0 else str(place): tensor for place, tensor in enumerate(each(data))}
    return {**asdict(how), "images": _checksum(images), "model": _checksum(model.state_dict()),
            "quantized": _checksum(quantized.state_dict())}


def save_progress(path: Path, run: Mapping[str, Any], quantized: nn.Module, generator: torch.Generator,
                  reports: list[UnitReport]) -> None:
    """Write everything that the units to come depend on, and the reports of those that are done."""
    tensors = {f"model.{name}": value for name, value in quantized.state_dict().items()}
    write_tensors(path, {**tensors, GENERATOR: generator.get_state()}, {
        "kind": KIND, "run": json.dumps(run), "reports": json.dumps([asdict(report) for report in reports])})


def load_progress(path: Path, run: Mapping[str, Any], quantized: nn.Module, generator: torch.Generator,
                  units: int) -> list[UnitReport]:
    """Read what `save_progress` has written into `quantized` and `generator`; gives the reports of what is done.

    Raises
    ------
    InputError
        If the file is damaged or of another run; the message names what differs.
    """
    expected = {f"model.{name}": value for name, value in quantized.state_dict().items()}
    expected[GENERATOR] = generator.get_state()
    stored, metadata = read_tensors(path, "checkpoint", most_bytes(expected))
    where = f"checkpoint '{shown_path(path)}'"
    if metadata.get("kind") != KIND or not {*FIELDS} <= metadata.keys():
        raise InputError(f"{where} is not one of this version's reconstruction")
    reports = _checked(where, metadata, run, units)
    check_tensors(where, stored, expected)
    try:
        generator.set_state(stored.pop(GENERATOR))
    except RuntimeError:
        raise InputError(f"{where}: '{GENERATOR}' is no state of a generator of random numbers") from None
    quantized.load_state_dict({name.removeprefix("model."): value for name, value in stored.items()})
    return reports


def _checked(where: str, metadata: Mapping[str, str], run: Mapping[str, Any], units: int) -> list[UnitReport]:
    try:
        found, reports = (json.loads(metadata[field]) for field in FIELDS)
        done = [UnitReport(**report) for report in reports]
    except (ValueError, TypeError, RecursionError) as error:
        raise InputError(f"{where}: its metadata cannot be read ({shown(error)})") from None
    for name, value in run.items():
        if not isinstance(found, dict) or found.get(name) != value:
            other = found.get(name) if isinstance(found, dict) else found
            raise InputError(f"{where} is of another run: its {name} is {shown(other)}, not {shown(value)}; "
                             "give another place or remove it")
    if len(done) > units:
        raise InputError(f"{where}: it has {len(done)} units, not at most {units}")
    return done


def _checksum(tensors: Mapping[str, Tensor]) -> int:
    found = 0
    for name, value in tensors.items():
        found = crc32(name.encode(), found)
        found = crc32(value.detach().cpu().contiguous().numpy().tobytes(), found)
    return found
