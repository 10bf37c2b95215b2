"""Liberty files: the text in which cell libraries and memory macros are described.

A file is read in two steps, since a library of 20 MB has hundreds of cells of which a netlist uses a few dozen: the
first finds where each cell begins and ends, the second reads the cells that are asked for.
"""

from __future__ import annotations

import gzip
import hashlib
import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from sim.errors import InputError

__all__ = ["MAX_BYTES", "Group", "LibertyFile", "read_liberty"]

MAX_BYTES = 1 << 28
"""Most bytes of a file, after gzip."""
MAX_DEPTH = 20
"""Groups inside one another; libraries have six."""

MARK = re.compile(r'"[^"]*"|/\*|\{|\}|\bcell\s*\(')
COMMENT_END = re.compile(r"\*/")
TOKEN = re.compile(r'\s*(?:"(?P<string>[^"]*)"|(?P<sign>[{}();:,])|(?P<word>[^\s"{}();:,]+))')
COMMENT = re.compile(r"/\*.*?\*/", re.S)
VALUE = re.compile(r'[ \t]*(?:"([^"]*)"|([^;}\n]*))[ \t]*;?')
NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")


@dataclass
class Group:
    """A group: `kind (arguments) { name : value; name (values); kind (...) {...} }`.

    Attributes
    ----------
    kind : str
    arguments : tuple of str
    values : dict of str to tuple of str
        Attributes; of those that occur several times, the first.
    groups : list of Group
    """

    kind: str
    arguments: tuple[str, ...] = ()
    values: dict[str, tuple[str, ...]] = field(default_factory=dict)
    groups: list[Group] = field(default_factory=list)

    def all(self, *kinds: str) -> Iterator[Group]:
        """Yield the groups inside that are of one of these kinds."""
        return (group for group in self.groups if group.kind in kinds)

    def text(self, name: str, default: str = "") -> str:
        """Return an attribute as text."""
        return " ".join(self.values[name]) if name in self.values else default

    def number(self, name: str, default: float = 0.0) -> float:
        """Return an attribute as a number."""
        return float(self.values[name][0]) if name in self.values else default

    def numbers(self, name: str) -> tuple[float, ...]:
        """Return the numbers of an attribute, as `values` and `index_1` have them."""
        return tuple(float(text) for text in NUMBER.findall(self.text(name)))


class LibertyFile:
    """One file; a cell is read when it is asked for.

    Parameters
    ----------
    name : str
        What messages call it.
    text : str

    Raises
    ------
    InputError
        If it is no library, or ends inside a group.
    """

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.digest = hashlib.sha256(text.encode()).hexdigest()
        self._text = text
        self._spans = _cell_spans(name, text)
        self._cells: dict[str, Group] = {}

    @cached_property
    def header(self) -> Group:
        """The library without its cells."""
        pieces, last = [], 0
        for start, end in self._spans.values():
            pieces.append(self._text[last:start])
            last = end
        pieces.append(self._text[last:])
        return _parse(self.name, "".join(pieces))

    @property
    def cells(self) -> tuple[str, ...]:
        """Names of its cells."""
        return tuple(self._spans)

    def cell(self, name: str) -> Group:
        """Return a cell of `cells`."""
        if name not in self._cells:
            self._cells[name] = _parse(self.name, self.cell_text(name))
        return self._cells[name]

    def cell_text(self, name: str) -> str:
        """Return a cell of `cells` as it stands in the file."""
        start, end = self._spans[name]
        return self._text[start:end]


