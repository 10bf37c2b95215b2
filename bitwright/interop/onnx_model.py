"""A Program as an ONNX model of standard operators, whose tensors hold the same codes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, assert_never

import onnx
from onnx import ModelProto, ValueInfoProto, helper

from bitwright.interop.onnx_conv import OnnxConvs, code_type
from bitwright.interop.onnx_graph import OnnxGraph
from bitwright.interop.onnx_tensors import OnnxTensors
from sim.errors import InputError
from sim.ir.ops import Conv, Load, Pool, Store, Tensor
from sim.ir.program import Program

__all__ = ["onnx_model"]

OPSET, IR_VERSION = 21, 10
"""Those of ONNX 1.16, which ONNX Runtime reads from 1.20 on."""


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
        If the Program has no op, or a scale belongs to no tensor or is no finite number above 0.
    """
    outputs = [tensor for tensor in program.tensors if tensor not in program.inputs
               and (tensors or tensor in program.outputs)]
    if not outputs:
        raise InputError("a model must have an op that writes a tensor; the program has none")
    graph = OnnxGraph(tensor.name for tensor in program.tensors)
    _add_ops(graph, program)
    inner = [tensor for tensor in program.tensors if tensor not in (*program.inputs, *outputs)]
    made = helper.make_graph(graph.nodes, "program", [_value(t) for t in program.inputs], [_value(t) for t in outputs],
                             graph.constants, value_info=[_value(t) for t in inner],
                             doc_string="Codes of a Bitwright Program; metadata have the formats of all tensors.")
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION,
                              producer_name="bitwright")
    helper.set_model_props(model, metadata(program, scales or {}))
    model = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    onnx.checker.check_model(model, full_check=True)
    return model


def metadata(program: Program, scales: Mapping[str, float]) -> dict[str, str]:
    """Describe the formats of a Program in JSON.

    Raises
    ------
    InputError
        If a scale belongs to no tensor or is no finite number above 0.
    """
    for name, scale in scales.items():
        program.tensor(name)
        if not 0 < scale < float("inf"):
            raise InputError(f"the scale of tensor '{name}' must be a finite number above 0, not {scale}")
    tensors: dict[str, dict[str, Any]] = {
        tensor.name: {**asdict(tensor.format), "parts": tensor.parts} for tensor in program.tensors}
    for name, scale in scales.items():
        tensors[name]["scale"] = float(scale)
    weights = {conv.name: {"bits": conv.weight_format.bits, "kind": conv.weight_format.kind} for conv in program.convs}
    return {"bitwright_arithmetic": json.dumps(asdict(program.arithmetic)), "bitwright_tensors": json.dumps(tensors),
            "bitwright_weights": json.dumps(weights)}


def _add_ops(graph: OnnxGraph, program: Program) -> None:
    tensors = OnnxTensors(program, graph)
    convs = OnnxConvs(program, graph, tensors)
    for op in program.ops:
        match op:
            case Conv():
                convs.add(op)
            case Pool():
                graph.add("MaxPool", [op.input], op.output, f"Pool '{op.name}'", kernel_shape=list(op.kernel),
                          strides=[op.stride] * 2, pads=list(op.pads))
            case Load():
                tensors.load(op)
            case Store():
                tensors.store(op)
            case _:
                assert_never(op)


def _value(tensor: Tensor) -> ValueInfoProto:
    """Declare the value of a tensor."""
    fmt = tensor.format
    return helper.make_tensor_value_info(
        tensor.name, code_type(fmt), ["N", *tensor.shape],
        f"{fmt.kind}, {fmt.bits} bits: codes {fmt.low}..{fmt.high}, zero point {fmt.zero_point}")
