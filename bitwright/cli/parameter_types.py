"""Types of options and arguments: numbers in plain digits and within bounds, bits, and paths."""

from __future__ import annotations

import re
from collections.abc import Callable
from math import inf
from pathlib import Path
from typing import Any

import typer

from sim.errors import InputError
from sim.io.bounds import shown, shown_path

__all__ = ["Numbers", "decimal", "file_argument", "integer", "numbers", "parse_bits", "parse_extents", "parse_number",
           "path_option", "positive", "program_argument"]

WHOLE = re.compile(r"[+-]?[0-9]{1,30}")
REAL = re.compile(r"[+-]?([0-9]{1,30}(\.[0-9]{0,30})?|\.[0-9]{1,30})([eE][+-]?[0-9]{1,4})?")


def integer(low: int, high: int, help: str, *names: str) -> Any:
    """Make an option that is an integer in low..high."""
    def parse(word: object) -> int:
        text = str(word)
        if not WHOLE.fullmatch(text) or not low <= int(text) <= high:
            raise typer.BadParameter(f"must be an integer in {low}..{high}, not '{shown(text)}'")
        return int(text)

    return typer.Option(*names, parser=parse, metavar="INTEGER", help=help)


def decimal(low: float, high: float, help: str, *names: str) -> Any:
    """Make an option that is a decimal number in low..high."""
    return _real(lambda number: low <= number <= high, f"in {low:g}..{high:g}", help, *names)


def positive(high: float, help: str, *names: str) -> Any:
    """Make an option that is a decimal number above 0 and at most `high`."""
    return _real(lambda number: 0 < number <= high, f"above 0 and at most {high:g}", help, *names)


class Numbers(tuple[float, ...]):
    """Decimal numbers that were separated by commas."""

    __slots__ = ()


def numbers(help: str, *names: str) -> Any:
    """Make an option that is some decimal numbers, separated by commas."""
    def parse(word: object) -> Numbers:
        found = [parse_number(part.strip()) for part in str(word).split(",")]
        if None in found:
            raise typer.BadParameter(f"must be numbers separated by commas, not '{shown(word)}'")
        return Numbers(number for number in found if number is not None)

    return typer.Option(*names, parser=parse, metavar="NUMBER,...", help=help)


def path_option(help: str, *names: str) -> Any:
    """Make an option that is a path."""
    return typer.Option(*names, parser=_path, metavar="PATH", help=help)


def file_argument(help: str) -> Any:
    """Make an argument that is the path of a file."""
    return typer.Argument(parser=_path, metavar="FILE", help=help)


def program_argument(help: str) -> Any:
    """Make an argument that is the path of a Program; it may be left out where it has a default."""
    def parse(word: object) -> Path:
        path = _path(word)
        if path.suffix.lower() in (".onnx", ".pt2"):
            raise typer.BadParameter(f"'{shown_path(path)}' is a model, not a Program; `bitwright import` and "
                                     "`bitwright quantize` make Programs of models")
        return path

    return typer.Argument(parser=parse, metavar="FILE", help=help)


def parse_number(text: str) -> float | None:
    """Return the decimal number that `text` writes in digits 0 to 9, or None if it is not one or too large.

    >>> parse_number("2.5e3"), parse_number("1_000"), parse_number("٣"), parse_number("nan"), parse_number("1e999")
    (2500.0, None, None, None, None)
    """
    if not REAL.fullmatch(text):
        return None
    number = float(text)
    return number if abs(number) < inf else None


def parse_bits(text: str) -> tuple[int, int]:
    """Return the widths that `W/A` gives weights and activations.

    Raises
    ------
    InputError
        If it has another form.

    Examples
    --------
    >>> parse_bits("2/4")
    (2, 4)
    """
    found = re.fullmatch(r"([0-9]{1,2})/([0-9]{1,2})", text)
    if found is None:
        raise InputError(f"bits are WEIGHTS/ACTIVATIONS, such as 4/4, not '{shown(text)}'")
    return int(found[1]), int(found[2])


def parse_extents(text: str) -> tuple[int, ...]:
    """Return the extents that a text such as `3x224x224` gives.

    Raises
    ------
    InputError
        If it has another form.

    Examples
    --------
    >>> parse_extents("3x48x192")
    (3, 48, 192)
    """
    if not re.fullmatch(r"[0-9]{1,8}(x[0-9]{1,8}){0,2}", text):
        raise InputError(f"the shape of an image is CHANNELSxHEIGHTxWIDTH, such as 3x224x224, not '{shown(text)}'")
    return tuple(map(int, text.split("x")))


def _real(allowed: Callable[[float], bool], limits: str, help: str, *names: str) -> Any:
    def parse(word: object) -> float:
        number = parse_number(str(word))
        if number is None or not allowed(number):
            raise typer.BadParameter(f"must be a number {limits}, not '{shown(word)}'")
        return number

    return typer.Option(*names, parser=parse, metavar="NUMBER", help=help)


def _path(word: object) -> Path:
    """Parse a path, which is not empty, as pathlib would take that for the present folder, and has no NUL."""
    text = str(word)
    if not text or "\0" in text:
        raise typer.BadParameter(f"must be a path, not '{shown(text)}'")
    return Path(text)
