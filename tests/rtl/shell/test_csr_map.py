"""The register table and the documents made from it."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import pytest
from systemrdl import RDLCompiler

from rtl.shell.csr_docs import registers_markdown, registers_rdl
from rtl.shell.csr_map import ADDRESS_BITS, REGISTERS, counter_offset, register
from rtl.shell.fault_codes import FAULT_TEXTS, FaultCode

DOCS = Path(__file__).parents[3] / "docs"


def test_registers_do_not_overlap():
    """Every register has its own word inside the address range, in rising order, and a name of its own."""
    offsets = [reg.offset for reg in REGISTERS]
    assert offsets == sorted(set(offsets))
    assert all(offset % 4 == 0 and offset < 1 << ADDRESS_BITS for offset in offsets)
    assert len({reg.name for reg in REGISTERS}) == len(REGISTERS)


def test_fields_do_not_overlap():
    """No bit of a register belongs to two fields, and all bits are among its 32."""
    for reg in REGISTERS:
        assert all(not a.mask & b.mask for a, b in combinations(reg.fields, 2)), reg.name
        assert all(field.mask < 1 << 32 for field in reg.fields), reg.name


def test_every_fault_is_explained():
    """No code is without a text, and all fit the field."""
    assert set(FAULT_TEXTS) == set(FaultCode)
    assert max(FaultCode) < 1 << register("FAULT").field("code").width


def test_a_counter_has_two_halves():
    """The high half of a counter stands behind its low one."""
    assert register("PAIRS_LOW").offset == counter_offset("pairs")
    assert register("PAIRS_HIGH").offset == counter_offset("pairs") + 4


def test_the_page_is_current():
    """docs/registers.md is what the table gives; write it anew with `python scripts/write_pages.py`."""
    assert (DOCS / "registers.md").read_text() == registers_markdown()


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """The SystemRDL text, read by a compiler of another hand."""
    path = tmp_path_factory.mktemp("rdl") / "bitwright.rdl"
    path.write_text(registers_rdl())
    compiler = RDLCompiler()
    compiler.compile_file(str(path))
    return compiler.elaborate().top


def test_systemrdl_says_the_same(compiled):
    """Names, offsets, fields and access rights of the SystemRDL are those of the table."""
    rights = {"read": (True, False), "read-write": (True, True), "write": (False, True), "event": (True, True)}
    found = [(node.inst_name, node.absolute_address,
              [(f.inst_name, f.low, f.width, f.is_sw_readable, f.is_sw_writable) for f in node.fields()])
             for node in compiled.registers()]
    assert found == [(reg.name, reg.offset, [(f.name, f.low, f.width, *rights[reg.access]) for f in reg.fields])
                     for reg in REGISTERS]


def test_systemrdl_names_the_faults(compiled):
    """The field FAULT.code is encoded by the fault codes."""
    encoding = compiled.get_child_by_name("FAULT").get_child_by_name("code").get_property("encode")
    assert {name: member.value for name, member in encoding.members.items()} == {c.name: c.value for c in FaultCode}
