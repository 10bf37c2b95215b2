"""Tiles of layers."""

from __future__ import annotations

import numpy as np
import pytest

from sim.errors import InputError
from sim.functional.reference import simulate
from sim.ir.ops import Conv, Layer, Pool
from sim.testing import corner_inputs, random_machine, random_program
from sim.testing.stimulus.layer_tiles import crop


def reads_padding_only(program, op, rows):
    """Whether no row of the input lies under the windows of some output rows."""
    extent = op.kernel[0] if isinstance(op, Pool) else op.dilation[0] * (op.weights.shape[2] - 1) + 1
    first = rows.start * op.stride[0] - op.pads[0]
    read = range(first, first + (len(rows) - 1) * op.stride[0] + extent)
    return read.stop <= 0 or read.start >= program.tensor(op.input).height


@pytest.mark.parametrize("seed", range(40))
def test_a_tile_gives_its_part_of_the_layer(seed):
    """Whatever rows and channels: the tile, simulated alone, gives what the whole Program has there."""
    rng = np.random.default_rng(seed)
    program = random_program(rng, random_machine(rng))
    codes = simulate(program, corner_inputs(rng, program, 1))
    for op in program.ops:
        if not isinstance(op, Layer):
            continue
        target = program.tensor(op.output)
        rows, channels = target.height, len(op.weights) if isinstance(op, Conv) else target.parts[0]
        if isinstance(op, Pool) and len(target.parts) > 1:
            continue
        y, o = rng.integers(0, rows), rng.integers(0, channels)
        wanted = range(int(y), int(rng.integers(y, rows)) + 1), range(int(o), int(rng.integers(o, channels)) + 1)
        if reads_padding_only(program, op, wanted[0]):
            with pytest.raises(InputError, match=r"^tensor '\w+': height must be in 1..16777216, not 0$"):
                crop(program, op, codes, *wanted)
            continue
        tile = crop(program, op, codes, *wanted)
        found = simulate(tile.program, tile.inputs)
        np.testing.assert_array_equal(found[target.name][0], tile.output, err_msg=op.name)
        assert tile.output.shape == (len(wanted[1]), len(wanted[0]), target.width)
