"""Every counter, field, limit and range of the hardware has a test or proof that reaches its upper end."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from rtl.verification.formal import quantities
from rtl.verification.formal.proof import Proof
from rtl.verification.formal.proofs import LANES, PROOFS, TINY
from sim.arch.limits import LIMITS
from sim.arch.ranges import RANGES

ROOT = Path(__file__).parent.parent
REACHING = [proof for proof in PROOFS if proof.upper_ends]
EVERY_DAY = ("requantizer, codes, half_up, tiny", "tap AGU, each step", "program loader, each step", "watchdog")
"""Proofs whose rows are reached in `make test`; those of the others in `make nightly`."""
DOCUMENT = ROOT / "docs" / "verification.md"


def every_quantity() -> set[str]:
    """What must have a row, by the code of the hardware, of the limits and of the machine."""
    counted = set().union(*(quantities.counters(machine) | quantities.fields(machine) for machine in (TINY, LANES)))
    constants = {f"limits.{name}" for name in vars(LIMITS)}
    return counted | quantities.registers() | constants | {f"machine.{name}" for name in RANGES}


def test_every_quantity_has_a_row(upper_ends):
    """Whoever adds a counter, a field, a limit or a range must say what reaches its end."""
    assert every_quantity() - {name for rows in upper_ends.values() for name in rows} == set()


def test_counters_are_found():
    """Those that count by themselves, by a next state in another signal, and in a field of a structure."""
    assert {"Watchdog.quiet", "OutputAgu.first_group", "TapAgu.current.tap", "TapAgu.current.quotient",
            "PerfCounters.pairs_count", "ProgramLoader.index"} <= quantities.counters(LANES)


def test_tests_of_the_table_exist(upper_ends):
    """A test that the table names is one that pytest collects; it fails by itself when it does not reach its rows."""
    named = {by for by in upper_ends if "::" in by}
    files = sorted({name.partition("::")[0] for name in named})
    done = subprocess.run([sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *files],
                          cwd=ROOT, capture_output=True, text=True, check=True)
    assert named <= set(done.stdout.splitlines())


def test_proofs_of_the_table_exist(upper_ends):
    """The rows of a proof are what its harness is about, with the same largest values."""
    named = {by: rows for by, rows in upper_ends.items() if "::" not in by}
    assert named == {proof.name: proof.upper_ends for proof in REACHING}
    assert {*EVERY_DAY} <= {*named}


@pytest.mark.parametrize("proof", [
    pytest.param(proof, id=proof.name, marks=[] if proof.name in EVERY_DAY else [pytest.mark.nightly])
    for proof in REACHING])
def test_proofs_reach_their_rows(proof: Proof):
    """Among the states that a proof looks at is one with all its quantities at their upper ends at once."""
    assert proof.reaches_upper_ends()


def test_a_proof_that_does_not_reach_is_found():
    """A quantity that an assumption or a narrow register keeps below its end is noticed."""
    proof = next(proof for proof in REACHING if proof.name == "watchdog")

    def beyond():
        harness = proof.harness()
        harness.upper_ends = {"Watchdog.quiet": (harness.upper_ends["Watchdog.quiet"][0], 1 << 32)}
        return harness

    assert not Proof("beyond", "", beyond, 1, (), induction=1).reaches_upper_ends()


def documented(upper_ends: dict[str, dict[str, int]]) -> str:
    """The table as the documents show it: values that occur together share one entry."""
    lines = ["| proof or test | reaches |", "| --- | --- |"]
    for by, rows in upper_ends.items():
        values: dict[int, list[str]] = {}
        for name, most in rows.items():
            values.setdefault(most, []).append(name)
        cells = [f"{', '.join(f'`{name}`' for name in names)} {most}" for most, names in values.items()]
        lines.append(f"| {by if '::' not in by else f'`{by}`'} | {'; '.join(cells)} |")
    return "\n".join(lines)


def test_the_documents_show_the_table(upper_ends):
    """As it is in the file, row by row."""
    found = re.search(r"<!-- upper ends -->\n(.*?)\n<!-- end of upper ends -->", DOCUMENT.read_text(), re.S)
    assert found is not None
    assert found[1] == documented(upper_ends)
