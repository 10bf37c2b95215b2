"""Images over several processes."""

from __future__ import annotations

import re

import numpy as np
import pytest

from rtl.cosim.parallel import run_parallel
from rtl.cosim.run import run
from sim.arch.machine import load_machine
from sim.errors import InputError
from sim.plan.plan import plan
from sim.testing import corner_inputs, random_program


@pytest.fixture(scope="module")
def planned():
    """A layer on `tiny`."""
    machine = load_machine("tiny")
    return plan(random_program(np.random.default_rng(1), machine, kinds=["dense"], layers=1), machine)


def test_workers_change_nothing(planned):
    """Three images on two processes give the codes, cycles and counters, in the order, of one process."""
    inputs = corner_inputs(np.random.default_rng(2), planned.program, 3)
    one, two = run(planned, inputs), run_parallel(planned, inputs, 2)
    assert one.codes.keys() == two.codes.keys()
    for name, codes in one.codes.items():
        np.testing.assert_array_equal(codes, two.codes[name])
    np.testing.assert_array_equal(one.ends, two.ends)
    assert one.counters == two.counters


def test_errors_come_through(planned):
    """What one process refuses is refused."""
    fitting = corner_inputs(np.random.default_rng(2), planned.program, 2)
    inputs = {name: codes + (1 << 20) for name, codes in fitting.items()}
    with pytest.raises(InputError, match=r"^input 't0': code \d+ at"):
        run_parallel(planned, inputs, 2)


def test_no_worker_is_refused(planned):
    """Somebody must work."""
    with pytest.raises(ValueError, match=f"^{re.escape('workers must be at least 1, not 0')}$"):
        run_parallel(planned, {}, 0)
