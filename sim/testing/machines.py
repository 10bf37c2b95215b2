"""Random legal machines."""

from __future__ import annotations

import numpy as np

from sim.formats import Rounding
from sim.machine import Machine

__all__ = ["random_machine"]


def random_machine(rng: np.random.Generator, small: bool = True) -> Machine:
    """A legal machine; `small` ones suit an event-driven RTL simulator.

    >>> machine = random_machine(np.random.default_rng(0))
    >>> machine.lanes <= 16 and machine.columns <= 4 and machine.acc_depth <= 8
    True
    """
    lanes = int(rng.choice([4, 8, 16] if small else [16, 32, 64]))
    rows = int(rng.choice([1, 2, 4] if small else [4, 8, 16]))
    columns = int(rng.integers(1, 5 if small else 8))
    acc_bits = int(rng.integers(16, 33))
    narrow = [lanes >> k for k in range(lanes.bit_length())]
    wide = [lanes * k for k in (2, 4, 8) if k <= min(rows, columns)]
    modes: list[Rounding] = ["half_up", "half_even", "floor"]
    return Machine(
        name="random", rows=rows, columns=columns, lanes=lanes,
        acc_bits=acc_bits, acc_depth=int(rng.integers(1, 9 if small else 65)),
        requantizers=int(rng.choice([q for q in (1, 2, 4, 8, 16) if q <= rows])),
        terms=int(rng.integers(1, 5)), window=int(rng.integers(4, 13)),
        weight_words=int(rng.choice([128, 256, 512])), act_regions=int(rng.integers(6, 11)),
        region_words=int(rng.choice([64, 128, 256] if small else [512, 1024])),
        stream_bits=int(rng.choice(narrow + wide)), bipolar=bool(rng.random() < 0.75),
        roundings=tuple(mode for mode in modes if rng.random() < 0.6) or ("half_up",), clock_mhz=100,
    )
