"""The ops of a Program as nodes, in order; each dialect of ONNX has its own way to write a Conv."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import assert_never

from bitwright.interop.onnx_graph import OnnxGraph
from bitwright.interop.onnx_tensors import OnnxTensors
from sim.ir.ops import Conv, Load, Pool, Store
from sim.ir.program import Program

__all__ = ["ConvWriter", "add_ops"]


class ConvWriter(ABC):
    """Writes one Conv after another in one dialect.

    Parameters
    ----------
    program : Program
    graph : OnnxGraph
        Gets the nodes.
    tensors : OnnxTensors
        Of the same graph.
    """

    def __init__(self, program: Program, graph: OnnxGraph, tensors: OnnxTensors) -> None:
        self._program, self._graph, self._tensors = program, graph, tensors

    @abstractmethod
    def add(self, conv: Conv) -> None:
        """Append the nodes that compute the output part of a Conv."""


def add_ops(program: Program, graph: OnnxGraph, tensors: OnnxTensors, convs: ConvWriter) -> None:
    """Append the nodes of all ops."""
    for op in program.ops:
        match op:
            case Conv():
                convs.add(op)
            case Pool():
                graph.add("MaxPool", [tensors.read(op)], op.output, f"Pool '{op.name}'",
                          kernel_shape=list(op.kernel), strides=list(op.stride), pads=list(op.pads))
            case Load():
                tensors.load(op)
            case Store():
                tensors.store(op)
            case _:
                assert_never(op)
