"""`OnnxTensors`: which ONNX values hold the tensors of a Program, their parts, and their rows in the host's memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from onnx import TensorProto

from bitwright.interop.onnx_graph import OnnxGraph
from sim.ir.ops import Conv, Lattice, Layer, Load, Store
from sim.ir.program import Program

__all__ = ["OnnxTensors"]

CHANNELS, ROWS, COLUMNS = 1, 2, 3
"""Axes of a value, (N, channels, rows, columns)."""


class _Stored(NamedTuple):
    """A tensor on chip that a Store has copied to rows of another tensor: to one part, or to all of them if None."""

    source: str
    rows: range
    part: int | None


class OnnxTensors:
    """The values of a Program's tensors, each under the tensor's own name unless told otherwise.

    Ops write parts; the whole tensor is their concatenation. Stores write rows of parts, and Loads may read rows of a
    tensor before the last ones are there, so a Load takes its rows from what was stored, not from the whole tensor.

    Parameters
    ----------
    program : Program
    graph : OnnxGraph
        Gets the nodes.
    others : mapping of str to str
        Values that hold tensors under other names.
    """

    def __init__(self, program: Program, graph: OnnxGraph, others: Mapping[str, str]) -> None:
        self._program, self._graph, self._others = program, graph, others
        self._parts: dict[str, dict[int, str]] = {}
        self._stored: dict[str, list[_Stored]] = {}
        self._pieces_of: dict[tuple[str, int], list[str]] = {}
        self._missing = {tensor.name: tensor.height * len(tensor.parts) for tensor in program.tensors}

    def whole(self, name: str) -> str:
        """Return the value that holds a tensor."""
        return self._others.get(name, name)

    def place(self, conv: Conv) -> str:
        """Return the name under which a Conv writes its map."""
        name, part = conv.output, conv.output_part
        if conv.lattice is not None:
            return self._graph.fresh(f"{conv.name}/map")
        return name if len(self._program.tensor(name).parts) == 1 else self._graph.fresh(f"{name}/part{part}")

    def written(self, conv: Conv, value: str, kind: int | None) -> None:
        """Note that a Conv has written its map; the last one of a tensor makes it whole.

        Parameters
        ----------
        conv : Conv
        value : str
            Holds the map.
        kind : int or None
            ONNX type of codes, None for numbers that can be added as they are.
        """
        name, part = conv.output, conv.output_part
        if conv.lattice is not None:
            joined = self._joined(conv, conv.lattice, value, kind)
            if joined is None:
                return
            value = joined
        held, count = self._parts.setdefault(name, {}), len(self._program.tensor(name).parts)
        held[part] = value
        if len(held) == count > 1:
            self._graph.add("Concat", [held[index] for index in range(count)], name, axis=CHANNELS)

    def part(self, name: str, part: int) -> str:
        """Return a value that holds one part of a tensor that is on chip."""
        tensor, held = self._program.tensor(name), self._parts.setdefault(name, {})
        if len(tensor.parts) == 1:
            return self.whole(name)
        if part not in held:
            held[part] = self.channels(self.whole(name), tensor.part_slice(part), f"{name}/part{part}")
        return held[part]

    def read(self, layer: Layer, value: str = "") -> str:
        """Return a value that holds what a layer reads of its input, or of `value`, which holds its input otherwise."""
        tensor, run = self._program.tensor(layer.input), layer.input_parts
        whole = value or self.whole(layer.input)
        return whole if run is None else self.channels(whole, tensor.run_slice(run), f"{layer.name}/input")

    def channels(self, value: str, channels: slice, wanted: str) -> str:
        """Return a value that holds some channels of another."""
        return self._cut(value, CHANNELS, range(channels.start, channels.stop), wanted)

    def load(self, load: Load) -> None:
        """Make rows of a tensor in the host's memory a tensor on chip; one that only changes its place stays."""
        if load.input != load.output:
            target = self._program.tensor(load.output)
            self._rows(load.input, range(load.first_row, load.first_row + target.height), load.output)

    def store(self, store: Store) -> None:
        """Note where a tensor goes in the host's memory; the last row that was missing makes that tensor whole."""
        if store.input == store.output:
            return
        source, target = self._program.tensor(store.input), self._program.tensor(store.output)
        rows = range(store.first_row, store.first_row + source.height)
        self._stored.setdefault(target.name, []).append(_Stored(source.name, rows, store.output_part))
        self._missing[target.name] -= len(rows) * (len(target.parts) if store.output_part is None else 1)
        if not self._missing[target.name]:
            self._rows(target.name, range(target.height), target.name)

    def _rows(self, name: str, rows: range, output: str) -> None:
        """Add the nodes that make some rows of a tensor in the host's memory the value `output`."""
        stored, tensor = self._stored.get(name, []), self._program.tensor(name)
        if not stored:
            whole = self.whole(name)
            self._join([whole if rows == range(tensor.height) else self._cut(whole, ROWS, rows, f"{output}/rows")],
                       ROWS, output)
        elif all(one.part is None for one in stored):
            self._join(self._pieces(stored, rows, None), ROWS, output)
        else:
            columns = []
            for part in range(len(tensor.parts)):
                pieces = self._pieces([one for one in stored if one.part in (None, part)], rows, part)
                columns.append(pieces[0] if len(pieces) == 1 else
                               self._graph.then("Concat", pieces, f"{output}/part{part}", axis=ROWS))
            self._join(columns, CHANNELS, output)

    def _pieces(self, stored: Sequence[_Stored], rows: range, part: int | None) -> list[str]:
        """Return values that hold some rows of what was stored, in order: of one part, or of all parts if None."""
        pieces = []
        for one in sorted(stored, key=lambda one: one.rows.start):
            inside = range(max(rows.start, one.rows.start), min(rows.stop, one.rows.stop))
            if inside:
                value = self.part(one.source, part) if part is not None and one.part is None else one.source
                first = inside.start - one.rows.start
                pieces.append(value if inside == one.rows else
                              self._cut(value, ROWS, range(first, first + len(inside)), f"{one.source}/rows"))
        return pieces

    def _join(self, values: Sequence[str], axis: int, output: str) -> None:
        if len(values) == 1:
            self._graph.add("Identity", values, output)
        else:
            self._graph.add("Concat", values, output, axis=axis)

    def _joined(self, conv: Conv, lattice: Lattice, value: str, kind: int | None) -> str | None:
        """Note the pixels of a lattice; return the part that they make with those before, None as long as some lack.

        Every map is spread over as many pixels as the tensor has, with zeros between its own; their sum is the part.
        """
        name, part, graph = conv.output, conv.output_part, self._graph
        pieces = self._pieces_of.setdefault((name, part), [])
        if kind is not None:
            value = graph.then("Cast", [value], f"{conv.name}/int32", to=TensorProto.INT32)
        pieces.append(self._spread(conv, lattice, value, kind))
        if len(pieces) < sum((other.output, other.output_part) == (name, part) for other in self._program.convs):
            return None
        alone = len(self._program.tensor(name).parts) == 1
        wanted = name if alone else graph.fresh(f"{name}/part{part}")
        total = pieces[0]
        for index, piece in enumerate(pieces[1:], 1):
            total = graph.then("Add", [total, piece], f"{name}/sum{part}.{index}")
        if kind is None:
            graph.add("Identity", [total], wanted)
        else:
            graph.add("Cast", [total], wanted, to=kind)
        return wanted

    def _spread(self, conv: Conv, lattice: Lattice, value: str, kind: int | None) -> str:
        """Return a value that holds a map at the pixels of its lattice, and zeros at all others of its tensor."""
        (height, width), tensor = conv.map_size(self._program.tensor(conv.input)), self._program.tensor(conv.output)
        (top, left), (down, across), name, graph = lattice.offset, lattice.stride, conv.name, self._graph
        zero = graph.constant(f"{name}/zero", np.float32(0) if kind is None else np.int32(0))
        if (down, across) != (1, 1):
            apart = self._shaped(value, [conv.channels, height, 1, width, 1], f"{name}/apart")
            blocks = self._with_zeros(apart, [0] * 9 + [down - 1, 0, across - 1], zero, f"{name}/blocks")
            value = self._shaped(blocks, [conv.channels, height * down, width * across], f"{name}/interleaved")
        around = []
        for axis, extent, offset, size in ((ROWS, tensor.height, top, height * down),
                                           (COLUMNS, tensor.width, left, width * across)):
            if size > extent - offset:
                value = self._cut(value, axis, range(extent - offset), f"{name}/axis{axis}")
            around.append(max(extent - offset - size, 0))
        return self._with_zeros(value, [0, 0, top, left, 0, 0, *around], zero, f"{name}/placed")

    def _shaped(self, value: str, shape: Sequence[int], wanted: str) -> str:
        """Return the same numbers in another shape of an image."""
        sizes = self._graph.constant(f"{wanted}/shape", np.array([0, *shape]))
        return self._graph.then("Reshape", [value, sizes], wanted)

    def _with_zeros(self, value: str, pads: Sequence[int], zero: str, wanted: str) -> str:
        """Return a value with zeros around another."""
        return self._graph.then("Pad", [value, self._graph.constant(f"{wanted}/pads", np.array(pads)), zero], wanted)

    def _cut(self, value: str, axis: int, inside: range, wanted: str) -> str:
        """Return a value that holds a range of another along an axis."""
        bounds = [self._graph.constant(f"{wanted}/{what}", np.array([number])) for what, number in
                  (("start", inside.start), ("end", inside.stop), ("axis", axis))]
        return self._graph.then("Slice", [value, *bounds], wanted)
