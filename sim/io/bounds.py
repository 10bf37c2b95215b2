"""Bounds on what files and users may say: names, extents, counts; and how a message shows what came instead."""

from __future__ import annotations

from collections.abc import Collection
from itertools import islice
from pathlib import Path

from sim.errors import InputError

__all__ = ["MAX_CODES", "MAX_EXTENT", "MAX_NAME", "check_name", "check_range", "listed", "name_fault", "printable",
           "require", "shown", "shown_path"]

MAX_NAME = 200
"""Longest name [characters]."""
MAX_EXTENT = 1 << 24
"""Largest height, width, number of channels, kernel, stride, dilation and pad."""
MAX_CODES = 1 << 28
"""Most codes in a tensor, with the pads of any op that reads it."""

SHOWN_LETTERS = 200
SHOWN_PATH_LETTERS = 1000
SHOWN_ITEMS = 8
SHOWN_BITS = 128
NESTED: dict[type, str] = {list: "[...]", tuple: "(...)"}
"""Instead of what lies in what is listed: it may lie as deep as a file is long."""


def printable(text: str) -> str:
    r"""Return `text` with escapes for what a terminal would not show as it is.

    >>> printable("größe\x1b[2J\u202e\n")
    'größe\\x1b[2J\\u202e\\n'
    """
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def shown(value: object) -> str:
    r"""Return a value as a message shows it: one line of printable characters, cut where it is long.

    >>> shown("a\x1b[2J\n"), shown(3), shown(10**5000), shown((1, 2))
    ('a\\x1b[2J\\n', '3', 'a number of 16610 bits', '(1, 2)')
    >>> shown([0] * 100), shown([[1], 2]), shown({"a": 1})
    ('[0, 0, 0, 0, 0, 0, 0, 0, ... (100 in all)]', '[[...], 2]', '{...}')
    """
    if isinstance(value, dict):
        return "{...}"
    if isinstance(value, tuple):
        return f"({listed(value)}{',' * (len(value) == 1)})"
    if isinstance(value, list):
        return f"[{listed(value)}]"
    if isinstance(value, int) and value.bit_length() > SHOWN_BITS:
        return f"a number of {value.bit_length()} bits"
    text = str(value)
    cut = f"{text[:SHOWN_LETTERS]}... ({len(text)} characters)" if len(text) > SHOWN_LETTERS else text
    return printable(cut)


def listed(items: Collection[object]) -> str:
    """List the first few of some items as a message does, and say how many there are.

    >>> listed(["a", "b"]), listed(range(100))
    ('a, b', '0, 1, 2, 3, 4, 5, 6, 7, ... (100 in all)')
    """
    texts = [NESTED.get(type(item)) or shown(item) for item in islice(items, SHOWN_ITEMS)]
    if len(items) > SHOWN_ITEMS:
        texts.append(f"... ({len(items)} in all)")
    return ", ".join(texts)


def shown_path(path: str | Path) -> str:
    r"""Return a path as a message shows it: printable, and whole unless no file system would take it.

    >>> shown_path("models/net\n.safetensors")
    'models/net\\n.safetensors'
    """
    text = str(path)
    return shown(text) if len(text) > SHOWN_PATH_LETTERS else printable(text)


def name_fault(name: str) -> str | None:
    r"""Say what is wrong with a name, None if nothing is.

    Names are shown, are members of archives and become parts of paths; so a name has 1 to 200 printable characters (no
    control, formatting or unassigned ones, no white space but the space), no backslash, and no part between slashes is
    empty, `.` or `..`.

    >>> name_fault("layer1.0.conv1/größe"), name_fault("a/../b")
    (None, "must have no part '..' between slashes")
    >>> name_fault("a\u202eb")
    "must be printable, and has '\\u202e'"
    """
    if not name:
        return "must not be empty"
    if len(name) > MAX_NAME:
        return f"must have at most {MAX_NAME} characters, not {len(name)}"
    if not name.isprintable():
        return f"must be printable, and has {next(letter for letter in name if not letter.isprintable())!a}"
    if "\\" in name:
        return "must have no backslash"
    for part in name.split("/"):
        if part in ("", ".", ".."):
            return f"must have no part '{part}' between slashes"
    return None


def check_name(name: str, what: str) -> None:
    """Refuse a name that breaks the rules of `name_fault`; `what` begins the sentence: "a tensor's name".

    Raises
    ------
    InputError
        With the rule that is broken.
    """
    fault = name_fault(name)
    if fault:
        raise InputError(f"{what} {fault}: '{shown(name)}'" if name else f"{what} {fault}")


def check_range(value: int, low: int, high: int, what: str) -> None:
    """Refuse an integer outside low..high; `what` begins the sentence: "op 'a': stride".

    Raises
    ------
    InputError
        With the range and what came.
    """
    if not low <= value <= high:
        raise InputError(f"{what} must be in {low}..{high}, not {shown(value)}")


def require(condition: bool, where: str, text: str) -> None:
    """Refuse what does not meet a condition; `where` says whose it is: "op 'a'".

    Raises
    ------
    InputError
        With both texts.
    """
    if not condition:
        raise InputError(f"{where}: {text}")
