"""Names that people can read and that Verilog need not escape.

Amaranth tells signals of one name apart by numbers, `data$58`, and calls a port after a number, `port$7$0`, where it
joins or splits the signals of an interface. In each module such a name is replaced: a port is called after the
component's member that it is, or after the members or signals that it carries, and signals of one name are called after
the instances that they belong to.
Yosys could not do it: the one that comes with Amaranth has neither `rename` nor `autoname`, and both know only the
cells of one module, not the instances or the signals of an interface.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import chain

from rtl.verilog.netlist_module import MODULE, NAMELESS, Alias, NetlistModule, free_name, plain_name

__all__ = ["plain_names"]

REFERENCE = re.compile(r"\\(\S+)")
PARTS = re.compile(r"[.\[\]]+")
"""Between the name of a word, that of a field in it, and the index of an entry of that."""
REPLACED = "$replaced."
"""A wire whose name another one has taken; it is connected to that one, and Yosys removes it."""
MOST_JOINED = 4
"""Signals of a port after all of which it is called; of more, the first gives the name."""

Members = Mapping[str, Collection[str]]
"""Names of the component's members, by the name of its module."""


def plain_names(rtlil: str, members: Members | None = None) -> str:
    """Return RTLIL text with readable names of wires, ports and instances; those of modules stay.

    Parameters
    ----------
    rtlil : str
    members : mapping of str to collection of str, or None
        Names of the members of each module's component, as Amaranth names their signals; None: not known.

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
    modules = [NetlistModule(found["name"], found["body"]) for found in MODULE.finditer(rtlil)]
    names: dict[str, dict[str, str]] = {}
    outputs = {module.name: module.outputs for module in modules}
    for module in reversed(modules):  # a module stands before those that it instantiates
        names[module.name] = _wire_names(module, names, outputs, (members or {}).get(module.name, ()))
    renamed = iter(modules)
    return MODULE.sub(lambda found: _renamed(next(renamed), names), rtlil)


def _wire_names(module: NetlistModule, names: Mapping[str, Mapping[str, str]],
                outputs: Mapping[str, set[str]], members: Collection[str]) -> dict[str, str]:
    """Return the new name of each wire of a module; the ports of its instances have theirs already."""
    cells = {*module.cells.values(), plain_name(module.name.rpartition(".")[2])}  # a port would hide its instance
    plain = {wire: plain_name(wire) for wire in module.widths}
    alone = {name for name, wires in Counter(plain.values()).items() if wires == 1} - cells - {NAMELESS}
    new = _member_names(module, members, cells)
    alone -= set(new.values())
    new |= {wire: name for wire, name in plain.items() if wire not in new and name not in new.values()
            and (name in alone or (name not in cells and "$" not in wire and wire in module.ports))}
    taken = cells | set(new.values())
    for wire in module.widths:
        if wire not in new:
            if alias := _whole_alias(module, wire, new):
                new[wire] = new.get(alias) or free_name(plain[alias], taken)
                new[alias] = f"{REPLACED}{alias}"
            else:
                own = [plain[wire]] if "$" not in wire and wire not in module.instances else []
                wanted = chain(own, _joined_aliases(module, wire, members),
                               _instance_names(module, wire, names, outputs))
                new[wire] = next((name for name in wanted if name not in taken), None) or free_name(plain[wire], taken)
            taken.add(new[wire])
    for field in module.fields:
        new[field] = free_name(plain_name(PARTS.sub("_", field).strip("_")), taken)
        taken.add(new[field])
    return new


def _member_names(module: NetlistModule, members: Collection[str], cells: Collection[str]) -> dict[str, str]:
    """Return the names of ports that are members, and of the wires whose names they take.

    Amaranth calls a port like the signal that is connected to it outside, or gives it a number.
    """
    new = {port: plain_name(port) for port in module.widths if port in module.ports and port in members
           and plain_name(port) not in cells}
    for port in (port for port in module.widths if port in module.ports and port not in new):
        wholes = [alias.name for alias in module.aliases(port)
                  if alias.name in members and module.is_whole(alias, port)]
        base = port.partition("$")[0]
        for member in [*wholes, *([base] if base in members else [])]:
            if plain_name(member) not in {*cells, *new.values()}:
                new[port] = plain_name(member)
                if member in wholes:
                    new[member] = f"{REPLACED}{member}"
                break
    return new


def _whole_alias(module: NetlistModule, wire: str, new: Mapping[str, str]) -> str | None:
    """Return a wire without a number that holds the same as one with a number, unless it was replaced already."""
    if "$" not in wire:
        return None
    return next((alias.name for alias in module.aliases(wire) if module.is_whole(alias, wire)
                 and "$" not in alias.name and not new.get(alias.name, "").startswith(REPLACED)), None)


def _joined_aliases(module: NetlistModule, wire: str, members: Collection[str]) -> Iterator[str]:
    """Yield names of a wire without one: of the signals that it carries, or of the bits of a signal that it is."""
    found: Sequence[Alias] = module.aliases(wire) if plain_name(wire) == NAMELESS else []
    aliases = [alias for alias in found if alias.name in members] or found
    for alias in aliases:
        if alias.low or module.widths[alias.name] > module.widths[wire]:
            yield f"{plain_name(alias.name)}_{alias.low}"
    interfaces = {alias.name.partition("__")[0] for alias in aliases}
    if len(interfaces) == 1 and all("__" in alias.name for alias in aliases):
        yield plain_name(interfaces.pop())
    if names := list(dict.fromkeys(plain_name(alias.name) for alias in aliases)):
        yield "_".join(names) if len(names) <= MOST_JOINED else f"{names[0]}_and_others"


def _instance_names(module: NetlistModule, wire: str, names: Mapping[str, Mapping[str, str]],
                    outputs: Mapping[str, set[str]]) -> Iterator[str]:
    """Yield names of a wire after the instance that drives it, or else after those that read it."""
    ends = module.instances.get(wire, ())
    drivers = [end for end in ends if end[2] in outputs.get(end[0], ())]
    for kind, instance, port in drivers or ends:
        yield f"{plain_name(instance)}_{names.get(kind, {}).get(port, plain_name(port))}"


def _renamed(module: NetlistModule, names: Mapping[str, Mapping[str, str]]) -> str:
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
