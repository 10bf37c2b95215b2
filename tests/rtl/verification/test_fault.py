"""Faults planted in the hardware on purpose."""

from __future__ import annotations

import pytest

import rtl.core.control.bounds_guard
from rtl.verification.fault import Fault, planted


@pytest.mark.parametrize("source", ["a.eq(b + c)", "a.eq(b\n     + c)", "a.eq(\n    b + c,\n)"])
def test_line_breaks_make_no_difference(source):
    """Code is found however its lines are broken, with or without a trailing comma."""
    assert Fault("pe", "a.eq(b + c)", "a.eq(b)").changed(f"[{source}, 1]") == "[a.eq(b), 1]"


def test_a_part_of_a_name_is_not_the_name():
    """Code that starts in the middle of a longer name is not replaced."""
    assert Fault("pe", "row + 1", "row").changed("last_row + 1, row + 1") == "last_row + 1, row"


@pytest.mark.parametrize(("old", "count"), [("no such code", 0), ("self.write", 3)])
def test_a_fault_must_fit(old, count):
    """Code that the module does not hold exactly once is no fault."""
    source = "self.write + self.write + self.write"
    with pytest.raises(ValueError, match=rf"^'{old}' occurs {count} times in pe, not once$"):
        Fault("pe", old, "").changed(source)


def test_a_fault_ends_with_its_context():
    """Users of the module see the faulty class inside the context, and the original one after it."""
    module = rtl.core.control.bounds_guard
    (name,) = module.__all__
    original = getattr(module, name)
    with planted(Fault("bounds_guard", "(address < first) |", "")):
        assert getattr(module, name) is not original
    assert getattr(module, name) is original
