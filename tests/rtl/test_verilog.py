"""Verilog of components."""

from __future__ import annotations

import pytest

from rtl.pool import PoolColumn
from rtl.verilog import verilog_text


def test_a_failing_yosys_is_reported(monkeypatch):
    """What Yosys says comes with the error."""
    monkeypatch.setattr("rtl.verilog.YOSYS_SCRIPT", "nonsense\n")
    with pytest.raises(RuntimeError, match=r"^Yosys could not write the Verilog of unit: .*nonsense"):
        verilog_text(PoolColumn(4), "unit")


def test_text_is_repeatable():
    """The same component gives the same bytes."""
    assert verilog_text(PoolColumn(4), "unit") == verilog_text(PoolColumn(4), "unit")
