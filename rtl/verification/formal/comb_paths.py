"""Which inputs an output depends on within the same cycle, read off the netlist."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from amaranth.back import rtlil
from amaranth.lib import wiring

from rtl.verification.formal.yosys import run_yosys
from rtl.verilog.ram_model import RAM_MODEL

__all__ = ["combinational_inputs"]

SCRIPT = """\
read_rtlil component.il
read_verilog -sv -lib {model}
hierarchy -top component
proc
flatten -noscopeinfo
opt_clean
cd component
delete t:*dff* t:bitwright_ram
{selections}
"""


def combinational_inputs(component: wiring.Component, *outputs: str) -> dict[str, set[str]]:
    """Inputs with a path to each output that leads through no register and no memory.

    Examples
    --------
    >>> from rtl.shell.watchdog import Watchdog
    >>> sorted(combinational_inputs(Watchdog(), "expired")["expired"])
    ['enable', 'limit']
    """
    with tempfile.TemporaryDirectory(prefix="bitwright-paths-") as temporary:
        folder = Path(temporary)
        (folder / "component.il").write_text(rtlil.convert(component, name="component", emit_src=False))
        shutil.copy(RAM_MODEL, folder)
        selections = "\n".join(f"select -write {name}.txt o:{name} %ci* i:* %i" for name in outputs)
        run_yosys(SCRIPT.format(model=RAM_MODEL.name, selections=selections), folder)
        return {name: {line.rpartition("/")[2] for line in (folder / f"{name}.txt").read_text().split()}
                for name in outputs}
