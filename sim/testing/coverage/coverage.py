"""Count which of the situations that the hardware must master a set of Programs has met.

What is met follows from a Plan and the codes of a run, which the simulator gives, so that a search for Programs with
missing bins runs no hardware.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from sim.plan.plan import Plan
from sim.testing.coverage.op_view import Codes, OpView, op_views
from sim.testing.coverage.tally import Bin, Tally

__all__ = ["Coverage"]


class Coverage(Tally[OpView]):
    """Counts of how often each bin of some groups was met.

    Parameters
    ----------
    groups : sequence of Group
    """

    def bins_of(self, plan: Plan, codes: Mapping[str, Codes]) -> Counter[Bin]:
        """Count how often a run meets each of the declared bins.

        Parameters
        ----------
        plan : Plan
        codes : mapping of str to int32 array, shape (N, channels, height, width)
            Of every tensor in the run.

        Raises
        ------
        ValueError
            If it meets one that was said to be impossible.
        """
        return self.met_by(op_views(plan, codes))

    def unmet(self, plan: Plan, codes: Mapping[str, Codes]) -> list[Bin]:
        """Return the bins that this Plan can meet with the right codes and that this run has not met, as declared."""
        return self.unmet_by(op_views(plan, codes))
