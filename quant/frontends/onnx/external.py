"""Numbers that a model keeps in other files: only in those of its own folder."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from onnx import TensorProto

from quant.frontends.onnx.tensors import byte_count
from sim.errors import InputError
from sim.io.bounds import shown
from sim.io.regular_file import open_regular

__all__ = ["load_external"]

MAX_DIGITS = 15


def load_external(tensors: Iterable[TensorProto], folder: Path, most_bytes: int) -> None:
    """Read the numbers of those tensors that are kept in files, in place.

    Parameters
    ----------
    tensors : iterable of TensorProto
    folder : Path
        Of the model. Files lie in it or below, and no part of their paths may be a link or lead upwards.
    most_bytes : int
        For all tensors together.

    Raises
    ------
    InputError
        If a file lies elsewhere, cannot be read, or is too short, or there is too much to read.
    """
    left = most_bytes
    for tensor in tensors:
        if tensor.data_location != TensorProto.EXTERNAL:
            continue
        size = byte_count(tensor)
        left -= size
        if left < 0:
            raise InputError(f"its tensors in other files have more than {most_bytes:,} bytes")
        tensor.raw_data = _read(tensor, folder, size)
        tensor.ClearField("external_data")
        tensor.data_location = TensorProto.DEFAULT


def _read(tensor: TensorProto, folder: Path, size: int) -> bytes:
    entries = {entry.key: entry.value for entry in tensor.external_data}
    what = f"tensor '{shown(tensor.name)}'"
    path = _inside(folder, entries.get("location", ""), what)
    offset = _number(entries.get("offset", "0"), f"{what}: offset")
    length = _number(entries.get("length", str(size)), f"{what}: length")
    if length != size:
        raise InputError(f"{what} of shape {shown(tuple(tensor.dims))} needs {size:,} bytes, not {length:,}")
    with open_regular(path, "data of an ONNX model", 1 << 40) as file:
        file.seek(offset)
        data = file.read(size)
    if len(data) != size:
        raise InputError(f"{what} needs {size:,} bytes at {offset:,} of '{shown(path.name)}', which is shorter")
    return data


def _inside(folder: Path, location: str, what: str) -> Path:
    """Return the path of a file below a folder."""
    pure = PurePosixPath(location)
    if not location or pure.is_absolute() or ".." in pure.parts or "\\" in location or "\0" in location:
        raise InputError(f"{what} is kept in '{shown(location)}', which is no path below the model's folder")
    path = folder
    try:
        for part in pure.parts:
            path /= part
            if path.is_symlink():
                raise InputError(f"{what} is kept in '{shown(location)}', and '{shown(part)}' is a link")
    except OSError as error:
        raise InputError(f"{what} is kept in '{shown(location)}': {error.strerror}") from None
    return path


def _number(text: str, what: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS):
        raise InputError(f"{what} must be a number of bytes, not '{shown(text)}'")
    return int(text)
