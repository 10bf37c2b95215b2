"""A Program as an ONNX model of standard operators, whose tensors hold the same codes."""

from __future__ import annotations

from collections.abc import Mapping

from onnx import ModelProto, ValueInfoProto, helper

from bitwright.interop.onnx_conv import OnnxConvs, code_type
from bitwright.interop.onnx_file import finished_model, format_text
from bitwright.interop.onnx_graph import OnnxGraph
from bitwright.interop.onnx_ops import add_ops
from bitwright.interop.onnx_tensors import OnnxTensors
from sim.ir.ops import Tensor
from sim.ir.program import Program

__all__ = ["onnx_model"]


def onnx_model(program: Program, *, tensors: bool = False, scales: Mapping[str, float] | None = None) -> ModelProto:
    """Make the ONNX model that gives the same codes as a Program.

    Values that hold tensors have the tensors' names and the shape (N, channels, height, width). Codes of up to 8 bits
    are uint8 or int8, others int32.

    Parameters
    ----------
    program : Program
    tensors : bool
        Make every tensor that an op writes an output, not only the Program's outputs.
    scales : mapping of str to float, optional
        Value of one code of tensors, for the metadata: a Program itself holds codes alone.

    Returns
    -------
    onnx.ModelProto
        Checked, with the types and shapes of all values. Its metadata are `bitwright_arithmetic`, `bitwright_tensors`
        and `bitwright_weights`: JSON of the arithmetic, and of the format of every tensor and of every Conv's weights.

    Raises
    ------
    InputError
        If the Program has no op, its constants take more than 2 GiB, or a scale belongs to no tensor or is no finite
        number above 0.
    """
    graph = OnnxGraph(tensor.name for tensor in program.tensors)
    values = OnnxTensors(program, graph, {})
    add_ops(program, graph, values, OnnxConvs(program, graph, values))
    return finished_model(program, graph, _declared, "Codes of a Bitwright Program; metadata tell the formats.",
                          tensors=tensors, scales=scales, domains={})


def _declared(tensor: Tensor) -> ValueInfoProto:
    return helper.make_tensor_value_info(tensor.name, code_type(tensor.format), ["N", *tensor.shape],
                                         format_text(tensor))
