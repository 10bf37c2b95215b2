"""Run an exported model in ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from math import prod

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, ValueInfoProto, helper

from sim.errors import EngineError, InputError

__all__ = ["missing_runtime", "run_onnx"]

MOST_CODES = 1 << 24
"""Codes of inputs and outputs that go through ONNX Runtime at once; numbers between them have 8 bytes."""


def missing_runtime() -> str | None:
    """Return how to install ONNX Runtime if it is missing, otherwise None."""
    if find_spec("onnxruntime") is None:
        return "ONNX Runtime is not installed; install it with 'pip install onnxruntime'"
    return None


def run_onnx(model: ModelProto, inputs: Mapping[str, NDArray[np.integer]]) -> dict[str, NDArray[np.int32]]:
    """Return the codes of a model's inputs and outputs, as int32.

    Parameters
    ----------
    model : onnx.ModelProto
        From `bitwright.interop.onnx_model.onnx_model`.
    inputs : mapping of str to integer array, shape (N, channels, height, width)
        Codes; N is at least 1, and the same for all.

    Raises
    ------
    InputError
        If ONNX Runtime is not installed.
    EngineError
        If it fails.
    """
    reason = missing_runtime()
    if reason is not None:
        raise InputError(reason)
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads, options.log_severity_level = 1, 1, 3
    kinds = {value.name: helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
             for value in model.graph.input}
    narrow = {name: codes.astype(kinds[name]) for name, codes in inputs.items()}
    images, step = len(next(iter(narrow.values()))), _images_at_once(model)
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        runs = [session.run(None, {name: codes[start : start + step] for name, codes in narrow.items()})
                for start in range(0, images, step)]
    except Exception as error:  # those of ONNX Runtime have no base of their own
        raise EngineError(f"ONNX Runtime {onnxruntime.__version__} failed: {error}") from error
    found = {value.name: np.concatenate(parts)
             for value, parts in zip(model.graph.output, zip(*runs, strict=True), strict=True)}
    return {name: np.asarray(codes, np.int32) for name, codes in {**inputs, **found}.items()}


def _images_at_once(model: ModelProto) -> int:
    codes = sum(map(_codes, [*model.graph.input, *model.graph.output]))
    return max(1, MOST_CODES // codes)


def _codes(value: ValueInfoProto) -> int:
    """Count the codes of one image."""
    return prod(one.dim_value for one in value.type.tensor_type.shape.dim[1:])
