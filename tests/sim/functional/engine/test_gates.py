"""Products and broadcast residuals in the fast simulator: every requantizer that has one, against the plain loops."""

from __future__ import annotations

import numpy as np
import pytest

from sim.functional.engine.simulator import Simulator
from sim.functional.kernels.isa import available
from sim.functional.reference import simulate
from sim.ir.arithmetic import Arithmetic
from sim.ir.formats import Format
from sim.ir.ops import Conv, Tensor
from sim.ir.program import Program
from sim.ir.residual import Broadcast, residual_shape
from sim.ir.signed_digits import digits_of

CHANNELS, HEIGHT, WIDTH = 101, 3, 5
"""A whole group of interleaved channels, half a group, and some that are left."""


def product(broadcast: Broadcast, gate: int | None, output: Format, arithmetic: Arithmetic) -> Program:
    """A copy of signed codes times unsigned ones, with a multiplier of its own for each channel."""
    rng = np.random.default_rng(0)
    digits = [digits_of([[int(rng.choice([-1, 1])) * int(rng.integers(1, 9))] for _ in range(CHANNELS)])
              for _ in range(2)]
    conv = Conv("conv", "x", "y", np.ones((CHANNELS, 1, 1, 1), np.int8), Format(1, "unit"), digits[0],
                rng.integers(0, 12, CHANNELS), rng.integers(-4000, 4000, CHANNELS), output.low, output.high,
                groups=CHANNELS, residual="r", residual_part=1, residual_multiplier=digits[1],
                residual_broadcast=broadcast, gate=gate)
    channels, height, width = residual_shape(broadcast, CHANNELS, HEIGHT, WIDTH)
    return Program((Tensor("x", HEIGHT, WIDTH, (CHANNELS,), Format(8, "signed", -3)),
                    Tensor("r", height, width, (2, channels), Format(7, "unsigned", 5)),
                    Tensor("y", HEIGHT, WIDTH, (CHANNELS,), output)), (conv,), arithmetic)


@pytest.mark.parametrize("isa", available())
@pytest.mark.parametrize("broadcast", ["none", "map", "channel"])
@pytest.mark.parametrize(("gate", "bits", "rounding", "acc_bits", "expected"), [
    (2, 8, "half_up", 32, "narrow_{}_gated_free"), (2, 8, "half_even", 32, "narrow_{}_gated_even"),
    (18, 8, "half_up", 32, "wide_{}_gated"), (2, 13, "floor", 32, "wide_{}_gated_32"),
    (2, 8, "half_up", 8, "wide_{}_gated"), (None, 8, "floor", 32, "narrow_{}"), (None, 13, "floor", 32, "wide_{}_32")])
def test_gates_equal_the_plain_loops(isa: str, broadcast: Broadcast, gate: int | None, bits: int, rounding: str,
                                     acc_bits: int, expected: str) -> None:
    """In 32 and 64 bits, with codes of 8 and 32 bits, however the residual is broadcast; each by its own kernel."""
    wraps = acc_bits < bits + 1
    arithmetic = Arithmetic(acc_bits, 19 if wraps else 12, 4, rounding, wrap=wraps)
    program = product(broadcast, gate, Format(bits, "signed", 2), arithmetic)
    rng = np.random.default_rng(1)
    inputs = {t.name: rng.integers(t.format.low, t.format.high + 1, (2, *t.shape)) for t in program.inputs}
    simulator = Simulator(program, isa=isa)
    name = expected.format("pixel" if broadcast == "channel" else "residual")
    assert simulator.requantizers["conv"].startswith(f"requantizer.{name}")
    np.testing.assert_array_equal(simulator.run(inputs)["y"], simulate(program, inputs)["y"])
