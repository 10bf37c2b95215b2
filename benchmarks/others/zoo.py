"""Public QONNX models, and the images that they are measured on.

TFC_1W1A.onnx and TFC_1W2A.onnx (fully connected, Brevitas, MNIST) and qkeras_jettagging.onnx (QKeras) come from
https://github.com/fastmachinelearning/qonnx_model_zoo, the images from the files t10k-images-idx3-ubyte.gz and
t10k-labels-idx1-ubyte.gz of MNIST.
"""

from __future__ import annotations

import gzip
from pathlib import Path
from shutil import copyfile

import numpy as np
import onnx
from numpy.typing import NDArray

from sim.errors import InputError

__all__ = ["take"]

IMAGES, HEADER = 100, (16, 8)
DIGITS, JETS = ("TFC_1W1A.onnx", "TFC_1W2A.onnx"), "qkeras_jettagging.onnx"
JET_CODES = "signed:8:-5"
"""Of the model's input, for which it has no quantizer."""


def take(models: Path, mnist: Path, folder: Path) -> None:
    """Copy the models that lie in a folder, and put inputs beside them."""
    for name in (*DIGITS, JETS):
        if not (models / name).exists():
            raise InputError(f"'{models / name}' is missing; it comes from the QONNX model zoo")
        copyfile(models / name, folder / name)
        if name == JETS:
            shape = [each.dim_value for each in onnx.load(models / name).graph.input[0].type.tensor_type.shape.dim]
            codes = np.random.default_rng(0).normal(0, 32, (IMAGES, *shape[1:])).round().clip(-128, 127)
            np.savez(folder / JETS.replace(".onnx", ".npz"), x=np.float32(codes / 32), input_codes=JET_CODES)
            continue
        images, labels = (_bytes(mnist / f"t10k-{kind}-ubyte.gz")[skip:]
                          for kind, skip in zip(("images-idx3", "labels-idx1"), HEADER, strict=True))
        np.savez(folder / name.replace(".onnx", ".npz"), labels=labels[:IMAGES].astype(np.int64),
                 x=np.float32(images.reshape(-1, 1, 28, 28)[:IMAGES] / 255))


def _bytes(path: Path) -> NDArray[np.uint8]:
    return np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8)
