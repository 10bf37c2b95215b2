"""Layouts against the address formulas, one bit at a time."""

from dataclasses import replace

import numpy as np
import pytest

from sim.arch.machine import load_machine
from sim.ir.formats import Format, Kind
from sim.ir.ops import Conv, Tensor
from sim.mapping.activation_layout import bank_contents, read_bank_contents, tensor_words
from sim.mapping.conv_schedule import ConvSchedule
from sim.mapping.conv_shape import ConvShape
from sim.mapping.parameter_packet import packet_words, packets
from sim.mapping.schedule_conv import schedule_conv
from sim.mapping.weight_layout import row_tile_words

TINY = load_machine("tiny")


@pytest.mark.parametrize(("parts", "bits", "kind"),
                         [((3,), 5, "unsigned"), ((9, 2), 3, "signed"), ((8,), 24, "signed")])
def test_activation_words_follow_the_address_formula(parts: tuple[int, ...], bits: int, kind: Kind) -> None:
    """Plane j of channel c lies in bank y mod C, lane c mod L, at the word the formula gives; reading inverts it."""
    fmt = Format(bits, kind)
    tensor = Tensor("t", 7, 5, parts, fmt)
    codes = np.random.default_rng(1).integers(fmt.low, fmt.high + 1, tensor.shape)
    image = bank_contents(codes, tensor, TINY)
    assert image.shape == (TINY.columns, tensor_words(tensor, TINY), TINY.lanes)
    blocks = sum(-(-part // TINY.lanes) for part in parts)
    first_block = 0
    for part, size in enumerate(parts):
        for channel, y, x, plane in np.ndindex(size, 7, 5, bits):
            block = first_block + channel // TINY.lanes
            word = (((y // TINY.columns) * 5 + x) * blocks + block) * bits + plane
            code = int(codes[sum(parts[:part]) + channel, y, x])
            assert image[y % TINY.columns, word, channel % TINY.lanes] == (code >> plane) & 1
        first_block += -(-size // TINY.lanes)
    np.testing.assert_array_equal(read_bank_contents(image, tensor, TINY), codes)


def conv_of(weights: np.ndarray, bits: int, depthwise: bool) -> Conv:
    channels = len(weights)
    return Conv("c", "x", "y", weights.astype(np.int8), Format(bits, "signed"),
                np.tile(np.array([[5, -2]], np.int8), (channels, 1)), np.arange(channels), -np.arange(channels), 0, 1,
                groups=len(weights) if depthwise else 1)


def schedule_of(conv: Conv, parts: tuple[int, ...], depthwise: bool) -> ConvSchedule:
    shape = ConvShape(9, 9, parts, 9, 9, conv.channels, conv.kernel, (1, 1), (1, 1), (1, 1, 1, 1), depthwise, "signed",
                      conv.weight_format.bits, 4, 4, 0, 2, 0)
    return schedule_conv(shape, TINY)


@pytest.mark.parametrize(("parts", "depthwise", "packing"),
                         [((3,), False, 2), ((2,), False, 4), ((10, 3), False, 1), ((6,), True, 2)])
def test_weight_words_follow_the_contract(parts: tuple[int, ...], depthwise: bool, packing: int) -> None:
    """Bit s*L/P + l of word (tau, beta, i) is plane i of the weight of channel beta*L + l and tap tau*P + s."""
    rng = np.random.default_rng(2)
    channels = sum(parts) if depthwise else 6
    conv = conv_of(rng.integers(-4, 4, (channels, 1 if depthwise else sum(parts), 3, 3)), 3, depthwise)
    schedule = schedule_of(conv, parts, depthwise)
    assert schedule.packing == packing
    segment = TINY.lanes // packing
    taps = conv.weights.reshape(channels, -1, 9)
    starts = np.cumsum([0, *[-(-part // segment) for part in parts]])
    for tile in range(schedule.row_tiles):
        words = row_tile_words(conv, schedule, tile, TINY)
        assert words.shape == (packet_words(TINY) + schedule.weight_words, TINY.rows, TINY.lanes)
        expected = np.zeros_like(words[packet_words(TINY):])
        for row, tap in np.ndindex(min(TINY.rows, channels - tile * TINY.rows), 9):
            out = tile * TINY.rows + row
            for part, size in enumerate(parts):
                for inside in range(size):
                    source = sum(parts[:part]) + inside
                    if depthwise and source != out:
                        continue
                    block = 0 if depthwise else starts[part] + inside // segment
                    lane = (tap % packing) * segment + inside % segment
                    for plane in range(3):
                        word = ((tap // packing) * schedule.channel_blocks + block) * 3 + plane
                        code = int(taps[out, 0 if depthwise else source, tap])
                        expected[word, row, lane] = (code >> plane) & 1
        np.testing.assert_array_equal(words[packet_words(TINY):], expected)


@pytest.mark.parametrize(("channels", "inside", "packing", "blocks"), [
    (12, 2, 2, 5), (12, 4, 2, 5), (16, 8, 1, 9), (24, 3, 1, 18), (24, 6, 1, 18), (40, 5, 1, 18),
    (32, 16, 1, 27), (24, 12, 1, 27)])
def test_weights_of_groups_follow_the_contract(channels: int, inside: int, packing: int, blocks: int) -> None:
    """Groups of 2**k channels cost their own block, in the lanes of these; others a window of few blocks."""
    rng = np.random.default_rng(3)
    conv = replace(conv_of(rng.integers(-4, 4, (channels, inside, 3, 3)), 3, False), groups=channels // inside)
    shape = ConvShape(9, 9, (channels,), 9, 9, channels, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1), False, "signed", 3, 4,
                      4, 0, 2, 0, groups=conv.groups)
    schedule = schedule_conv(shape, TINY)
    assert (schedule.packing, schedule.blocks) == (packing, blocks)
    segment, own = TINY.lanes // packing, schedule.own_block
    for tile in range(schedule.row_tiles):
        words = row_tile_words(conv, schedule, tile, TINY)[packet_words(TINY):]
        expected = np.zeros_like(words)
        for row, index, tap in np.ndindex(min(TINY.rows, channels - tile * TINY.rows), inside, 9):
            out = tile * TINY.rows + row
            source, code = out // inside * inside + index, int(conv.weights[out, index].reshape(-1)[tap])
            first = 0 if own or schedule.window is None else schedule.window.first_block(tile, 8, -(-channels // 8))
            block, lane = 0 if own else source // segment - first, (tap % packing) * segment + source % segment
            word = ((tap // packing) * schedule.channel_blocks + block) * 3
            expected[word : word + 3, row, lane] = [code >> plane & 1 for plane in range(3)]
        np.testing.assert_array_equal(words, expected)


def test_parameter_words_come_first() -> None:
    """The second row tile of five channels starts with the packet of the fifth; rows without a channel are zero."""
    conv = conv_of(np.ones((5, 1, 1, 1)), 3, False)
    words = row_tile_words(conv, schedule_of(conv, (1,), False), 1, TINY)[: packet_words(TINY)]
    np.testing.assert_array_equal(words[:, :1], packets(conv, slice(4, 5), TINY))
    assert not words[:, 1:].any()
