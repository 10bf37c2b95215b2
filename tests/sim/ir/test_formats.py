"""Formats: which codes exist, and what is refused."""

import numpy as np
import pytest

from sim.errors import InputError
from sim.ir.formats import Format, Kind, check_codes


@pytest.mark.parametrize(("kind", "bits", "low", "high"), [
    *(("unsigned", bits, 0, 2**bits - 1) for bits in (1, 2, 4, 8, 32)),
    *(("signed", bits, -(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for bits in (1, 2, 4, 8, 32)),
    ("bipolar", 1, 0, 1), ("unit", 1, 1, 1),
])
def test_code_range(kind: Kind, bits: int, low: int, high: int) -> None:
    """The range is that of a binary number; one signed bit means -1 and 0, a unit is always 1."""
    fmt = Format(bits, kind)
    assert (fmt.low, fmt.high, fmt.magnitude) == (low, high, max(-low, high))


@pytest.mark.parametrize(("fmt", "text"), [
    (Format(4, "signed"), "signed4"), (Format(8, "unsigned", 128), "unsigned8 z=128"), (Format(1, "unit"), "unit1"),
])
def test_text(fmt: Format, text: str) -> None:
    """A format names itself shortly, with its zero point when it has one."""
    assert str(fmt) == text


@pytest.mark.parametrize(("arguments", "message"), [
    ((0, "signed"), "format bits must be in 1..32, not 0"),
    ((8, "float"), "format kind must be unsigned, signed, bipolar or unit, not float"),
    ((2, "bipolar"), "a bipolar format has 1 bit, not 2"),
    ((2, "unit"), "a unit format has 1 bit, not 2"),
    ((4, "unsigned", 16), "zero point must be a code in 0..15, not 16"),
    ((4, "unsigned", -1), "zero point must be a code in 0..15, not -1"),
    ((4, "signed", 8), "zero point must be a code in -8..7, not 8"),
    ((4, "signed", -9), "zero point must be a code in -8..7, not -9"),
    ((1, "unit", 2), "zero point must be a code in 1..1, not 2"),
])
def test_impossible_formats_are_refused(arguments: tuple, message: str) -> None:
    """The message gives the limit and what came."""
    with pytest.raises(InputError) as caught:
        Format(*arguments)
    assert str(caught.value) == message


def test_codes_of_the_format_pass() -> None:
    """Both ends of the range are codes, in any integer type, and no codes at all are fine."""
    check_codes(np.array([[-8, 7]], np.int64), Format(4, "signed"), "x")
    check_codes(np.array([255], np.uint8), Format(8, "unsigned"), "x")
    check_codes(np.zeros((0, 3), np.int32), Format(1, "unit"), "x")


@pytest.mark.parametrize(("code", "fmt"), [(8, Format(4, "signed")), (-9, Format(4, "signed")),
                                           (16, Format(4, "unsigned")), (-1, Format(4, "unsigned"))])
def test_a_code_outside_is_named_with_its_place(code: int, fmt: Format) -> None:
    """The first code outside is named with its index."""
    codes = np.zeros((2, 3), np.int64)
    codes[1, 2] = code
    with pytest.raises(InputError) as caught:
        check_codes(codes, fmt, "input 'a'")
    assert str(caught.value) == f"input 'a': code {code} at (1, 2) is outside {fmt.low}..{fmt.high} of {fmt}"


def test_floats_are_refused() -> None:
    """A float has already been rounded somewhere, so it is no code even when it is whole."""
    with pytest.raises(TypeError, match=r"^input 'a': codes must be integers, not float64$"):
        check_codes(np.zeros(3), Format(4, "signed"), "input 'a'")
