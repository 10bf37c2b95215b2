"""Time the operations of a network one by one, in the order and with the memory in which they run."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from time import perf_counter

from sim.functional.engine.compiled_network import CompiledNetwork
from sim.functional.kernels import abi

__all__ = ["OperationTime", "time_operations"]

ONE_TURN = {abi.TAP_COUNT: 1, abi.RUN: 1}
"""Words of `gemm_conv` and `fused_conv` that leave 16 products of each sum, and everything else as it is."""


@dataclass(frozen=True)
class OperationTime:
    """What one operation takes.

    Attributes
    ----------
    op : str
        Name of the op, or of the tensor that is moved.
    kernel : str
    seconds : float
        Median of all rounds.
    beside_products : float or None
        Seconds with only the first 16 products of each sum: what is left is requantization and memory. None of a kernel
        that does not compute products one window after the other.
    """

    op: str
    kernel: str
    seconds: float
    beside_products: float | None


def time_operations(network: CompiledNetwork, arena_address: int, rounds: int) -> list[OperationTime]:
    """Time every operation in turn, as often as `rounds` says, on the image that lies in the arena."""
    operations = network.operations
    whole: list[list[float]] = [[] for _ in operations]
    short: list[list[float]] = [[] for _ in operations]
    for _ in range(rounds):
        for i, operation in enumerate(operations):
            if operation.kernel.family in ("gemm_conv", "fused_conv"):
                short[i].append(_seconds(network, i, arena_address, ONE_TURN))
            whole[i].append(_seconds(network, i, arena_address, {}))
    return [OperationTime(operation.op, str(operation.kernel), median(times), median(less) if less else None)
            for operation, times, less in zip(operations, whole, short, strict=True)]


def _seconds(network: CompiledNetwork, index: int, arena_address: int, words: dict[int, int]) -> float:
    run = network.one_operation(index, words)
    started = perf_counter()
    run(arena_address)
    return perf_counter() - started
