"""Faults of Loads and Stores: words of a tensor that take each other's place on the stream."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
from numpy.typing import NDArray

from bitwright.divergence.conv_run import Array
from bitwright.divergence.hypothesis import Hypothesis
from sim.arch.machine import Machine
from sim.ir.formats import Format
from sim.ir.ops import Tensor
from sim.mapping.activation_layout import bank_contents, read_bank_contents

__all__ = ["transfer_faults"]

Order = Callable[[NDArray[np.int64]], NDArray[np.int64]]
"""From the numbers of words on the stream to the numbers of those that are there instead; -1: none, all zeros."""


def transfer_faults(codes: Array, tensor: Tensor, machine: Machine, field: str,
                    rest: int) -> Iterator[Hypothesis]:
    """Yield tensors whose words come in another order.

    Parameters
    ----------
    codes : int64 array, shape (N, channels, height, width)
        What is moved.
    tensor : Tensor
    machine : Machine
    field : str
        Of the hypotheses.
    rest : int
        What codes beyond the last row are: `UNDEFINED` where nothing has written them, `ANYTHING` where the host has.
    """
    per_beat = max(1, machine.stream_bits // machine.lanes)
    for text, order in _orders(per_beat, machine.columns).items():
        yield Hypothesis(field, text, _moved(codes, tensor, machine, order, rest))
    for bit in range(tensor.format.bits):
        yield Hypothesis(field, f"plane {bit} lost", codes & ~(1 << bit))
    yield Hypothesis(field, "the image before", np.roll(codes, 1, axis=0))


def _orders(per_beat: int, columns: int) -> dict[str, Order]:
    orders: dict[str, Order] = {
        "rows exchanged: the words of a beat are in reverse order": (
            lambda n: n // per_beat * per_beat + per_beat - 1 - n % per_beat),
        "rows exchanged: neighbouring words of a beat take each other's place": lambda n: n ^ 1,
        "rows one further: each word goes to the next bank": lambda n: n // columns * columns + (n - 1) % columns,
        "rows one earlier: each word goes to the bank before": lambda n: n // columns * columns + (n + 1) % columns,
        "rows in reverse order: the banks are numbered from the last one": (
            lambda n: n // columns * columns + columns - 1 - n % columns),
        "words one late": lambda n: n - 1, "words one early": lambda n: n + 1,
        "a beat late": lambda n: n - per_beat, "a beat early": lambda n: n + per_beat}
    for word in range(per_beat):
        orders[f"every word of a beat is its word {word}"] = partial(_one_word, per_beat, word)
    return orders


def _one_word(per_beat: int, word: int, number: NDArray[np.int64]) -> NDArray[np.int64]:
    return number // per_beat * per_beat + word


def _moved(codes: Array, tensor: Tensor, machine: Machine, order: Order, rest: int) -> Array:
    """Return the codes of the tensor whose words are taken in another order."""
    plain = Tensor(tensor.name, tensor.height, tensor.width, tensor.parts, Format(tensor.format.bits, "unsigned"))
    ones = np.full(tensor.shape, (1 << tensor.format.bits) - 1)
    known = bank_contents(ones, plain, machine)
    found = []
    for image in codes:
        words = bank_contents(image, tensor, machine)
        number = np.arange(words.shape[0] * words.shape[1])
        source = order(number)
        there = (source >= 0) & (source < len(number))
        streams = ((array.transpose(1, 0, 2).reshape(len(number), -1), empty)
                   for array, empty in ((words, 0), (known, 1)))
        pieces = [np.where(there[:, None], stream[np.where(there, source, 0)], empty) for stream, empty in streams]
        moved, sure = (piece.reshape(words.shape[1], words.shape[0], -1).transpose(1, 0, 2) for piece in pieces)
        lost = read_bank_contents(1 - sure, plain, machine)
        found.append(np.where(lost != 0, np.int64(rest), read_bank_contents(moved, tensor, machine)))
    return np.array(found, np.int64)
