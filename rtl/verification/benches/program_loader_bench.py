"""The program loader: every word of random images arrives in its table; what is wrong is refused at once."""

from __future__ import annotations

import random
from typing import Any

import cocotb
from cocotb.triggers import Timer

from rtl.encoding.geometry import Geometry
from rtl.encoding.program_image import HEADER, TABLES, beat_bits, encode, seal, tables
from rtl.shell.fault_codes import FaultCode
from rtl.verification.benches.unit_harness import geometry, reset, step

INPUTS = ("start", "valid", "data", "last")
IMAGES = 6
LENGTHS = 20
"""Wrong lengths that are drawn, beside the shortest, the longest and that of the header alone."""


def random_words(rng: random.Random, shape: Geometry) -> dict[str, list[int]]:
    """Draw words of random bits for every table."""
    return {table.name: [rng.getrandbits(table.layout.size) for _ in range(rng.choice([1, 2, 5]))]
            for table in tables(shape)}


async def load(dut: Any, rng: random.Random, image: bytes, ends: bool = True) -> tuple[dict[str, dict[int, int]], int]:
    """Send an image with gaps; the words that were written by table and index, and the fault (0: done).

    `ends`: the last beat carries tlast.
    """
    size, written = len(dut.data) // 8, {name: dict[int, int]() for name in TABLES}
    await step(dut, {"start": 1})
    await step(dut, {"start": 0})
    for start in range(0, len(image), size):
        assert dut.active.value
        while rng.random() < 0.2:
            await step(dut, {"valid": 0, "last": 1})
        dut.valid.value, dut.data.value = 1, int.from_bytes(image[start : start + size], "little")
        dut.last.value = int(ends and start + size >= len(image))
        await Timer(1, unit="ns")
        for name, words in written.items():
            if getattr(dut, f"write_{name}").value:
                assert int(dut.index.value) not in words
                words[int(dut.index.value)] = int(dut.word.value)
        done, failed, fault = (int(getattr(dut, name).value) for name in ("done", "failed", "fault"))
        await step(dut, {})
        if done or failed:
            dut.valid.value = 0
            assert not dut.active.value
            assert done != failed
            return written, fault if failed else 0
    dut.valid.value = 0
    raise AssertionError("neither done nor failed")


@cocotb.test()
async def words_arrive(dut: Any) -> None:
    """Images without a fault are done with their last beat, all their words written once."""
    shape = geometry()
    rng = await reset(dut, INPUTS)
    for _ in range(IMAGES):
        words = random_words(rng, shape)
        written, fault = await load(dut, rng, encode(words, shape))
        assert fault == 0
        for table in tables(shape):
            found = {index: word & ((1 << table.layout.size) - 1) for index, word in written[table.name].items()}
            assert found == dict(enumerate(words[table.name])), table.name


@cocotb.test()
async def faults_are_found(dut: Any) -> None:
    """Every flipped bit of the header, bits of the words and of the checksum, and wrong lengths have their faults."""
    shape, size = geometry(), len(dut.data) // 8
    rng = await reset(dut, INPUTS)
    image = encode(random_words(rng, shape), shape)
    counts = {HEADER[name].offset + bit for name in TABLES for bit in range(HEADER[name].width)}
    content = range(HEADER.size, 8 * (len(image) - max(4, size)))
    for bit in [*sorted(set(range(HEADER.size)) - counts), *rng.choices(content, k=20)]:
        expected = FaultCode.HEADER if bit < HEADER.size else FaultCode.CHECKSUM
        assert (await load(dut, rng, flipped(image, bit)))[1] == expected, f"bit {bit}"
    lengths = range(size, len(image), size)
    for length in {lengths[0], HEADER.size // 8 // size * size, lengths[-1], *rng.sample(lengths, LENGTHS)}:
        assert (await load(dut, rng, image[:length]))[1] == FaultCode.LENGTH, f"{length} bytes"
    assert (await load(dut, rng, image, ends=False))[1] == FaultCode.LENGTH
    for table in tables(shape):
        for count in (0, table.depth + 1, 1 << 15):
            assert (await load(dut, rng, counted(image, table.name, count, shape)))[1] == FaultCode.HEADER
    assert (await load(dut, rng, image))[1] == 0


def flipped(image: bytes, bit: int) -> bytes:
    """Return an image with one bit inverted."""
    altered = bytearray(image)
    altered[bit // 8] ^= 1 << bit % 8
    return bytes(altered)


def counted(image: bytes, name: str, count: int, shape: Geometry) -> bytes:
    """Return an image with another count of words of a table, sealed again."""
    start = HEADER[name].offset // 8
    content = bytearray(image[: -max(4, beat_bits(shape.machine) // 8)])
    content[start : start + 2] = count.to_bytes(2, "little")
    return seal(bytes(content), shape)
