"""Engines that are installed."""

from __future__ import annotations

import pytest

from rtl.cosim.simulators import COCOTB_ENGINES, ICARUS


@pytest.fixture(scope="module", params=COCOTB_ENGINES, ids=lambda engine: engine.name)
def engine(request):
    """Every engine that cocotb drives; the optional ones are skipped, with the reason, where they are missing."""
    reason = request.param.missing()
    if reason and request.param is not ICARUS:
        pytest.skip(reason)
    return request.param
