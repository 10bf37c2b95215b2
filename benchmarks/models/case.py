"""What is measured: a network, images to calibrate and others to judge it by, and its own measure."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from quant.data.pixels import Pixels
from quant.quantizers.base import round_half_up
from sim.ir.formats import Format

__all__ = ["Case", "Judge", "Values", "codes_of", "node_count", "onnx_session", "values_of_file"]

Values = Sequence[NDArray[np.float32]]
"""What a network returns for some images: an array for each of its outputs."""
Judge = Callable[[Values, Values], Mapping[str, tuple[float | None, float]]]
"""From outputs of the float network and of the Program to measures: the float network's, if it has one, and ours."""
BATCH = 32
"""Images that ONNX Runtime gets together."""


@dataclass(frozen=True)
class Case:
    """A network to measure.

    Attributes
    ----------
    name, source : str
        Of the network; where it comes from.
    model : nn.Module
        In float, in eval mode.
    reference : onnxruntime.InferenceSession
        The same network in ONNX Runtime.
    nodes : int
        Of the ONNX model.
    calibration, images : Tensor
        What is calibrated with and judged by: pixels, uint8, or codes of `input_format`, int32.
    judge : Judge
    pixels : Pixels or None
        What pixels mean.
    input_format, input_exponent : Format and int, or None
        What other codes mean.
    small : Tensor or None
        A smaller image, with which all of the network runs on the RTL of a small machine.
    scheme : str
        Of `quantize`.
    """

    name: str
    source: str
    model: nn.Module
    reference: onnxruntime.InferenceSession
    nodes: int
    calibration: Tensor
    images: Tensor
    judge: Judge
    pixels: Pixels | None = None
    input_format: Format | None = None
    input_exponent: int | None = None
    small: Tensor | None = None
    scheme: str = field(default="uniform")

    def values(self, codes: Tensor) -> Tensor:
        """Return what codes of images mean, float32."""
        if self.pixels is not None:
            return self.pixels.values(codes)
        assert self.input_exponent is not None
        return codes.float() * 2.0**self.input_exponent

    @property
    def quantize_options(self) -> dict[str, Any]:
        """How `quantize` is told what the host gives."""
        if self.pixels is not None:
            return {"pixels": self.pixels}
        return {"input_format": self.input_format, "input_exponent": self.input_exponent}


def onnx_session(model: nn.Module | Path, example: Tensor | None = None) -> tuple[onnxruntime.InferenceSession, int]:
    """Return an ONNX model in ONNX Runtime, and how many nodes it has; a torch network is exported first."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 3, 1
    if isinstance(model, Path):
        return onnxruntime.InferenceSession(model, options), node_count(onnx.load(model))
    file = BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter that needs no further package is the old one
        torch.onnx.export(model, (example,), file, dynamo=False, input_names=["x"],
                          dynamic_axes={"x": {0: "n", 2: "height", 3: "width"}})
    return onnxruntime.InferenceSession(file.getvalue(), options), node_count(onnx.load_from_string(file.getvalue()))


def node_count(model: onnx.ModelProto) -> int:
    """Return how many nodes compute something."""
    return sum(node.op_type != "Constant" for node in model.graph.node)


def values_of_file(session: onnxruntime.InferenceSession, values: Tensor) -> list[NDArray[np.float32]]:
    """Return what the float network gives in ONNX Runtime, batch by batch."""
    name = session.get_inputs()[0].name
    parts = [session.run(None, {name: batch.numpy()}) for batch in values.split(BATCH)]
    return [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]


def codes_of(values: Tensor, form: Format, exponent: int) -> Tensor:
    """Return the codes nearest to real values, int32."""
    return round_half_up(values * 2.0**-exponent).clamp(form.low, form.high).to(torch.int32)
