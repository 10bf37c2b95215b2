"""The bit-plane sequencer."""

from __future__ import annotations

from rtl.core.datapath.plane_sequencer import PlaneSequencer
from rtl.encoding.geometry import Geometry


def test_every_plane_pair_comes_once(run_unit, small_machine):
    """For all widths every plane pair comes once, in the contract's order, with its sign, also from step to step."""
    run_unit(PlaneSequencer(Geometry(small_machine)), "plane_sequencer_bench")
