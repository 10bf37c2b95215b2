"""The rule of valid/ready streams that hardware breaks most easily: what is offered stays until it is taken."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cocotb.triggers import RisingEdge

__all__ = ["keeps_offers"]


async def keeps_offers(clock: Any, valid: Any, ready: Any, kept: Sequence[Any]) -> None:
    """Check at every rising edge that what was offered and not taken is still offered, unchanged.

    Parameters
    ----------
    clock, valid, ready : handles
    kept : sequence of handles
        What must not change: data, last and their like.

    Raises
    ------
    AssertionError
        At once, in the bench that has started this.
    """
    edge, offer = RisingEdge(clock), list[str]()
    while True:
        await edge
        present = [str(signal.value) for signal in kept] if valid.value == 1 else []
        assert offer in ([], present), f"{valid._name}: what was offered was not kept"
        offer = [] if ready.value == 1 else present
