"""Fields of packed words by their names: `descriptor_row_tiles` instead of `descriptor[42:31]`.

Amaranth gives the fields of a word names of their own, but Yosys writes every bit under one name, that of the port. The
names therefore travel as an attribute of the port, and are put back into the Verilog.
"""

from __future__ import annotations

import re
from collections import defaultdict

__all__ = ["mark_fields", "name_fields"]

FIELDS = "fields"
"""Attribute of a port: the names of its fields with their highest and lowest bits."""
MODULE = re.compile(r"^module .*?^end$", re.M | re.S)
PORT = re.compile(r"^  wire width [^\\\n]*input[^\\\n]*\\(?P<name>\S+)$", re.M)
FIELD = re.compile(
    r"^(?:  )?connect \\(?P<name>\S+?\.\S+) \\(?P<port>\S+) \[(?P<high>\d+)(?::(?P<low>\d+))?\]$", re.M)
MARK = re.compile(rf'^  \(\* {FIELDS} = "(?P<fields>[^"]*)" \*\)\n(?P<port>  input [^;]*?(?P<name>\w+);\n)', re.M)
PARTS = re.compile(r"\W+")


def mark_fields(rtlil: str) -> str:
    """Return RTLIL text in which input ports with fields have the attribute `FIELDS`."""
    return MODULE.sub(_marked, rtlil)


def _marked(module: re.Match[str]) -> str:
    fields: dict[str, list[str]] = defaultdict(list)
    for found in FIELD.finditer(module[0]):
        name = PARTS.sub("_", found["name"]).strip("_")
        fields[found["port"]].append(f"{name}:{found['high']}:{found['low'] or found['high']}")

    def mark(port: re.Match[str]) -> str:
        listed = ",".join(fields[port["name"]])
        return f'  attribute \\{FIELDS} "{listed}"\n{port[0]}' if listed else port[0]

    return PORT.sub(mark, module[0])


def name_fields(module: str) -> str:
    """Return the Verilog of a module in which fields that are read have wires of their names, in front of the ports.

    Examples
    --------
    >>> print(name_fields('''module m(a, y);
    ...   (* fields = "a_low:3:0,a_top:7:7" *)
    ...   input [7:0] a;
    ...   wire [7:0] a;
    ...   output [3:0] y;
    ...   wire [3:0] y;
    ...   assign y = a[3:0] + a[6:3];
    ... endmodule'''))
    module m(a, y);
      wire [3:0] a_low = a[3:0];
      input [7:0] a;
      wire [7:0] a;
      output [3:0] y;
      wire [3:0] y;
      assign y = a_low + a[6:3];
    endmodule
    """
    names: dict[str, str] = {}
    for mark in MARK.finditer(module):
        for entry in mark["fields"].split(","):
            field, high, low = entry.split(":")
            names.setdefault(f"{mark['name']}[{high}]" if high == low else f"{mark['name']}[{high}:{low}]", field)
    text = MARK.sub(lambda mark: mark["port"], module)
    taken = set(re.findall(r"\w+", text))
    names = {bits: field for bits, field in names.items() if field not in taken}
    used: dict[str, str] = {}

    def name(found: re.Match[str]) -> str:
        if found[0] not in names:
            return found[0]
        used[names[found[0]]] = found[0]
        return names[found[0]]

    text = re.sub(r"(?<![\w.])\w+\[\d+(?::\d+)?\]", name, text) if names else text
    head, end, rest = text.partition(");\n")
    return head + end + "".join(f"  wire {_range(bits)}{field} = {bits};\n" for field, bits in used.items()) + rest


def _range(bits: str) -> str:
    """Return the range of a wire for some bits.

    >>> _range("a[7:4]"), _range("a[2]")
    ('[3:0] ', '')
    """
    high, _, low = bits.partition("[")[2].rstrip("]").partition(":")
    return f"[{int(high) - int(low)}:0] " if low else ""
