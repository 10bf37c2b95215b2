"""A module of RTLIL: its wires, its ports, and which signals a port carries."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from itertools import chain, count
from typing import NamedTuple

from rtl.verilog.keywords import KEYWORDS

__all__ = ["MODULE", "NAMELESS", "Alias", "NetlistModule", "free_name", "plain_name"]

MODULE = re.compile(r"^module \\(?P<name>\S+)\n(?P<body>.*?)^end$", re.M | re.S)
WIRE = re.compile(r"^  wire width (?P<width>\d+) (?P<kind>[^\\\n]*)\\(?P<name>\S+)$", re.M)
CELL = re.compile(r"^  cell \\(?P<type>\S+) \\(?P<name>\S+)\n(?P<body>.*?)^  end$", re.M | re.S)
CONNECT = re.compile(r"^(?:  )?connect \\(?P<name>\S+) (?P<signal>[^\n]+)$", re.M)
CONNECTION = re.compile(r"^    connect \\(?P<name>\S+) \\(?P<wire>\S+) \[(?P<high>\d+)(?::0)?\]$", re.M)
CHUNK = re.compile(r"(?P<wire>[\\$]\S+) \[(?P<high>\d+)(?::(?P<low>\d+))?\]|(?P<width>\d+)'[01x-]+")
NAMELESS = "port"
"""Name, before its number, of a port that Amaranth joins or splits."""

Bit = tuple[str, int]
"""A wire, with its backslash or dollar, and the number of a bit."""


class Alias(NamedTuple):
    """An inner wire that carries bits of another one.

    Attributes
    ----------
    name : str
    low : int
        Its lowest bit that the other wire has.
    at : int
        Where that bit is in the other wire.
    """

    name: str
    low: int
    at: int


class NetlistModule:
    """The text of a module and what it says of its wires."""

    def __init__(self, name: str, body: str) -> None:
        self.name, self.body = name, body
        wires = [found for found in WIRE.finditer(body) if not set(".[") & set(found["name"])]
        self.fields = [found["name"] for found in WIRE.finditer(body) if set(".[") & set(found["name"])]
        self.widths = {found["name"]: int(found["width"]) for found in wires}
        self.outputs = {found["name"] for found in wires if "output" in found["kind"]}
        self.ports = self.outputs | {found["name"] for found in wires if "input" in found["kind"]}
        self.instances: dict[str, list[tuple[str, str, str]]] = defaultdict(list)
        """(module, instance, port) that a whole wire is connected to, by that wire."""
        self.cells: dict[str, str] = {}
        """New names of instances by their names."""
        for cell in CELL.finditer(body):
            self.cells[cell["name"]] = free_name(plain_name(cell["name"]), self.cells.values())
            for found in CONNECTION.finditer(cell["body"]):
                if int(found["high"]) == self.widths.get(found["wire"], 0) - 1:
                    self.instances[found["wire"]].append((cell["type"], cell["name"], found["name"]))

    @cached_property
    def _connected(self) -> dict[str, list[Bit | None]]:
        """The bits that a wire is connected to, lowest first; None: a constant."""
        return {found["name"]: _bits(found["signal"]) for found in CONNECT.finditer(self.body)
                if found["name"] in self.widths}

    @cached_property
    def _named(self) -> Mapping[Bit, Sequence[Bit]]:
        """Bits of inner wires that have names, by the bit of another wire that they are connected to."""
        named: dict[Bit, list[Bit]] = defaultdict(list)
        for name, bits in self._connected.items():
            if name not in self.ports and plain_name(name) != NAMELESS:
                for position, bit in enumerate(bits):
                    if bit:
                        named[bit].append((name, position))
        return named

    def aliases(self, wire: str) -> list[Alias]:
        """Return the inner wires that carry bits of `wire`, in the order of those bits."""
        own: list[Bit | None] = [(f"\\{wire}", number) for number in range(self.widths[wire])]
        found: dict[str, Alias] = {}
        for at, bit in enumerate(self._connected.get(wire, own)):
            for name, low in self._named.get(bit, ()) if bit else ():
                found.setdefault(name, Alias(name, low, at))
        return list(found.values())

    def is_whole(self, alias: Alias, wire: str) -> bool:
        """Return whether an alias carries all of `wire`, and beside it only constants or the same bits again."""
        different = len({bit for bit in self._connected.get(alias.name, ()) if bit})
        return alias.low == 0 and self.widths[wire] in (self.widths[alias.name], different)


def _bits(signal: str) -> list[Bit | None]:
    """Return the bits of a signal, lowest first."""
    bits: list[Bit | None] = []
    for chunk in reversed(list(CHUNK.finditer(signal))):
        low = int(chunk["low"] or chunk["high"] or 0)
        bits += [None] * int(chunk["width"]) if chunk["width"] else [
            (chunk["wire"], number) for number in range(low, int(chunk["high"]) + 1)]
    return bits


def free_name(name: str, taken: Collection[str]) -> str:
    """Return a name, with a number if it is taken."""
    return next(free for free in chain([name], (f"{name}_{number}" for number in count(2))) if free not in taken)


def plain_name(name: str) -> str:
    """Return a name without what tells it from others.

    >>> plain_name("bank_data__0$17"), plain_name("_cleared"), plain_name("end")
    ('bank_data_0', 'cleared', 'end_')
    """
    plain = name.lstrip("$_").partition("$")[0].replace("__", "_")
    return f"{plain}_" if plain in KEYWORDS else plain
