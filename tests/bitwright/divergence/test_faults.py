"""Hypotheses about sums, held against sums that plain Python counts bit by bit."""

import numpy as np
import pytest

from bitwright.divergence.accumulator_faults import plane_faults
from bitwright.divergence.conv_run import ConvRun
from bitwright.divergence.operand_faults import operand_faults
from rtl.verification.planted.programs import bug_machine, inputs_of, network
from sim.functional.reference import simulate
from sim.plan.plan import plan


@pytest.fixture(scope="module")
def padded():
    """The padded layer of the Program of planted bugs, and its codes by the contract."""
    planned = plan(network(), bug_machine())
    number, conv = next((i, op) for i, op in enumerate(planned.program.ops) if op.name == "padded")
    codes = simulate(planned.program, inputs_of(planned.program))
    shape = codes[conv.output].shape
    return ConvRun(planned, conv, planned.schedules[number], planned.program.tensor(conv.input), codes[conv.input],
                   np.zeros(shape, np.int64), None), codes[conv.output]


def counted(run, weigh):
    """Sum over taps and pairs of planes what `weigh` makes of a pair, one operand after the other."""
    conv, total = run.conv, np.zeros_like(run.accumulator)
    for _, o, y, x in np.ndindex(total.shape):
        for c, ky, kx in np.ndindex(conv.weights.shape[1:]):
            w, a = int(conv.weights[o, c, ky, kx]), int(run.padded[0, c, y + ky, x + kx])
            total[0, o, y, x] += sum(weigh(i, j) for i in range(3) for j in range(4) if w >> i & 1 and a >> j & 1)
    return total


def significance(i, j):
    return (-1 if (i == 2) != (j == 3) else 1) * 2 ** (i + j)


def test_the_contract_is_what_the_run_expects(padded):
    """Without a fault, sums are those that are counted, and codes those of the simulator."""
    run, codes = padded
    np.testing.assert_array_equal(run.accumulator, counted(run, significance))
    np.testing.assert_array_equal(run.expected, codes)


@pytest.mark.parametrize(("text", "weigh"), [
    ("all count alike: the partial sum is never doubled", lambda i, j: -1 if (i == 2) != (j == 3) else 1),
    ("a step ends 1 too early", lambda i, j: 0 if (i, j) == (0, 0) else significance(i, j) // 2),
    ("weight plane 1 with activation plane 2 not added", lambda i, j: 0 if (i, j) == (1, 2) else significance(i, j)),
    ("weight plane 2 with activation plane 3 added with the other sign",
     lambda i, j: -significance(i, j) if (i, j) == (2, 3) else significance(i, j))])
def test_pairs_of_planes_are_counted_as_it_says(padded, text, weigh):
    """A hypothesis about pairs of planes gives the sums of its words."""
    run, _ = padded
    (found,) = (one.accumulator for one in plane_faults(run) if one.text == text)
    np.testing.assert_array_equal(found, counted(run, weigh))


@pytest.mark.parametrize(("field", "text", "weigh"), [
    ("activation sign", "sign plane added for all taps",
     lambda i, j: abs(significance(i, j)) * (-1 if i == 2 else 1)),
    ("weight sign", "sign plane added for all taps", lambda i, j: abs(significance(i, j)) * (-1 if j == 3 else 1)),
    ("activations", "plane 1 lost", lambda i, j: 0 if j == 1 else significance(i, j)),
    ("weights", "plane 0 lost", lambda i, j: 0 if i == 0 else significance(i, j))])
def test_operands_are_changed_as_it_says(padded, field, text, weigh):
    """A hypothesis about planes of operands gives the sums of its words."""
    run, _ = padded
    (found,) = (one.accumulator for one in operand_faults(run) if (one.field, one.text) == (field, text))
    np.testing.assert_array_equal(found, counted(run, weigh))
