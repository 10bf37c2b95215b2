"""Which models are made: a name, the tool, its option, and the float network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path

import numpy as np
from torch import Tensor

from benchmarks.others.networks import SOURCES, Source
from quant.data.digits import digits

__all__ = ["MODELS", "make"]

MODELS: Mapping[str, tuple[str, str, str]] = {
    "digits_qdq_int8.onnx": ("ONNX Runtime", "qdq_int8", "digits"),
    "digits_qdq_int8_symmetric.onnx": ("ONNX Runtime", "qdq_int8_symmetric", "digits"),
    "digits_qdq_uint8.onnx": ("ONNX Runtime", "qdq_uint8", "digits"),
    "digits_qdq_uint8_weights.onnx": ("ONNX Runtime", "qdq_uint8_weights", "digits"),
    "digits_qoperator_uint8.onnx": ("ONNX Runtime", "qoperator_uint8", "digits"),
    "resnet8_qdq_int8.onnx": ("ONNX Runtime", "qdq_int8", "resnet8"),
    "mobilenet_v2_qoperator.onnx": ("ONNX Runtime", "qoperator_int8_weights", "mobilenet_v2"),
    "ds_cnn_qdq_int8.onnx": ("ONNX Runtime", "qdq_int8", "ds_cnn"),
    "mobilenet_v1_qdq_uint8.onnx": ("ONNX Runtime", "qdq_uint8", "mobilenet_v1"),
    "autoencoder_qdq_int8.onnx": ("ONNX Runtime", "qdq_int8", "autoencoder"),
    "squeezenet_qoperator.onnx": ("ONNX Runtime", "qoperator_int8_weights", "squeezenet"),
    "brevitas_4bit_qonnx.onnx": ("Brevitas", "qonnx", "4"),
    "brevitas_4bit_qcdq.onnx": ("Brevitas", "qcdq", "4"),
    "brevitas_2bit_qonnx.onnx": ("Brevitas", "qonnx", "2"),
    "digits_x86.pt2": ("torchao", "x86", "digits"),
    "digits_xnnpack.pt2": ("torchao", "xnnpack", "digits"),
}
"""Tool, option and float network, or its bits, by the file's name."""


def make(name: str, folder: Path) -> None:
    """Write a model, and beside it its images and labels as `.npz`."""
    tool, option, network = MODELS[name]
    MAKERS[tool](option, network, folder, name)


def _onnxruntime(option: str, network: str, folder: Path, name: str) -> None:
    source = SOURCES[network](folder)
    import_module("benchmarks.others.onnxruntime_tool").write_onnx(source, option, folder / name)
    _save(source, folder / name)


def _torchao(option: str, network: str, folder: Path, name: str) -> None:
    source = SOURCES[network](folder)
    import_module("benchmarks.others.pt2e_tool").write_pt2(source, option, folder / name)
    _save(source, folder / name)


def _brevitas(option: str, bits: str, folder: Path, name: str) -> None:
    tool, (_, test) = import_module("benchmarks.others.brevitas_tool"), digits()
    model = tool.network(int(bits), folder)
    tool.write(option, model, folder / name)
    _save(Source(model, test.images, test.images, test.labels), folder / name)


def _save(source: Source, path: Path) -> None:
    """Write images and labels beside a model."""
    arrays: dict[str, Tensor] = {"x": source.images}
    if source.labels is not None:
        arrays["labels"] = source.labels
    np.savez(path.with_suffix(".npz"), **{name: array.numpy() for name, array in arrays.items()})


MAKERS: Mapping[str, Callable[[str, str, Path, str], None]] = {
    "ONNX Runtime": _onnxruntime, "torchao": _torchao, "Brevitas": _brevitas}