def read_liberty(path: Path) -> LibertyFile:
    """Read a Liberty file, `*.lib` or `*.lib.gz`.

    Raises
    ------
    InputError
        If it cannot be read, is too large, is no library, or ends inside a group.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if len(data) > MAX_BYTES:
        raise InputError(f"{path}: a Liberty file must have at most {MAX_BYTES >> 20} MiB")
    return LibertyFile(str(path), data.decode(errors="replace"))


def _cell_spans(name: str, text: str) -> Mapping[str, tuple[int, int]]:
    """Return where the cells of a library begin and end."""
    if not re.match(r"(?:\s|/\*.*?\*/|//[^\n]*\n)*library\s*\(", text, re.S):
        raise InputError(f"{name}: a Liberty file must begin with 'library ('")
    spans: dict[str, tuple[int, int]] = {}
    depth, start, position = 0, -1, 0
    while found := MARK.search(text, position):
        position = found.end()
        mark = found[0]
        if mark == "/*":
            ends = COMMENT_END.search(text, position)
            position = ends.end() if ends else len(text)
        elif mark == "{":
            depth += 1
        elif mark == "}":
            depth -= 1
            if depth == 1 and start >= 0:
                spans[_cell_name(name, text, start)] = (start, position)
                start = -1
        elif mark[0] != '"' and depth == 1:
            start = found.start()
    if depth != 0:
        raise InputError(f"{name}: the file is not whole: {depth} groups do not end" if depth > 0 else
                         f"{name}: the file is not whole: it ends {-depth} groups too many")
    return spans


def _cell_name(name: str, text: str, start: int) -> str:
    found = re.compile(r'cell\s*\(\s*"?([^")\s]+)"?\s*\)').match(text, start)
    if not found:
        raise InputError(f"{name}: a cell has no name in line {text.count(chr(10), 0, start) + 1}")
    return found[1]


def _parse(name: str, text: str) -> Group:
    """Read one group."""
    reader = _Reader(name, COMMENT.sub(" ", text).replace("\\\n", " ").replace("\\\r\n", " "))
    kind = reader.next()
    arguments = reader.arguments()
    return reader.group(kind, arguments, 0)


class _Reader:
    """Reads tokens one after another."""

    def __init__(self, name: str, text: str) -> None:
        self.name, self.text, self.position = name, text, 0

    def next(self) -> str:
        """Return the next token; strings without their quotes."""
        found = TOKEN.match(self.text, self.position)
        if not found:
            raise InputError(f"{self.name}: the file is not whole: it ends inside a group")
        self.position = found.end()
        return found[found.lastgroup or "word"]

    def peek(self) -> str:
        """Return the next token and stay where it is."""
        at = self.position
        token = self.next()
        self.position = at
        return token

    def arguments(self) -> tuple[str, ...]:
        """Return what stands in parentheses."""
        self._expect("(")
        found: list[str] = []
        while (token := self.next()) != ")":
            if token in "{};":
                raise InputError(f"{self.name}: '(' has no ')' before '{token}'")
            if token != ",":
                found.append(token)
        return tuple(found)

    def group(self, kind: str, arguments: tuple[str, ...], depth: int) -> Group:
        """Return a group, of which kind and arguments were read."""
        if depth > MAX_DEPTH:
            raise InputError(f"{self.name}: groups must lie at most {MAX_DEPTH} deep")
        self._expect("{")
        group = Group(kind, arguments)
        while (token := self.next()) != "}":
            if token == ";":
                continue
            sign = self.peek()
            if sign == ":":
                self.next()
                group.values.setdefault(token, (self._value(),))
            elif sign == "(":
                inside = self.arguments()
                if self.peek() == "{":
                    group.groups.append(self.group(token, inside, depth + 1))
                else:
                    group.values.setdefault(token, inside)
            else:
                raise InputError(f"{self.name}: '{token[:40]}' must be followed by ':' or '(', not '{sign[:40]}'")
        return group

    def _value(self) -> str:
        """Return what stands after a colon, up to the semicolon or, where that is missing, the end of the line."""
        found = VALUE.match(self.text, self.position)
        if not found:
            raise InputError(f"{self.name}: a value is missing")
        self.position = found.end()
        return (found[1] if found[1] is not None else found[2]).strip()

    def _expect(self, sign: str) -> None:
        token = self.next()
        if token != sign:
            raise InputError(f"{self.name}: '{sign}' must stand where '{token[:40]}' does")
