"""The packer."""

from __future__ import annotations

from rtl.core.datapath.output_packer import OutputPacker
from rtl.encoding.geometry import Geometry


def test_packer_writes_planes(run_unit, small_machine):
    """Planes come out lowest first, at the right addresses, lanes and columns, as wide as the accumulator."""
    run_unit(OutputPacker(Geometry(small_machine)), "output_packer_bench")
