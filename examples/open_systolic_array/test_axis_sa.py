"""An open systolic array, checked where AXIS_SYSTOLIC_ARRAY is a checkout of abarajithan11/axis-systolic-array."""

import os
from pathlib import Path

import pytest

CHECKOUT = os.environ.get("AXIS_SYSTOLIC_ARRAY")
FILES = ("axis_sa", "mac", "n_delay", "pe", "tri_buffer")


@pytest.mark.skipif(CHECKOUT is None, reason="AXIS_SYSTOLIC_ARRAY is not set")
def test_sums_of_the_systolic_array(run_bench):
    """Whoever stalls, every sum is right; Icarus Verilog 11 does not read the sources, Verilator does."""
    run_bench("axis_sa_bench.py", [Path(CHECKOUT) / "rtl" / "sa" / f"{name}.sv" for name in FILES], "axis_sa",
              parameters={"R": 4, "C": 8, "WX": 8, "WK": 8, "WY": 24, "LM": 1, "LA": 1}, simulator="verilator",
              build_args=["-Wno-fatal"])
