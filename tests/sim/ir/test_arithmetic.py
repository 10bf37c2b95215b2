"""The arithmetic of a Program: its ranges, and the widths that follow from them."""

import re
from dataclasses import replace

import pytest

from sim.errors import InputError
from sim.ir.arithmetic import Arithmetic


@pytest.mark.parametrize(("fields", "message"), [
    ({"rounding": "up"}, "arithmetic: rounding must be half_up, half_even or floor, not up"),
    ({"acc_bits": 1}, "arithmetic: acc_bits must be in 2..32, not 1"),
    ({"acc_bits": 33}, "arithmetic: acc_bits must be in 2..32, not 33"),
    ({"window": 0}, "arithmetic: window must be in 1..35 with acc_bits 16, not 0"),
    ({"window": 36}, "arithmetic: window must be in 1..35 with acc_bits 16, not 36"),
    ({"terms": 0}, "arithmetic: terms must be in 1..64, not 0"),
])
def test_parameters(fields: dict[str, object], message: str) -> None:
    """Rounding, widths and terms have their ranges."""
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        replace(Arithmetic(acc_bits=16, window=8, terms=2), **fields)


@pytest.mark.parametrize(("acc_bits", "window"), [(24, 10), (32, 12), (32, 19), (9, 1)])
def test_residual_products_are_as_small_as_offsets(acc_bits: int, window: int) -> None:
    """The largest R times the largest code of 8 bits just stays below the limit of the offset."""
    largest = sum(2**e for e in range(Arithmetic(acc_bits, window).residual_window))
    assert largest * 256 < 2 ** (acc_bits + window - 1) <= (2 * largest + 1) * 256


def test_the_widest_sums_fit_a_float64() -> None:
    """acc_bits + window is at most 51, so that a sum of the requantizer has at most 53 bits."""
    assert Arithmetic(acc_bits=32, window=19).requant_bits == 53
    with pytest.raises(InputError, match=r"^arithmetic: window must be in 1\.\.19 with acc_bits 32, not 20$"):
        Arithmetic(acc_bits=32, window=20)
