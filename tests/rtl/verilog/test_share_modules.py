"""Identical modules are written once, and nothing else changes."""

from __future__ import annotations

import re

from amaranth.back import rtlil

from rtl.core.datapath.pe_array import PeArray
from rtl.encoding.geometry import Geometry
from rtl.verilog.share_modules import share_modules

LEAVES = r"""
module \chip
  cell \chip.pe_0 \pe_0
  end
  cell \chip.pe_1 \pe_1
  end
  cell \chip.bank$7 \bank
  end
end
module \chip.pe_0
  cell \chip.pe_0.ram \ram
  end
end
module \chip.pe_0.ram
  cell \macro \macro
    parameter \DEPTH 8
  end
end
module \chip.pe_1
  cell \chip.pe_1.ram \ram
  end
end
module \chip.pe_1.ram
  cell \macro \macro
    parameter \DEPTH 16
  end
end
module \chip.bank$7
end
"""


def modules(text):
    """Names of the modules of an RTLIL text, in order."""
    return re.findall(r"^module \\(\S+)$", text, re.M)


def test_a_difference_far_below_keeps_modules_apart():
    """Two modules that differ only in what their children are made of stay two, under names of their own."""
    assert modules(share_modules(LEAVES)) == ["chip", "chip_pe", "chip_pe_ram", "chip_pe_1", "chip_pe_1_ram",
                                              "chip_bank"]


def test_equal_children_make_their_parents_equal():
    """With the same depth everywhere one element and one memory remain; the macro keeps its name."""
    text = share_modules(LEAVES.replace("16", "8"))
    assert modules(text) == ["chip", "chip_pe", "chip_pe_ram", "chip_bank"]
    assert re.findall(r"cell \\(\S+) \\(\S+)", text) == [
        ("chip_pe", "pe_0"), ("chip_pe", "pe_1"), ("chip_bank", "bank"), ("chip_pe_ram", "ram"), ("macro", "macro")]


def test_an_array_has_one_element(small_machine):
    """The array of a machine instantiates one module for all its elements, and every instance keeps its name."""
    before = rtlil.convert(PeArray(Geometry(small_machine)), name="array", emit_src=False)
    after = share_modules(before)
    places = small_machine.rows * small_machine.columns
    assert len(re.findall(r"cell \\array_element \\element_\d+_\d+$", after, re.M)) == places
    assert [name for name in modules(after) if "element" in name] == ["array_element", "array_element_bank"]
    assert len(modules(after)) < len(modules(before)) / 3
