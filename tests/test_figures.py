"""Figures of the documentation show what the RTL does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_timing_diagram_is_current():
    """Drawn again from a run on the RTL the timing diagram is the one in docs/, and its arrows span the contract's
    constants."""
    done = subprocess.run([sys.executable, ROOT / "scripts" / "draw_timing.py", "--check"], capture_output=True,
                          text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
