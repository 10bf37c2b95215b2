"""Tables, row tiles and tensors as bytes of the streams, and back. A beat takes whole bytes, its bits lowest first."""

from __future__ import annotations

from math import ceil

import numpy as np
from numpy.typing import NDArray

from sim.arch.machine import Machine
from sim.ir.ops import Tensor
from sim.mapping.activation_layout import Bits, bank_contents, read_bank_contents, tensor_words

__all__ = ["tensor_bytes", "tensor_codes", "tensor_length", "word_bytes"]


def word_bytes(words: Bits, machine: Machine) -> bytes:
    """Return the bytes of a table or a row tile, whose words `sim.plan.plan.Plan.inward` gives."""
    return _beats(words.reshape(-1), machine)


def tensor_bytes(codes: NDArray[np.integer], tensor: Tensor, machine: Machine,
                 noise: np.random.Generator | None = None) -> bytes:
    """Return the bytes of a tensor on its way into the machine.

    Words are ordered by address, then by bank; zeros fill the last beat.

    Parameters
    ----------
    codes : integer array, shape (channels, height, width)
    tensor : Tensor
    machine : Machine
    noise : Generator or None
        Of random bits for the lanes without a code; None: zeros.
    """
    contents = bank_contents(codes, tensor, machine)
    if noise is not None:
        used = bank_contents(np.full(tensor.shape, -1), tensor, machine)
        contents = np.where(used == 1, contents, noise.integers(0, 2, contents.shape, np.uint8))
    return _beats(contents.transpose(1, 0, 2).reshape(-1), machine)


def tensor_codes(packet: bytes, tensor: Tensor, machine: Machine) -> NDArray[np.int32]:
    """Return the codes of a tensor on its way out, shape (channels, height, width): the inverse of `tensor_bytes`.

    >>> from sim.ir.formats import Format
    >>> from sim.arch.machine import load_machine
    >>> tensor, machine = Tensor("t", 1, 2, (1,), Format(4, "signed")), load_machine("tiny")
    >>> tensor_codes(tensor_bytes(np.array([[[-8, 5]]]), tensor, machine), tensor, machine)
    array([[[-8,  5]]], dtype=int32)
    """
    beats = np.frombuffer(packet, np.uint8).reshape(-1, ceil(machine.stream_bits / 8))
    bits = np.unpackbits(beats, axis=1, count=machine.stream_bits, bitorder="little").reshape(-1)
    words, columns, lanes = tensor_words(tensor, machine), machine.columns, machine.lanes
    contents = bits[: words * columns * lanes].reshape(words, columns, lanes).transpose(1, 0, 2)
    return read_bank_contents(contents, tensor, machine)


def tensor_length(tensor: Tensor, machine: Machine) -> int:
    """Return how long a tensor is on the streams [bytes]."""
    beats = ceil(machine.columns * tensor_words(tensor, machine) * machine.lanes / machine.stream_bits)
    return beats * ceil(machine.stream_bits / 8)


def _beats(bits: Bits, machine: Machine) -> bytes:
    padded = np.zeros(-len(bits) % machine.stream_bits + len(bits), np.uint8)
    padded[: len(bits)] = bits
    return np.packbits(padded.reshape(-1, machine.stream_bits), axis=1, bitorder="little").tobytes()
