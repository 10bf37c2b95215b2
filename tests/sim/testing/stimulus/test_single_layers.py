"""Layers for any machine: within their limits, exact, and in the corners."""

from __future__ import annotations

import numpy as np
import pytest

from sim.errors import InputError
from sim.ir.formats import Format
from sim.testing.coverage.program_coverage import ProgramCoverage
from sim.testing.stimulus.single_layers import LayerLimits, random_layers

NIBBLE, BYTE, CRUMB = Format(4, "unsigned", 3), Format(8, "signed"), Format(2, "signed")
LIMITS = {
    "digits": LayerLimits(Format(8, "signed"), Format(8, "unsigned"), BYTE, acc_bits=24, multiplier_bits=18,
                          most_shift=31, offset_bits=32),
    "bias": LayerLimits(Format(4, "signed"), NIBBLE, NIBBLE, acc_bits=16, multiplier_bits=8, most_shift=12,
                        offset_bits=14, before_multiplier=True, negative_multipliers=True, rounding="half_even"),
    "shifts": LayerLimits(Format(3, "unsigned"), CRUMB, CRUMB, acc_bits=12, multiplier_bits=1, offset_bits=8,
                          per_channel=False, wrap=True, rounding="floor", powers_of_two=True),
    "bipolar": LayerLimits(Format(1, "bipolar"), NIBBLE, BYTE, acc_bits=12, multiplier_bits=4, channels_in=(2, 5))}


@pytest.mark.parametrize("name", LIMITS)
def test_layers_keep_their_limits(name):
    """Every number fits the machine's fields, and the reference of one op gives the simulator's codes."""
    limits = LIMITS[name]
    for layer in random_layers(limits, seed=1, count=30):
        m, n = np.abs(layer.multiplier), layer.shift
        assert (m < 1 << limits.multiplier_bits).all()
        assert (n <= limits.requantizer.most_shift).all()
        assert (np.abs(layer.bias) < 1 << limits.requantizer.offset_bits - 1).all()
        assert limits.per_channel or len({*m.tolist()}) == len({*n.tolist()}) == 1
        if limits.powers_of_two:
            assert (m & (m - 1) == 0).all()
        if limits.before_multiplier:
            assert np.array_equal(layer.offset, layer.multiplier * layer.bias)
        assert np.array_equal(layer.requantizer(layer.sums), layer.outputs)
        sums = np.einsum("nyxijc,ocij->noyx", layer.operands, layer.weights)
        assert limits.wrap or np.array_equal(sums, layer.sums)


@pytest.mark.parametrize(("name", "goal"), [("digits", 90), ("bias", 90), ("bipolar", 85)])
def test_few_layers_meet_the_corners(name, goal):
    """Forty layers meet ties of both signs, clamps at both ends and every edge of the kernel."""
    coverage = ProgramCoverage()
    for layer in random_layers(LIMITS[name], seed=2, count=40):
        coverage.add_run(layer.program, {"x": layer.codes})
    coverage.check(goal)
    assert not [found for found in coverage.missing if found[0] in ("ties", "clamps", "kernel edges")]


def test_the_same_seed_gives_the_same_layers():
    """A failure can be repeated by its seed alone."""
    one, two = ([layer.codes.tobytes() + layer.weights.tobytes() for layer in random_layers(LIMITS["bias"], seed, 3)]
                for seed in (7, 7))
    assert one == two


def test_what_is_not_exercised_is_missing():
    """Zeros meet nothing that the Program declares, and the report names it."""
    layer = next(random_layers(LIMITS["digits"], seed=5, count=1))
    coverage = ProgramCoverage()
    coverage.add_run(layer.program, {"x": np.zeros_like(layer.codes)})
    assert ("sums", ("dense", "positive")) in coverage.missing
    assert "missing: sums: kind dense, sum positive" in coverage.report()
    with pytest.raises(AssertionError, match=r"^\d+\.\d % of the bins, not 100 %\n"):
        coverage.check(100)


def test_limits_that_nothing_fits_are_refused():
    """The sentence says what must fit."""
    with pytest.raises(InputError, match=r"^kernel must be a range from 1 or more upwards, not 3\.\.2$"):
        LayerLimits(BYTE, NIBBLE, BYTE, kernel=(3, 2))
    narrow = LayerLimits(Format(8, "signed"), Format(8, "unsigned"), BYTE, acc_bits=4)
    with pytest.raises(InputError, match=r"^no layer within these limits was found in 100 tries: its window must fit "
                                         r"the map, and its sums an accumulator of 4 bits$"):
        next(random_layers(narrow, 0, 1))
