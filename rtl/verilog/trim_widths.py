"""Every operation as wide as what is read of it, every operand as wide as its operation.

Amaranth computes exactly, with carries that are often cut off, and RTLIL leaves the extension of operands to the
operator. Linters want neither. Yosys' `wreduce` narrows operations for synthesis and leaves operands and results of
unequal widths: of the 20 width warnings that Verilator has for the sequencer of `tiny`, 18 remain after it, none after
this. It works on RTLIL text as Amaranth writes it: expressions are cells that drive wires
of their own, `$7`, and every reference tells its bits, `$7 [8:0]`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

__all__ = ["exact_widths"]

MODULE = re.compile(r"^module .*?^end$", re.M | re.S)
CELL = re.compile(r"^  cell \$(?P<kind>\w+) \$(?P<number>\d+)\n(?P<body>.*?)^  end\n", re.M | re.S)
PARAMETER = re.compile(r"parameter \\(?P<name>\w+) (?P<value>\d+)\n")
CONNECTION = re.compile(r"connect \\(?P<port>[ABSY]) (?P<signal>[^\n]*)\n")
WIRE = re.compile(r"^  wire width (?P<width>\d+) (?P<name>\$\d+)\n", re.M)
CHUNK = re.compile(r"(?P<wire>[\\$]\S+) \[(?P<high>\d+)(?::(?P<low>\d+))?\]|\d+'(?P<bits>[01x-]+)|(?P<whole>[\\$]\S+)")
PLACE = re.compile(r"^  place (\S+)\n", re.M)
"""Where an operation stood."""
CONSTANT = re.compile(r"\d+'([01]+)")
READ = re.compile(r"(?<!\S)(?P<wire>\$\d+)(?: \[(?P<high>\d+)(?::\d+)?\])?")

MODULAR = {"add", "sub", "mul", "and", "or", "xor", "not", "neg", "shl"}
"""The low bits of the result come from the low bits of the operands."""
COMPARING = {"eq", "ne", "lt", "le", "gt", "ge"}
MIRRORED = {"lt": "gt", "gt": "lt", "le": "ge", "ge": "le"}
ORDERING = set(MIRRORED)
RIGHT_SHIFTS = {"shr", "sshr", "shift"}
SHIFTS = {"shl", *RIGHT_SHIFTS}


def exact_widths(rtlil: str) -> str:
    """Return RTLIL text, before `proc`, that does the same in the widths that it needs.

    Bits that a right shift drops go into wires called `unused`, the name that linters let pass.
    """
    return MODULE.sub(lambda module: _Module(module[0]).text(), rtlil)


@dataclass
class _Cell:
    """An operation; `width` is that of its result."""

    kind: str
    number: str
    values: dict[str, int]
    signals: dict[str, str]
    needed: int = field(default=0)

    @property
    def width(self) -> int:
        return self.values["WIDTH" if self.kind == "mux" else "Y_WIDTH"]

    @property
    def operands(self) -> tuple[str, ...]:
        """Ports that an operation on fewer bits reads less of."""
        if self.kind == "mux":
            return "A", "B"
        return ("A",) if self.kind in SHIFTS or "B" not in self.signals else ("A", "B")

    def text(self) -> str:
        parameters = "".join(f"    parameter \\{name} {value}\n" for name, value in self.values.items())
        connections = "".join(f"    connect \\{port} {signal}\n" for port, signal in self.signals.items())
        return f"  cell ${self.kind} ${self.number}\n{parameters}{connections}  end\n"


class _Module:
    """A module's text, with its operations taken out of it."""

    def __init__(self, text: str) -> None:
        self.cells: dict[str, _Cell] = {}
        self.wires = {found["name"]: int(found["width"]) for found in WIRE.finditer(text)}
        self.rest = CELL.sub(self._taken, text)

    def _taken(self, found: re.Match[str]) -> str:
        if found["kind"] not in MODULAR | COMPARING | RIGHT_SHIFTS | {"mux"}:
            return found[0]
        values = {x["name"]: int(x["value"]) for x in PARAMETER.finditer(found["body"])}
        cell = _Cell(found["kind"], found["number"], values,
                     {x["port"]: x["signal"] for x in CONNECTION.finditer(found["body"])})
        self.cells[cell.signals["Y"]] = cell
        return f"  place {cell.signals['Y']}\n"

    def text(self) -> str:
        """Return the module with all operations in their widths."""
        self._find_needed()
        for wire, cell in self.cells.items():
            self._narrow(wire, cell)
        placed = PLACE.sub(lambda found: self._placed(found[1]), self.rest)
        return WIRE.sub(self._declared, placed)

    def _find_needed(self) -> None:
        """Find how many low bits of each operation are read, by anything that is read itself."""
        waiting = [(wire, cell.width) for wire, cell in self.cells.items() if wire not in self.wires]
        waiting += [(found["wire"], _bits(found, self.wires))
                    for found in READ.finditer(WIRE.sub("", PLACE.sub("", self.rest)))]
        while waiting:
            wire, bits = waiting.pop()
            cell = self.cells.get(wire)
            if cell is None or bits <= cell.needed:
                continue
            whole = cell.needed == 0 or cell.kind in COMPARING | RIGHT_SHIFTS
            cell.needed = cell.width if cell.kind in COMPARING | RIGHT_SHIFTS else bits
            for port, signal in cell.signals.items():
                if port in cell.operands and cell.kind in MODULAR | {"mux"}:
                    signal = _low(signal, cell.needed)
                elif port == "Y" or not whole:
                    continue
                waiting += [(found["wire"], _bits(found, self.wires)) for found in READ.finditer(signal)]

    def _narrow(self, wire: str, cell: _Cell) -> None:
        if not 0 < cell.needed < cell.width:
            return
        self.wires[wire] = cell.needed
        if cell.kind == "mux":
            cell.signals |= {port: _low(cell.signals[port], cell.needed) for port in cell.operands}
            cell.values["WIDTH"] = cell.needed
        else:
            cell.values["Y_WIDTH"] = cell.needed

    def _placed(self, wire: str) -> str:
        cell = self.cells[wire]
        if not cell.needed:
            return ""
        if (decided := _decided(cell)) is not None:
            return f"  connect {cell.signals['Y']} 1'{decided:d}\n"
        return cell.text() if cell.kind == "mux" else _widened(cell)

    def _declared(self, found: re.Match[str]) -> str:
        cell = self.cells.get(found["name"])
        if cell is not None and not cell.needed:
            return ""
        return f"  wire width {self.wires[found['name']]} {found['name']}\n"


