"""Same-cycle dependencies of outputs on inputs: what breaks a handshake when two blocks are put together."""

from __future__ import annotations

import pytest

from rtl.core.dma.load_dma import LoadDma
from rtl.core.dma.store_dma import StoreDma
from rtl.encoding.geometry import Geometry
from rtl.shell.axi_lite import AXI_LITE_PORTS, AxiLiteSlave
from rtl.shell.stream_guard import StreamGuard
from rtl.shell.top import Top
from rtl.verification.fault import Fault, planted
from rtl.verification.formal.comb_paths import combinational_inputs
from sim.arch.machine import Machine, load_machine

OFFERS = {name for name in AXI_LITE_PORTS if name.endswith(("valid", "resp", "data")) and name[0] in "br"}
"""What the slave offers; `ready` and the other channels' inputs must not reach it in the same cycle."""
ACCEPTS = {"awready", "wready", "arready"}


@pytest.fixture
def tiny() -> Machine:
    return load_machine("tiny")


def test_the_slave_offers_and_accepts_from_registers():
    """No signal of AXI4-Lite that leaves the slave follows one that enters it within a cycle."""
    found = combinational_inputs(AxiLiteSlave(), *OFFERS, *ACCEPTS)
    assert set().union(*found.values()) == set()


def test_a_ready_that_waits_for_valid_is_found():
    """A slave that shows `awready` only to a request is reported with that path."""
    import rtl.shell.axi_lite as module  # the planted module replaces the class here

    with planted(Fault("axi_lite", "self.awready.eq(~addressed)", "self.awready.eq(~addressed & self.awvalid)")):
        assert combinational_inputs(module.AxiLiteSlave(), "awready") == {"awready": {"awvalid"}}


def test_a_stores_offer_is_independent_of_its_reader(tiny):
    """`valid`, data and `last` come from registers: they cannot wait for `ready`."""
    found = combinational_inputs(StoreDma(Geometry(tiny)), "o__valid", "o__payload")
    assert set().union(*found.values()) == set()


def test_the_reader_of_a_store_does_not_decide_what_is_read(tiny):
    """Reads of the banks follow from registers: no path leads from a stream through the engine to a memory."""
    found = combinational_inputs(StoreDma(Geometry(tiny)), "bank__read", *(f"bank__address__{c}" for c in range(3)))
    assert "o__ready" not in set().union(*found.values())


def test_the_fill_engine_is_ready_whatever_is_offered(tiny):
    """`ready` depends on what has ended, not on what the stream offers in the same cycle."""
    assert not combinational_inputs(LoadDma(Geometry(tiny)), "i__ready")["i__ready"] & {
        "i__valid", "i__payload"}


def test_the_stream_guard_offers_whether_or_not_it_is_taken():
    """`ready` goes through to the core, but not back into what is offered."""
    found = combinational_inputs(StreamGuard(8), "o__valid", "o__payload")
    assert "o__ready" not in set().union(*found.values())


@pytest.mark.nightly
def test_no_pin_of_the_accelerator_follows_another_within_a_cycle(tiny):
    """All outputs come from registers and memories, so that any two such blocks can be connected."""
    top = Top(Geometry(tiny))
    outputs = [name for name, member in top.signature.members.items() if member.flow.name == "Out"]
    assert {name: pins for name, pins in combinational_inputs(top, *outputs).items() if pins} == {}
