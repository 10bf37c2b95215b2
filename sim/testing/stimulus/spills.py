"""Spill tensors to the host's memory and load them back: explicit Stores and Loads, of rows and of parts."""

from __future__ import annotations

import numpy as np

from sim.ir.ops import Load, Store, Tensor
from sim.testing.stimulus.program_builder import ProgramBuilder

__all__ = ["spill"]

WAYS = ("as it is", "twice", "by parts", "rows of parts")
"""How a tensor comes to lie in the host's memory: alone, or in copies, below each other or as parts of one tensor."""


def spill(builder: ProgramBuilder, source: Tensor, computed: bool, parts: bool) -> Tensor:
    """Store `source`, unless it is an input, and load some rows of it back.

    Parameters
    ----------
    builder : ProgramBuilder
    source : Tensor
        Already part of it.
    computed : bool
        Whether a Conv or Pool has written it; if not, the host has it.
    parts : bool
        Whether what comes back may have several parts.

    Returns
    -------
    Tensor
        What the next layer may read.
    """
    host = _stored(builder, source, parts) if computed else source
    height = builder.choices.integer("loaded_rows", 1, host.height)
    first = builder.choices.integer("first_row", 0, host.height - height)
    target = builder.tensor(height, host.width, host.parts, host.format)
    while not builder.holds(target) and height > 1:
        height = (height + 1) // 2
        target = builder.tensor(height, host.width, host.parts, host.format)
    builder.add(target, builder.samples[host.name][:, :, first : first + height])
    builder.ops.append(Load(builder.op_name(), host.name, target.name, first))
    return target


def _stored(builder: ProgramBuilder, source: Tensor, several: bool) -> Tensor:
    """Store `source`, as often as the way it goes wants; the tensor in the host's memory."""
    way = builder.choices.choice("way", WAYS if several and len(source.parts) == 1 else WAYS[:2])
    if way == "as it is":
        builder.ops.append(Store(builder.op_name(), source.name, source.name))
        return source
    copies, parts = (2 if way in ("twice", "rows of parts") else 1), (2 if "parts" in way else 1)
    samples = np.tile(builder.samples[source.name], (1, parts, copies, 1))
    copied = builder.tensor(copies * source.height, source.width, source.parts * parts, source.format)
    host = builder.add(copied, samples)
    builder.remote.add(host.name)
    places = [(copy * source.height, part) for copy in range(copies) for part in range(parts)]
    for row, part in reversed(places) if builder.choices.chance("last place first", 0.5) else places:
        builder.ops.append(Store(builder.op_name(), source.name, host.name, row, part if parts > 1 else None))
    return host
