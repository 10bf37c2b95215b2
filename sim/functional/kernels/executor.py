"""The one call that runs a whole network: operations in order, image after image."""

from __future__ import annotations

from collections.abc import Callable

from sim.functional.kernels.abi import (
    IMAGE,
)
from sim.functional.kernels.op_call import call_kernel
from sim.functional.kernels.op_view import integer, set_integer

__all__ = ["KERNELS"]



def _run() -> Callable[..., None]:
    def run(table, count, arena, first, last):
        for image in range(first, last):
            set_integer(arena, IMAGE, image)
            for i in range(count):
                call_kernel(integer(table, 2 * i), integer(table, 2 * i + 1), arena)

    return run


KERNELS = {"run": _run}
