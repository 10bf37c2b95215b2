"""Names that Verilog need not escape."""

from __future__ import annotations

import re

__all__ = ["plain_names"]

NAME = re.compile(r"(?<=\\)\$?[A-Za-z_]\w*(?:\$\w+)*")


def plain_names(rtlil: str) -> str:
    """RTLIL text in which no name holds a dollar: Amaranth tells names apart by `$` and a number.

    Examples
    --------
    >>> print(plain_names(r"connect \\like$4 [0] \\$signal [1] connect \\data \\data$7 [3:0] $12 [1]"))
    connect \\like_4 [0] \\signal [1] connect \\data \\data_7 [3:0] $12 [1]
    >>> print(plain_names(r"\\data_7 \\data$7"))
    \\data_7 \\data_7_
    """
    names = dict.fromkeys(NAME.findall(rtlil))
    taken = {name for name in names if "$" not in name}
    new = {name: name for name in taken}
    for name in names:
        if name not in taken:
            plain = name.lstrip("$").replace("$", "_")
            while plain in taken:
                plain += "_"
            taken.add(plain)
            new[name] = plain
    return NAME.sub(lambda found: new[found[0]], rtlil)
