"""The program image: the bytes that load a Program's tables into the machine, and their way back.

Header, compute descriptors, entries of the inward and of the outward queue, checksum; each is a little-endian number
padded to whole beats of the inward stream. The checksum is the CRC-32 of zlib over all bytes before it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from zlib import crc32

from amaranth.hdl import Shape
from amaranth.lib import data

from rtl.encoding.descriptors import describe, describe_inward, describe_outward
from rtl.encoding.geometry import Geometry
from rtl.encoding.hardware_id import signature
from sim.arch.limits import LIMITS, HardwareLimits
from sim.arch.machine import Machine
from sim.errors import InputError
from sim.io.regular_file import read_regular
from sim.plan.plan import Plan

__all__ = ["CHECKSUM_BITS", "HEADER", "IMAGE_VERSION", "MAGIC", "TABLES", "Fields", "Image", "Table", "beat_bits",
           "decode", "encode", "load_image", "program_image", "program_words", "seal", "tables", "unpack"]

MAGIC = int.from_bytes(b"BWPI", "little")
IMAGE_VERSION = 1
CHECKSUM_BITS = 32
TABLES = ("compute", "inward", "outward")
"""The tables of a Program, in the order of their words in an image."""

HEADER = data.StructLayout({
    "magic": 32,
    "version": 16,
    "compute": 16,
    "signature": 32,
    "inward": 16,
    "outward": 16,
})
"""What an image begins with; a count of words for each table."""

Fields = Mapping[str, int | list[int]]


@dataclass(frozen=True)
class Table:
    """A table in the machine: the layout of its words, and how many it holds."""

    name: str
    layout: data.StructLayout
    depth: int


@dataclass(frozen=True)
class Image:
    """A decoded program image.

    Attributes
    ----------
    header : dict
        Fields of `HEADER`.
    compute, inward, outward : tuple of dict
        Fields of every word; those of the queues without their end marks.
    """

    header: Fields
    compute: tuple[Fields, ...]
    inward: tuple[Fields, ...]
    outward: tuple[Fields, ...]


def beat_bits(machine: Machine) -> int:
    """Return the width of a beat on the pins, a multiple of 8 [bits].

    >>> from sim.arch.machine import load_machine
    >>> beat_bits(load_machine("edge"))
    128
    """
    return max(8, machine.stream_bits)


def tables(geometry: Geometry) -> tuple[Table, ...]:
    """Return the tables of a machine, in the order of `TABLES`."""
    return (Table("compute", geometry.descriptor, geometry.limits.max_ops),
            Table("inward", geometry.inward, geometry.inward_entries),
            Table("outward", geometry.outward, geometry.outward_entries))


def encode(words: Mapping[str, Sequence[int]], geometry: Geometry) -> bytes:
    """Return the image of a Program.

    Parameters
    ----------
    words : mapping of table name to sequence of int
        Words of every table; the queues end with their end marks.
    geometry : Geometry
        Of the machine that the words were made for.
    """
    counts = {name: len(words[name]) for name in TABLES}
    header = HEADER.const({"magic": MAGIC, "version": IMAGE_VERSION, "signature": signature(geometry), **counts})
    pieces = [_padded(header.as_bits(), HEADER.size, geometry)]
    for table in tables(geometry):
        pieces += [_padded(word, table.layout.size, geometry) for word in words[table.name]]
    return seal(b"".join(pieces), geometry)


def seal(content: bytes, geometry: Geometry) -> bytes:
    """Append the checksum to the other bytes of an image."""
    return content + _padded(crc32(content), CHECKSUM_BITS, geometry)


def program_image(plan: Plan, limits: HardwareLimits = LIMITS) -> bytes:
    """Return the image of a planned Program.

    Raises
    ------
    InputError
        If a number does not fit into the hardware's fields.
    """
    geometry = Geometry(plan.machine, limits)
    return encode(program_words(plan, geometry), geometry)


def program_words(plan: Plan, geometry: Geometry) -> dict[str, list[int]]:
    """Return the words of every table; the queues end with their end marks."""
    return {"compute": describe(plan, geometry), "inward": describe_inward(plan, geometry),
            "outward": describe_outward(plan, geometry)}


def load_image(path: str | Path, geometry: Geometry) -> Image:
    """Read a file that holds an image.

    Raises
    ------
    InputError
        If there is no regular file, it is larger than any image for the machine, or as `decode`.
    """
    beats = sum(_beats(bits, geometry) * count for bits, count in (
        (HEADER.size, 1), (CHECKSUM_BITS, 1), *((table.layout.size, table.depth) for table in tables(geometry))))
    return decode(read_regular(path, "program image", beats * beat_bits(geometry.machine) // 8), geometry)


def decode(image: bytes, geometry: Geometry) -> Image:
    """Take an image apart.

    Raises
    ------
    InputError
        If it is not an image, is of another version or for another machine, has the wrong length or a wrong checksum;
        with the first of these that is true.
    """
    header = _header(image, geometry)
    kinds = tables(geometry)
    sizes = [_beats(table.layout.size, geometry) * _count(header, table) for table in kinds]
    needed = _beats(HEADER.size, geometry) + sum(sizes) + _beats(CHECKSUM_BITS, geometry)
    beat = beat_bits(geometry.machine) // 8
    if len(image) != needed * beat:
        raise InputError(f"the program image must have {needed * beat} bytes by its header, not {len(image)}")
    end = len(image) - _beats(CHECKSUM_BITS, geometry) * beat
    if int.from_bytes(image[end:], "little") != crc32(image[:end]):
        raise InputError(f"the program image was altered: its checksum is {crc32(image[:end]):08x}, not "
                         f"{int.from_bytes(image[end:], 'little'):08x}")
    found, start = {}, _beats(HEADER.size, geometry) * beat
    for table, size in zip(kinds, sizes, strict=True):
        piece = image[start : start + size * beat]
        found[table.name] = tuple(_words(piece, table, geometry))
        start += size * beat
    return Image(header, found["compute"], found["inward"], found["outward"])


def unpack(word: int, layout: data.StructLayout) -> dict[str, int | list[int]]:
    """Return the fields of a structure, arrays as lists: the inverse of `rtl.encoding.descriptors.pack`."""
    fields: dict[str, int | list[int]] = {}
    for name, field in layout:
        if isinstance(field.shape, data.ArrayLayout):
            element = Shape.cast(field.shape.elem_shape)
            fields[name] = [_number(word >> (field.offset + i * element.width), element)
                            for i in range(field.shape.length)]
        else:
            fields[name] = _number(word >> field.offset, Shape.cast(field.shape))
    return fields


def _header(image: bytes, geometry: Geometry) -> dict[str, int]:
    size = HEADER.size // 8
    if len(image) < size:
        raise InputError(f"a program image has at least {size} bytes, not {len(image)}")
    header = {name: value for name, value in unpack(int.from_bytes(image[:size], "little"), HEADER).items()
              if isinstance(value, int)}
    for name, right in (("magic", MAGIC), ("version", IMAGE_VERSION), ("signature", signature(geometry))):
        if header[name] != right:
            what = {"magic": "this is not a program image", "version": "the program image has another version",
                    "signature": f"the program image is not for machine '{geometry.machine.name}'"}[name]
            raise InputError(f"{what}: its {name} is {header[name]:#x}, not {right:#x}")
    return header


def _count(header: Mapping[str, int], table: Table) -> int:
    if not 1 <= header[table.name] <= table.depth:
        raise InputError(f"the program image must have 1..{table.depth} {table.name} words, not {header[table.name]}")
    return header[table.name]


def _words(piece: bytes, table: Table, geometry: Geometry) -> Iterator[Fields]:
    """Yield the words of a table without the end mark, a word of zeros, that ends a queue."""
    step = _beats(table.layout.size, geometry) * beat_bits(geometry.machine) // 8
    for start in range(0, len(piece), step):
        word = int.from_bytes(piece[start : start + step], "little")
        if word or table.name == "compute":
            yield unpack(word, table.layout)


def _beats(bits: int, geometry: Geometry) -> int:
    return ceil(bits / beat_bits(geometry.machine))


def _padded(word: int, bits: int, geometry: Geometry) -> bytes:
    return word.to_bytes(_beats(bits, geometry) * beat_bits(geometry.machine) // 8, "little")


def _number(bits: int, shape: Shape) -> int:
    width: int = shape.width
    value = bits & ((1 << width) - 1)
    return value - (1 << width) if shape.signed and value >> (width - 1) else value
