"""Tensors that take a detour through the host's memory: explicit Stores and Loads, of rows and of parts."""

from __future__ import annotations

import numpy as np

from sim.ir.ops import Load, Store, Tensor
from sim.testing.stimulus.program_builder import Draft

__all__ = ["detour"]

WAYS = ("as it is", "twice", "by parts", "rows of parts")
"""How a tensor comes to lie in the host's memory: alone, or in copies, below each other or as parts of one tensor."""


def detour(draft: Draft, source: Tensor, computed: bool, parts: bool) -> Tensor:
    """Store `source`, unless it is an input, and load some rows of it back.

    Parameters
    ----------
    draft : Draft
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
    host = _stored(draft, source, parts) if computed else source
    height = draft.choices.integer("loaded_rows", 1, host.height)
    first = draft.choices.integer("first_row", 0, host.height - height)
    target = draft.tensor(height, host.width, host.parts, host.format)
    while not draft.holds(target) and height > 1:
        height = (height + 1) // 2
        target = draft.tensor(height, host.width, host.parts, host.format)
    draft.add(target, draft.samples[host.name][:, :, first : first + height])
    draft.ops.append(Load(draft.op_name(), host.name, target.name, first))
    return target


def _stored(draft: Draft, source: Tensor, several: bool) -> Tensor:
    """Store `source`, as often as the way it goes wants; the tensor in the host's memory."""
    way = draft.choices.choice("way", WAYS if several and len(source.parts) == 1 else WAYS[:2])
    if way == "as it is":
        draft.ops.append(Store(draft.op_name(), source.name, source.name))
        return source
    copies, parts = (2 if way in ("twice", "rows of parts") else 1), (2 if "parts" in way else 1)
    samples = np.tile(draft.samples[source.name], (1, parts, copies, 1))
    host = draft.add(draft.tensor(copies * source.height, source.width, source.parts * parts, source.format), samples)
    draft.remote.add(host.name)
    places = [(copy * source.height, part) for copy in range(copies) for part in range(parts)]
    for row, part in reversed(places) if draft.choices.chance("last place first", 0.5) else places:
        draft.ops.append(Store(draft.op_name(), source.name, host.name, row, part if parts > 1 else None))
    return host
