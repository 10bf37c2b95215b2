"""Port lists as people write them: direction, type and comment of a port in one place."""

from __future__ import annotations

import re
import textwrap

from rtl.verilog.comments import COMMENT

__all__ = ["with_port_lists"]

NOTE = rf'\(\* {COMMENT} = "(?P<comment>(?:[^"\\]|\\.)*)" \*\)\n'
HEAD = re.compile(rf"(?:^{NOTE})?^module (?P<name>\w+)\((?P<ports>[^)]*)\);\n", re.M)
PORT = re.compile(rf"^(?:  {NOTE})?  (?P<direction>input|output) [^;]*;\n"
                  r"  (?P<kind>wire|reg) (?P<range>(?:signed )?(?:\[[^\]]*\] )?)(?P<name>\w+);\n", re.M)
WIDTH = 118


def with_port_lists(module: str) -> str:
    """Return the Verilog of a module with its ports declared where they are listed.

    Examples
    --------
    >>> print(with_port_lists('''(* comment = "Adds one." *)
    ... module m(a, y);
    ...   (* comment = "what comes" *)
    ...   input [7:0] a;
    ...   wire [7:0] a;
    ...   output [7:0] y;
    ...   wire [7:0] y;
    ...   assign y = a + 8'h01;
    ... endmodule'''))
    // Adds one.
    module m(
      // what comes
      input wire [7:0] a,
      output wire [7:0] y
    );
      assign y = a + 8'h01;
    endmodule
    """
    ports = {found["name"]: found for found in PORT.finditer(module)}
    body = PORT.sub("", module)
    head = HEAD.search(body)
    if not head:
        return module
    names = [name.strip() for name in head["ports"].split(",") if name.strip()]
    listed = "".join(f"{_comment('  ', ports[name]['comment'])}  {ports[name]['direction']} {ports[name]['kind']} "
                     f"{ports[name]['range']}{name}{',' if name != names[-1] else ''}\n" for name in names)
    start = f"{_comment('', head['comment'])}module {head['name']}(\n{listed});\n"
    return body[: head.start()] + start + body[head.end():]


def _comment(indent: str, text: str | None) -> str:
    plain = re.sub(r"\\(.)", r"\1", text or "")
    return "".join(f"{indent}// {line}\n" for line in textwrap.wrap(plain, WIDTH - len(indent)))
