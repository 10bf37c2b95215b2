"""Models that ONNX Runtime's static quantizer makes of float networks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from benchmarks.others.networks import Source

__all__ = ["VARIANTS", "write_onnx"]

BATCH = 16

VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "qdq_int8": {"quant_format": QuantFormat.QDQ, "activation_type": QuantType.QInt8, "weight_type": QuantType.QInt8,
                 "per_channel": True},
    "qdq_int8_symmetric": {
        "quant_format": QuantFormat.QDQ, "activation_type": QuantType.QInt8, "weight_type": QuantType.QInt8,
        "per_channel": True, "extra_options": {"ActivationSymmetric": True}},
    "qdq_uint8": {"quant_format": QuantFormat.QDQ, "activation_type": QuantType.QUInt8, "weight_type": QuantType.QInt8,
                  "per_channel": False},
    "qdq_uint8_weights": {"quant_format": QuantFormat.QDQ, "activation_type": QuantType.QUInt8,
                          "weight_type": QuantType.QUInt8, "per_channel": False},
    "qoperator_uint8": {"quant_format": QuantFormat.QOperator, "activation_type": QuantType.QUInt8,
                        "weight_type": QuantType.QUInt8, "per_channel": False,
                        "extra_options": {"WeightSymmetric": True}},
    "qoperator_int8_weights": {"quant_format": QuantFormat.QOperator, "activation_type": QuantType.QUInt8,
                               "weight_type": QuantType.QInt8, "per_channel": True},
}
"""Options of `quantize_static` by a short name."""


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    """Gives images to the quantizer, batch by batch."""

    def __init__(self, images: torch.Tensor) -> None:
        self.batches = iter(images.split(BATCH))

    def get_next(self) -> dict[str, Any] | None:
        """Return the next batch, None at the end."""
        batch = next(self.batches, None)
        return None if batch is None else {"x": batch.numpy()}


def write_onnx(source: Source, variant: str, path: Path) -> None:
    """Export a float network and write what the quantizer makes of it."""
    with TemporaryDirectory() as folder:
        plain, prepared = Path(folder) / "float.onnx", Path(folder) / "prepared.onnx"
        torch.onnx.export(source.model, (source.images[:1],), plain, input_names=["x"], output_names=["y"],
                          dynamic_shapes=({0: torch.export.Dim("n")},), opset_version=21, dynamo=True, verbose=False)
        quant_pre_process(plain, prepared)
        quantize_static(prepared, path, _Reader(source.calibration), **VARIANTS[variant])
