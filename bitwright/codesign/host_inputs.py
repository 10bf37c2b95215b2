"""What the host does to the inputs of a Program, in the summary that lies beside its file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bitwright.codesign.json_file import read_json
from quant.layers.arranged import Arranged
from quant.layers.view import as_map
from quant.lowering.host_image import HostPadding, pad_image
from quant.lowering.lower import Lowered
from sim.errors import InputError
from sim.io.bounds import MAX_CODES, shown_path
from sim.ir.ops import Tensor
from sim.ir.program import Program

__all__ = ["SUMMARY", "HostInput", "host_inputs_beside", "host_summary"]

SUMMARY = "summary.json"
"""Name of the file beside a Program that tells what its host does."""

Codes = NDArray[np.integer[Any]]
Count = Annotated[int, Field(strict=True, ge=1, le=MAX_CODES)]
Pad = Annotated[int, Field(strict=True, ge=0)]


class _Padding(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    pads: tuple[Pad, Pad, Pad, Pad]
    codes: tuple[Annotated[int, Field(strict=True)], ...]
    input: str | None = None


class _Input(BaseModel):
    model_config = ConfigDict(frozen=True)

    name: str
    input: str | None = None
    image: tuple[Count, ...] | None = None
    order: tuple[tuple[Count, Count], ...] | None = None


@dataclass(frozen=True)
class HostInput:
    """How images become one input of a Program.

    Attributes
    ----------
    tensor : Tensor
        The Program's input.
    name : str
        What the model calls it.
    arranged : Arranged or None
        Into which order the host puts an image.
    padding : HostPadding or None
        What it then puts around it.
    """

    tensor: Tensor
    name: str
    arranged: Arranged | None = None
    padding: HostPadding | None = None

    def check(self, shape: tuple[int, ...]) -> None:
        """Refuse the shape of a batch that is neither one of the model's images nor one of the Program's input.

        Raises
        ------
        InputError
            If it is neither, or may be either where the order differs.
        """
        image = shape[1:]
        if self.arranged is not None and image == self.arranged.given:
            if image in (self.tensor.shape, self._unpadded):
                raise InputError(f"images of shape {image} may be in the order of the model or in that of "
                                 f"'{self.tensor.name}', which differ; without the summary beside the Program they are "
                                 "in the second")
        elif not (1 < len(shape) <= 4 and as_map(image) in (self.tensor.shape, self._unpadded)):
            self.tensor.check_batch(shape)

    def prepare(self, codes: Codes) -> Codes:
        """Return images that `check` lets through as the Program's input."""
        if self.arranged is not None and codes.shape[1:] == self.arranged.given:
            codes = self.arranged.codes(codes)
        codes = codes.reshape(len(codes), *as_map(codes.shape[1:]))
        padded = self.padding is None or codes.shape[1:] == self.tensor.shape
        return codes if padded or self.padding is None else pad_image(codes, self.padding)

    @property
    def _unpadded(self) -> tuple[int, ...]:
        return self.tensor.shape if self.padding is None else self.padding.image.shape


