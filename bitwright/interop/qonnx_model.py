"""A Program as a QONNX model: the `qonnx` package computes the same codes."""

from __future__ import annotations

from collections.abc import Mapping

from onnx import ModelProto, TensorProto, ValueInfoProto, helper

from bitwright.interop.onnx_file import finished_model, format_text
from bitwright.interop.onnx_graph import OnnxGraph
from bitwright.interop.onnx_ops import add_ops
from bitwright.interop.onnx_tensors import OnnxTensors
from bitwright.interop.qonnx_conv import WIDEST, QonnxConvs
from bitwright.interop.qonnx_quant import DOMAIN, add_quant
from sim.ir.ops import Tensor
from sim.ir.program import Program

__all__ = ["qonnx_model"]


def qonnx_model(program: Program, *, tensors: bool = False, scales: Mapping[str, float] | None = None) -> ModelProto:
    """Make the QONNX model whose values are the codes of a Program less their zero points.

    It computes one image. Values that hold tensors have the tensors' names and the shape (1, channels, height, width),
    in float32, or in float64 for tensors of more than 24 bits, which have no Quant.

    Parameters
    ----------
    program : Program
    tensors : bool
        Make every tensor that an op writes an output, not only the Program's outputs.
    scales : mapping of str to float, optional
        Value of one code of tensors, for the metadata: the scales of all Quants are 1.

    Returns
    -------
    onnx.ModelProto
        Checked, with the types and shapes of all values, and with the metadata of `onnx_model`.

    Raises
    ------
    InputError
        If the Program has no op, its constants take more than 2 GiB, a scale belongs to no tensor or is no finite
        number above 0, or the window of a single input channel can reach sums that float32 does not hold.
    """
    graph = OnnxGraph(tensor.name for tensor in program.tensors)
    quantized = {tensor.name: graph.fresh(f"{tensor.name}/quantized") for tensor in program.inputs}
    for tensor in program.inputs:
        add_quant(graph, tensor.name, quantized[tensor.name], tensor.format, "ROUND", (1, *tensor.shape))
    values = OnnxTensors(program, graph, quantized)
    add_ops(program, graph, values, QonnxConvs(program, graph, values))
    return finished_model(program, graph, _declared, "Codes of a Bitwright Program less their zero points.",
                          tensors=tensors, scales=scales, domains={DOMAIN: 1})


def _declared(tensor: Tensor) -> ValueInfoProto:
    kind = TensorProto.FLOAT if tensor.format.bits <= WIDEST else TensorProto.DOUBLE
    return helper.make_tensor_value_info(tensor.name, kind, [1, *tensor.shape], format_text(tensor))
