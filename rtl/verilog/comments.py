"""What the source says of modules and ports, carried into the netlist as attributes that become Verilog comments."""

from __future__ import annotations

import inspect
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase

from amaranth.hdl import Elaboratable, Fragment
from amaranth.lib import wiring

__all__ = ["COMMENT", "Elaborated", "commented"]

COMMENT = "comment"
"""Attribute of modules and wires."""
CLOCKING = {
    "clk": "clock, of which the rising edge counts",
    "rst": "synchronous reset, active high",
    "_cleared": "synchronous reset after a fault, when the host clears it",
    "_stop": "synchronous reset when a fault stops the machine",
}
"""Inputs that Amaranth gives to a module, of its own or for the resets that `rtl.shell.top` inserts."""
MODULE = re.compile(r"^module \\(?P<name>\S+)\n(?P<body>.*?)^end$", re.M | re.S)
PORT = re.compile(r"^  wire width [^\\\n]*(?:input|output)[^\\\n]*\\(?P<name>\S+)$", re.M)
NUMBER = re.compile(r"\$\d+(?=\.|$)")
"""By which Amaranth tells modules of one name apart."""
ALIAS = re.compile(r"^(?:  )?connect \\(?P<name>\S+) (?P<signal>[^\n]+)$", re.M)
REFERENCE = re.compile(r"\\(\S+)")
SENTENCE = re.compile(r"(.+?[.!?])(?:\s|$)", re.S)
MEMBER = re.compile(r"^(?P<names>\S[^:]*) : (?P<text>.*(?:\n +.*)*)", re.M)


class Elaborated(Elaboratable):
    """A component that is elaborated once, although both Amaranth's back end and we look at what it consists of."""

    def __init__(self, component: wiring.Component) -> None:
        self.component, self.signature = component, component.signature
        self.fragment = Fragment.get(component, None)

    def __getattr__(self, name: str) -> object:
        return getattr(self.component, name)

    def elaborate(self, platform: object) -> Fragment:
        return self.fragment


def commented(rtlil: str, top: Elaborated, name: str) -> str:
    """Return RTLIL text, as Amaranth writes it for `top`, with the attribute `COMMENT` at modules and ports.

    A module has the first sentence of its component's docstring, a port its entry in the section Members.
    """
    docs = {path: inspect.getdoc(type(component)) or "" for path, component in _components(top.fragment, name)}
    return MODULE.sub(lambda found: _module(found, docs.get(NUMBER.sub("", found["name"]), "")), rtlil)


def _components(fragment: Fragment, path: str) -> Iterator[tuple[str, object]]:
    """Yield the components of a design with their paths, without what Amaranth and `Elaborated` wrap around them."""
    for origin in fragment.origins or ():
        if not (isinstance(origin, Elaborated) or type(origin).__module__.startswith("amaranth.hdl")):
            yield path, origin
            break
    for inner, name, _ in fragment.subfragments:
        if name is not None:
            yield from _components(inner, f"{path}.{name}")


def _module(found: re.Match[str], doc: str) -> str:
    texts = CLOCKING | _members(doc)
    carried = _carried(found["body"])

    def comment(port: re.Match[str]) -> str:
        name = port["name"]
        said = [_text(name, texts)] if _text(name, texts) else [_text(other, texts) for other in carried[name]]
        return _attribute("  ", "; ".join(dict.fromkeys(text for text in said if text))) + port[0]

    body = PORT.sub(comment, found["body"])
    sentence = SENTENCE.match(doc.partition("\n\n")[0])
    return f"{_attribute('', sentence[1] if sentence else '')}module \\{found['name']}\n{body}end"


def _carried(body: str) -> Mapping[str, list[str]]:
    """Return the signals that a wire carries, by that wire: Amaranth joins signals into one port."""
    found: dict[str, list[str]] = defaultdict(list)
    for alias in ALIAS.finditer(body):
        for wire in REFERENCE.findall(alias["signal"]):
            found[wire].append(alias["name"])
    return found


def _members(doc: str) -> dict[str, str]:
    """Return the entries of the section Members by name of the port, which may be a pattern.

    >>> _members("A pump.\\n\\nMembers\\n-------\\non, off : commands,\\n    of one cycle\\nflow_* : what comes")
    {'on': 'commands, of one cycle', 'off': 'commands, of one cycle', 'flow_*': 'what comes'}
    """
    section = doc.partition("\nMembers\n-------\n")[2].partition("\n\n")[0]
    entries = ((found["names"], " ".join(found["text"].split())) for found in MEMBER.finditer(section))
    return {name.strip(): text for names, text in entries for name in names.split(",")}


def _text(port: str, texts: Mapping[str, str]) -> str:
    """Return what is said of a port; that of an array or interface speaks of the whole of it."""
    name = port.partition("$")[0]
    for wanted in (name, name.partition("__")[0]):
        for pattern, text in texts.items():
            if fnmatchcase(wanted, pattern):
                return text
    return ""


def _attribute(indent: str, text: str) -> str:
    plain = " ".join(text.split()).replace("·", "*").encode("ascii", "replace").decode()
    escaped = plain.replace("\\", "\\\\").replace('"', '\\"')
    return f'{indent}attribute \\{COMMENT} "{escaped}"\n' if plain else ""
