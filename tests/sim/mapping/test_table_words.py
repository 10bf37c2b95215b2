"""Where the codes of a table lie in its words, and in how many beats they come."""

import numpy as np
import pytest

from sim.arch.machine import Machine, load_machine
from sim.arch.table_memory import slot_words, table_word_bits
from sim.ir.formats import Format
from sim.ir.ops import Table
from sim.mapping.table_words import table_beats, table_bits, table_words


def machine(lanes: int, stream_bits: int, index_bits: int = 8) -> Machine:
    return Machine(**load_machine("tiny").model_dump() | {
        "lanes": lanes, "rows": 4, "columns": 4, "stream_bits": stream_bits, "table_bits": index_bits})


@pytest.mark.parametrize(("lanes", "stream_bits", "bits", "words", "beats"), [
    (8, 16, 8, 128, 128), (8, 8, 8, 256, 256), (8, 2, 8, 256, 1024), (64, 128, 8, 16, 16), (64, 32, 4, 2, 4),
    (64, 128, 4, 1, 1), (64, 128, 1, 1, 1), (64, 16, 1, 1, 4), (8, 1, 1, 2, 16)])
def test_a_table_takes_whole_words(lanes: int, stream_bits: int, bits: int, words: int, beats: int) -> None:
    """A word is as wide as a beat, or as the word of lanes that beats make up; the last one may have room."""
    one = machine(lanes, stream_bits)
    assert (table_words(bits, one), table_beats(bits, one)) == (words, beats)


@pytest.mark.parametrize("bits", range(1, 9))
@pytest.mark.parametrize("stream_bits", [1, 8, 16, 32])
def test_every_code_has_its_byte(bits: int, stream_bits: int) -> None:
    """Code i is byte i of the words one after another, negative ones modulo 256; no other bit is set."""
    one = machine(16, stream_bits, bits)
    codes = np.random.default_rng(bits).integers(-128, 128, 1 << bits).astype(np.int16)
    words = table_bits(Table(Format(bits, "unsigned"), codes), one)
    assert words.shape == (table_words(bits, one), table_word_bits(one))
    held = np.packbits(words.reshape(-1), bitorder="little")
    assert held[: len(codes)].astype(np.int8).tolist() == codes.tolist()
    assert not held[len(codes) :].any()


def test_the_largest_table_fills_a_slot() -> None:
    """A machine without tables has no words for them."""
    for bits in range(1, 9):
        one = machine(64, 128, bits)
        assert slot_words(one) == table_words(bits, one)
    assert slot_words(machine(64, 128, 0)) == table_words(0, machine(64, 128, 0)) == 0
