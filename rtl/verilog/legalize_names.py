"""Names that people can read and that Verilog need not escape.

Amaranth tells signals of one name apart by numbers, `data$58`, and calls a port after a number, `port$7$0`, where it
joins or splits the signals of an interface. In each module such a name is replaced: a port without a name gets that of
the signals of the module that it carries, and signals of one name are called after the instances that they belong to.
Yosys could not do it: the one that comes with Amaranth has neither `rename` nor `autoname`, and both know only the
cells of one module, not the instances or the signals of an interface.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import chain, count

from rtl.verilog.keywords import KEYWORDS

__all__ = ["plain_names"]

MODULE = re.compile(r"^module \\(?P<name>\S+)\n(?P<body>.*?)^end$", re.M | re.S)
WIRE = re.compile(r"^  wire width (?P<width>\d+) (?P<kind>[^\\\n]*)\\(?P<name>\S+)$", re.M)
CELL = re.compile(r"^  cell \\(?P<type>\S+) \\(?P<name>\S+)\n(?P<body>.*?)^  end$", re.M | re.S)
CONNECT = re.compile(r"^(?:  )?connect \\(?P<name>\S+) (?P<signal>[^\n]+)$", re.M)
CONNECTION = re.compile(r"^    connect \\(?P<name>\S+) \\(?P<wire>\S+) \[(?P<high>\d+)(?::0)?\]$", re.M)
CHUNK = re.compile(r"(?P<wire>[\\$]\S+) \[(?P<high>\d+)(?::(?P<low>\d+))?\]|(?P<width>\d+)'[01x-]+")
REFERENCE = re.compile(r"\\(\S+)")
PARTS = re.compile(r"[.\[\]]+")
"""Between the name of a word, that of a field in it, and the index of an entry of that."""
NAMELESS = "port"
REPLACED = "$replaced."
"""A wire whose name another one has taken; it is connected to that one, and Yosys removes it."""
MOST_JOINED = 3
"""Signals of a port after all of which it is called; of more, the first and the last give the name."""

Bit = tuple[str, int]
"""A wire, with its backslash or dollar, and the number of a bit."""


class _Module:
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
            self.cells[cell["name"]] = _free(_plain(cell["name"]), self.cells.values())
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
            if name not in self.ports and _plain(name) != NAMELESS:
                for position, bit in enumerate(bits):
                    if bit:
                        named[bit].append((name, position))
        return named

    def aliases(self, wire: str) -> list[Bit]:
        """Return inner wires that carry bits of `wire`, each with the bit at which `wire` starts; 0 for all of it."""
        own: list[Bit | None] = [(f"\\{wire}", number) for number in range(self.widths[wire])]
        found: dict[str, int] = {}
        for bit in self._connected.get(wire, own):
            for name, position in self._named.get(bit, ()) if bit else ():
                found.setdefault(name, position)
        return list(found.items())

    def width_of_variables(self, wire: str) -> int:
        """Return how many different bits of a wire are not constant."""
        return len({bit for bit in self._connected.get(wire, ()) if bit})


def plain_names(rtlil: str) -> str:
    """Return RTLIL text with readable names of wires, ports and instances; those of modules stay.

    Examples
    --------
    >>> text = r'''
    ... module \\chip
    ...   wire width 4 input 0 \\_start
    ...   wire width 2 \\data
    ...   wire width 2 \\data$7
    ...   cell \\chip.agu \\agu
    ...     connect \\port$9$0 \\_start [3:0]
    ...     connect \\data \\data$7 [1:0]
    ...   end
    ... end
    ... module \\chip.agu
    ...   wire width 4 input 0 \\port$9$0
    ...   wire width 2 output 1 \\data
    ...   wire width 2 \\first
    ...   wire width 2 \\last
    ...   connect \\first \\port$9$0 [1:0]
    ...   connect \\last \\port$9$0 [3:2]
    ... end
    ... '''
    >>> print(plain_names(text).partition("module \\\\chip.agu")[0].strip())
    module \\chip
      wire width 4 input 0 \\start
      wire width 2 \\data
      wire width 2 \\agu_data
      cell \\chip.agu \\agu
        connect \\first_last \\start [3:0]
        connect \\data \\agu_data [1:0]
      end
    end
    """
    modules = [_Module(found["name"], found["body"]) for found in MODULE.finditer(rtlil)]
    names: dict[str, dict[str, str]] = {}
    outputs = {module.name: module.outputs for module in modules}
    for module in reversed(modules):  # a module stands before those that it instantiates
        names[module.name] = _wire_names(module, names, outputs)
    renamed = iter(modules)
    return MODULE.sub(lambda found: _renamed(next(renamed), names), rtlil)


def _bits(signal: str) -> list[Bit | None]:
    """Return the bits of a signal, lowest first."""
    bits: list[Bit | None] = []
    for chunk in reversed(list(CHUNK.finditer(signal))):
        low = int(chunk["low"] or chunk["high"] or 0)
        bits += [None] * int(chunk["width"]) if chunk["width"] else [
            (chunk["wire"], number) for number in range(low, int(chunk["high"]) + 1)]
    return bits


def _free(name: str, taken: Collection[str]) -> str:
    """Return a name, with a number if it is taken."""
    return next(free for free in chain([name], (f"{name}_{number}" for number in count(2))) if free not in taken)


def _plain(name: str) -> str:
    """Return a name without what tells it from others.

    >>> _plain("bank_data__0$17"), _plain("_cleared"), _plain("end")
    ('bank_data_0', 'cleared', 'end_')
    """
    plain = name.lstrip("$_").partition("$")[0].replace("__", "_")
    return f"{plain}_" if plain in KEYWORDS else plain


def _wire_names(module: _Module, names: Mapping[str, Mapping[str, str]],
                outputs: Mapping[str, set[str]]) -> dict[str, str]:
    """Return the new name of each wire of a module; the ports of its instances have theirs already."""
    cells, plain = set(module.cells.values()), {wire: _plain(wire) for wire in module.widths}
    alone = {name for name, wires in Counter(plain.values()).items() if wires == 1} - cells - {NAMELESS}
    new = {wire: name for wire, name in plain.items()
           if name in alone or (name not in cells and "$" not in wire and wire in module.ports)}
    taken = cells | set(new.values())
    for wire in module.widths:
        if wire not in new:
            if alias := _whole_alias(module, wire, new):
                new[wire] = new.get(alias) or _free(plain[alias], taken)
                new[alias] = f"{REPLACED}{alias}"
            else:
                own = [plain[wire]] if "$" not in wire and wire not in module.instances else []
                wanted = chain(own, _joined_aliases(module, wire), _instance_names(module, wire, names, outputs))
                new[wire] = next((name for name in wanted if name not in taken), None) or _free(plain[wire], taken)
            taken.add(new[wire])
    for field in module.fields:
        new[field] = _free(_plain(PARTS.sub("_", field).strip("_")), taken)
        taken.add(new[field])
    return new


def _whole_alias(module: _Module, wire: str, new: Mapping[str, str]) -> str | None:
    """Return a wire without a number that holds the same as one with a number, unless it was replaced already."""
    if "$" not in wire:
        return None
    return next((name for name, start in module.aliases(wire)
                 if start == 0 and module.widths[wire] in (module.widths[name], module.width_of_variables(name))
                 and "$" not in name and not new.get(name, "").startswith(REPLACED)), None)


def _joined_aliases(module: _Module, wire: str) -> Iterator[str]:
    """Yield names of a wire without one: of the signals that it carries, or of the bits of a signal that it is."""
    aliases = module.aliases(wire) if _plain(wire) == NAMELESS else []
    for name, start in aliases:
        if start or module.widths[name] > module.widths[wire]:
            yield f"{_plain(name)}_{start}"
    if names := list(dict.fromkeys(_plain(name) for name, _ in aliases)):
        yield "_".join(names) if len(names) <= MOST_JOINED else f"{names[0]}_to_{names[-1]}"


def _instance_names(module: _Module, wire: str, names: Mapping[str, Mapping[str, str]],
                    outputs: Mapping[str, set[str]]) -> Iterator[str]:
    """Yield names of a wire after the instance that drives it, or else after those that read it."""
    ends = module.instances.get(wire, ())
    drivers = [end for end in ends if end[2] in outputs.get(end[0], ())]
    for kind, instance, port in drivers or ends:
        yield f"{_plain(instance)}_{names.get(kind, {}).get(port, _plain(port))}"


def _renamed(module: _Module, names: Mapping[str, Mapping[str, str]]) -> str:
    own = names[module.name]
    ports: Mapping[str, str] = {}
    lines = []
    for line in module.body.splitlines(keepends=True):
        words = line.split(maxsplit=2)
        if line.startswith("  cell \\"):
            ports = names.get(words[1][1:], {})
            line = f"  cell {words[1]} \\{module.cells[words[2].strip()[1:]]}\n"
        elif line.startswith("  cell "):
            ports = {}
        elif line.startswith("    connect \\"):
            port = words[1][1:]
            line = f"    connect \\{ports.get(port, port)} {_with_names(words[2], own)}"
        elif words[:1] not in (["attribute"], ["parameter"]):
            line = _with_names(line, own)
        lines.append(line)
    return f"module \\{module.name}\n{''.join(lines)}end"


def _with_names(text: str, names: Mapping[str, str]) -> str:
    def name(found: re.Match[str]) -> str:
        new = names.get(found[1], found[1])
        return new if new.startswith(REPLACED) else f"\\{new}"

    return REFERENCE.sub(name, text)