def _bits(found: re.Match[str], wires: dict[str, int]) -> int:
    """Return how many low bits of a wire a reference to it needs."""
    return int(found["high"]) + 1 if found["high"] else wires.get(found["wire"], 0)


def _decided(cell: _Cell) -> bool | None:
    """Return what a comparison of an unsigned signal with a constant always gives, None if that depends.

    On some machines a limit is 0, or more than a signal can hold.
    """
    if cell.kind not in ORDERING or cell.values["A_SIGNED"] or cell.values["B_SIGNED"]:
        return None
    kind, signal, least = cell.kind, "A", _constant(cell.signals["B"])
    if least is None:
        kind, signal, least = MIRRORED[kind], "B", _constant(cell.signals["A"])
    if least is None:
        return None
    if kind in ("le", "gt"):
        least, kind = least + 1, {"le": "lt", "gt": "ge"}[kind]
    if least == 0:
        return kind == "ge"
    return kind == "lt" if least >= 1 << cell.values[f"{signal}_WIDTH"] else None


def _constant(signal: str) -> int | None:
    """Return the number that a signal always is; Amaranth's 0 has no bits.

    >>> _constant("4'0101"), _constant("{  }"), _constant("\\\\a [0]")
    (5, 0, None)
    """
    if not _chunks(signal):
        return 0
    found = CONSTANT.fullmatch(signal)
    return int(found[1], 2) if found else None


def _widened(cell: _Cell) -> str:
    """Return the operation with its operands extended or cut to its width."""
    wire, width = "", cell.width
    if cell.kind in COMPARING:
        width = max(cell.values["A_WIDTH"], cell.values["B_WIDTH"])
    elif cell.kind in RIGHT_SHIFTS and cell.values["A_WIDTH"] > width:
        unused = f"\\unused_{cell.number}"
        wire = f"  wire width {cell.values['A_WIDTH'] - width} {unused}\n"
        width = cell.values["A_WIDTH"]
        cell.signals["Y"], cell.values["Y_WIDTH"] = f"{{ {unused} {cell.signals['Y']} }}", width
    for port in cell.operands:
        signed = bool(cell.values[f"{port}_SIGNED"])
        cell.signals[port] = _resized(cell.signals[port], cell.values[f"{port}_WIDTH"], width, signed)
        cell.values[f"{port}_WIDTH"] = width
    return wire + cell.text()


def _resized(signal: str, width: int, wanted: int, signed: bool) -> str:
    """Return a signal of `width` bits extended, or cut, to those that are wanted.

    Examples
    --------
    >>> _resized("$7 [5:2]", 4, 6, True)
    '{ $7 [5] $7 [5] $7 [5:2] }'
    >>> _resized("{ \\\\a [1:0] $7 [5:2] }", 6, 5, False)
    '{ \\\\a [0] $7 [5:2] }'
    """
    if wanted <= width:
        return _low(signal, wanted)
    extra = wanted - width
    extension = [_bit(signal, width - 1)] * extra if signed else [f"{extra}'{'0' * extra}"]
    return "{ " + " ".join((*extension, *_chunks(signal))) + " }"


def _chunks(signal: str) -> list[str]:
    """Return the parts of a signal, highest first."""
    return [found[0] for found in CHUNK.finditer(signal)]


def _low(signal: str, width: int) -> str:
    """Return the low bits of a signal, all of it if it has no more."""
    kept: list[str] = []
    for chunk in reversed(_chunks(signal)):
        size, low = _extent(chunk)
        take = min(size, width)
        if take == size:
            kept.append(chunk)
        elif take:
            kept.append(_part(chunk, low, take))
        width -= take
        if not width:
            break
    return kept[0] if len(kept) == 1 else "{ " + " ".join(reversed(kept)) + " }"


def _bit(signal: str, index: int) -> str:
    """Return one bit of a signal."""
    for chunk in reversed(_chunks(signal)):
        size, low = _extent(chunk)
        if index < size:
            return f"1'{chunk[-1 - index]}" if "'" in chunk else _part(chunk, low + index, 1)
        index -= size
    raise ValueError(f"{signal} has too few bits")


def _part(chunk: str, low: int, width: int) -> str:
    """Return bits of a chunk: `low` counts in its wire."""
    if "'" in chunk:
        return f"{width}'{chunk[-width:]}"
    name = chunk.partition(" ")[0]
    return f"{name} [{low}]" if width == 1 else f"{name} [{low + width - 1}:{low}]"


def _extent(chunk: str) -> tuple[int, int]:
    """Width of a chunk, and its lowest bit in its wire."""
    found = CHUNK.fullmatch(chunk)
    if found is None or found["whole"]:
        raise ValueError(f"{chunk} does not tell its bits")
    if found["bits"]:
        return len(found["bits"]), 0
    high, low = int(found["high"]), int(found["low"] or found["high"])
    return high - low + 1, low
