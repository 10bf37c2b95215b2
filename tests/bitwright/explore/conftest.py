"""A space that takes a second to explore, and what compares two runs."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

SPACE = """
networks:
- {network: resnet8, bits: [2/3, 4/4]}
machine:
  base: edge
  rows: [4, 8, 16, 12]
  columns: {from: 1, to: 5, step: 2}
  lanes: [16, 32]
  requantizers: rows // 4
  depthwise_lanes: 0
  stream_bits: lanes
  memory.latency_cycles: [0, 100]
constraints: [rows * lanes <= 256]
limits: {power_mw: 100, area_mm2.nominal: 5}
objectives: [latency_ms, energy_mj, area_mm2.high]
"""


@pytest.fixture
def space(tmp_path: Path) -> Path:
    """The file of the space: 96 points, of which 12 x 2 are beyond the constraint and 12 x 2 have no machine."""
    path = tmp_path / "space.yaml"
    path.write_text(SPACE)
    return path


@pytest.fixture
def tables() -> Callable[[Path], dict[str, list[Any]]]:
    """What returns all rows of the tables of a run, but for the jobs, which hold how long they took."""
    def read(path: Path) -> dict[str, list[Any]]:
        with closing(sqlite3.connect(path)) as database:
            names = [name for name, in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            return {name: database.execute(f"SELECT * FROM {name}").fetchall() for name in sorted(names)
                    if name != "jobs"}

    return read
