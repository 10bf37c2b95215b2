"""Proofs about the hardware, each with faults that it must find."""

from __future__ import annotations

import pytest

from rtl.formal.catalogue import PROOFS
from rtl.formal.proof import Fault, Proof
from rtl.formal.prove import Refuted


def marks(proof: Proof) -> list[pytest.MarkDecorator]:
    return [pytest.mark.nightly] if proof.nightly else []


@pytest.mark.parametrize("proof", [pytest.param(p, id=p.name, marks=marks(p)) for p in PROOFS])
def test_claims_hold(proof, record_property):
    """The claims of the harness hold for all its inputs."""
    record_property("proof_seconds", round(proof.run().seconds, 1))


@pytest.mark.parametrize(("proof", "fault"), [
    pytest.param(proof, fault, id=f"{proof.name}, {fault.module}: {fault.new}", marks=marks(proof))
    for proof in PROOFS for fault in proof.faults])
def test_fault_refutes(proof: Proof, fault: Fault):
    """With the fault in the hardware, the claims do not hold."""
    with pytest.raises(Refuted, match=r"^(refuted|the induction step fails): "):
        proof.run(fault)
