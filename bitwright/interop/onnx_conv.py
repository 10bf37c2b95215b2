"""The nodes of a Conv: ConvInteger for the sums, float64 for the requantizer, and both are exact.

* Codes and weights are uint8, signed ones 128 higher: what ConvInteger of every runtime reads. For int8 weights ONNX
  Runtime adds pairs of products in 16 bits where a CPU lacks VNNI, and these saturate; for uint8 it adds in 32 bits.
* ConvInteger subtracts these zero points, so that its sums are those of raw codes. It sums modulo 2**32, which is a
  multiple of the modulus 2**acc_bits of a Program that wraps.
* Everything in the requantizer is a multiple of 2**-n below 2**(acc_bits + window + 1 - n), and acc_bits + window is at
  most 51, so float64 holds each constant, product, sum and half exactly; Floor and Round see no rounding before theirs.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from bitwright.interop.onnx_graph import OnnxGraph
from bitwright.interop.onnx_ops import ConvWriter
from bitwright.interop.onnx_tensors import OnnxTensors
from sim.ir.formats import Format
from sim.ir.ops import Conv, Tensor, accumulator_bounds
from sim.ir.program import Program
from sim.ir.signed_digits import multipliers

__all__ = ["OnnxConvs", "code_type"]

RAISE = 128
"""What is added to signed codes, and to weights, to make them uint8."""


def code_type(fmt: Format) -> int:
    """Return the ONNX type of a tensor's codes: uint8, int8, or int32 for codes of more than 8 bits."""
    if fmt.bits > 8:
        return TensorProto.INT32
    return TensorProto.INT8 if fmt.kind == "signed" else TensorProto.UINT8


