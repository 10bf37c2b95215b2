"""Plain YAML: mappings, sequences and scalars, read without recursion, each node once.

What descriptions do not need is refused: anchors and aliases (a few hundred bytes of them can mean more than any memory
holds), tags, keys twice in a mapping, deep nesting. Numbers, booleans and null are those of YAML 1.2, without
hexadecimal and octal ones: `010`, `1_000`, `1:30` and `yes` are strings, and no number where one is asked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from sim.io.bounds import shown

__all__ = ["PlainYamlError", "parse_plain"]

MAX_DEPTH = 16
MAX_DIGITS = 100

INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)")
FLOAT = re.compile(r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
WORDS = {"": None, "~": None, **{word: value for name, value in (("null", None), ("true", True), ("false", False))
                                 for word in (name, name.title(), name.upper())}}


class PlainYamlError(ValueError):
    """The text is no plain YAML; the message is one sentence."""


def parse_plain(text: str) -> Any:
    """Return what the text describes: dicts with keys that are strings, tuples, and scalars; None for an empty text.

    Raises
    ------
    PlainYamlError
        If the text is not YAML, has more than one document, or what the head of this file names.

    Examples
    --------
    >>> parse_plain("rows: 4\\nroundings: [floor]\\nclock_mhz: 2e2\\nname: 010")
    {'rows': 4, 'roundings': ('floor',), 'clock_mhz': 200.0, 'name': '010'}
    """
    events = _events(text)
    documents = 0
    built = _Built()
    for event in events:
        if isinstance(event, DocumentStartEvent):
            documents += 1
            if documents > 1:
                raise PlainYamlError(f"line {_line(event)}: a second document begins")
        elif isinstance(event, NodeEvent | MappingEndEvent | SequenceEndEvent):
            built.take(event)
    return built.root


def _events(text: str) -> Iterator[Event]:
    try:
        yield from yaml.parse(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise PlainYamlError(f"not YAML: {shown(' '.join(str(error).split()))}") from None
    except (ValueError, OverflowError):
        raise PlainYamlError("not YAML: an escape stands for no character") from None


class _Built:
    """Values of the nodes so far: `root` once its node has ended."""

    def __init__(self) -> None:
        self.root: Any = None
        self._open: list[dict[str, Any] | list[Any]] = []
        self._keys: list[str | None] = []

    def take(self, event: Event) -> None:
        """Add what an event begins, is or ends."""
        if isinstance(event, NodeEvent):
            _check_plain(event)
        if isinstance(event, MappingStartEvent | SequenceStartEvent):
            if self._open and isinstance(self._open[-1], dict) and self._keys[-1] is None:
                raise PlainYamlError(f"line {_line(event)}: a key must be a string")
            if len(self._open) == MAX_DEPTH:
                raise PlainYamlError(f"line {_line(event)}: nested more than {MAX_DEPTH} deep")
            self._open.append({} if isinstance(event, MappingStartEvent) else [])
            self._keys.append(None)
        elif isinstance(event, ScalarEvent):
            self._scalar(event)
        else:
            self._keys.pop()
            ended = self._open.pop()
            self._add(ended if isinstance(ended, dict) else tuple(ended))

    def _scalar(self, event: ScalarEvent) -> None:
        value = _resolved(event)
        if not self._open or isinstance(self._open[-1], list) or self._keys[-1] is not None:
            self._add(value)
            return
        if not isinstance(value, str):
            raise PlainYamlError(f"line {_line(event)}: a key must be a string, not {shown(value)}")
        if value in self._open[-1]:
            raise PlainYamlError(f"line {_line(event)}: key '{shown(value)}' is there twice")
        self._keys[-1] = value

    def _add(self, value: Any) -> None:
        """Put a value where it belongs: into the sequence or under the key that waits for it."""
        if not self._open:
            self.root = value
            return
        inside, key = self._open[-1], self._keys[-1]
        if isinstance(inside, list):
            inside.append(value)
        elif key is not None:
            inside[key] = value
            self._keys[-1] = None


def _check_plain(event: NodeEvent) -> None:
    if isinstance(event, AliasEvent) or event.anchor is not None:
        raise PlainYamlError(f"line {_line(event)}: anchors and aliases are not read")
    if isinstance(event, ScalarEvent | MappingStartEvent | SequenceStartEvent) and event.tag is not None:
        raise PlainYamlError(f"line {_line(event)}: tags are not read, such as {shown(event.tag)}")


def _resolved(event: ScalarEvent) -> str | int | float | bool | None:
    text: str = event.value
    if event.style is not None:
        return text
    if text in WORDS:
        return WORDS[text]
    if INTEGER.fullmatch(text):
        if len(text) > MAX_DIGITS:
            raise PlainYamlError(f"line {_line(event)}: a number has at most {MAX_DIGITS} digits, not {len(text)}")
        return int(text)
    if FLOAT.fullmatch(text):
        return float(text.replace(".", "") if text[-1] in "fFnN" else text)
    if text == "<<":
        raise PlainYamlError(f"line {_line(event)}: merge keys are not read")
    return text


def _line(event: Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 0
