"""Names have a grammar, and messages show whatever came on one line of bounded length."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.errors import InputError
from sim.io.bounds import MAX_NAME, check_name, check_range, name_fault, shown


@pytest.mark.parametrize("name", [
    "layer1.0.conv1", "features.3.conv.0.0", "store x", "größe", "e\u0301", "层/1", "x" * MAX_NAME, "...", "a..b/.c",
    "[link=x]", "add_1:0", "\U0001f600"])
def test_ordinary_names_are_taken(name: str) -> None:
    """Paths of torch modules, names with slashes, umlauts and other scripts are names."""
    assert name_fault(name) is None


@pytest.mark.parametrize(("name", "fault"), [
    ("", "must not be empty"),
    ("x" * (MAX_NAME + 1), f"must have at most 200 characters, not 201: '{'x' * 200}... (201 characters)'"),
    ("a\x1b[2J", "must be printable, and has '\\x1b': 'a\\x1b[2J'"),
    ("a\nb", "must be printable, and has '\\n': 'a\\nb'"),
    ("a\x7f", "must be printable, and has '\\x7f': 'a\\x7f'"),
    ("a\x9b", "must be printable, and has '\\x9b': 'a\\x9b'"),
    ("a\0", "must be printable, and has '\\x00': 'a\\x00'"),
    ("\u202evil", "must be printable, and has '\\u202e': '\\u202evil'"),
    ("a\u200b", "must be printable, and has '\\u200b': 'a\\u200b'"),
    ("a\u2028b", "must be printable, and has '\\u2028': 'a\\u2028b'"),
    ("a\u00a0b", "must be printable, and has '\\xa0': 'a\\xa0b'"),
    ("\ud800", "must be printable, and has '\\ud800': '\\ud800'"),
    ("\ufeffa", "must be printable, and has '\\ufeff': '\\ufeffa'"),
    ("a\\b", "must have no backslash: 'a\\b'"),
    ("/a", "must have no part '' between slashes: '/a'"),
    ("a/", "must have no part '' between slashes: 'a/'"),
    ("a//b", "must have no part '' between slashes: 'a//b'"),
    ("..", "must have no part '..' between slashes: '..'"),
    ("a/../../x", "must have no part '..' between slashes: 'a/../../x'"),
    ("./a", "must have no part '.' between slashes: './a'"),
])
def test_a_name_that_could_hurt_is_refused(name: str, fault: str) -> None:
    """Nothing that a terminal obeys, that hides, or that leads out of a folder is a name."""
    with pytest.raises(InputError, match=f"^a name {re.escape(fault)}$") as caught:
        check_name(name, "a name")
    assert str(caught.value).isprintable()


@given(st.text(max_size=1000))
def test_what_is_shown_is_one_short_printable_line(text: str) -> None:
    """Whatever text came, it is shown in printable characters, at most ten for each of the first 200."""
    assert shown(text).isprintable()
    assert len(shown(text)) < 10 * 200 + 30


@pytest.mark.parametrize(("value", "text"), [
    (5, "5"), (-1, "-1"), (9, "9"), (2**127, str(2**127)), (2**128, "a number of 129 bits"),
    (-2**20000, "a number of 20001 bits")], ids=range(6))
def test_a_range_includes_its_ends_and_shows_what_came(value: int, text: str) -> None:
    """6..8 is taken, all else refused; a number too long to print is shown by its length."""
    for inside in (6, 7, 8):
        check_range(inside, 6, 8, "x")
    with pytest.raises(InputError, match=f"^x must be in 6..8, not {text}$"):
        check_range(value, 6, 8, "x")


@pytest.mark.parametrize("kind", [list, tuple, dict])
def test_what_is_nested_is_not_followed(kind: type) -> None:
    """However deep a value is, showing it takes no stack, and no text that grows with its depth."""
    value: object = 1
    for _ in range(100_000):
        value = {"a": value} if kind is dict else kind([value] * 8)
    assert len(shown(value)) < 100
