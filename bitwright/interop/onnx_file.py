"""Finish an ONNX model: inputs and outputs, metadata, types and shapes of all values, and the checks of `onnx`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import onnx
from onnx import ModelProto, ValueInfoProto, helper

from bitwright.interop.onnx_graph import OnnxGraph
from sim.errors import InputError
from sim.ir.ops import Tensor
from sim.ir.program import Program

__all__ = ["finished_model", "format_text"]

OPSET, IR_VERSION = 21, 10
"""Those of ONNX 1.16, which ONNX Runtime reads from 1.20 on."""
MOST_BYTES = (1 << 31) - (1 << 24)
"""Of all constants together: a protobuf message ends at 2 GiB, and the rest of a model needs some room [bytes]."""


def finished_model(program: Program, graph: OnnxGraph, declare: Callable[[Tensor], ValueInfoProto], doc: str, *,
                   tensors: bool, scales: Mapping[str, float] | None, domains: Mapping[str, int]) -> ModelProto:
    """Make a model of a graph that computes the tensors of a Program under their names.

    Parameters
    ----------
    program : Program
    graph : OnnxGraph
    declare : callable
        Declares the value of a tensor.
    doc : str
        What readers should know.
    tensors : bool
        Make every tensor that an op writes an output, not only the Program's outputs.
    scales : mapping of str to float, optional
        Value of one code of tensors.
    domains : mapping of str to int
        Domains of operators beside ONNX's own, with their versions.

    Raises
    ------
    InputError
        If the Program has no op, its constants are too large for one file, or a scale belongs to no tensor or is no
        finite number above 0.
    """
    held = sum(len(constant.raw_data) for constant in graph.constants)
    if held > MOST_BYTES:
        raise InputError(f"the constants of an ONNX model may take {MOST_BYTES} bytes, not {held}")
    inputs, wanted = ({tensor.name for tensor in some} for some in (program.inputs, program.outputs))
    written = [tensor for tensor in program.tensors if tensor.name not in inputs]
    if not written:
        raise InputError("a model must have an op that writes a tensor; the program has none")
    outputs = [tensor for tensor in written if tensors or tensor.name in wanted]
    named = {tensor.name for tensor in program.tensors}
    others = [value for value in graph.declared if value.name not in named]
    inner = [] if tensors else [tensor for tensor in written if tensor.name not in wanted]
    made = helper.make_graph(
        graph.nodes, "program", [declare(tensor) for tensor in program.inputs], [declare(tensor) for tensor in outputs],
        graph.constants, doc, [*(declare(tensor) for tensor in inner), *others])
    opsets = [helper.make_opsetid(domain, number) for domain, number in {"": OPSET, **domains}.items()]
    model = helper.make_model(made, opset_imports=opsets, ir_version=IR_VERSION, producer_name="bitwright")
    helper.set_model_props(model, _metadata(program, scales or {}))
    model = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    onnx.checker.check_model(model, full_check=True)
    return model


def format_text(tensor: Tensor) -> str:
    """Describe the format of a tensor in words."""
    fmt = tensor.format
    return f"{fmt.kind}, {fmt.bits} bits: codes {fmt.low}..{fmt.high}, zero point {fmt.zero_point}"


def _metadata(program: Program, scales: Mapping[str, float]) -> dict[str, str]:
    """Return JSON of the arithmetic and of all formats."""
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
