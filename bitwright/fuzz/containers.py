"""Files taken apart and put together again with valid checksums, so that loaders look at what was changed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from random import Random
from typing import Any

from bitwright.fuzz.mutations import changed_bytes, changed_tree

__all__ = ["Parts", "changed_parts", "packed", "program_digest", "tensors_digest", "unpacked"]

Parts = tuple[dict[str, Any], dict[str, bytes]]
"""Header of a safetensors file, `__metadata__` included and offsets left out, and the bytes of every tensor."""
SIZES = {"I8": 1, "U8": 1, "I64": 8, "F32": 4, "BF16": 2}
NUMBERS = (0, 1, 2, 3, 5, 0x7F, 0x80, 0xFF, -1, -2, -128, 2**31, -2**31, 2**63, 2**63 - 1, 0x7F800000, 0x7FC00000)
"""Ends of ranges, and an infinity and a nan of float32."""
TORCH = {"I8": "int8", "U8": "uint8", "I64": "int64", "F32": "float32", "F64": "float64", "BF16": "bfloat16",
         "F16": "float16", "BOOL": "bool"}
"""Names of types in torch."""
TYPES = ("I8", "I64", "U8", "F32", "F16", "BF16", "BOOL", "F64", "I4", "x")


def unpacked(data: bytes) -> Parts:
    """Return the parts of a safetensors file."""
    length = int.from_bytes(data[:8], "little")
    header, body = json.loads(data[8 : 8 + length]), data[8 + length :]
    pieces = {}
    for name, entry in header.items():
        if name != "__metadata__":
            first, last = entry.pop("data_offsets")
            pieces[name] = body[first:last]
    return header, pieces


def packed(parts: Parts) -> bytes:
    """Make a safetensors file with the widest types first, aligned as its writers align it."""
    header, pieces = parts
    order = sorted(pieces, key=lambda name: -SIZES.get(str(_entry(header, name).get("dtype")), 1))
    whole, body = {}, b""
    if "__metadata__" in header:
        whole["__metadata__"] = header["__metadata__"]
    for name in order:
        whole[name] = _entry(header, name) | {"data_offsets": [len(body), len(body) + len(pieces[name])]}
        body += pieces[name]
    return sealed_header(whole) + body


def sealed_header(header: Any) -> bytes:
    """Return the length and the text of a header."""
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def program_digest(graph: str, parts: Parts) -> str:
    """Return the SHA-256 that a Program's file must carry."""
    digest = hashlib.sha256(graph.encode("utf-8", "surrogatepass"))
    for name in sorted(parts[1]):
        digest.update(f"{name}{_shape(_entry(parts[0], name).get('shape'))}".encode() + parts[1][name])
    return digest.hexdigest()


def tensors_digest(parts: Parts) -> str:
    """Return the SHA-256 that weights and checkpoints must carry."""
    texts = [(name, text) for name, text in parts[0]["__metadata__"].items() if name != "sha256"]
    digest = hashlib.sha256(json.dumps(sorted(texts)).encode())
    for name in sorted(parts[1]):
        entry = _entry(parts[0], name)
        dtype = f"torch.{TORCH.get(entry['dtype'])}"
        digest.update(json.dumps([name, dtype, entry["shape"]]).encode() + parts[1][name])
    return digest.hexdigest()


def changed_parts(random: Random, parts: Parts, seal: Callable[[Parts], None]) -> bytes:
    """Make a safetensors file with other numbers, shapes, types or tensors, sealed, sometimes with a false header."""
    header, pieces = {name: _copied(entry) for name, entry in parts[0].items()}, dict(parts[1])
    for _ in range(random.choice((1, 1, 2))):
        name = random.choice(list(pieces)) if pieces else ""
        if not name:
            break
        entry = header[name]
        match random.randrange(7):
            case 0 | 1 | 2:
                pieces[name] = _other_numbers(random, pieces[name], SIZES.get(entry["dtype"], 1))
            case 3:
                entry["dtype"] = random.choice(TYPES)
            case 4:
                _reshape(random, entry, pieces, name)
            case 5:
                del pieces[name]
            case _:
                pieces[f"{name}x"], header[f"{name}x"] = pieces[name], dict(entry)
    seal((header, pieces))
    data = packed((header, pieces))
    if random.random() < 0.15:
        length = int.from_bytes(data[:8], "little")
        lying = changed_tree(random, json.loads(data[8 : 8 + length]))
        data = sealed_header(lying) + data[8 + length :]
    return changed_bytes(random, data) if random.random() < 0.05 else data


def _other_numbers(random: Random, piece: bytes, size: int) -> bytes:
    """Replace some numbers by extreme ones."""
    count = len(piece) // size
    for _ in range(random.choice((1, 1, 3, 10)) if count else 0):
        at = random.randrange(count) * size
        number = random.choice((*NUMBERS, random.randrange(256)))
        piece = piece[:at] + (number % (1 << 8 * size)).to_bytes(size, "little") + piece[at + size :]
    return piece


def _reshape(random: Random, entry: dict[str, Any], pieces: dict[str, bytes], name: str) -> None:
    """Give a tensor another shape, and in most cases as many bytes as it needs."""
    shape = list(entry["shape"])
    if shape and random.random() < 0.7:
        shape[random.randrange(len(shape))] = random.choice((0, 1, 2, 3, 100, 2**24, 2**31, 2**63))
    else:
        shape = random.choice(([], [0], [1] * 71, [0, 2**63], [0, 2**62, 8], [2**32, 2**32, 0], [*shape, 1]))
    entry["shape"] = shape
    needed = SIZES.get(entry["dtype"], 1)
    for extent in shape:
        needed *= extent
    if needed < 1 << 16:
        pieces[name] = (pieces[name] * (needed // max(len(pieces[name]), 1) + 1))[:needed].ljust(needed, b"\0")


def _shape(shape: Any) -> Any:
    return tuple(shape) if isinstance(shape, list) else shape


def _entry(header: dict[str, Any], name: str) -> dict[str, Any]:
    entry = header.get(name)
    return entry if isinstance(entry, dict) else {"dtype": "I8", "shape": [0]}


def _copied(entry: Any) -> Any:
    return {key: list(value) if isinstance(value, list) else value for key, value in entry.items()}


