"""The numbers of a file's tensors: as many as their shapes say, of types that are read."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from sim.errors import InputError
from sim.io.bounds import MAX_CODES, shown

__all__ = ["FLOATS", "MAX_RANK", "Array", "array_of", "byte_count", "check_tensor", "type_name"]

Array = NDArray[Any]

MAX_RANK = 16
FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE)
"""Types of values, all computed as float32."""

_BITS: dict[int, int] = {
    TensorProto.FLOAT: 32, TensorProto.DOUBLE: 64, TensorProto.FLOAT16: 16, TensorProto.BFLOAT16: 16,
    TensorProto.INT4: 4, TensorProto.UINT4: 4, TensorProto.INT8: 8, TensorProto.UINT8: 8, TensorProto.INT16: 16,
    TensorProto.UINT16: 16, TensorProto.INT32: 32, TensorProto.UINT32: 32, TensorProto.INT64: 64,
    TensorProto.UINT64: 64, TensorProto.BOOL: 8}
"""Of one number in a block of bytes."""

_FIELDS: dict[int, str] = {
    TensorProto.FLOAT: "float_data", TensorProto.DOUBLE: "double_data", TensorProto.INT64: "int64_data",
    TensorProto.UINT64: "uint64_data", TensorProto.UINT32: "uint64_data"}
"""Where numbers stand that are in no block; those of other types in int32_data."""


def type_name(number: int) -> str:
    """Return what ONNX calls a type.

    >>> type_name(1), type_name(999)
    ('FLOAT', 'number 999')
    """
    return str(TensorProto.DataType.Name(number)) if number in TensorProto.DataType.values() else f"number {number}"


def byte_count(tensor: TensorProto) -> int:
    """Return how many bytes a tensor of this shape and type has in a block.

    Raises
    ------
    InputError
        If there is no such shape, or its type is not read.
    """
    what = f"tensor '{shown(tensor.name)}'"
    if tensor.data_type not in _BITS:
        raise InputError(f"{what} is of type {type_name(tensor.data_type)}, which is not read")
    if len(tensor.dims) > MAX_RANK:
        raise InputError(f"{what} must have at most {MAX_RANK} axes, not {len(tensor.dims)}")
    if min(tensor.dims, default=0) < 0:
        raise InputError(f"{what} has an axis of {min(tensor.dims)}")
    if prod(tensor.dims) > MAX_CODES:
        raise InputError(f"{what} must have at most {MAX_CODES:,} numbers, not {shown(prod(tensor.dims))}")
    bits: int = prod(tensor.dims) * _BITS[tensor.data_type]
    return -(-bits // 8)


def check_tensor(tensor: TensorProto) -> None:
    """Refuse a tensor that does not hold as many numbers as its shape says.

    Raises
    ------
    InputError
        With what it holds and what its shape says.
    """
    size, what = byte_count(tensor), f"tensor '{shown(tensor.name)}' of shape {shown(tuple(tensor.dims))}"
    if tensor.HasField("segment"):
        raise InputError(f"{what} is a segment of another, which is not read")
    if tensor.HasField("raw_data"):
        if len(tensor.raw_data) != size:
            raise InputError(f"{what} needs {size:,} bytes, not {len(tensor.raw_data):,}")
        return
    held = len(getattr(tensor, _FIELDS.get(tensor.data_type, "int32_data")))
    wanted = size if _BITS[tensor.data_type] == 4 else prod(tensor.dims)
    if held != wanted:
        raise InputError(f"{what} needs {wanted:,} numbers, not {held:,}")


def array_of(tensor: TensorProto) -> Array:
    """Return the numbers of a tensor that `check_tensor` takes; halves as float32.

    Raises
    ------
    InputError
        If the type cannot hold a number that is given for it.
    """
    try:
        array = numpy_helper.to_array(tensor)
    except (OverflowError, TypeError, ValueError) as error:
        raise InputError(f"tensor '{shown(tensor.name)}' cannot be read: {shown(error)}") from None
    if tensor.data_type in (TensorProto.FLOAT16, TensorProto.BFLOAT16):
        return array.astype(np.float32)
    return array.astype(np.int8) if _BITS[tensor.data_type] == 4 else array
