"""What each op of a placed Program waits for.

There are three queues: Convs and Pools, Loads, and Stores, each in Program order. A region of the activation memories
serves one op at a time, so an op waits for the last one before it that uses a region that it uses; that one has
waited for those before. A Load also waits for the Stores that write the rows it reads in the host's memory. A table
waits for a free slot: for the end of the last but one Conv with a table. All of them come before it in the Program, so
ops never wait for each other in a ring.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.arch.table_memory import TABLE_SLOTS
from sim.ir.ops import Conv, Load, Op, Store, Tensor

__all__ = ["Waits", "op_waits"]


@dataclass(frozen=True)
class Waits:
    """How many ops of each queue must have ended before an op may start; 0 for its own queue.

    Attributes
    ----------
    computes, loads, stores : int
        Convs and Pools, Loads, and Stores, counted from the start of the Program.
    written : int
        Of `stores`, those that write the rows that a Load reads: the host can give them only after that.
    table : int
        Convs and Pools that must have ended before the table of a Conv may come in.
    """

    computes: int = 0
    loads: int = 0
    stores: int = 0
    written: int = 0
    table: int = 0


def op_waits(tensors: Mapping[str, Tensor], ops: Sequence[Op],
                 regions: Mapping[str, range]) -> tuple[Waits, ...]:
    """Return what each op waits for.

    Parameters
    ----------
    tensors : mapping of str to Tensor
    ops : sequence of Op
        In Program order.
    regions : mapping of str to range
        The regions of every tensor that is on chip.
    """
    last: list[tuple[int, int] | None] = [None] * max((places.stop for places in regions.values()), default=0)
    rows: dict[str, NDArray[np.int64]] = {}
    ended, found = [0, 0, 0], []
    tabled = [0] * TABLE_SLOTS
    for op in ops:
        queue, places = op.queue, [slice(regions[name].start, regions[name].stop) for name in op.chip_tensors]
        needs, written, table = [0, 0, 0], 0, 0
        for user in {user for place in places for user in last[place]}:
            if user is not None:
                needs[user[0]] = max(needs[user[0]], user[1])
        needs[queue] = 0
        ended[queue] += 1
        if isinstance(op, Store):
            _note_rows(tensors, op, rows, ended[queue])
        elif isinstance(op, Load) and op.input in rows:
            height = tensors[op.output].height
            written = int(rows[op.input][:, op.first_row : op.first_row + height].max())
        elif isinstance(op, Conv) and op.table is not None:
            tabled.append(ended[queue])
            table = tabled[-1 - TABLE_SLOTS]
        found.append(Waits(needs[0], needs[1], max(needs[2], written), written, table))
        for place in places:
            last[place] = [(queue, ended[queue])] * (place.stop - place.start)
    return tuple(found)


def _note_rows(tensors: Mapping[str, Tensor], store: Store, rows: dict[str, NDArray[np.int64]], number: int) -> None:
    """Note the Store, counted from 1, that writes rows of a tensor in the host's memory, shape (parts, height)."""
    target, height = tensors[store.output], tensors[store.input].height
    held = rows.setdefault(target.name, np.zeros((len(target.parts), target.height), np.int64))
    part = slice(None) if store.output_part is None else store.output_part
    held[part, store.first_row : store.first_row + height] = number
