"""`make portability`: the tests that train, as if on other machines: kernels of other CPUs, threads, other seeds."""

from __future__ import annotations

import sys
from pathlib import Path

from parts import PYTEST, Part, run_parts

TRAINING = (*PYTEST, "-m", "trains", "tests/quant", "tests/bitwright")
SETTINGS = {
    "aten-default": {"ATEN_CPU_CAPABILITY": "default"},
    "aten-avx2": {"ATEN_CPU_CAPABILITY": "avx2"},
    "onednn-sse41": {"ONEDNN_MAX_CPU_ISA": "SSE41"},
    "onednn-avx2": {"ONEDNN_MAX_CPU_ISA": "AVX2"},
    "two-threads": {"OMP_NUM_THREADS": "2", "OMP_WAIT_POLICY": "passive"},  # spinning threads starve each other
    **{f"seeds-{shift}": {"BITWRIGHT_TEST_SEED_SHIFT": str(shift)} for shift in (1, 2, 3)},
}
"""Environments, one at a time: what torch and oneDNN compute with, and what is added to every seed."""
PARTS = [Part(name, TRAINING, {"OMP_NUM_THREADS": "1"} | environment) for name, environment in SETTINGS.items()]

if __name__ == "__main__":
    sys.exit(run_parts("The tests that train, on machines, threads and seeds that are not this one's.", PARTS,
                       Path("portability-out")))
