"""Every planted bug is located to the op and the field that were listed before anything could find it."""

import json
from pathlib import Path

import numpy as np
import pytest
import pywellen
from planted_bugs import locate

from rtl.cosim.run import run
from rtl.verification.planted.bugs import Bug, read_bugs
from sim.functional.reference import simulate
from sim.testing.stimulus.cases import load_case

BUGS = [pytest.param(bug, id=bug.name, marks=pytest.mark.nightly) for bug in read_bugs()]


def test_there_are_twenty_bugs_of_which_five_were_drawn() -> None:
    """Each has a name of its own."""
    bugs = read_bugs()
    assert len({bug.name for bug in bugs}) == len(bugs) == 20
    assert sum(bug.name.startswith("drawn from") for bug in bugs) == 5


@pytest.mark.parametrize("bug", BUGS)
def test_a_bug_is_located(bug: Bug, tmp_path: Path) -> None:
    """Op, field and detail are right; the kept case shows the difference again, and the waveforms have its signals."""
    located = locate(bug, tmp_path)
    assert located.is_right(bug), located.divergence
    assert located.divergence is not None
    report = json.loads((tmp_path / "found" / "report.json").read_text())
    assert report["findings"]["diagnosis"]["field"] == bug.field
    assert f"op '{bug.op}' is wrong by itself: " in (tmp_path / "found" / "report.txt").read_text()
    case = load_case(Path(report["case"]))
    again = run(case.plan, case.inputs, place=tmp_path / "build").codes
    codes = simulate(case.plan.program, case.inputs)
    assert any(not np.array_equal(again[name], codes[name]) for name in codes)
    check_waves(tmp_path / "found", report["window"])


def check_waves(folder: Path, window: list[int]) -> None:
    """The save file names signals of the waveforms with their widths, and these are of the window's cycles alone."""
    signals = {var.full_name: var for var in pywellen.Waveform(str(folder / "window.fst")).all_vars()}
    shown = [line.partition("[")[::2] for line in (folder / "window.gtkw").read_text().splitlines()
             if line.startswith("bitwright.")]
    assert {name: signals[name].bitwidth for name, _ in shown} == {
        name: int(bits.partition(":")[0]) + 1 if bits else 1 for name, bits in shown}
    cycles = [value for _, value in signals["bitwright.trace_cycle"].tv if isinstance(value, int)]
    assert (min(cycles), max(cycles)) == (window[0], window[1] + 1)
