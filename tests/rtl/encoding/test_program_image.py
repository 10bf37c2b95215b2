"""Program images: to bytes and back, and what is no image."""

from __future__ import annotations

import re
from zlib import crc32

import numpy as np
import pytest

from rtl.encoding.geometry import Geometry
from rtl.encoding.hardware_id import signature
from rtl.encoding.program_image import (
    HEADER,
    IMAGE_VERSION,
    MAGIC,
    beat_bits,
    decode,
    encode,
    load_image,
    program_image,
    program_words,
    seal,
    tables,
    unpack,
)
from sim.arch.machine import Machine, load_machine
from sim.errors import InputError
from sim.plan.plan import plan
from sim.testing import random_machine, random_program


@pytest.fixture
def machine():
    """Beats of two bytes."""
    return load_machine("tiny")


@pytest.fixture
def geometry(machine):
    """Of the machine."""
    return Geometry(machine)


def planned_on(machine, seed):
    """A random Program that fits."""
    rng = np.random.default_rng(seed)
    while True:
        try:
            return plan(random_program(rng, machine), machine)
        except InputError:
            continue


@pytest.fixture
def planned(machine):
    """A random Program on the machine."""
    return planned_on(machine, 1)


@pytest.mark.parametrize("seed", range(6))
def test_words_survive_the_bytes(seed):
    """On random machines, every word of every table is taken out of the image as it was put in."""
    machine = random_machine(np.random.default_rng(seed))
    planned, geometry = planned_on(machine, seed), Geometry(machine)
    words = program_words(planned, geometry)
    image = decode(program_image(planned), geometry)
    for table in tables(geometry):
        found = getattr(image, table.name)
        marks = 0 if table.name == "compute" else 1
        assert list(found) == [unpack(word, table.layout) for word in words[table.name][: len(found)]]
        assert len(found) == len(words[table.name]) - marks
    assert [word["op"] for word in image.compute] == [
        i for i, op in enumerate(planned.program.ops) if type(op).__name__ in ("Conv", "Pool")]


def test_an_image_is_its_header_words_and_checksum(geometry):
    """Every number is little-endian and padded to whole beats; the checksum is zlib's."""
    layouts = [table.layout for table in tables(geometry)]
    image = encode({"compute": [3], "inward": [5, 0], "outward": [0]}, geometry)
    header = (MAGIC.to_bytes(4, "little") + IMAGE_VERSION.to_bytes(2, "little") + b"\1\0"
              + signature(geometry).to_bytes(4, "little") + b"\2\0" + b"\1\0")
    sizes = [-(-layout.size // 16) * 2 for layout in layouts]
    words = [(3, sizes[0]), (5, sizes[1]), (0, sizes[1]), (0, sizes[2])]
    content = header + b"".join(word.to_bytes(size, "little") for word, size in words)
    assert image == content + crc32(content).to_bytes(4, "little")


def test_signed_fields_come_back(geometry):
    """Fields below 0, alone and in arrays, keep their sign."""
    layout = geometry.descriptor
    word = layout.const({"left": -2, "row": [-1, 0, 5], "low": -7}).as_bits()
    fields = unpack(word, layout)
    assert (fields["left"], fields["row"], fields["low"]) == (-2, [-1, 0, 5], -7)


def test_every_machine_has_its_own_signature():
    """What changes the hardware changes the signature; what does not, does not."""
    tiny = load_machine("tiny")
    changed = [{}, {"rows": 2}, {"acc_depth": 9}, {"roundings": ("floor",)}, {"stream_bits": 8}]
    machines = [Machine(**tiny.model_dump() | change) for change in changed]
    assert len({signature(Geometry(machine)) for machine in machines}) == len(changed)
    same = [{"name": "other"}, {"clock_mhz": 7.0}, {"memory": {"latency_cycles": 3}}]
    assert {signature(Geometry(Machine(**tiny.model_dump() | change))) for change in same} == {
        signature(Geometry(tiny))}


def refused(image, geometry, message):
    """The image is refused with exactly this message."""
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        decode(image, geometry)


def with_field(image, name, value, geometry):
    """The image with another number in its header, sealed again."""
    field = HEADER[name]
    place = slice(field.offset // 8, (field.offset + field.width) // 8)
    content = bytearray(image[: -max(4, beat_bits(geometry.machine) // 8)])
    content[place] = value.to_bytes(field.width // 8, "little")
    return seal(bytes(content), geometry)


def test_what_is_no_image_is_refused(planned, geometry):
    """Too short, of another magic, version or machine, with wrong counts: a sentence each."""
    image = program_image(planned)
    right = signature(geometry)
    refused(b"BWPI", geometry, "a program image has at least 16 bytes, not 4")
    refused(with_field(image, "magic", 7, geometry), geometry,
            f"this is not a program image: its magic is 0x7, not {MAGIC:#x}")
    refused(with_field(image, "version", 9, geometry), geometry,
            "the program image has another version: its version is 0x9, not 0x1")
    refused(with_field(image, "signature", 9, geometry), geometry,
            f"the program image is not for machine 'tiny': its signature is 0x9, not {right:#x}")
    refused(with_field(image, "compute", 0, geometry), geometry,
            "the program image must have 1..256 compute words, not 0")
    refused(with_field(image, "inward", 770, geometry), geometry,
            "the program image must have 1..769 inward words, not 770")


def test_what_was_altered_is_refused(planned, geometry):
    """Beats too few or too many, and a flipped bit."""
    image = program_image(planned)
    for other in (image[:-2], image + b"\0\0"):
        refused(other, geometry,
                f"the program image must have {len(image)} bytes by its header, not {len(other)}")
    altered = bytearray(image)
    altered[40] ^= 4
    found, stored = crc32(altered[:-4]), int.from_bytes(image[-4:], "little")
    refused(bytes(altered), geometry,
            f"the program image was altered: its checksum is {found:08x}, not {stored:08x}")


def test_a_file_is_read_up_to_the_largest_image(geometry, tmp_path):
    """Full tables are decoded; a byte more is refused before it is read."""
    path, depths = tmp_path / "program.bin", {table.name: table.depth for table in tables(geometry)}
    content = encode({name: [1] * depth for name, depth in depths.items()}, geometry)
    path.write_bytes(content)
    assert len(load_image(path, geometry).compute) == depths["compute"]
    path.write_bytes(content + b"x")
    message = f"cannot read program image '{path}': it is larger than {len(content):,} bytes"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        load_image(path, geometry)
