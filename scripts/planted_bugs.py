"""Plant every listed bug in the hardware, let it be found, and write the table of docs/divergence.md."""

from __future__ import annotations

import argparse
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from bitwright.codesign.divergence import Divergence, diverge
from quant.reference import run_reference
from rtl.cosim.run import IncompleteRun, run
from rtl.cosim.simulators import ICARUS
from rtl.verification.planted.bugs import Bug, faulty_verilog, read_bugs
from rtl.verification.planted.programs import PROGRAMS, bug_machine, inputs_of
from rtl.verilog.emit import TOP
from sim.functional.reference import simulate
from sim.io.atomic_write import atomic_write_text
from sim.plan.plan import plan

PAGE = Path(__file__).parents[1] / "docs" / "divergence.md"
BEGIN, END = "<!-- planted bugs -->\n", "<!-- end of planted bugs -->"


@dataclass(frozen=True)
class Located:
    """What was found out about a bug.

    Attributes
    ----------
    divergence : Divergence or None
    cycles : int
        Of the Program that showed it.
    """

    divergence: Divergence | None
    cycles: int

    def is_right(self, bug: Bug) -> bool:
        """Return whether op, field and detail are those that were listed."""
        if self.divergence is None:
            return False
        found = self.divergence.findings
        told = f"{found.diagnosis.text}; {found.diagnosis.where}"
        return (found.first.op, found.diagnosis.field) == (bug.op, bug.field) and bug.detail in told


def locate(bug: Bug, folder: Path) -> Located:
    """Run the Program of a bug on the hardware with the bug, and find out what is wrong; files go to `folder`."""
    machine, program = bug_machine(), PROGRAMS[bug.program]()
    planned, inputs = plan(program, machine), inputs_of(program)
    place = ICARUS.build(faulty_verilog(bug, machine), TOP, folder / "build")
    try:
        result = run(planned, inputs, place=place)
    except IncompleteRun as error:
        result = error.result
    engines = {"simulator": simulate(planned.program, inputs), "torch": run_reference(planned.program, inputs)}
    return Located(diverge(planned, inputs, result, engines, folder / "found", place), planned.timeline.total)


def row(bug: Bug, located: Located) -> str:
    """Return the row of a bug in the table."""
    found = None if located.divergence is None else located.divergence.findings
    told = "nothing" if found is None else (f"{found.first.op}, {found.diagnosis.field or 'no field'}: "
                                            f"{found.diagnosis.text}; {found.diagnosis.where}")
    mark = "" if located.is_right(bug) else " (not what was listed)"
    return f"| {bug.name} | {bug.op} | {bug.field} | {told}{mark} | {located.cycles:,} |"


def main() -> None:
    """Locate all bugs, or those with a word in their names, and write the table of all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("word", nargs="?", default="", help="only bugs with this word in their names; none are written")
    word = parser.parse_args().word
    rows, right = [], 0
    bugs = [bug for bug in read_bugs() if word in bug.name]
    for bug in bugs:
        with tempfile.TemporaryDirectory(prefix="bitwright-") as folder:
            located = locate(bug, Path(folder))
        rows.append(row(bug, located))
        right += located.is_right(bug)
        print(rows[-1], flush=True)
    print(f"{right} of {len(bugs)} located")
    if not word:
        table = "\n".join(["| bug | op | field | found | cycles |", "|---|---|---|---|--:|", *rows, "",
                           f"{right} of {len(bugs)} are located.", ""])
        atomic_write_text(PAGE, re.sub(f"{BEGIN}.*?{END}", lambda _: BEGIN + table + END, PAGE.read_text(), flags=re.S))


if __name__ == "__main__":
    main()
