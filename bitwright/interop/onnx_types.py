"""Types and shapes of ONNX values in words."""

from __future__ import annotations

from typing import Any

from onnx import ValueInfoProto, helper

__all__ = ["described"]


def described(value: ValueInfoProto) -> dict[str, Any]:
    """Return the name, type and shape of a value; an extent that may vary has its letter."""
    tensor = value.type.tensor_type
    return {"name": value.name, "type": str(helper.tensor_dtype_to_np_dtype(tensor.elem_type)),
            "shape": [one.dim_param or one.dim_value for one in tensor.shape.dim]}
