"""The reasons for which mutants survive speak of the hardware as it is."""

from __future__ import annotations

import pytest

from rtl.shell.top import Top
from rtl.verification.mutation.netlist import lines_by_module
from rtl.verification.mutation.small_geometry import small_geometry
from rtl.verification.mutation.survivors import Rule, read_rules, stale_lines
from rtl.verilog.emit import TOP, verilog_text


@pytest.mark.nightly
def test_every_line_of_a_rule_is_there():
    """A line that is gone, such as one with the number of a wire, is found before it excuses another fault."""
    text = verilog_text(Top(small_geometry()), TOP)
    assert stale_lines(read_rules(), text.splitlines(), lines_by_module(text, TOP)) == []


def test_a_stale_alternative_is_named():
    """Each alternative is looked for by itself, in the modules that the rule speaks of."""
    source = ["assign a = b + c;", "assign d = _01_;", "assign e = b - c;"]
    rules = [Rule("one", "(a|d) = (b|_0[12]_)", "a reason"), Rule("*o*", "b - c|_01_", "another")]
    assert stale_lines(rules, source, {"one": {1, 2}, "two": {3}}) == ["one: a = _0[12]_", "one: d = b"]
