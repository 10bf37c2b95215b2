"""What came of a job."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from bitwright.farm.job import Job

__all__ = ["Outcome"]


@dataclass(frozen=True)
class Outcome:
    """What came of a job.

    Attributes
    ----------
    job : Job
    value : plain data
        What the function returned; None if it failed.
    failure : str
        Why it failed, in a sentence; empty if it did not.
    seconds : float
        How long it took.
    arrays : mapping of str to array
        What the function returned beside the value.
    """

    job: Job
    value: Any
    failure: str
    seconds: float
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)
