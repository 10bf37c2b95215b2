"""All that is wrong with a model, in one error."""

from __future__ import annotations

from collections.abc import Iterable

from sim.errors import InputError

__all__ = ["refuse"]


def refuse(reasons: Iterable[str]) -> None:
    """Raise one error for all reasons, if there are any: the reason itself, or how many there are and a line for each.

    >>> refuse([])
    >>> refuse(["stride at '0' is odd", "stride at '1' is odd", "stride at '0' is odd"])
    Traceback (most recent call last):
    sim.errors.InputError: the model cannot be taken, for 2 reasons:
      stride at '0' is odd
      stride at '1' is odd
    """
    different = tuple(dict.fromkeys(reasons))
    if len(different) == 1:
        raise InputError(different[0])
    if different:
        lines = "".join(f"\n  {reason}" for reason in different)
        raise InputError(f"the model cannot be taken, for {len(different)} reasons:{lines}")
