"""The accelerator behind a serial line."""

from __future__ import annotations

import numpy as np
import pytest

from rtl.board.serial_shell import SerialShell
from rtl.cosim.jobs import write_job
from rtl.cosim.simulators import ICARUS
from rtl.encoding.geometry import Geometry
from rtl.encoding.program_image import program_words
from rtl.verilog.cache import machine_text
from rtl.verilog.emit import verilog_text
from rtl.verilog.smoke_test import smoke_plan
from sim.arch.machine import Machine
from sim.energy.counting import total_events
from sim.energy.events import counters_from_events
from sim.functional.reference import simulate
from sim.ir.ops import Store
from sim.testing import corner_inputs

BIT_CYCLES = 5
SHELL = "bitwright_board"


def job_of(planned):
    """Return what the bench needs besides a plan: two images, what they must give, and counters without times."""
    images = corner_inputs(np.random.default_rng(3), planned.program, 2)
    codes = simulate(planned.program, images)
    arrays = {f"input {name}": array for name, array in images.items()}
    arrays |= {f"map {op.output}": codes[op.output] for op in planned.program.ops if isinstance(op, Store)}
    counters = counters_from_events(total_events(planned), planned.machine) | {"pairs": planned.timeline.pairs}
    return arrays, {"words": program_words(planned, Geometry(planned.machine)), "counters": counters}


@pytest.mark.nightly
@pytest.mark.parametrize("stream_bits", [8, 32])
def test_programs_run_through_a_serial_line(small_machine, tmp_path, stream_bits):
    """Codes and events are right with beats of one and of several bytes; a break resets; see the bench's own tests."""
    machine = Machine(**small_machine.model_dump() | {"stream_bits": stream_bits})
    shell = verilog_text(SerialShell(machine, BIT_CYCLES), SHELL)
    place = ICARUS.build(machine_text(machine) + shell, SHELL, tmp_path / "build")
    write_job(tmp_path, 0, smoke_plan(machine), *job_of(smoke_plan(machine)))
    ICARUS.run_bench(place, SHELL, "rtl.verification.benches.serial_bench", tmp_path,
                     {"BITWRIGHT_JOB": str(tmp_path), "BITWRIGHT_BIT_CYCLES": str(BIT_CYCLES)})
