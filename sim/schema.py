"""The graph of a saved Program as JSON: which fields it has, of which type. Unknown fields are refused."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from sim.formats import Kind, Rounding

__all__ = ["SCHEMA_VERSION", "ConvFields", "FormatFields", "Graph", "PoolFields", "TensorFields", "Version"]

SCHEMA_VERSION = 1
"""Raised when a saved Program changes its meaning or its fields."""

Pads = tuple[int, int, int, int]


class Version(BaseModel):
    """The field that says whether the others can be read."""

    model_config = ConfigDict(strict=True)

    schema_version: int


class _Fields(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class FormatFields(_Fields):
    """Fields of a Format."""

    bits: int
    kind: Kind
    zero_point: int


class TensorFields(_Fields):
    """Fields of a Tensor."""

    name: str
    height: int
    width: int
    parts: tuple[int, ...]
    format: FormatFields


class ConvFields(_Fields):
    """Fields of a Conv that are not arrays."""

    record: Literal["conv"]
    name: str
    input: str
    output: str
    weight_format: FormatFields
    low: int
    high: int
    depthwise: bool
    stride: int
    dilation: int
    pads: Pads
    output_part: int
    residual: str | None
    residual_part: int


class PoolFields(_Fields):
    """Fields of a Pool."""

    record: Literal["pool"]
    name: str
    input: str
    output: str
    kernel: tuple[int, int]
    stride: int
    pads: Pads


class Graph(_Fields):
    """A Program without its arrays; `schema_version` is SCHEMA_VERSION."""

    schema_version: int
    rounding: Rounding
    acc_bits: int
    window: int
    terms: int
    wrap: bool
    tensors: tuple[TensorFields, ...]
    records: tuple[Annotated[ConvFields | PoolFields, Field(discriminator="record")], ...]
