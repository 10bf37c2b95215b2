"""Name the instructions that the kernels may use: a ladder, of which a CPU has the lower rungs up to some height.

    amx       tiles of 16 x 64 bytes, 16 384 multiplications an instruction
    avx512    four products of bytes summed in every lane of 512 bits (VNNI), populations of bits
    avx2      256 bits; sums of pairs of products
    portable  whatever LLVM makes of multiplications of 32 bits: any CPU

Every rung computes the same integers. BITWRIGHT_ISA in the environment picks a lower one.
"""

from __future__ import annotations

import ctypes
import os
import platform
from functools import cache

from sim.errors import InputError
from sim.jit.numba_settings import cpu_features

__all__ = ["LADDER", "available", "chosen"]

LADDER = ("portable", "avx2", "avx512", "amx")
VARIABLE = "BITWRIGHT_ISA"
FEATURES = {
    "avx2": ("avx2",),
    "avx512": ("avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512vnni"),
    "amx": ("amx-tile", "amx-int8"),
}

ARCH_PRCTL = 158
ARCH_REQ_XCOMP_PERM = 0x1023
XFEATURE_XTILEDATA = 18


@cache
def available() -> tuple[str, ...]:
    """Return the rungs that this CPU has and Numba compiles for, the lowest first."""
    features = cpu_features()
    rungs = ["portable"]
    for rung in LADDER[1:]:
        if not features.issuperset(FEATURES[rung]) or (rung == "amx" and not _tiles_allowed()):
            break
        rungs.append(rung)
    return tuple(rungs)


def chosen(isa: str | None = None) -> str:
    """Return the rung to use: `isa` if given, or that of BITWRIGHT_ISA, or the highest.

    Raises
    ------
    InputError
        If that is none of the rungs that this CPU has.
    """
    rung = isa or os.environ.get(VARIABLE) or available()[-1]
    if rung not in available():
        what = "isa" if isa else VARIABLE
        raise InputError(f"{what} must be one of {', '.join(available())} on this CPU, not '{rung}'")
    return rung


def _tiles_allowed() -> bool:
    """Ask Linux for the registers of AMX, which every process must do once."""
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        return False
    return bool(ctypes.CDLL(None).syscall(ARCH_PRCTL, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0)
