"""Jobs of the benches, as files."""

from __future__ import annotations

import numpy as np
import pytest

from rtl.cosim.jobs import read_jobs, write_job
from rtl.encoding.program_image import program_image
from sim.arch.machine import load_machine
from sim.errors import InputError
from sim.plan.plan import plan
from sim.testing import random_program


@pytest.mark.parametrize("seed", range(12))
def test_a_job_comes_back_as_it_was(tmp_path, seed):
    """The other process has the same Plan, down to the image's bytes, and the same arrays and facts."""
    rng, machine = np.random.default_rng(seed), load_machine("tiny")
    while True:
        try:
            planned = plan(random_program(rng, machine, layers=4), machine)
            break
        except InputError:
            continue
    arrays = {"input a b": rng.integers(-9, 9, (2, 3)).astype(np.int32), "other": np.zeros((0, 2), np.uint8)}
    write_job(tmp_path, 0, planned, arrays, {"seed": seed, "words": [1 << 300]})
    write_job(tmp_path, 1, planned, {}, {})
    first, second = read_jobs(tmp_path)
    assert program_image(first.plan) == program_image(planned)
    assert (first.plan.bases, first.plan.waits, first.plan.schedules) == (
        planned.bases, planned.waits, planned.schedules)
    assert {name: array.dtype for name, array in first.arrays.items()} == {
        name: array.dtype for name, array in arrays.items()}
    assert np.array_equal(first.part("input")["a b"], arrays["input a b"])
    assert first.facts == {"seed": seed, "words": [1 << 300]}
    assert (second.arrays, second.facts) == ({}, {})
