"""The table of proofs."""

from __future__ import annotations

import rtl.verification.formal.__main__ as command
from rtl.verification.fault import planted
from rtl.verification.formal.__main__ import main
from rtl.verification.formal.proof import Proof
from rtl.verification.formal.proofs import BOUND_FAULTS, PROOFS

BOUNDS = next(proof for proof in PROOFS if proof.name == "bounds")


def test_proofs_are_listed_with_their_time(capsys):
    """A row for each proof of that name: how long the runs are, seconds, and how many faults were found."""
    assert main(["bounds"]) == 0
    head, _, row = capsys.readouterr().out.splitlines()
    assert head == "| proof | sizes | runs of | seconds | faults found |"
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert (cells[0], cells[2], cells[4]) == ("bounds", "any length", str(len(BOUND_FAULTS)))
    assert float(cells[3]) > 0


def test_a_broken_proof_fails_the_command(capsys):
    """With the fault in the hardware the row says so, and the counterexample is shown."""
    with planted(BOUND_FAULTS[0]):
        assert main(["bounds"]) == 1
    shown = capsys.readouterr()
    assert "| **failed** |" in shown.out
    assert shown.err.startswith("bounds: refuted: ")


def test_a_fault_that_is_not_found_fails_the_command(capsys, monkeypatch):
    """A proof that holds with its fault in the hardware proves nothing about it."""
    blind = Proof(BOUNDS.name, BOUNDS.sizes, PROOFS[0].harness, PROOFS[0].depth, BOUND_FAULTS[:1])
    monkeypatch.setattr(command, "PROOFS", (blind,))
    assert main([]) == 1
    assert capsys.readouterr().err == "bounds: holds also with '(address > last)' in bounds_guard\n"
