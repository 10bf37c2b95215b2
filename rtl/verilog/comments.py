"""What the source says of modules and ports, carried into the netlist as attributes that become Verilog comments."""

from __future__ import annotations

import inspect
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase

from amaranth.hdl import Elaboratable, Fragment
from amaranth.lib import crc, stream, wiring

from rtl.verilog.netlist_module import MODULE, Alias, NetlistModule, plain_name

__all__ = ["COMMENT", "Elaborated", "commented", "member_names"]

COMMENT = "comment"
"""Attribute of modules and wires."""
CLOCKING = {
    "clk": "clock, of which the rising edge counts",
    "rst": "synchronous reset, active high",
    "_cleared": "synchronous reset after a fault, when the host clears it",
    "_stop": "synchronous reset when a fault stops the machine",
}
"""Inputs that Amaranth gives to a module, of its own or for the resets that `rtl.shell.top` inserts."""
FOREIGN = {
    crc.Processor: {
        "start": "the checksum starts anew",
        "valid": "`data` is the next word",
        "data": "a word that the checksum covers",
        "crc": "checksum of the words since `start`",
        "match_detected": "the words end with their own checksum",
    },
    stream.Signature: {
        "payload": "what is transferred",
        "valid": "a payload is offered",
        "ready": "the payload is taken when it is offered",
    },
}
"""Members of components and interfaces of Amaranth, whose docstrings have no section Members."""
PORT = re.compile(r"^  wire width [^\\\n]*(?:input|output)[^\\\n]*\\(?P<name>\S+)$", re.M)
NUMBER = re.compile(r"\$\d+(?=\.|$)")
"""By which Amaranth tells modules of one name apart."""
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
    components = dict(_components(top.fragment, name))
    return MODULE.sub(lambda found: _module(found, components.get(NUMBER.sub("", found["name"]))), rtlil)


def member_names(rtlil: str, top: Elaborated, name: str) -> dict[str, set[str]]:
    """Return the names of the signals of each component's members, by the name of its module in RTLIL text."""
    components = dict(_components(top.fragment, name))
    found = {module["name"]: components.get(NUMBER.sub("", module["name"])) for module in MODULE.finditer(rtlil)}
    return {module: {"__".join(map(str, path)) for path, _, _ in component.signature.flatten(component)}
            for module, component in found.items() if isinstance(component, wiring.Component)}


def _components(fragment: Fragment, path: str) -> Iterator[tuple[str, object]]:
    """Yield the components of a design with their paths, without what Amaranth and `Elaborated` wrap around them."""
    for origin in fragment.origins or ():
        if not (isinstance(origin, Elaborated) or type(origin).__module__.startswith("amaranth.hdl")):
            yield path, origin
            break
    for inner, name, _ in fragment.subfragments:
        if name is not None:
            yield from _components(inner, f"{path}.{name}")


def _module(found: re.Match[str], component: object) -> str:
    texts = CLOCKING | _port_texts(component)
    module = NetlistModule(found["name"], found["body"])

    def comment(port: re.Match[str]) -> str:
        name = port["name"]
        return _attribute("  ", _text(name, texts) or _joined_text(name, module, texts)) + port[0]

    body = PORT.sub(comment, found["body"])
    sentence = SENTENCE.match(_doc(component).partition("\n\n")[0])
    return f"{_attribute('', sentence[1] if sentence else '')}module \\{found['name']}\n{body}end"


def _doc(of: object) -> str:
    return inspect.getdoc(type(of)) or "" if of is not None else ""


def _port_texts(component: object) -> dict[str, str]:
    """Return what is said of a component's ports; of a port of an interface, what that says of it, too."""
    texts = FOREIGN.get(type(component)) or _members(_doc(component))
    if not isinstance(component, wiring.Component):
        return texts
    inner = {}
    for name, member in component.signature.members.items():
        if member.is_signature:
            flipped = isinstance(member.signature, wiring.FlippedSignature)
            signature = member.signature.flip() if flipped else member.signature
            for port, text in (FOREIGN.get(type(signature)) or _members(_doc(signature))).items():
                inner["__".join([name, *("*" * len(member.dimensions)), port])] = f"{_text(name, texts)}: {text}"
    return inner | texts


def _joined_text(port: str, module: NetlistModule, texts: Mapping[str, str]) -> str:
    """Return what is said of the signals that a port carries, with their bits if there are several."""
    said: dict[str, list[Alias]] = defaultdict(list)
    for alias in module.aliases(port):
        if text := _text(alias.name, texts):
            said[text].append(alias)
    if len(said) <= 1:
        return next(iter(said), "")
    return "; ".join(f"{', '.join(_bits(alias, module) for alias in aliases)}: {text}"
                     for text, aliases in said.items())


def _bits(alias: Alias, module: NetlistModule) -> str:
    """Return the name of a signal and its bits in the port that carries it."""
    high = alias.at + module.widths[alias.name] - alias.low - 1
    return f"{plain_name(alias.name)} [{f'{high}:{alias.at}' if high > alias.at else high}]"


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
    wanted = port.partition("$")[0]
    while wanted:
        for pattern, text in texts.items():
            if fnmatchcase(wanted, pattern):
                return text
        wanted = wanted.rpartition("__")[0]
    return ""


def _attribute(indent: str, text: str) -> str:
    plain = " ".join(text.split()).replace("·", "*").encode("ascii", "replace").decode()
    escaped = plain.replace("\\", "\\\\").replace('"', '\\"')
    return f'{indent}attribute \\{COMMENT} "{escaped}"\n' if plain else ""
