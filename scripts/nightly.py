"""`make nightly`: everything that is too long for every change, in parts; within 8 hours on two cores."""

from __future__ import annotations

import sys
from pathlib import Path

from parts import PYTEST, Part, run_parts

TESTS = (*PYTEST, "--hypothesis-profile=nightly")
ONE_THREAD = {"OMP_NUM_THREADS": "1"}
FOLDERS = ("tests", "sim", "rtl", "quant", "bitwright")
"""Folders that hold tests, doctests included; each file belongs to one part."""
PARTS = [
    Part("lint", ("make", "lint")),
    Part("docs", ("make", "docs")),
    Part("tests-sim", (*TESTS, "tests/sim", "sim"), ONE_THREAD),
    Part("tests-quant", (*TESTS, "tests/quant", "quant"), ONE_THREAD),
    Part("tests-others", (*TESTS, "tests", "bitwright", *(
        f"--ignore=tests/{folder}" for folder in ("sim", "rtl", "quant"))), ONE_THREAD),
    Part("tests-rtl", (*TESTS, "tests/rtl", "rtl", "--ignore=tests/rtl/verification/formal",
                       "--ignore=tests/rtl/verification/mutation", "--coverage-goal=100"), ONE_THREAD),
    Part("tests-proofs", (*TESTS, "tests/rtl/verification/formal"), ONE_THREAD),
    Part("tests-mutants", (*TESTS, "tests/rtl/verification/mutation"), ONE_THREAD),
    Part("portability", (sys.executable, "scripts/portability.py")),
    Part("fuzz", ("make", "fuzz", "ARGS=--minutes 10")),
    Part("campaign", ("make", "campaign", "ARGS=--minutes 90")),
]

if __name__ == "__main__":
    sys.exit(run_parts("Everything that is too long for every change.", PARTS, Path("nightly-out")))
