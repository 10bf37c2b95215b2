"""A Program as the text of a graph, for Graphviz or Mermaid: ops are boxes, tensors are what flows between them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from bitwright.codesign.program_table import OpRow, op_rows, steps_text
from sim.ir.ops import Tensor
from sim.ir.program import Program

__all__ = ["GraphLanguage", "graph_lines"]

GraphLanguage = Literal["dot", "mermaid"]


def graph_lines(program: Program, language: GraphLanguage) -> list[str]:
    """Write the graph of a Program in the language of Graphviz or of Mermaid.

    Examples
    --------
    >>> from sim.ir.formats import Format
    >>> from sim.ir.ops import Pool
    >>> byte = Format(8, "unsigned")
    >>> tensors = Tensor("x", 4, 4, (3,), byte), Tensor("y", 2, 2, (3,), byte)
    >>> print(*graph_lines(Program(tensors, (Pool("pool", "x", "y", (2, 2), (2, 2)),)), "mermaid"), sep=chr(10))
    flowchart TD
      t0(["x<br/>3 x 4 x 4<br/>unsigned8"])
      t1(["y<br/>3 x 2 x 2<br/>unsigned8"])
      o0["pool<br/>max pool 2 x 2 / 2"]
      t0 --> o0
      o0 --> t1
    """
    return list(_dot(program) if language == "dot" else _mermaid(program))


def _dot(program: Program) -> Iterator[str]:
    yield "digraph program {"
    for name, texts, is_op in _nodes(program):
        label = "\\n".join(text.replace("\\", "\\\\").replace('"', '\\"') for text in texts)
        yield f'  {name} [shape={"box" if is_op else "ellipse"}, label="{label}"];'
    yield from (f"  {source} -> {target};" for source, target in _edges(program))
    yield "}"


def _mermaid(program: Program) -> Iterator[str]:
    yield "flowchart TD"
    for name, texts, is_op in _nodes(program):
        label = "<br/>".join("".join(_mermaid_letter(letter) for letter in text) for text in texts)
        yield f'  {name}["{label}"]' if is_op else f'  {name}(["{label}"])'
    yield from (f"  {source} --> {target}" for source, target in _edges(program))


def _mermaid_letter(letter: str) -> str:
    """Write letters that mean something in Mermaid or HTML as entities."""
    return f"#{ord(letter)};" if letter in '"<>&#;`' else letter


def _nodes(program: Program) -> Iterator[tuple[str, list[str], bool]]:
    """Yield the identifier of each node, the lines of its label, and whether it is an op."""
    for index, tensor in enumerate(program.tensors):
        yield f"t{index}", [tensor.name, _extents(tensor), str(tensor.format)], False
    for index, row in enumerate(op_rows(program)):
        yield f"o{index}", [row.name, _what(row)], True


def _edges(program: Program) -> Iterator[tuple[str, str]]:
    """Yield what each op reads and writes; a transfer that only gives a tensor another place points back to it."""
    names = {tensor.name: f"t{index}" for index, tensor in enumerate(program.tensors)}
    for index, op in enumerate(program.ops):
        yield from ((names[name], f"o{index}") for name in op.reads or (op.input,))
        yield f"o{index}", names[op.output]


def _extents(tensor: Tensor) -> str:
    parts = "+".join(map(str, tensor.parts))
    return f"{parts} x {tensor.height} x {tensor.width}"


def _what(row: OpRow) -> str:
    """Return the kind of an op, its window, its stride and the format of its weights."""
    texts = [row.kind]
    if row.kernel and row.stride and row.kind not in ("linear", "add", "product", "copy"):
        texts.append(f"{row.kernel[0]} x {row.kernel[1]}")
        texts += [f"/ {steps_text(row.stride)}"] if row.stride != (1, 1) else []
    if row.weight_format is not None and row.kind not in ("average", "add", "product", "copy"):
        texts.append(row.weight_format)
    return " ".join(texts)
