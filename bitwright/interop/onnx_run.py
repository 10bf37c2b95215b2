"""Run an exported model in ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, helper

from sim.errors import InputError

__all__ = ["run_onnx"]


def run_onnx(model: ModelProto, inputs: Mapping[str, NDArray[np.integer]],
             threads: int = 1) -> dict[str, NDArray[np.int32]]:
    """Return the codes of a model's inputs and outputs, as int32.

    Parameters
    ----------
    model : onnx.ModelProto
        From `bitwright.interop.onnx_model.onnx_model`.
    inputs : mapping of str to integer array, shape (N, channels, height, width)
        Codes; N is at least 1.
    threads : int, at least 1

    Raises
    ------
    InputError
        If ONNX Runtime is not installed.
    """
    try:
        import onnxruntime
    except ImportError:
        raise InputError("ONNX Runtime is not installed; install it with 'pip install onnxruntime'") from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads, options.log_severity_level = threads, 1, 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    kinds = {value.name: helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
             for value in model.graph.input}
    outputs = session.run(None, {name: codes.astype(kinds[name]) for name, codes in inputs.items()})
    found = {value.name: codes for value, codes in zip(model.graph.output, outputs, strict=True)}
    return {name: np.asarray(codes, np.int32) for name, codes in {**inputs, **found}.items()}
