"""Proofs about the hardware, each with faults that it must find."""

from __future__ import annotations

from typing import Any

import pytest

from rtl.verification.fault import Fault, planted
from rtl.verification.formal.proof import Proof
from rtl.verification.formal.proofs import PROOFS
from rtl.verification.formal.prove import Refuted

EVERY_DAY = ("PE, each stage", "requantizer, sums, tiny", "tap AGU, each step", "operand fetch, 3 columns",
             "memory ports", "sequencer, each step", "program loader, each step", "counters", "AXI4-Lite",
             "stores in order, 16-bit beats, 12 cycles")
"""Proofs of every kind, whose first fault is looked for in `make test`: proofs change less often than the hardware."""


def case(proof: Proof, fault: Fault | None = None) -> Any:
    """A test case; what takes long, and most faults, are left to the night."""
    later = proof.nightly or (fault and (proof.name not in EVERY_DAY or fault is not proof.faults[0]))
    name = f"{proof.name}, {fault.module}: {fault.new}" if fault else proof.name
    return pytest.param(*filter(None, (proof, fault)), id=name, marks=[pytest.mark.nightly] if later else [])


@pytest.mark.parametrize("proof", [case(proof) for proof in PROOFS])
def test_claims_hold(proof, record_property):
    """The claims of the harness hold for all its inputs."""
    record_property("proof_seconds", round(proof.run().seconds, 1))


def test_faults_fit():
    """The code that each fault replaces occurs once in its module, which can still be imported."""
    for fault in {fault for proof in PROOFS for fault in proof.faults}:
        with planted(fault):
            pass


def test_proofs_of_every_day_exist():
    """A proof that is renamed keeps its fault in `make test`."""
    assert {*EVERY_DAY} <= {proof.name for proof in PROOFS if not proof.nightly}


@pytest.mark.parametrize(("proof", "fault"), [case(proof, fault) for proof in PROOFS for fault in proof.faults])
def test_fault_refutes(proof, fault):
    """With the fault in the hardware, the claims do not hold."""
    with pytest.raises(Refuted, match=r"^(refuted|the induction step fails): "):
        proof.run(fault)
