"""How the host pads the images of a Program, from the summary that lies beside its file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bitwright.codesign.json_file import read_json
from quant.lowering.host_image import HostPadding
from sim.errors import InputError
from sim.io.bounds import shown_path
from sim.ir.program import Program

__all__ = ["SUMMARY", "padding_beside"]

SUMMARY = "summary.json"
"""Name of the file beside a Program that tells how its host pads images."""

Pad = Annotated[int, Field(strict=True, ge=0)]


class _Padding(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    pads: tuple[Pad, Pad, Pad, Pad]
    codes: tuple[Annotated[int, Field(strict=True)], ...]


def padding_beside(path: Path, program: Program) -> HostPadding | None:
    """Return how the host pads the images of a Program in a file, None if there is no summary that says so.

    Parameters
    ----------
    path : Path
        Of the Program.
    program : Program
        What it holds.

    Raises
    ------
    InputError
        If there is a summary, but it cannot be read, or is that of another Program.
    """
    place = path.parent / SUMMARY
    if not place.exists():
        return None
    summary = read_json(place, "summary")
    given = summary.get("host_padding") if isinstance(summary, dict) else None
    if given is None:
        return None
    try:
        found = _Padding.model_validate(given)
    except ValidationError:
        raise InputError(f"summary '{shown_path(place)}': host_padding must have four pads of at least 0 and integer "
                         "codes") from None
    source, (top, left, bottom, right) = program.inputs[0], found.pads
    height, width = source.height - top - bottom, source.width - left - right
    fits = all(source.format.low <= code <= source.format.high for code in found.codes)
    if min(height, width) < 1 or len(found.codes) != source.channels or not fits:
        raise InputError(f"summary '{shown_path(place)}': host_padding is not that of the Program beside it")
    return HostPadding(replace(source, height=height, width=width), found.pads, found.codes)
