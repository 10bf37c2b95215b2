"""Widths of products and sums that follow from the widths of a machine's operands."""

from __future__ import annotations

from sim.arch.machine import Machine
from sim.ir.formats import MAX_PLANES

__all__ = ["lane_sum_bits", "partial_sum_bits", "product_bits"]


def partial_sum_bits(machine: Machine, unsigned_weights: bool = True) -> int:
    """Return the width of an element's sum over all pairs of bit planes of a block [bits].

    With signed weights that is log2(lanes) + max_bits_w + max_bits_a. Weight codes are int8, so unsigned weights have
    at most 7 bits; on machines whose signed weights are no wider they may take a bit more, which the hardware has.
    Energies leave that bit out (`unsigned_weights=False`), as they always have: on machines of less than 8 weight bits
    they understate a partial sum by this one bit.

    >>> from sim.arch.machine import load_machine
    >>> edge = load_machine("edge")
    >>> partial_sum_bits(edge)
    22
    >>> narrow = edge.model_copy(update={"max_bits_w": 4})
    >>> partial_sum_bits(narrow), partial_sum_bits(narrow, unsigned_weights=False)
    (19, 18)
    """
    signed = machine.lanes.bit_length() - 1 + machine.max_bits_w + machine.max_bits_a
    if not unsigned_weights:
        return signed
    weight_bits = min(machine.max_bits_w, MAX_PLANES - 1)
    largest = machine.lanes * ((1 << weight_bits) - 1) * ((1 << machine.max_bits_a) - 1)
    return max(signed, largest.bit_length() + 1)


def product_bits(machine: Machine) -> int:
    """Return the width of a weight that is shifted to an activation plane, or subtracted for its sign plane [bits]."""
    return machine.max_bits_w + machine.max_bits_a


def lane_sum_bits(machine: Machine) -> int:
    """Return the width of a depthwise lane's accumulator: 64 taps at full width, more taps at fewer bits [bits].

    >>> from sim.arch.machine import load_machine
    >>> lane_sum_bits(load_machine("edge"))
    22
    """
    return product_bits(machine) + 6
