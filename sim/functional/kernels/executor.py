"""Run a whole network in one call: its operations in order, image after image."""

from __future__ import annotations

from collections.abc import Callable

from sim.functional.kernels.abi import IMAGE
from sim.functional.kernels.kernel_id import KernelId
from sim.functional.kernels.op_view import call_kernel, load_word, store_word

__all__ = ["KERNELS"]


def _run() -> Callable[..., None]:
    def run(table, count, arena, first, last):
        for image in range(first, last):
            store_word(arena, IMAGE, image)
            for i in range(count):
                call_kernel(load_word(table, 2 * i), load_word(table, 2 * i + 1), arena)

    return run


KERNELS = {KernelId("executor", "run"): _run}
