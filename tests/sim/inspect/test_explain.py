"""One code explained: its steps are those of the simulator, its cycles those of the timeline."""

import numpy as np
import pytest

from sim.arch.machine import load_machine
from sim.errors import InputError
from sim.functional.reference import accumulators, simulate
from sim.inspect.explain import explain_code
from sim.inspect.writers import Pixel
from sim.ir.ops import Conv, Load, Pool, Store
from sim.plan.plan import plan
from sim.testing import TRAITS, corner_inputs, random_program

MOST_CODES = 3000
KINDS = ("dense", "depthwise", "linear", "add", "average", "max", "gate", "grouped")


@pytest.fixture(params=[pytest.param(seed, marks=[pytest.mark.nightly] if seed > 2 else []) for seed in range(8)])
def ran(request):
    """A random Program on a machine with depthwise lanes, and the codes of all its tensors."""
    rng = np.random.default_rng(request.param)
    machine = load_machine("tiny").model_copy(update={"depthwise_lanes": 4})
    while True:
        program = random_program(rng, machine, layers=3, kinds=KINDS, traits=(*TRAITS, "lattice"), extent=6)
        try:
            planned = plan(program, machine)
        except InputError:
            continue
        if sum(np.prod(tensor.shape) for tensor in planned.program.tensors) < MOST_CODES:
            return planned, simulate(planned.program, corner_inputs(rng, program, 2))


def explained(planned, codes):
    for tensor in planned.program.tensors:
        for place in np.ndindex(tensor.shape):
            yield (1, *place), explain_code(planned, codes, tensor.name, 1, Pixel(*place))


def test_every_step_is_that_of_the_simulator(ran):
    """Taps add up to the accumulator, the requantizer's last step and the largest code of a window are the code."""
    planned, codes = ran
    sums = accumulators(planned.program, codes)
    for place, found in explained(planned, codes):
        assert found.code == codes[found.tensor][place]
        if found.requantization is not None:
            assert found.requantization.code == found.code
            own = 1, found.own.channel, found.own.y, found.own.x
            assert found.requantization.accumulator == sums[found.op][own]
        elif found.taps:
            assert max(tap.code for tap in found.taps if tap.code is not None) == found.code


def test_the_last_code_of_an_op_is_written_when_the_op_ends(ran):
    """The latest cycle in which a code of an op is written is the last one of the op."""
    planned, codes = ran
    last = dict.fromkeys((op.name for op in planned.program.ops), -1)
    for _, found in explained(planned, codes):
        if found.place is not None:
            last[found.op] = max(last.get(found.op, -1), found.place.written[1])
    for number, op in enumerate(planned.program.ops):
        if isinstance(op, Conv | Pool):
            assert last[op.name] + 1 == planned.timeline.ends[number]
        if isinstance(op, Load | Store) and op.writes is not None:
            assert planned.timeline.starts[number] <= last[op.name] < planned.timeline.ends[number]


def test_places_that_are_not_there_are_refused(ran):
    """A tensor, an image or a place that does not exist is named with what there is."""
    planned, codes = ran
    tensor = planned.program.tensors[0]
    last = tensor.channels - 1
    with pytest.raises(InputError, match=rf"^channel of '{tensor.name}' must be in 0\.\.{last}, not {last + 1}$"):
        explain_code(planned, codes, tensor.name, 0, Pixel(last + 1, 0, 0))
    with pytest.raises(InputError, match=rf"^image of '{tensor.name}' must be in 0\.\.1, not 2$"):
        explain_code(planned, codes, tensor.name, 2, Pixel(0, 0, 0))
