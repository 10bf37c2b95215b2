"""The search takes every Program: ops of all kinds, lattices, bands, tensors that pass through the host's memory."""

import numpy as np
import pytest

from bitwright.divergence.find import find
from bitwright.divergence.findings_text import full_text
from bitwright.divergence.ops import check_ops
from bitwright.divergence.shrunk import cut_out
from rtl.cosim.run import UNDEFINED, RtlResult
from sim.arch.machine import load_machine
from sim.errors import InputError
from sim.functional.reference import simulate
from sim.ir.ops import Load, Store
from sim.plan.plan import plan
from sim.testing import TRAITS, corner_inputs, random_program
from sim.testing.stimulus.programs import KINDS

MOST_CODES = 2500


@pytest.fixture(params=[pytest.param(seed, marks=[pytest.mark.nightly] if seed > 1 else []) for seed in range(10)])
def ran(request):
    """A plan of a random Program, its inputs, and what an RTL without faults gives."""
    rng = np.random.default_rng(100 + request.param)
    lanes = {"depthwise_lanes": 4} if request.param % 2 else {}
    machine = load_machine("tiny").model_copy(update={"region_words": 64 if request.param % 3 == 0 else 256, **lanes})
    while True:
        program = random_program(rng, machine, layers=3, kinds=(*KINDS, "grouped"), traits=(*TRAITS, "lattice"))
        try:
            planned = plan(program, machine)
        except InputError:
            continue
        if sum(np.prod(tensor.shape) for tensor in planned.program.tensors) < MOST_CODES:
            inputs = corner_inputs(rng, program, 2)
            codes = simulate(planned.program, inputs)
            chip = {tensor.name: codes[tensor.name].copy() for tensor in planned.program.tensors
                    if tensor.name in planned.bases}
            return planned, inputs, codes, RtlResult(
                {name: array.copy() for name, array in codes.items()}, np.zeros((2, 1), np.int64), (), chip)


def test_a_right_run_is_right(ran):
    """Every op of a run without faults follows from what it read."""
    planned, inputs, codes, result = ran
    checks = list(check_ops(planned, inputs, result, codes))
    assert [check.op for check in checks] == list(planned.program.ops)
    for check in checks:
        np.testing.assert_array_equal(check.found, check.expected)
        assert check.comparable.all()
    assert find(planned, inputs, result, {"simulator": codes}) is None


def test_an_op_alone_makes_the_same_codes(ran):
    """What is cut out is a Program of one layer, which makes what the op had made of the same codes."""
    planned, inputs, codes, result = ran
    for check in check_ops(planned, inputs, result, codes):
        try:
            case = cut_out(planned, check, 1)
            made = case.codes
        except InputError:  # wide tensors cannot be copied by a layer
            assert isinstance(check.op, Load | Store)
            continue
        (layer,) = case.program.ops
        expected = check.expected[1:] if not isinstance(check.op, Load | Store) else made["copied"]
        np.testing.assert_array_equal(made[layer.output], expected)


@pytest.mark.parametrize("undefined", [False, True])
def test_the_op_that_wrote_a_wrong_code_is_named(ran, undefined):
    """One code that is changed, or undefined, is found where it is; everything about it can be told."""
    planned, inputs, codes, result = ran
    for number, op in enumerate(planned.program.ops):
        if op.writes is None:
            continue
        wrong = RtlResult({name: array.copy() for name, array in result.codes.items()}, result.ends, ())
        check = next(check for check in check_ops(planned, inputs, wrong, codes) if check.number == number)
        channel, y, x = check.places[:, -1, -1, -1].tolist()
        wrong.codes[op.output][1, channel, y, x] = UNDEFINED if undefined else check.found[1, -1, -1, -1] ^ 1
        planes = np.where(wrong.codes[op.output] == UNDEFINED, 1, 0)
        wrong.planes.update({op.output: planes} if undefined else {})
        found = find(planned, inputs, wrong, {"simulator": codes})
        assert found is not None
        assert (found.first.op, found.first.image, found.first.channel, found.first.y, found.first.x) == (
            op.name, 1, channel, y, x)
        assert found.first.plane == 0
        assert f"op '{op.name}' is wrong by itself: 1 of " in full_text(found)
