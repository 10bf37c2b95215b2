"""The same Program in three engines that share no code: torch, the simulator and the RTL."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bitwright.compare import Comparison, compare_codes
from quant.reference import run_reference
from rtl.simulator import run_rtl
from sim.events import events
from sim.plan import Plan
from sim.simulate import simulate
from sim.timing import timeline

__all__ = ["LayerCycles", "Verification", "verify"]


@dataclass(frozen=True)
class LayerCycles:
    """Cycles of one record: from the recurrence, and from the RTL's own counter."""

    name: str
    predicted: int
    counted: int


@dataclass(frozen=True)
class Verification:
    """Outcome of running one Program everywhere.

    Attributes
    ----------
    comparisons : tuple of Comparison
        Torch against the simulator on all images, RTL against the simulator on the first ones.
    layers : tuple of LayerCycles
    predicted, counted : dict of str to int
        Cycle and event counters, per image.
    """

    comparisons: tuple[Comparison, ...]
    layers: tuple[LayerCycles, ...]
    predicted: dict[str, int]
    counted: dict[str, int]

    @property
    def mismatches(self) -> int:
        """Codes that differ, over all engines and tensors."""
        return sum(c.mismatches for c in self.comparisons)

    @property
    def tensors_compared(self) -> int:
        """Tensors compared, over all engines."""
        return sum(c.tensors for c in self.comparisons)

    @property
    def ok(self) -> bool:
        """Equal codes, equal cycles for every record, equal counters."""
        cycles = all(layer.predicted == layer.counted for layer in self.layers)
        return not self.mismatches and cycles and self.predicted == self.counted


def predicted_counters(plan: Plan) -> dict[str, int]:
    """The counters the RTL must show after one image."""
    line = timeline(plan)
    counts = {"total": line.total, "pairs": line.pairs, "wait_accumulator": line.wait_accumulator,
              "wait_weights": line.wait_weights}
    for record in events(plan):
        for name, count in record.items():
            counts[name] = counts.get(name, 0) + count
    return counts


def verify(plan: Plan, inputs: Mapping[str, NDArray[np.integer]], rtl_images: int,
           step: Callable[[str], None]) -> Verification:
    """Run all `inputs` in torch and the simulator and the first `rtl_images` on the RTL, and compare.

    Parameters
    ----------
    plan : Plan
    inputs : mapping of name to integer array, shape (N, C, H, W)
    rtl_images : int
        At most N.
    step : callable
        Told which engine runs next.
    """
    program = plan.program
    step("simulator")
    simulated = simulate(program, inputs)
    step("torch")
    comparisons = [compare_codes(program, ("torch", "simulator"), run_reference(program, inputs), simulated)]
    step("RTL")
    some = {name: codes[:rtl_images] for name, codes in inputs.items()}
    on_rtl = run_rtl(plan, some)
    comparisons.append(compare_codes(program, ("RTL", "simulator"), on_rtl.codes,
                                     {name: codes[:rtl_images] for name, codes in simulated.items()}))
    line = timeline(plan)
    layers = tuple(LayerCycles(record.name, end, counted) for record, end, counted
                   in zip(program.records, line.ends, on_rtl.ends, strict=True))
    return Verification(tuple(comparisons), layers, predicted_counters(plan), on_rtl.counters)
