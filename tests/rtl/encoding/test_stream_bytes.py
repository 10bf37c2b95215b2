"""Tensors and row tiles as bytes."""

from __future__ import annotations

import numpy as np
import pytest

from rtl.encoding.stream_bytes import tensor_bytes, tensor_codes, tensor_length, word_bytes
from sim.arch.machine import Machine, load_machine
from sim.ir.formats import Format
from sim.ir.ops import Tensor
from sim.mapping.activation_layout import bank_contents


def machine_with(stream_bits):
    """`tiny` with another width of its streams."""
    return Machine(**load_machine("tiny").model_dump() | {"stream_bits": stream_bits})


@pytest.fixture(params=[1, 4, 8, 16])
def machine(request):
    """Streams below a byte, of a byte, and of two words."""
    return machine_with(request.param)


@pytest.fixture
def tensor():
    """Two parts, heights that leave rows of the last group empty, an odd width."""
    return Tensor("t", 5, 3, (9, 2), Format(3, "signed"))


def codes_of(tensor):
    """Random codes of a tensor."""
    return np.random.default_rng(2).integers(tensor.format.low, tensor.format.high + 1, tensor.shape)


def test_codes_survive_the_streams(machine, tensor):
    """What is packed for the stream and unpacked again is the same, with zeros and with noise beside the codes."""
    codes = codes_of(tensor)
    for noise in (None, np.random.default_rng(1)):
        packet = tensor_bytes(codes, tensor, machine, noise)
        assert len(packet) == tensor_length(tensor, machine)
        assert np.array_equal(tensor_codes(packet, tensor, machine), codes)


def test_noise_is_not_zero(machine, tensor):
    """Noise changes lanes that carry no code."""
    codes = codes_of(tensor)
    noise = np.random.default_rng(1)
    assert tensor_bytes(codes, tensor, machine, noise) != tensor_bytes(codes, tensor, machine)


def test_words_go_address_outer_bank_inner(tensor):
    """With a byte per beat and words of a byte, beat a * columns + b is word a of bank b, lowest lane first."""
    machine = machine_with(8)
    image = bank_contents(codes_of(tensor), tensor, machine)
    packet = tensor_bytes(codes_of(tensor), tensor, machine)
    words = [sum(int(bit) << lane for lane, bit in enumerate(image[bank, address]))
             for address in range(image.shape[1]) for bank in range(machine.columns)]
    assert list(packet) == words


def test_narrow_beats_take_a_byte_each():
    """With 4 bits per beat, a byte carries them in its lower half."""
    words = np.array([[[1, 0, 1, 0, 0, 1, 1, 1]]], np.uint8)
    assert word_bytes(words, machine_with(4)) == bytes([0b0101, 0b1110])


def test_the_last_beat_is_filled_with_zeros():
    """Three words of a byte take two beats of two bytes."""
    machine = machine_with(16)
    tensor = Tensor("t", 3, 1, (8,), Format(1, "unsigned"))
    assert tensor_bytes(np.ones((8, 3, 1), np.int64), tensor, machine) == bytes([255, 255, 255, 0])
