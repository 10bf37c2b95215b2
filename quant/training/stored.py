"""Named tensors and texts in one safetensors file, with a checksum over all of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from shlex import quote

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from sim.errors import InputError
from sim.io.atomic_write import atomic_write
from sim.io.bounds import listed, shown, shown_path
from sim.io.regular_file import MIB, read_regular
from sim.ir.serialize import metadata_of

__all__ = ["CHECKSUM", "check_tensors", "conversion", "most_bytes", "read_tensors", "write_tensors"]

CHECKSUM = "sha256"
"""Field of the checksum over all other metadata and over name, type, shape and content of every tensor."""
HEADER_BYTES = 64 * MIB
WIDEST = 8
"""Bytes of the widest number that a file may hold in place of a narrower one."""
PICKLES = (b"\x80", b"PK", b"(dp", b"(lp", b"}q", b"]q", b"ccollections\n")
"""How files of pickle and torch.save begin: with the protocol or, in protocols 0 and 1, with what is built first."""
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write the file whole or not at all; tensors that share memory are written each by itself."""
    own = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    texts = {**metadata, CHECKSUM: _digest(own, metadata)}
    with atomic_write(path) as stream:
        stream.write(save(own, texts))


def read_tensors(path: Path, what: str, limit_bytes: int) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors and metadata of a file.

    Parameters
    ----------
    path : Path
    what : str
        What the file holds, as errors say it.
    limit_bytes : int
        Largest size [bytes].

    Raises
    ------
    InputError
        If the file cannot be read, is larger, is no safetensors file, or does not match the checksum that it carries;
        for a pickle, with the line that converts it.
    """
    data, where = read_regular(path, what, limit_bytes), f"{what} '{shown_path(path)}'"
    if data[8:9] != b"{" and data.startswith(PICKLES):
        raise InputError(f"{where}: this may be a pickle, which can run any code: convert it where you trust it, by "
                         f"{conversion(path)}")
    try:
        tensors = load(data)
    except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise InputError(f"{where}: not a whole safetensors file ({shown(error)})") from None
    metadata = metadata_of(data)
    others = {name: text for name, text in metadata.items() if name != CHECKSUM}
    if CHECKSUM in metadata and metadata[CHECKSUM] != _digest(tensors, others):
        raise InputError(f"{where}: its content does not match its checksum; the file is damaged")
    return tensors, metadata


def conversion(path: Path) -> str:
    """Return the command that makes `model.safetensors` of a file that torch.save wrote.

    It takes the state dict that lies in the file itself or under some name, as the mapping with the most tensors, and
    takes off the prefix that DataParallel puts before each name.
    """
    code = f"""import torch, safetensors.torch as s; \
d = torch.load(open({json.dumps(str(path))}, "rb"), map_location="cpu", weights_only=True); \
d = max([d, *(v for v in d.values() if isinstance(v, dict))], key=lambda d: sum(map(torch.is_tensor, d.values()))); \
d = {{k.removeprefix("module."): v.detach().contiguous().clone() for k, v in d.items() if torch.is_tensor(v)}}; \
s.save_file(d, "model.safetensors")"""
    return f"python -c {quote(code)}"


def most_bytes(tensors: Mapping[str, Tensor]) -> int:
    """Return how large a file of such tensors may be, of any type [bytes]."""
    return HEADER_BYTES + WIDEST * sum(value.numel() for value in tensors.values())


def check_tensors(where: str, stored: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Refuse tensors whose names, shapes, types or values cannot take the place of others; `where` begins the sentence.

    A float may be of another width; it must be finite in the width that is expected.

    Raises
    ------
    InputError
        With the first names that are missing or too many, or the first tensor at fault.
    """
    missing, surplus = sorted(expected.keys() - stored.keys()), sorted(stored.keys() - expected.keys())
    for what, names in (("misses", missing), ("has a surplus", surplus)):
        if names:
            raise InputError(f"{where} {what} {listed(names)}")
    for name, value in expected.items():
        found = stored[name]
        if found.shape != value.shape:
            raise InputError(f"{where}: '{name}' must have shape {tuple(value.shape)}, not {shown(tuple(found.shape))}")
        if found.dtype != value.dtype and not {found.dtype, value.dtype} <= {*FLOATS}:
            raise InputError(f"{where}: '{name}' must be of type {_type(value)}, not {_type(found)}")
        if value.is_floating_point() and not bool(torch.isfinite(found.to(value.dtype)).all()):
            raise InputError(f"{where}: '{name}' must be finite")


def _type(value: Tensor) -> str:
    return str(value.dtype).removeprefix("torch.")


def _digest(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    digest = sha256(json.dumps(sorted(metadata.items())).encode())
    for name, value in sorted(tensors.items()):
        digest.update(json.dumps([name, str(value.dtype), list(value.shape)]).encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
