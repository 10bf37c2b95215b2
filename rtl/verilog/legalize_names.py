"""Names that Verilog need not escape."""

from __future__ import annotations

import re

__all__ = ["plain_names"]

NAME = re.compile(r"(?<=\\)\$?[A-Za-z_]\w*(?:\$\w+)*")
PORT = re.compile(r"connect \\(?P<port>port\$\d+\$\d+) \\(?!port\$)(?P<wire>\S+) \[(?P<high>\d+)(?::(?P<low>\d+))?\]\n")
WIDTH = re.compile(r"wire width (?P<width>\d+) (?:\w+ \d+ +)?\\(?P<wire>\S+)\n")


def plain_names(rtlil: str) -> str:
    """RTLIL text in which no name holds a dollar: Amaranth tells names apart by `$` and a number.

    A port that Amaranth has no name for, `port$7$0`, is called after the wire that an instance connects to it.

    Examples
    --------
    >>> print(plain_names(r"connect \\like$4 [0] \\$signal [1] connect \\data \\data$7 [3:0] $12 [1]"))
    connect \\like_4 [0] \\signal [1] connect \\data \\data_7 [3:0] $12 [1]
    >>> print(plain_names(r"\\data_7 \\data$7"))
    \\data_7 \\data_7_
    """
    names = dict.fromkeys(NAME.findall(rtlil))
    connected = _connected(rtlil)
    taken = {name for name in names if "$" not in name}
    new = {name: name for name in taken}
    for name in names:
        if name not in taken:
            plain = connected.get(name, name).lstrip("$").replace("$", "_")
            while plain in taken:
                plain += "_"
            taken.add(plain)
            new[name] = plain
    return NAME.sub(lambda found: new[found[0]], rtlil)


def _connected(rtlil: str) -> dict[str, str]:
    """What is first connected to each port without a name: a wire, or `wire_3_1` for some of its bits."""
    widths: dict[str, int] = {}
    for found in WIDTH.finditer(rtlil):
        widths[found["wire"]] = max(int(found["width"]), widths.get(found["wire"], 0))
    names: dict[str, str] = {}
    for found in PORT.finditer(rtlil):
        high, low = int(found["high"]), int(found["low"] or found["high"])
        whole = high - low + 1 == widths.get(found["wire"])
        bits = "" if whole else f"_{high}" if high == low else f"_{high}_{low}"
        names.setdefault(found["port"], found["wire"] + bits)
    return names
