"""The parameter packet: everything the requantizer knows of a channel, as one run of bits.

`packet_fields` is the only list of its fields. Its width, the bits that are streamed and the hardware's view of them
follow from it.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from math import ceil

import numpy as np
from numpy.typing import NDArray

from sim.arch.machine import Machine
from sim.ir.ops import Conv
from sim.ir.signed_digits import Digits

__all__ = ["packet_bits", "packet_fields", "packet_words", "packets"]


def packet_fields(machine: Machine) -> dict[str, int]:
    """Return the width of every field [bits], lowest bits of the packet first.

    `offset` (two's complement) and `shift` (n), then `present`, `negative` and `exponent` of every digit of M, largest
    first, and of R.

    Examples
    --------
    >>> from sim.arch.machine import load_machine
    >>> list(packet_fields(load_machine("tiny")).items())[:5]  # doctest: +NORMALIZE_WHITESPACE
    [('offset', 34), ('shift', 6), ('multiplier.0.present', 1), ('multiplier.0.negative', 1),
     ('multiplier.0.exponent', 4)]
    """
    wide = machine.arithmetic.offset_bits
    windows = {"multiplier": machine.window, "residual": machine.arithmetic.residual_window}
    fields = {"offset": wide, "shift": _field_bits(wide)}
    for operand, window in windows.items():
        for term in range(machine.terms):
            digit = {"present": 1, "negative": 1, "exponent": _field_bits(window)}
            fields |= {f"{operand}.{term}.{what}": width for what, width in digit.items()}
    return fields


def packet_bits(machine: Machine) -> int:
    """Return the width of a channel's parameters [bits]."""
    return sum(packet_fields(machine).values())


@lru_cache(maxsize=64)
def packet_words(machine: Machine) -> int:
    """Return p, the words of `lanes` bits that a channel's parameters take."""
    return ceil(packet_bits(machine) / machine.lanes)


def packets(conv: Conv, channels: slice, machine: Machine) -> NDArray[np.uint8]:
    """Return the parameter words of some channels, shape (packet_words, channels, lanes), a bit each."""
    values = {"offset": conv.offset[channels], "shift": conv.shift[channels]}
    values |= _digit_values("multiplier", conv.multiplier[channels])
    values |= _digit_values("residual", conv.residual_multiplier[channels])
    words = np.zeros((len(values["offset"]), packet_words(machine) * machine.lanes), np.uint8)
    first = 0
    for name, width in packet_fields(machine).items():
        if name in values:
            words[:, first : first + width] = (values[name][:, None] >> np.arange(width)) & 1
        first += width
    return words.reshape(len(words), -1, machine.lanes).transpose(1, 0, 2)


def _digit_values(operand: str, digits: Digits) -> Iterator[tuple[str, NDArray[np.int64]]]:
    """Yield names and values of the fields of all digits; digits that the packet has beyond these stay absent."""
    for term, column in enumerate(digits.astype(np.int64).T):
        yield f"{operand}.{term}.present", np.abs(np.sign(column))
        yield f"{operand}.{term}.negative", (column < 0).astype(np.int64)
        yield f"{operand}.{term}.exponent", np.maximum(np.abs(column) - 1, 0)


def _field_bits(values: int) -> int:
    """Return the width of a field that tells `values` values apart, 0 for a single value [bits]."""
    return (values - 1).bit_length()
