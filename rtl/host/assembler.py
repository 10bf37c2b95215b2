"""What a board's host needs to run a Program: the image, the inward stream, and a list of what passes when."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

from rtl.encoding.geometry import Geometry
from rtl.encoding.hardware_id import signature
from rtl.encoding.program_image import program_image
from rtl.encoding.stream_bytes import tensor_length, word_bytes
from sim.io.atomic_write import atomic_write, atomic_write_text, ensure_folder
from sim.ir.ops import Tensor
from sim.plan.host_stream import RowTileItem, TableItem, TensorItem
from sim.plan.plan import Plan

__all__ = ["MANIFEST", "PROGRAM", "STREAM", "Assembly", "assemble", "write_assembly"]

PROGRAM, STREAM, MANIFEST = "program.bin", "stream.bin", "manifest.json"


@dataclass(frozen=True)
class Assembly:
    """A Program for one machine.

    Attributes
    ----------
    image : bytes
        To be sent after CONTROL.load.
    stream : bytes
        To be sent in a run, zeros where tensors are to be put.
    manifest : dict
        Items of the stream and of the results in order, tensors, and the machine; plain JSON data.
    """

    image: bytes
    stream: bytes
    manifest: dict[str, Any]


def assemble(plan: Plan) -> Assembly:
    """Put together what a run of a planned Program needs.

    Raises
    ------
    InputError
        If a number does not fit into the hardware's fields.
    """
    pieces: list[bytes] = []
    send = list(_sent(plan, pieces))
    receive = [_transfer(plan, item) for item in plan.outward()]
    machine, image, stream = plan.machine, program_image(plan), b"".join(pieces)
    names = {entry[place]: None for entry in (*send, *receive) for place in ("tensor", "host") if place in entry}
    return Assembly(image, stream, {
        "machine": machine.name, "signature": signature(Geometry(machine)), "columns": machine.columns,
        "lanes": machine.lanes, "stream_bits": machine.stream_bits, "beat_bytes": ceil(machine.stream_bits / 8),
        "cycles": plan.timeline.total, "program": {"file": PROGRAM, "bytes": len(image)},
        "stream": {"file": STREAM, "bytes": len(stream)}, "send": send, "receive": receive,
        "tensors": {name: _tensor(plan.program.tensor(name)) for name in names},
    })


def write_assembly(plan: Plan, folder: str | Path) -> tuple[Path, ...]:
    """Write `program.bin`, `stream.bin` and `manifest.json` into a folder.

    Raises
    ------
    InputError
        If the folder cannot be made, or as `assemble`.
    """
    found, place = assemble(plan), ensure_folder(folder)
    for name, content in ((PROGRAM, found.image), (STREAM, found.stream)):
        with atomic_write(place / name) as file:
            file.write(content)
    atomic_write_text(place / MANIFEST, json.dumps(found.manifest, indent=1) + "\n")
    return place / PROGRAM, place / STREAM, place / MANIFEST


def _sent(plan: Plan, pieces: list[bytes]) -> Iterator[dict[str, Any]]:
    """Entries of the inward items; their bytes are put into `pieces`."""
    offset = 0
    for item in plan.inward():
        match item:
            case RowTileItem() | TableItem():
                piece = word_bytes(item.words, plan.machine)
                entry: dict[str, Any] = {"op": plan.program.ops[item.op].name}
            case TensorItem():
                piece = bytes(tensor_length(item.tensor, plan.machine))
                entry = _transfer(plan, item) | {"after_stores": item.written}
        pieces.append(piece)
        yield entry | {"offset": offset, "bytes": len(piece)}
        offset += len(piece)


def _transfer(plan: Plan, item: TensorItem) -> dict[str, Any]:
    return {"op": plan.program.ops[item.op].name, "tensor": item.tensor.name, "host": item.host,
            "channels": [item.channels.start, item.channels.stop], "rows": [item.rows.start, item.rows.stop],
            "bytes": tensor_length(item.tensor, plan.machine)}


def _tensor(tensor: Tensor) -> dict[str, Any]:
    return {"shape": list(tensor.shape), "parts": list(tensor.parts), "bits": tensor.format.bits,
            "kind": tensor.format.kind, "zero_point": tensor.format.zero_point}