class OnnxConvs(ConvWriter):
    """Writes Convs as standard operators on integers."""

    def __init__(self, program: Program, graph: OnnxGraph, tensors: OnnxTensors) -> None:
        super().__init__(program, graph, tensors)
        self._raised: dict[str, str] = {}

    def add(self, conv: Conv) -> None:
        """Append the nodes that compute the output part of a Conv."""
        steps, acc, graph = np.ldexp(1.0, -conv.shift), self._accumulator(conv), self._graph
        value = self._scaled(acc, f"{conv.name}/scaled", multipliers(conv.multiplier) * steps, "M / 2**n")
        if conv.residual is not None:
            codes = self._tensors.part(conv.residual, conv.residual_part)
            other = self._scaled(codes, f"{conv.name}/residual", multipliers(conv.residual_multiplier) * steps,
                                 "R / 2**n")
            value = graph.then("Add", [value, other], f"{conv.name}/sum")
            if conv.gate is not None:
                gate = self._scaled(codes, f"{conv.name}/gate", np.ldexp(steps, conv.gate), "2**g / 2**n")
                whole = graph.then("Cast", [acc], f"{conv.name}/gated", to=TensorProto.DOUBLE)
                product = graph.then("Mul", [whole, gate], f"{conv.name}/product")
                value = graph.then("Add", [value, product], f"{conv.name}/gated_sum")
        place = self._tensors.place(conv)
        self._round(conv, value, place)
        self._tensors.written(conv, place, code_type(self._program.tensor(conv.output).format))

    def _accumulator(self, conv: Conv) -> str:
        """Return a value that holds the accumulator: int32, or int64 where it wraps."""
        source, name = self._program.tensor(conv.input), conv.name
        codes, pads = self._tensors.read(conv, self._uint8_codes(source)), conv.pads
        zero = RAISE if source.format.kind == "signed" else 0
        if any(pads) and source.format.zero_point:
            codes, pads = self._padded(conv, codes, source.format.zero_point + zero), (0, 0, 0, 0)
        constants = [self._graph.constant(f"{name}/{what}", value) for what, value in (
            ("weights", (conv.weight_values + RAISE).astype(np.uint8)), ("input_zero", np.uint8(zero)),
            ("weight_zero", np.uint8(RAISE)))]
        acc = self._graph.then(
            "ConvInteger", [codes, *constants], f"{name}/acc",
            f"Conv '{name}': sums of raw codes of '{source.name}', weights {conv.weight_format}",
            kernel_shape=list(conv.kernel), strides=list(conv.stride), dilations=list(conv.dilation), pads=list(pads),
            group=conv.groups)
        return self._wrapped(conv, acc)

    def _uint8_codes(self, tensor: Tensor) -> str:
        """Return a value that holds codes as uint8, signed ones 128 higher: their sign bit is inverted."""
        if tensor.format.kind != "signed":
            return tensor.name
        if tensor.name not in self._raised:
            bits = self._graph.then("Cast", [tensor.name], f"{tensor.name}/bits", to=TensorProto.UINT8)
            sign = self._graph.constant(f"{tensor.name}/sign", np.uint8(RAISE))
            self._raised[tensor.name] = self._graph.then("BitwiseXor", [bits, sign], f"{tensor.name}/raised",
                                                         f"codes of '{tensor.name}' + {RAISE}, as uint8")
        return self._raised[tensor.name]

    def _padded(self, conv: Conv, codes: str, code: int) -> str:
        """Pad with the code of the zero point, since ConvInteger pads with the raw code 0."""
        top, left, bottom, right = conv.pads
        pads = self._graph.constant(f"{conv.name}/pads", np.array([0, 0, top, left, 0, 0, bottom, right]))
        return self._graph.then("Pad", [codes, pads, self._graph.constant(f"{conv.name}/pad_code", np.uint8(code))],
                                f"{conv.name}/padded")

    def _wrapped(self, conv: Conv, acc: str) -> str:
        """Take sums modulo 2**acc_bits, signed, if some can leave that range."""
        bits, graph, name = self._program.arithmetic.acc_bits, self._graph, conv.name
        half = 1 << (bits - 1)
        bound = int(accumulator_bounds(conv, self._program.tensor(conv.input).format).max())
        if bound < half:
            return acc
        by = graph.constant(f"{name}/half", np.int64(half))
        wide = graph.then("Cast", [acc], f"{name}/wide", to=TensorProto.INT64)
        above = graph.then("Add", [wide, by], f"{name}/from_half")
        rest = graph.then("Mod", [above, graph.constant(f"{name}/modulus", np.int64(2 * half))], f"{name}/modulo")
        return graph.then("Sub", [rest, by], f"{name}/wrapped", f"the sum modulo 2**{bits}, signed")

    def _scaled(self, value: str, wanted: str, factors: NDArray[np.generic], what: str) -> str:
        """Multiply integers by a factor for each channel, in float64."""
        wide = self._graph.then("Cast", [value], f"{wanted}/float64", to=TensorProto.DOUBLE)
        return self._graph.then("Mul", [wide, self._graph.constant(f"{wanted}/by", _by_channel(factors))], wanted, what)

    def _round(self, conv: Conv, value: str, place: str) -> None:
        """Add the offset, round to integers, add the zero point, clamp, look up in the table, and call that `place`."""
        graph, name, target = self._graph, conv.name, self._program.tensor(conv.output).format
        fmt = conv.requantized_format(target)
        rounding = self._program.arithmetic.rounding
        offset = conv.offset * np.ldexp(1.0, -conv.shift) + (0.5 if rounding == "half_up" else 0)
        value = graph.then("Add", [value, graph.constant(f"{name}/offset", _by_channel(offset))], f"{name}/value",
                           "offset / 2**n" + (", and a half for rounding" if rounding == "half_up" else ""))
        value = graph.then("Round" if rounding == "half_even" else "Floor", [value], f"{name}/rounded", rounding)
        if fmt.zero_point:
            zero = graph.constant(f"{name}/zero_point", np.float64(fmt.zero_point))
            value = graph.then("Add", [value, zero], f"{name}/code")
        bounds = [graph.constant(f"{name}/{end}", np.float64(code)) for end, code in (("low", conv.low),
                                                                                      ("high", conv.high))]
        clamped = graph.then("Clip", [value, *bounds], f"{name}/clamped")
        if conv.table is None:
            graph.add("Cast", [clamped], place, to=code_type(fmt))
            return
        codes = conv.table.codes.astype(np.int8 if target.kind == "signed" else np.uint8)
        index = graph.then("Cast", [clamped], f"{name}/index", to=TensorProto.INT64)
        graph.add("Gather", [graph.constant(f"{name}/table", codes), index], place)


def _by_channel(values: NDArray[np.generic]) -> NDArray[np.float64]:
    return np.asarray(values, np.float64).reshape(-1, 1, 1)
