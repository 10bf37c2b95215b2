"""The graph of a saved Program as JSON: which fields it has, of which type. Unknown fields are refused.

Files keep the words of their first version, in which an op is a `record`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, get_args

from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from sim.io.bounds import require, shown
from sim.ir.formats import Format, Kind, Rounding
from sim.ir.ops import Conv, Lattice, Load, Op, Pads, Pool, Store, Table
from sim.ir.residual import Broadcast
from sim.ir.tensor import Run, Tensor

__all__ = ["OP_FIELDS", "PLAIN_VERSION", "READABLE_VERSIONS", "SCHEMA_VERSION", "Arrays", "Graph", "StoredArray",
           "Version"]

SCHEMA_VERSION = 3
"""Raised when a saved Program changes its meaning or its fields.

Since 2 there are Loads and Stores, since 3 fields that a record may lack.
"""
PLAIN_VERSION = 2
"""Of a Program whose records lack all of these: older versions of Bitwright read it too."""
READABLE_VERSIONS = (1, 2, 3)
"""A graph means the same in all versions after its own."""

HORIZONTAL = "horizontal_"
"""Begins the names of fields for steps along rows."""

Arrays = dict[str, NDArray[Any]]


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

    def build(self) -> Format:
        """Return the Format."""
        return Format(self.bits, self.kind, self.zero_point)


class TensorFields(_Fields):
    """Fields of a Tensor."""

    name: str
    height: int
    width: int
    parts: tuple[int, ...]
    format: FormatFields

    def build(self) -> Tensor:
        """Return the Tensor."""
        return Tensor(self.name, self.height, self.width, self.parts, self.format.build())


class LatticeFields(_Fields):
    """Fields of a Lattice."""

    offset: tuple[int, int]
    stride: tuple[int, int]

    def build(self) -> Lattice:
        """Return the Lattice."""
        return Lattice(self.offset, self.stride)


@dataclass(frozen=True)
class StoredArray:
    """Type of an array of an op, in safetensors' words, and its number of dimensions."""

    dtype: str
    dimensions: int


class _OpFields(_Fields):
    """Fields of an op that are not arrays, named after its attributes; `record` is its kind."""

    op: ClassVar[type[Op]]
    arrays: ClassVar[dict[str, StoredArray]] = {}

    @classmethod
    def values_of(cls, op: Op) -> dict[str, Any]:
        """Return the fields of an op, without those that a record may lack and that the op does not use."""
        values = {name: cls.value_of(op, name) for name in cls.model_fields}
        return {name: value for name, value in values.items()
                if cls.model_fields[name].is_required() or value != cls.model_fields[name].default}

    @classmethod
    def value_of(cls, op: Op, name: str) -> Any:
        """Return a field of an op."""
        return op.kind if name == "record" else getattr(op, name)

    @classmethod
    def arrays_of(cls, op: Op) -> Arrays:
        """Return the arrays of an op by their names."""
        return {name: getattr(op, name) for name in cls.arrays}

    @property
    def stored_arrays(self) -> dict[str, StoredArray]:
        """Return the arrays that a file holds beside these fields."""
        return self.arrays

    def build(self, arrays: Arrays) -> Op:
        """Return the op with these fields and arrays."""
        return self.op(**(self.attributes() | arrays))

    def attributes(self) -> dict[str, Any]:
        """Return the fields as the op takes them."""
        values = {name: getattr(self, name) for name in type(self).model_fields if name != "record"}
        return {name: value.build() if isinstance(value, FormatFields | LatticeFields) else value
                for name, value in values.items()}


class _LayerFields(_OpFields):
    """Fields of a layer: `stride` and `dilation` are the vertical ones, and the horizontal ones unless they differ."""

    horizontal_stride: int | None = None
    input_parts: Run | None = None

    @classmethod
    def value_of(cls, op: Op, name: str) -> Any:
        """Return a field of a layer."""
        if name in ("stride", "dilation"):
            return getattr(op, name)[0]
        if name.startswith(HORIZONTAL):
            vertical, horizontal = getattr(op, name.removeprefix(HORIZONTAL))
            return None if horizontal == vertical else horizontal
        return super().value_of(op, name)

    def attributes(self) -> dict[str, Any]:
        """Return the fields as the layer takes them."""
        values = super().attributes()
        for name in [name for name in values if name.startswith(HORIZONTAL)]:
            horizontal, steps = values.pop(name), name.removeprefix(HORIZONTAL)
            values[steps] = values[steps], values[steps] if horizontal is None else horizontal
        return values


class ConvFields(_LayerFields):
    """Fields of a Conv; `table` is the index format of its table.

    `depthwise` tells that it has a group for each channel, `groups` that it has several of several channels.
    """

    op = Conv
    arrays = {"weights": StoredArray("I8", 4), "multiplier": StoredArray("I8", 2),
              "residual_multiplier": StoredArray("I8", 2), "shift": StoredArray("I64", 1),
              "offset": StoredArray("I64", 1)}

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
    residual_broadcast: Broadcast = "none"
    gate: int | None = None
    table: FormatFields | None = None
    groups: int | None = None
    horizontal_dilation: int | None = None
    lattice: LatticeFields | None = None

    @classmethod
    def values_of(cls, op: Op) -> dict[str, Any]:
        """Return the fields of a Conv."""
        values = super().values_of(op)
        if not (isinstance(op, Conv) and op.grouped):
            values.pop("groups", None)
        return values

    @classmethod
    def arrays_of(cls, op: Op) -> Arrays:
        """Return the arrays of a Conv, its table's codes among them."""
        table = op.table if isinstance(op, Conv) else None
        return super().arrays_of(op) | ({} if table is None else {"table": table.codes})

    @property
    def stored_arrays(self) -> dict[str, StoredArray]:
        """Return the arrays that a file holds beside these fields."""
        return self.arrays | ({} if self.table is None else {"table": StoredArray("I16", 1)})

    def build(self, arrays: Arrays) -> Conv:
        """Return the Conv with these fields and arrays."""
        require(not self.depthwise or self.groups is None, f"op '{shown(self.name)}'", "a depthwise op has no groups")
        groups = len(arrays["weights"]) if self.depthwise else 1 if self.groups is None else self.groups
        unit = self.weight_format.kind == "unit"
        require(self.depthwise or not unit, f"op '{shown(self.name)}'", "unit weights are for depthwise ops only")
        single = self.depthwise and groups == 1 and not unit
        table = None if self.table is None else Table(self.table.build(), arrays["table"])
        attributes = self.attributes() | arrays | {"groups": groups, "prefer_depthwise": single, "table": table}
        del attributes["depthwise"]
        return Conv(**attributes)


class PoolFields(_LayerFields):
    """Fields of a Pool."""

    op = Pool

    record: Literal["pool"]
    name: str
    input: str
    output: str
    kernel: tuple[int, int]
    stride: int
    pads: Pads


class LoadFields(_OpFields):
    """Fields of a Load."""

    op = Load

    record: Literal["load"]
    name: str
    input: str
    output: str
    first_row: int


class StoreFields(_OpFields):
    """Fields of a Store."""

    op = Store

    record: Literal["store"]
    name: str
    input: str
    output: str
    first_row: int
    output_part: int | None


OpFields = ConvFields | PoolFields | LoadFields | StoreFields
OP_FIELDS: dict[str, type[OpFields]] = {fields.op.kind: fields for fields in get_args(OpFields)}
"""By the kind of the op."""


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
