"""The nodes of a Conv in QONNX: a float Conv of quantized weights, the requantizer, and a Quant that makes the codes.

A value is code - zero point, so that pads are 0. Whole numbers up to 2**24 are exact in float32, in any order of
summation: a Conv whose sums could be larger is several Convs of fewer input channels, added in float64. The requantizer
is float32 where everything in it has 24 bits, otherwise float64, which always suffices.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from bitwright.interop.onnx_ops import ConvWriter
from bitwright.interop.qonnx_quant import add_quant, add_weight_quant
from sim.errors import InputError
from sim.io.bounds import require
from sim.ir.formats import Format
from sim.ir.ops import Conv, accumulator_bounds
from sim.ir.signed_digits import multipliers

__all__ = ["WIDEST", "QonnxConvs", "reach"]

WIDEST = 24
"""Bits of the widest codes that a Quant can make: its result is float32 [bits]."""
FLOAT32_HOLDS = 1 << 24
FLOAT64_HOLDS = 1 << 53
"""Whole numbers up to these are exact."""

Ints = NDArray[np.int64]


def reach(fmt: Format) -> int:
    """Return the largest |code - zero point|."""
    return max(fmt.high - fmt.zero_point, fmt.zero_point - fmt.low)


class QonnxConvs(ConvWriter):
    """Writes Convs as float ones between Quants."""

    def add(self, conv: Conv) -> None:
        """Append the nodes that compute the output part of a Conv.

        Raises
        ------
        InputError
            If the window of a single input channel can reach sums that float32 does not hold, or the Conv ends in a
            table, of whose index QONNX knows nothing, or has a gate.
        """
        if conv.table is not None:
            raise InputError(f"{conv.where}: ends in a table, which QONNX has no node for; ONNX has one")
        require(conv.gate is None, conv.where, "gates are not exported to QONNX; plain ONNX has them")
        source, target = self._program.tensor(conv.input), self._program.tensor(conv.output)
        chunks = list(_chunks(conv, reach(source.format)))
        if len(chunks) > 1 and conv.grouped:
            conv = conv.ungrouped()
            chunks = list(_chunks(conv, reach(source.format)))
        m, r, offset = multipliers(conv.multiplier), self._residual_multipliers(conv), conv.offset.copy()
        wraps = self._wraps(conv)
        if not wraps:
            offset += m * source.format.zero_point * conv.weight_values.sum(axis=(1, 2, 3))
        sums = np.abs(conv.weight_values).sum(axis=(1, 2, 3)) * reach(source.format)
        most = np.abs(m) * np.maximum(sums, 1.0) + np.abs(offset) + np.ldexp(0.5, conv.shift)
        if conv.residual is not None:
            other = self._program.tensor(conv.residual).format
            offset += r * other.zero_point
            most += np.abs(r) * float(reach(other)) + np.abs(r * other.zero_point)
        wide = len(chunks) > 1 or wraps or most.max() >= FLOAT32_HOLDS or target.format.bits > WIDEST
        kind = TensorProto.DOUBLE if wide else TensorProto.FLOAT
        acc = self._sums(conv, chunks)
        value = self._scaled(self._wrapped(conv, acc) if wraps else acc, f"{conv.name}/scaled", m, conv.shift, kind)
        if conv.residual is not None:
            added = self._tensors.part(conv.residual, conv.residual_part)
            value = self._graph.then(
                "Add", [value, self._scaled(added, f"{conv.name}/residual", r, conv.shift, kind)], f"{conv.name}/sum")
        self._quantize(conv, value, offset, kind, most)

    def _residual_multipliers(self, conv: Conv) -> Ints:
        return multipliers(conv.residual_multiplier) if conv.residual is not None else np.zeros(conv.channels, np.int64)

    def _wraps(self, conv: Conv) -> bool:
        bounds = accumulator_bounds(conv, self._program.tensor(conv.input).format)
        return int(bounds.max()) >= 1 << (self._program.arithmetic.acc_bits - 1)

    def _sums(self, conv: Conv, chunks: list[slice]) -> str:
        """Return a value that holds the sums of weights and values: float32 of one Conv, or float64 of several."""
        source = self._tensors.read(conv)
        if len(chunks) == 1:
            return self._convolved(conv, source, conv.weight_values, f"{conv.name}/acc")
        total = ""
        for index, chunk in enumerate(chunks):
            name = f"{conv.name}/acc{index}"
            some = self._tensors.channels(source, chunk, f"{name}/input")
            part = self._convolved(conv, some, conv.weight_values[:, chunk], name)
            wide = self._graph.then("Cast", [part], f"{name}/float64", to=TensorProto.DOUBLE)
            total = self._graph.then("Add", [total, wide], f"{conv.name}/acc") if total else wide
        return total

    def _convolved(self, conv: Conv, source: str, weights: Ints, wanted: str) -> str:
        quantized = add_weight_quant(self._graph, f"{wanted}/weights", weights, conv.weight_format)
        return self._graph.then("Conv", [source, quantized], wanted, f"Conv '{conv.name}'",
                                kernel_shape=list(conv.kernel), strides=list(conv.stride),
                                dilations=list(conv.dilation), pads=list(conv.pads), group=conv.groups)

    def _wrapped(self, conv: Conv, acc: str) -> str:
        """Take sums of raw codes, which are larger by zero point * sum of weights, modulo 2**acc_bits, signed."""
        bits, graph, name = self._program.arithmetic.acc_bits, self._graph, conv.name
        half, zero = 1 << (bits - 1), self._program.tensor(conv.input).format.zero_point
        above = conv.weight_values.sum(axis=(1, 2, 3)) * zero + half
        whole = graph.then("Cast", [acc], f"{name}/int64", to=TensorProto.INT64)
        raw = graph.then("Add", [whole, graph.constant(f"{name}/raw", above.reshape(-1, 1, 1))], f"{name}/from_half")
        rest = graph.then("Mod", [raw, graph.constant(f"{name}/modulus", np.int64(2 * half))], f"{name}/modulo")
        return graph.then("Sub", [rest, graph.constant(f"{name}/half", np.int64(half))], f"{name}/wrapped",
                          f"the sum of raw codes modulo 2**{bits}, signed")

    def _scaled(self, value: str, wanted: str, factors: Ints, shift: Ints, kind: int) -> str:
        """Multiply by a factor / 2**n for each channel."""
        if kind == TensorProto.DOUBLE:
            value = self._graph.then("Cast", [value], f"{wanted}/float64", to=kind)
        return self._graph.then(
            "Mul", [value, self._constant(f"{wanted}/by", factors * np.ldexp(1.0, -shift), kind)], wanted)

    def _quantize(self, conv: Conv, value: str, offset: Ints, kind: int, most: NDArray[np.float64]) -> None:
        """Add the offset, clamp and round to codes; a Quant rounds where it does so exactly."""
        graph, name, fmt, rounding = (self._graph, conv.name, self._program.tensor(conv.output).format,
                                      self._program.arithmetic.rounding)
        half = 0.5 if rounding == "half_up" else 0.0
        value = graph.then("Add", [value, self._constant(f"{name}/offset", offset * np.ldexp(1.0, -conv.shift) + half,
                                                         kind)], f"{name}/value")
        holds = FLOAT32_HOLDS if kind == TensorProto.FLOAT else FLOAT64_HOLDS
        shifted_ties = rounding == "half_even" and fmt.zero_point % 2 == 1
        exact = (most + np.ldexp(float(reach(fmt)), conv.shift)).max() < holds / 2 and not shifted_ties
        quantized = fmt.bits <= WIDEST
        if not (exact and quantized):
            value = graph.then("Round" if rounding == "half_even" else "Floor", [value], f"{name}/rounded")
        if (conv.low, conv.high) != (fmt.low, fmt.high) or not quantized:
            bounds = [self._constant(f"{name}/{end}", np.array(code - fmt.zero_point), kind)
                      for end, code in (("low", conv.low), ("high", conv.high))]
            value = graph.then("Clip", [value, *bounds], f"{name}/clamped")
        place = self._tensors.place(conv)
        if quantized:
            shape = (1, conv.channels, *conv.map_size(self._program.tensor(conv.input)))
            add_quant(graph, value, place, fmt, "ROUND" if rounding == "half_even" else "FLOOR", shape)
        else:
            graph.add("Identity", [value], place)
        self._tensors.written(conv, place, None)

    def _constant(self, wanted: str, values: NDArray[np.generic], kind: int) -> str:
        """Add a number for each channel, or a single one."""
        array = values.astype(np.float64 if kind == TensorProto.DOUBLE else np.float32)
        return self._graph.constant(wanted, array.reshape(-1, 1, 1) if array.ndim else array)


def _chunks(conv: Conv, most: int) -> Iterator[slice]:
    """Cut the input channels of a Conv into runs whose sums float32 holds."""
    sums = np.abs(conv.weight_values).sum(axis=(2, 3)) * most
    if sums.max() > FLOAT32_HOLDS:
        raise InputError(f"{conv.where}: the window of one input channel can reach {int(sums.max())}; the float32 of "
                         f"QONNX holds whole numbers up to {FLOAT32_HOLDS}")
    start, so_far = 0, np.zeros(conv.channels, np.int64)
    for channel in range(sums.shape[1]):
        so_far = so_far + sums[:, channel]
        if so_far.max() > FLOAT32_HOLDS:
            yield slice(start, channel)
            start, so_far = channel, sums[:, channel]
    yield slice(start, sums.shape[1])
