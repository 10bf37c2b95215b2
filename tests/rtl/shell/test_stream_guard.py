"""The end of the outward stream."""

from __future__ import annotations

from rtl.shell.stream_guard import StreamGuard


def test_offers_stay_and_packets_end(run_unit):
    """With random stops and back-pressure, every beat and every end is that of a model."""
    run_unit(StreamGuard(8), "stream_guard_bench")
