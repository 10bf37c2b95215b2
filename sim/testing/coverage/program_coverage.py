"""Count which situations Programs and their data exercise in hardware of any kind: no Plan and no machine of ours.

Only what the Programs could meet with other codes counts as missing: one of a single width is not asked for all.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from sim.functional.reference import simulate
from sim.ir.program import Program
from sim.testing.coverage import program_bins, value_bins
from sim.testing.coverage.bins import CLAMPS, PADS, TIES, WIDTHS, WINDOWS
from sim.testing.coverage.layer_view import LayerView, layer_views
from sim.testing.coverage.tally import Bin, Group, Tally

__all__ = ["PROGRAM_GROUPS", "ProgramCoverage"]

KINDS = ("dense", "depthwise", "average", "add", "gate", "copy")
PROGRAM_GROUPS: tuple[Group[LayerView], ...] = (
    TIES, CLAMPS,
    Group("wraps", {"kind": KINDS, "wraps at the": ("top", "bottom")}, value_bins.wraps,
          declared=value_bins.declared_wraps),
    Group("sums", {"kind": KINDS, "sum": program_bins.SUMS}, program_bins.sums, declared=program_bins.declared_sums),
    Group("multipliers", {"multiplier": ("negative", "zero", "positive"), "power of two": (False, True)},
          program_bins.multipliers_met, declared=program_bins.declared_multipliers),
    WIDTHS,
    Group("kernel edges", {"kind": KINDS, "taps of the": program_bins.EDGES}, program_bins.kernel_edges,
          declared=program_bins.declared_kernel_edges),
    WINDOWS, PADS,
)


class ProgramCoverage(Tally[LayerView]):
    """Counts of what runs of Programs have met, and of what they could have met.

    Examples
    --------
    >>> from sim.ir.formats import Format
    >>> from sim.testing.stimulus.single_layers import LayerLimits, random_layers
    >>> limits = LayerLimits(Format(4, "signed"), Format(4, "unsigned"), Format(4, "unsigned"), acc_bits=16)
    >>> coverage = ProgramCoverage()
    >>> for layer in random_layers(limits, seed=3, count=40):
    ...     coverage.add_run(layer.program, {"x": layer.codes})
    >>> coverage.counts["ties: rounding half_up, tie negative odd"] > 0
    True
    """

    def __init__(self) -> None:
        super().__init__(PROGRAM_GROUPS)
        self._possible: set[Bin] = set()

    def add_run(self, program: Program, inputs: Mapping[str, NDArray[np.integer]]) -> None:
        """Count what a Program meets with these codes of its inputs, each of shape (N, channels, height, width).

        Raises
        ------
        InputError
            If the inputs do not fit.
        """
        views = layer_views(program, simulate(program, inputs))
        met = self.met_by(views)
        self.add(met)
        self._possible |= met.keys() | {*self.unmet_by(views)}

    @property
    def possible(self) -> int:
        """Number of bins that these Programs could meet."""
        return len(self._possible)

    @property
    def percent(self) -> float:
        """Part of these bins that was met [%]; 100 before the first run."""
        return 100 * self.covered / self.possible if self._possible else 100.0

    @property
    def missing(self) -> list[Bin]:
        """Bins that these Programs could meet and have not, in the order of declaration."""
        return [found for found in super().missing if found in self._possible]

    def report(self) -> str:
        """Return a line for every group that could be met, and one for every bin that is missing."""
        rows = [f"{name:14s} {met:3d} of {sum(found[0] == name for found in self._possible):3d} bins, {times} times"
                for name, _, met, times in self.table() if any(found[0] == name for found in self._possible)]
        return "\n".join([*rows, *(f"missing: {self.text(found)}" for found in self.missing)])

    def check(self, goal: float) -> None:
        """Check that at least `goal` % of the bins were met.

        Raises
        ------
        AssertionError
            If not, with the report.
        """
        if self.percent < goal:
            raise AssertionError(f"{self.percent:.1f} % of the bins, not {goal} %\n{self.report()}")
