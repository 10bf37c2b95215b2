"""Write a Program as an ONNX file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, get_args

from onnx import ModelProto

from bitwright.codesign.resolve import check_program
from bitwright.interop.onnx_model import onnx_model
from bitwright.interop.qonnx_model import qonnx_model
from sim.errors import InputError
from sim.io.atomic_write import atomic_write
from sim.io.bounds import shown
from sim.ir.program import Program

__all__ = ["Dialect", "export_onnx"]

Dialect = Literal["onnx", "qonnx"]


def export_onnx(program: Program, path: str | Path, *, dialect: Dialect = "onnx", tensors: bool = False,
                scales: Mapping[str, float] | None = None) -> ModelProto:
    """Write a Program as an ONNX model whose tensors hold the same codes, whole or not at all, and return it.

    Parameters
    ----------
    program : Program
    path : str or Path
    dialect : {"onnx", "qonnx"}
        Integers and operators of the standard alone, or floats with Quant and BipolarQuant, whose values are the codes
        less the zero point.
    tensors : bool
        Make every tensor that an op writes an output, not only the Program's outputs.
    scales : mapping of str to float, optional
        Value of one code of tensors, such as `Lowered.scales`, for the metadata.

    Raises
    ------
    InputError
        If the Program is none or has no op, the dialect is unknown or cannot express the Program, a scale belongs to no
        tensor or is no finite number above 0, or the place cannot be written.
    """
    check_program(program)
    if dialect not in get_args(Dialect):
        raise InputError(f"the dialect must be onnx or qonnx, not {shown(dialect)}")
    make = onnx_model if dialect == "onnx" else qonnx_model
    model = make(program, tensors=tensors, scales=scales)
    with atomic_write(path) as stream:
        stream.write(model.SerializeToString(deterministic=True))
    return model
