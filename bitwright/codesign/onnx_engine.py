"""ONNX Runtime as an engine: it runs the exported model, and shares no code with the others."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from bitwright.codesign.compare import Comparison, compare_codes
from bitwright.interop.onnx_model import onnx_model
from bitwright.interop.onnx_run import missing_runtime, run_onnx
from sim.errors import InputError
from sim.ir.program import Program

__all__ = ["compare_onnx", "require_onnx"]

Codes = Mapping[str, NDArray[np.integer]]


def require_onnx(wanted: bool | None) -> str | None:
    """Return why ONNX Runtime does not run, or None if it does.

    Parameters
    ----------
    wanted : bool or None
        None: if it is installed.

    Raises
    ------
    InputError
        If it is wanted and not installed.
    """
    reason = missing_runtime()
    if wanted and reason is not None:
        raise InputError(reason)
    return "ONNX Runtime was not wanted" if wanted is False else reason


def compare_onnx(program: Program, inputs: Codes, simulated: Mapping[str, NDArray[np.int32]]) -> Comparison:
    """Compare every tensor of the exported model in ONNX Runtime with the simulator's codes.

    Raises
    ------
    EngineError
        If ONNX Runtime fails.
    """
    return compare_codes(program, ("ONNX Runtime", "simulator"), run_onnx(onnx_model(program, tensors=True), inputs),
                         simulated)
