"""The graph of a saved Program as JSON: which fields it has, of which type. Unknown fields are refused.

Files keep the words of their first version, in which an op is a `record`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from sim.ir.formats import Kind, Rounding

__all__ = [
    "READABLE_VERSIONS",
    "SCHEMA_VERSION",
    "ConvFields",
    "FormatFields",
    "Graph",
    "LoadFields",
    "OpFields",
    "PoolFields",
    "StoreFields",
    "TensorFields",
    "Version",
]

SCHEMA_VERSION = 2
"""Raised when a saved Program changes its meaning or its fields. Since 2 there are Loads and Stores."""
READABLE_VERSIONS = (1, 2)
"""A graph of version 1 means the same in version 2."""

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


class LoadFields(_Fields):
    """Fields of a Load."""

    record: Literal["load"]
    name: str
    input: str
    output: str
    first_row: int


class StoreFields(_Fields):
    """Fields of a Store."""

    record: Literal["store"]
    name: str
    input: str
    output: str
    first_row: int
    output_part: int | None


OpFields = ConvFields | PoolFields | LoadFields | StoreFields


class Graph(_Fields):
    """A Program without its arrays; `schema_version` is one of READABLE_VERSIONS."""

    schema_version: int
    rounding: Rounding
    acc_bits: int
    window: int
    terms: int
    wrap: bool
    tensors: tuple[TensorFields, ...]
    records: tuple[Annotated[OpFields, Field(discriminator="record")], ...]