def host_summary(lowered: Lowered, names: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return what a summary says of the host: inputs, padding, outputs and operators.

    Parameters
    ----------
    lowered : Lowered
    names : mapping of str to str, optional
        What the model calls the Program's inputs, where that differs.
    """
    found: dict[str, Any] = {"inputs": [_described(lowered, tensor, (names or {}).get(tensor.name, tensor.name))
                                        for tensor in lowered.program.inputs]}
    if lowered.padding is not None:
        found["host_padding"] = {"input": lowered.padding.image.name, "pads": lowered.padding.pads,
                                 "codes": lowered.padding.codes}
    if lowered.host:
        found["host_operators"] = lowered.host
    return found


def host_inputs_beside(path: Path, program: Program) -> dict[str, HostInput]:
    """Return how the host makes the inputs of a Program in a file, by the Program's names; without a summary that says
    so it gives the Program's codes.

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
    found = {tensor.name: HostInput(tensor, tensor.name) for tensor in program.inputs}
    place = path.parent / SUMMARY
    summary = read_json(place, "summary") if place.exists() else None
    if not isinstance(summary, dict):
        return found
    if (padding := summary.get("host_padding")) is not None:
        name, made = _padding(padding, program, place)
        found[name] = replace(found[name], padding=made)
    described = summary.get("inputs", [])
    for given in described if isinstance(described, list) else [described]:
        one = _arranged_input(given, found, place)
        found[one.tensor.name] = one
    if len({one.name for one in found.values()}) < len(found) or any(
            one.name in found and one.name != name for name, one in found.items()):
        raise InputError(f"summary '{shown_path(place)}': inputs must have different names")
    return found


def _described(lowered: Lowered, tensor: Tensor, name: str) -> dict[str, Any]:
    image = tensor.shape if lowered.padding is None or lowered.padding.image.name != tensor.name else (
        lowered.padding.image.shape)
    found = {"name": tensor.name, "input": name, "image": image, "shape": tensor.shape, "format": str(tensor.format),
             "scale": lowered.scales[tensor.name]}
    arranged = lowered.arranged.get(tensor.name)
    return found if arranged is None else {**found, "image": arranged.given, "order": _loops(arranged.places)}


def _loops(places: NDArray[np.integer]) -> list[tuple[int, int]]:
    """Return the loops that visit places in their order, the outermost first, each by its count and its step.

    >>> _loops(np.arange(6).reshape(2, 3).T)
    [(3, 1), (2, 3)]
    """
    left, loops = places.ravel(), list[tuple[int, int]]()
    while len(left) > 1:
        step = int(left[1])
        others = np.flatnonzero(left != np.arange(len(left)) * step)
        count = int(others[0]) if len(others) else len(left)
        loops.insert(0, (count, step))
        left = left[::count]
    return loops


def _places(loops: tuple[tuple[int, int], ...], shape: tuple[int, int, int]) -> NDArray[np.int64]:
    """Return the places that loops visit, as a map."""
    places = np.zeros(1, np.int64)
    for count, step in loops:
        places = (places[:, None] + np.arange(count) * step).ravel()
    return places.reshape(shape)


def _padding(given: object, program: Program, place: Path) -> tuple[str, HostPadding]:
    """Return which input the host pads, and how."""
    try:
        found = _Padding.model_validate(given)
    except ValidationError:
        raise InputError(f"summary '{shown_path(place)}': host_padding must have four pads of at least 0 and integer "
                         "codes") from None
    sources = {tensor.name: tensor for tensor in program.inputs}
    source, (top, left, bottom, right) = sources.get(found.input or program.inputs[0].name), found.pads
    if source is not None:
        height, width = source.height - top - bottom, source.width - left - right
        fits = all(source.format.low <= code <= source.format.high for code in found.codes)
        if min(height, width) >= 1 and len(found.codes) == source.channels and fits:
            return source.name, HostPadding(replace(source, height=height, width=width), found.pads, found.codes)
    raise InputError(f"summary '{shown_path(place)}': host_padding is not that of the Program beside it")


def _arranged_input(given: object, inputs: Mapping[str, HostInput], place: Path) -> HostInput:
    """Return an input with what the summary says of it."""
    try:
        found = _Input.model_validate(given)
    except ValidationError:
        raise InputError(f"summary '{shown_path(place)}': inputs must have a name each, an image of sizes, and an "
                         "order of counts and steps") from None
    one = inputs.get(found.name)
    if one is not None:
        one = replace(one, name=found.input or one.name)
        if found.order is None:
            return one
        map_ = (one.tensor if one.padding is None else one.padding.image).shape
        if found.image is not None and prod(map_) == prod(found.image) == prod(count for count, _ in found.order):
            try:
                return replace(one, arranged=Arranged(found.image, _places(found.order, map_)))
            except InputError:
                pass
    raise InputError(f"summary '{shown_path(place)}': inputs are not those of the Program beside it")
