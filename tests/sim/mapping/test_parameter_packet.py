"""Parameter packets against the contract, and against a decoder written here."""

from __future__ import annotations

import numpy as np
import pytest

from sim.arch.machine import load_machine
from sim.ir.formats import Format
from sim.ir.ops import Conv
from sim.mapping.parameter_packet import packet_bits, packet_fields, packet_words, packets

TINY = load_machine("tiny")


def conv_of(channels: int, residual: bool) -> Conv:
    digits = np.tile(np.array([[5, -2]], np.int8), (channels, 1))
    return Conv("c", "x", "y", np.ones((channels, 1, 1, 1), np.int8), Format(2, "signed"), digits, np.arange(channels),
                -np.arange(channels), 0, 1, residual="r" if residual else None,
                residual_multiplier=-digits[:, :1] if residual else np.zeros((0, 0), np.int8))


@pytest.mark.parametrize("residual", [False, True])
def test_packets_hold_offset_shift_and_digits(residual: bool) -> None:
    """Fields lie lowest bit first: offset, n, then (present, negative, exponent) of every digit of M and R."""
    words = packets(conv_of(6, residual), slice(4, 6), TINY)
    assert words.shape == (packet_words(TINY), 2, TINY.lanes)
    for channel, bits in enumerate(words.transpose(1, 0, 2).reshape(2, -1), start=4):
        packet = sum(int(bit) << i for i, bit in enumerate(bits))
        assert packet & (2**34 - 1) == -channel % 2**34
        assert packet >> 34 & 63 == channel
        assert [packet >> (40 + 6 * i) & 63 for i in range(3)] == [1 | 4 << 2, 3 | 1 << 2, 0]
        assert packet >> 58 == (3 | 4 << 2 if residual else 0)


def test_width_is_the_sum_of_the_fields() -> None:
    """34 bits of offset, 6 of n, and for each of three digits a sign, a mark and 4 (M) or 5 (R) bits of exponent."""
    assert packet_bits(TINY) == 34 + 6 + 3 * 6 + 3 * 7 == sum(packet_fields(TINY).values())
    assert packet_words(TINY) == -(-packet_bits(TINY) // TINY.lanes) == 10
