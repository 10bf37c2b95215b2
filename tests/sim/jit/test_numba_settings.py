"""What the environment tells Numba changes the speed at most."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import llvmlite.binding as llvm
import numba
import pytest

from sim.errors import InputError
from sim.functional.kernels.isa import FEATURES, LADDER, available
from sim.jit.numba_settings import VARIABLES, compiling, cpu_features, settings

RUN = """
import numpy as np
from sim.functional.engine.simulator import Simulator
from sim.ir.arithmetic import Arithmetic
from sim.ir.formats import Format
from sim.ir.ops import Conv, Tensor
from sim.ir.program import Program
from sim.functional.reference import simulate
rng, fmt = np.random.default_rng(0), Format(4, "signed")
conv = Conv("conv", "x", "y", rng.integers(-8, 8, (5, 3, 3, 3)).astype(np.int8), fmt, np.ones((5, 1), np.int8),
            np.full(5, 3), np.zeros(5, np.int64), -8, 7)
program = Program((Tensor("x", 4, 5, (3,), fmt), Tensor("y", 2, 3, (5,), fmt)), (conv,),
                  Arithmetic(acc_bits=8, wrap=True))
x = {"x": rng.integers(-8, 8, (2, 3, 4, 5))}
raise SystemExit(int((Simulator(program).run(x)["y"] != simulate(program, x)["y"]).any()))
"""
QUIET = {"PYTHONWARNINGS": "ignore:the cache"}


@pytest.fixture(autouse=True)
def _nothing_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.chdir(tmp_path)


def test_the_host_is_what_code_is_compiled_for() -> None:
    """Told nothing, Numba compiles for all that the CPU can do."""
    assert settings() == ""
    assert cpu_features() == {name for name, there in llvm.get_host_cpu_features().items() if there}


@pytest.mark.parametrize(("told", "rungs"), [
    ({"NUMBA_CPU_NAME": "generic"}, 1), ({"NUMBA_CPU_NAME": "GENERIC"}, 1), ({"NUMBA_CPU_FEATURES": ""}, 1),
    ({"NUMBA_CPU_FEATURES": "+sse2,-avx2"}, 1), ({"NUMBA_ENABLE_AVX": "0"}, 1), ({"NUMBA_CPU_FEATURES": "+avx2"}, 2),
    ({"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": "+avx2"}, 2),
    ({"NUMBA_CPU_FEATURES": ",".join(f"+{name}" for rung in FEATURES.values() for name in rung)}, 4),
    ({"NUMBA_CPU_NAME": "haswell"}, 4), ({"NUMBA_OPT": "0"}, 4)], ids=str)
@pytest.mark.parametrize("by", ["variables", "file"])
def test_rungs_are_those_that_are_compiled_for(told: dict[str, str], rungs: int, by: str,
                                               monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels name instructions, and LLVM ends a process that asks for those of another CPU."""
    highest = len(available())
    if by == "file":
        lines = [f"{name.removeprefix('NUMBA_').lower()}: '{value}'" for name, value in told.items()]
        Path(".numba_config.yaml").write_text("\n".join(lines))
    else:
        for name, value in told.items():
            monkeypatch.setenv(name, value)
    assert available.__wrapped__() == LADDER[: min(rungs, highest)]


@pytest.mark.parametrize("told", [{"NUMBA_CPU_NAME": "z80"}, {"NUMBA_CPU_FEATURES": "+steam"}], ids=str)
def test_a_cpu_that_does_not_exist_is_refused(told: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """In one sentence, rather than by the end of the process."""
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    name, value = next(iter(told.items()))
    text = f"{name}={value} is nothing that LLVM can compile for: '{value}' is not a recognized "
    with pytest.raises(InputError, match=f"^{re.escape(text)}"):
        settings()


@pytest.mark.parametrize(("text", "message"), [
    ("- 1", "must be a mapping of names to values"), ("a: 1\na: 2", ": line 2: key 'a' is there twice"),
    ("{", ": ")])
def test_a_configuration_that_is_none_is_refused(text: str, message: str) -> None:
    """Numba itself would end in a traceback."""
    Path(".numba_config.yaml").write_text(text)
    start = re.escape(f"Numba's configuration {Path('.numba_config.yaml').absolute()}")
    with pytest.raises(InputError, match=f"^{start} ?{re.escape(message)}"):
        settings()


def test_compiling_is_allowed_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """What NUMBA_DISABLE_JIT says about other code stays as it is."""
    monkeypatch.setattr(numba.config, "DISABLE_JIT", 1)
    def fail() -> None:
        with compiling():
            assert not numba.config.DISABLE_JIT
            raise RuntimeError("no")

    with pytest.raises(RuntimeError, match=r"^no$"):
        fail()
    assert numba.config.DISABLE_JIT == 1


@pytest.mark.parametrize("told", [
    {"NUMBA_DISABLE_JIT": "1", "NUMBA_CPU_NAME": "generic", "NUMBA_OPT": "0", "NUMBA_THREADING_LAYER": "none",
     "PYTHONOPTIMIZE": "1"},
    pytest.param({"NUMBA_ENABLE_AVX": "0", "NUMBA_OPT": "max"}, marks=pytest.mark.nightly),
    pytest.param({"NUMBA_CPU_FEATURES": "", "NUMBA_CACHE_LOCATOR_CLASSES": "none"}, marks=pytest.mark.nightly),
    pytest.param({"NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": "/proc/none"}, marks=pytest.mark.nightly),
], ids=str)
def test_codes_do_not_depend_on_it(told: dict[str, str]) -> None:
    """The plain loops and the kernels agree in a process that is told such things."""
    done = subprocess.run([sys.executable, "-c", RUN], env=os.environ | told | QUIET, capture_output=True, text=True,
                          check=False)
    assert (done.returncode, done.stderr) == (0, "")
