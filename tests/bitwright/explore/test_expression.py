"""Arithmetic of a space against Python's own, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitwright.explore.expression import Expression
from sim.errors import InputError

PARAMETERS = {"rows": 8, "columns": 7, "lanes": 64, "clock_mhz": 0.5}


def _joined(parts):
    operators = st.sampled_from(["+", "-", "*", "/", "//", "%", "<", "<=", ">", ">=", "==", "!=", " and ", " or "])
    return st.one_of(
        st.tuples(parts, operators, parts).map(lambda given: f"({given[0]}{given[1]}{given[2]})"),
        parts.map(lambda given: f"(-{given})"), parts.map(lambda given: f"(not {given})"),
        st.tuples(st.sampled_from(["min", "max"]), parts, parts).map(
            lambda given: f"{given[0]}({given[1]}, {given[2]})"))


texts = st.recursive(st.sampled_from([*PARAMETERS, "1", "3", "0.25", "0"]), _joined, max_leaves=12)


@given(texts)
def test_values_are_those_of_python(text):
    """Truth, numbers and their types; `and` and `or` give truth values here. Division by zero is refused."""
    try:
        wanted = eval(text.replace("clock_mhz", "0.5"), {"__builtins__": {"min": min, "max": max}}, PARAMETERS)
    except ZeroDivisionError:
        with pytest.raises(InputError, match=r"^'.*' divides by zero$"):
            Expression(text).value(PARAMETERS)
        return
    found = Expression(text).value(PARAMETERS)
    if " and " in text or " or " in text:
        return  # compared below, as their values differ
    assert (found, type(found)) == (wanted, type(wanted))


def test_and_and_or_give_truth_values():
    """They compute no more than they need."""
    assert Expression("rows and columns").value(PARAMETERS) is True
    assert Expression("rows > 8 or columns == 7 or 1 / 0").value(PARAMETERS) is True
    assert Expression("rows > 8 and 1 / 0 > 1").value(PARAMETERS) is False
    assert Expression("4 < rows <= 8 < lanes").value(PARAMETERS) is True
    assert Expression("4 < rows < 8 < lanes").value(PARAMETERS) is False


def test_it_says_what_it_reads_and_whether_it_compares():
    """Parameters of the memory too; names of functions are none."""
    one = Expression("max(rows, memory.beats) <= abs(lanes)")
    assert (one.names, one.is_comparison) == ({"rows", "memory.beats", "lanes"}, True)
    assert not Expression("rows * 2").is_comparison


@pytest.mark.parametrize("text", [
    "", "rows <", "rows; lanes", "rows = 3", "2 ** 9", "rows if lanes else 3", "[rows]", "'a'", "rows[0]", "f(rows)",
    "lambda: 1", "__import__('os')", "rows.real.imag", "rows is lanes", "rows in lanes", "min(rows)", "abs(1, 2)",
    "min(*rows)", "min(rows, key=lanes)", "rows << 9", "True and None", "1j", "~rows", "x := 3", "f'{rows}'", "...",
    "1e31", "rows\0"])
def test_what_is_no_arithmetic_is_refused(text):
    """In one sentence with an example; nothing of it is executed."""
    with pytest.raises(InputError, match=r"^'.*' must be arithmetic of parameters and numbers, such as rows \* "):
        Expression(text)


def test_work_is_bounded():
    """Length, depth and the size of numbers."""
    with pytest.raises(InputError, match=r"^an expression has at most 1000 characters, not 1001$"):
        Expression("1" * 1001)
    with pytest.raises(InputError, match=r"is nested more than 50 deep$"):
        Expression("-" * 60 + "1")
    with pytest.raises(InputError, match=r"^'1e29 \* 1e29' reaches a number beyond 1e\+30$"):
        Expression("1e29 * 1e29").value({})
