"""Program images on their way into the tables."""

from __future__ import annotations

import pytest

from rtl.encoding.geometry import Geometry
from rtl.shell.program_loader import ProgramLoader
from sim.arch.machine import Machine


@pytest.mark.parametrize("stream_bits", [4, 16])
def test_words_arrive_and_faults_are_found(run_unit, small_machine, stream_bits):
    """Beats of one byte and of two: words of random images, flipped bits, wrong lengths and counts."""
    machine = Machine(**small_machine.model_dump() | {"stream_bits": stream_bits})
    run_unit(ProgramLoader(Geometry(machine)), "program_loader_bench", machine)
