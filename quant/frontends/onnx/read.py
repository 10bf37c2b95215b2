"""ONNX files, from whatever hand they come: read in bounded time and memory, or refused in one sentence."""

from __future__ import annotations

from pathlib import Path

from google.protobuf.message import DecodeError
from onnx import ModelProto

from quant.frontends.onnx.external import load_external
from quant.frontends.onnx.functions import inlined
from quant.frontends.onnx.structure import check_model, tensors_of
from quant.frontends.onnx.wire import check_message
from sim.errors import InputError
from sim.io.bounds import shown_path
from sim.io.regular_file import read_regular

__all__ = ["MAX_BYTES", "load_onnx_model"]

MAX_BYTES = 1 << 30
"""Largest file, and most bytes in other files that belong to it."""


def load_onnx_model(path: str | Path) -> ModelProto:
    """Read an ONNX file that can be followed: whole, in order, without functions, with the numbers that it needs.

    Parameters
    ----------
    path : str or Path
        What it keeps in other files is read from its own folder and from nowhere else.

    Raises
    ------
    InputError
        If the file or one that belongs to it cannot be read, is too large, is damaged, or is none that can be followed.
    """
    data = read_regular(path, "ONNX model", MAX_BYTES)
    try:
        return _checked(data, Path(path).parent)
    except InputError as error:
        raise InputError(f"cannot read ONNX model '{shown_path(path)}': {error}") from None


def _checked(data: bytes, folder: Path) -> ModelProto:
    if not data:
        raise InputError("it is empty")
    check_message(data, ModelProto.DESCRIPTOR)
    try:
        model: ModelProto = ModelProto.FromString(data)
    except DecodeError:
        raise InputError("it is no ONNX file, or damaged") from None
    load_external(tensors_of(model), folder, MAX_BYTES)
    check_model(model)
    if not model.functions:
        return model
    flat: ModelProto = inlined(model)
    check_model(flat)  # what attributes of functions stand for is known only now
    return flat
