"""Proofs about the hardware, each with faults that it must find."""

from __future__ import annotations

from typing import Any

import pytest

from rtl.verification.fault import Fault, planted
from rtl.verification.formal.proof import Proof
from rtl.verification.formal.proofs import PROOFS
from rtl.verification.formal.prove import Refuted


def case(proof: Proof, fault: Fault | None = None) -> Any:
    """A test case; what takes long, and all but the first fault of a proof, is left to the night."""
    later = proof.nightly or (fault and fault is not proof.faults[0])
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


@pytest.mark.parametrize(("proof", "fault"), [case(proof, fault) for proof in PROOFS for fault in proof.faults])
def test_fault_refutes(proof, fault):
    """With the fault in the hardware, the claims do not hold."""
    with pytest.raises(Refuted, match=r"^(refuted|the induction step fails): "):
        proof.run(fault)
