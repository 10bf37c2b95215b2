"""Write a Program as an ONNX file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from onnx import ModelProto

from bitwright.codesign.resolve import check_program
from bitwright.interop.onnx_model import onnx_model
from sim.io.atomic_write import atomic_write
from sim.ir.program import Program

__all__ = ["export_onnx"]


def export_onnx(program: Program, path: str | Path, *, tensors: bool = False,
                scales: Mapping[str, float] | None = None) -> ModelProto:
    """Write the ONNX model whose tensors hold the same codes as a Program's, whole or not at all, and return it.

    Parameters
    ----------
    program : Program
    path : str or Path
    tensors : bool
        Make every tensor that an op writes an output, not only the Program's outputs.
    scales : mapping of str to float, optional
        Value of one code of tensors, such as `Lowered.scales`, for the metadata.

    Raises
    ------
    InputError
        If the Program is none or has no op, a scale belongs to no tensor or is no finite number above 0, or the place
        cannot be written.
    """
    check_program(program)
    model = onnx_model(program, tensors=tensors, scales=scales)
    with atomic_write(path) as stream:
        stream.write(model.SerializeToString(deterministic=True))
    return model
