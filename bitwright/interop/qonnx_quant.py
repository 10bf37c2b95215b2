"""The nodes by which QONNX marks quantized values: Quant and BipolarQuant, all with scale 1.

Quant(x) is round(clamp(x / scale + zero point, lowest code, highest code)) - zero point, times the scale.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from bitwright.interop.onnx_graph import OnnxGraph
from sim.ir.formats import Format

__all__ = ["DOMAIN", "add_quant", "add_weight_quant"]

DOMAIN = "qonnx.custom_op.general"


def add_quant(graph: OnnxGraph, value: str, output: str, fmt: Format, rounding: str, shape: Sequence[int]) -> str:
    """Append a Quant that makes code - zero point of a format, and return its output.

    Signed codes of 1 bit are written as unsigned ones with a zero point that is 1 higher: the `qonnx` package takes a
    signed Quant of 1 bit for a bipolar one.

    Parameters
    ----------
    graph : OnnxGraph
    value : str
    output : str
    fmt : Format
        Unsigned or signed.
    rounding : {"FLOOR", "ROUND"}
    shape : sequence of int
        Of the value.
    """
    signed = fmt.kind == "signed" and fmt.bits > 1
    zero = fmt.zero_point - (0 if signed else fmt.low)
    inputs = [graph.constant(f"{output}/{what}", np.float32(number))
              for what, number in (("scale", 1), ("zero_point", zero), ("bits", fmt.bits))]
    graph.add("Quant", [value, *inputs], output, domain=DOMAIN, signed=int(signed), narrow=0, rounding_mode=rounding)
    return graph.declare(output, TensorProto.FLOAT, shape)


def add_weight_quant(graph: OnnxGraph, wanted: str, weights: NDArray[np.int64], fmt: Format) -> str:
    """Append a Quant or BipolarQuant of constant weights, and return its output."""
    values = graph.constant(f"{wanted}/values", weights.astype(np.float32))
    output = graph.fresh(wanted)
    if fmt.kind == "bipolar":
        graph.add("BipolarQuant", [values, graph.constant(f"{wanted}/scale", np.float32(1))], output, domain=DOMAIN)
        return graph.declare(output, TensorProto.FLOAT, weights.shape)
    plain = Format(1, "unsigned") if fmt.kind == "unit" else fmt
    return add_quant(graph, values, output, plain, "ROUND", weights.shape)
