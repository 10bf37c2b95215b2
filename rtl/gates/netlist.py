"""A mapped netlist without hierarchy: instances of cells and memories, and the nets between them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from rtl.verilog.ram_model import RAM_MODEL
from sim.errors import InputError

__all__ = ["ONE", "ZERO", "Instance", "Memory", "Netlist", "flatten"]

ZERO, ONE = 0, 1
"""Nets that are constant."""
RAM = RAM_MODEL.stem
CONSTANTS = {"0": ZERO, "1": ONE, "x": ZERO, "z": ZERO}


@dataclass(frozen=True)
class Instance:
    """A cell.

    Attributes
    ----------
    path : tuple of str
        Names of the modules' instances that it lies in, from the top on.
    module : str
        Name of the module that it lies in.
    cell : str
    pins : dict of str to int
        Nets.
    signals : dict of str to str
        By output pin, the name of the signal in its module, where it has one that people gave.
    """

    path: tuple[str, ...]
    module: str
    cell: str
    pins: dict[str, int]
    signals: dict[str, str]


@dataclass(frozen=True)
class Memory:
    """An instance of `bitwright_ram`: nets by port, lowest bit first, and its parameters."""

    path: tuple[str, ...]
    ports: dict[str, tuple[int, ...]]
    parameters: dict[str, int]


@dataclass
class Netlist:
    """A whole design.

    Attributes
    ----------
    nets : int
        Their number, the two constants included.
    instances : list of Instance
    memories : list of Memory
    inputs, outputs : dict of str to tuple of int
        Nets of the ports, lowest bit first.
    """

    nets: int = 2
    instances: list[Instance] = field(default_factory=list)
    memories: list[Memory] = field(default_factory=list)
    inputs: dict[str, tuple[int, ...]] = field(default_factory=dict)
    outputs: dict[str, tuple[int, ...]] = field(default_factory=dict)


def flatten(modules: Mapping[str, Any], top: str, cells: Iterable[str]) -> Netlist:
    """Return the netlist of a design.

    Parameters
    ----------
    modules : mapping
        As Yosys writes them to JSON.
    top : str
    cells : iterable of str
        Names of the library's cells.

    Raises
    ------
    InputError
        If an instance is neither a module, nor a memory, nor a cell.
    """
    netlist = Netlist()
    builder = _Flattener(modules, frozenset(cells), netlist)
    binding: dict[int, int] = {}
    for name, port in modules[top]["ports"].items():
        bits = tuple(builder.net(binding, bit) for bit in port["bits"])
        (netlist.inputs if port["direction"] == "input" else netlist.outputs)[name] = bits
    builder.add(top, (), binding)
    builder.finish()
    return netlist


class _Flattener:
    def __init__(self, modules: Mapping[str, Any], cells: frozenset[str], netlist: Netlist) -> None:
        self.modules, self.cells, self.netlist = modules, cells, netlist
        self.signals: dict[str, dict[int, str]] = {}
        self.joined: dict[int, int] = {}

    def net(self, binding: dict[int, int], bit: int | str) -> int:
        """Return the net of a bit in a module, a new one if the bit is not known yet."""
        if isinstance(bit, str):
            return CONSTANTS[bit]
        if bit not in binding:
            binding[bit] = self.netlist.nets
            self.netlist.nets += 1
        return binding[bit]

    def add(self, module: str, path: tuple[str, ...], binding: dict[int, int]) -> None:
        """Add what lies in an instance of a module."""
        names = self._names(module)
        for name, cell in self.modules[module]["cells"].items():
            kind = cell["type"]
            nets = {port: tuple(self.net(binding, bit) for bit in bits) for port, bits in cell["connections"].items()}
            if kind == RAM:
                parameters = {key: int(str(value), 2) for key, value in cell["parameters"].items()}
                self.netlist.memories.append(Memory((*path, name), nets, parameters))
            elif kind in self.cells:
                signals = {port: names[bits[0]] for port, bits in cell["connections"].items()
                           if bits and bits[0] in names}
                pins = {port: one[0] for port, one in nets.items() if one}
                self.netlist.instances.append(Instance(path, module, kind, pins, signals))
            elif kind in self.modules:
                self.add(kind, (*path, name), self._bind(kind, nets))
            else:
                raise InputError(f"the netlist has a cell {kind}, which the library does not have")

    def _bind(self, module: str, nets: Mapping[str, tuple[int, ...]]) -> dict[int, int]:
        """Return the nets of a module's ports; where a port is wired to another or is constant, nets become one."""
        inner: dict[int, int] = {}
        for port, found in nets.items():
            for bit, net in zip(self.modules[module]["ports"][port]["bits"], found, strict=True):
                other = CONSTANTS[bit] if isinstance(bit, str) else inner.setdefault(bit, net)
                if other != net:
                    self.join(other, net)
        return inner

    def join(self, one: int, other: int) -> None:
        """Make two nets one; the constants stay."""
        low, high = sorted((self.root(one), self.root(other)))
        if low != high:
            self.joined[high] = low

    def root(self, net: int) -> int:
        """Return the net that stands for a net."""
        while net in self.joined:
            net = self.joined[net]
        return net

    def finish(self) -> None:
        """Give every net that became another one the number of that one."""
        whole, root = self.netlist, self.root
        for ports in (whole.inputs, whole.outputs):
            ports |= {name: tuple(map(root, nets)) for name, nets in ports.items()}
        whole.instances = [replace(one, pins={pin: root(net) for pin, net in one.pins.items()})
                           for one in whole.instances]
        whole.memories = [replace(one, ports={port: tuple(map(root, nets)) for port, nets in one.ports.items()})
                          for one in whole.memories]

    def _names(self, module: str) -> dict[int, str]:
        """Return the names that people gave, by bit."""
        if module not in self.signals:
            self.signals[module] = {bit: name for name, net in self.modules[module]["netnames"].items()
                                    if not net["hide_name"] for bit in net["bits"] if isinstance(bit, int)}
        return self.signals[module]
