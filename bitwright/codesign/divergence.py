"""What is wrong with the RTL, as a report and as a folder of files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bitwright.codesign.json_text import to_json
from bitwright.divergence.find import Findings, find
from bitwright.divergence.findings_text import full_text
from bitwright.divergence.rerun import WAVES, Rerun
from rtl.cosim.run import RtlResult, build_machine
from rtl.cosim.simulators import ICARUS
from sim.io.atomic_write import atomic_write_text, ensure_folder
from sim.plan.plan import Plan
from sim.testing.stimulus.cases import save_case

__all__ = ["REPORT", "Divergence", "diverge"]

REPORT, TEXT = "report.json", "report.txt"

Codes = NDArray[np.int32]


@dataclass(frozen=True)
class Divergence:
    """Where the RTL departs, and what has been written about it.

    Attributes
    ----------
    findings : Findings
    folder : str or None
        Of the files.
    case : str or None
        Folder with a Program, a machine and codes that show the difference, the op alone if it is wrong there, too.
    alone : bool
        The case is the op alone.
    again : bool
        The case has made the same codes in another run.
    command : str or None
        Runs the case.
    window : (int, int) or None
        Cycles of the case to which the waveforms are confined.
    """

    findings: Findings
    folder: str | None = None
    case: str | None = None
    alone: bool = False
    again: bool = False
    command: str | None = None
    window: tuple[int, int] | None = None


def diverge(plan: Plan, inputs: Mapping[str, Codes], result: RtlResult, engines: Mapping[str, Mapping[str, Codes]],
            folder: Path | None = None, place: Path | None = None) -> Divergence | None:
    """Find what is wrong with the RTL; None if every op is right.

    Parameters
    ----------
    plan, inputs, result, engines
        As for `bitwright.divergence.find.find`.
    folder : Path or None
        For a report, a case that shows the difference, and waveforms; made if it is not there. They take another run
        in Icarus Verilog.
    place : Path or None
        The build of the hardware for that run; None: `rtl.cosim.run.build_machine`.

    Raises
    ------
    InputError
        If Icarus Verilog is not installed, or the folder cannot be written.
    """
    if folder is None:
        found = find(plan, inputs, result, engines)
        return None if found is None else Divergence(found)
    ICARUS.require()
    again = Rerun(plan, inputs, place or build_machine(plan.machine, ICARUS), ensure_folder(folder))
    found = find(plan, inputs, result, engines, again.watch)
    if found is None:
        return None
    case = None if again.case is None else save_case(again.case, folder)
    machine = "" if case is None else f"bitwright verify {case}/program.safetensors -m {case}/machine.yaml "
    written = Divergence(found, str(folder), None if case is None else str(case), again.alone, again.again,
                         None if case is None else f"{machine}-i {case}/inputs.npz --simulator icarus",
                         again.window)
    atomic_write_text(folder / REPORT, to_json(written) + "\n")
    atomic_write_text(folder / TEXT, full_text(found) + _files(written))
    return written


def _files(written: Divergence) -> str:
    """Say how to see the difference again."""
    what = "the op alone" if written.alone else "the Program on this image"
    lines = ["", f"{what}: {written.command}"]
    if not written.again:
        lines.append("it did not make the same codes again: what is wrong depends on what ran before")
    if written.window is not None:
        lines.append(f"cycles {written.window[0]} to {written.window[1]} of that: gtkwave window.gtkw, or surfer "
                     f"{WAVES} -c window.sucl")
    return "\n".join(lines) + "\n"
