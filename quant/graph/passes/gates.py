"""Activations that are written out as products: hardsigmoid, hardswish, SiLU, GELU, Mish."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, isclose, pi, sqrt
from typing import cast

from quant.graph.graph import Graph, Node
from quant.graph.ops.elementwise import Binary, Clip, HardSigmoid, Unary, UnaryKind
from quant.graph.ops.linear import Affine
from quant.graph.ops.operator import Operator
from quant.graph.passes.rewriting import made_by, number, operator_nodes, swap

__all__ = ["recognise_gates", "recognise_hard_sigmoids"]

SQUARE_ROOT = sqrt(0.5)


@dataclass(frozen=True)
class _Line:
    """gain * x + shift of a value."""

    value: str
    gain: float
    shift: float


def recognise_hard_sigmoids(graph: Graph) -> None:
    """Make clip(x * a + b, 0, c) / c a `HardSigmoid`, whichever of its constants are there."""
    for node in operator_nodes(graph, Affine):
        clip = made_by(graph, node, 0, Clip)
        after = _line(graph, node)
        if clip is None or after is None:
            continue
        ends = cast(Clip, clip.operator)
        if not (isclose(after.gain * ends.low + after.shift, 0, abs_tol=1e-6)
                and isclose(after.gain * ends.high + after.shift, 1, rel_tol=1e-5)):
            continue
        inner = made_by(graph, clip, 0, Affine)
        before = _line(graph, inner) if inner else None
        if inner is None or before is None:
            inner, before = None, _Line(clip.inputs[0], 1.0, 0.0)
        operator = HardSigmoid(after.gain * before.gain, after.gain * before.shift + after.shift)
        swap(graph, [*([inner] if inner else []), clip, node], operator, (before.value,))


def recognise_gates(graph: Graph) -> None:
    """Make x * hardsigmoid(x), x * sigmoid(x), x * (1 + erf(x / sqrt(2))) / 2 and their like one operator each."""
    for node in operator_nodes(graph, Binary):
        if node.operator == Binary("mul"):
            for gate, other in ((1, 0), (0, 1)):
                if _recognise(graph, node, gate, other):
                    break


def _recognise(graph: Graph, product: Node, gate: int, other: int) -> bool:
    """Replace a product whose operand `gate` is a function of its other operand."""
    nodes = [product]
    scale = 1.0
    readers = graph.readers(product.output)
    if len(readers) == 1 and (after := _line(graph, readers[0])) is not None and after.shift == 0:
        if graph.reads_alone(readers[0], product.output):
            scale = after.gain
            nodes.append(readers[0])
    x = _line_of(graph, product.inputs[other])
    outer = _line_of(graph, product.inputs[gate])
    function = graph.maker(outer.value)
    if function is None or x.shift != 0:
        return False
    for gain, value in ((x.gain, x.value), (1.0, product.inputs[other])):
        kind = _kind(graph, function, value, scale * gain * outer.gain, scale * gain * outer.shift)
        if kind is not None:
            swap(graph, nodes, Unary(kind), (value,))
            graph.drop_unread()
            return True
    return False


def _kind(graph: Graph, function: Node, x: str, gain: float, shift: float) -> UnaryKind | None:
    """Return which activation x * (gain * function + shift) is."""
    operator = function.operator
    inner = _line_of(graph, function.inputs[0])
    if isinstance(operator, HardSigmoid | Clip):
        return _hard_kind(operator, inner, x, gain, shift)
    if not isinstance(operator, Unary):
        return None
    plain = inner.value == x and inner.shift == 0
    if operator.kind == "sigmoid" and plain and _are((gain, 1), (shift, 0), (inner.gain, 1)):
        return "silu"
    if operator.kind == "erf" and plain and _are((gain, 0.5), (shift, 0.5), (inner.gain, SQUARE_ROOT)):
        return "gelu"
    if operator.kind == "tanh":
        if _are((gain, 0.5), (shift, 0.5)) and _is_cubic(graph, inner, x):
            return "gelu_tanh"
        maker = graph.maker(inner.value)
        if _are((gain, 1), (shift, 0), (inner.gain, 1), (inner.shift, 0)) and maker is not None:
            return "mish" if maker.operator == Unary("softplus") and maker.inputs == (x,) else None
    return None


def _hard_kind(operator: Operator, inner: _Line, x: str, gain: float, shift: float) -> UnaryKind | None:
    if inner.value != x:
        return None
    if isinstance(operator, Clip):
        low, high, slope, start = operator.low, operator.high, 1.0, 0.0
    else:
        assert isinstance(operator, HardSigmoid)
        low, high, slope, start = 0.0, 1.0, operator.alpha, operator.beta
    if inf in (abs(low), abs(high)):
        return None
    found = _are((gain * low + shift, 0), (gain * high + shift, 1), (gain * slope * inner.gain, 1 / 6),
                 (gain * (slope * inner.shift + start) + shift, 0.5))
    return "hardswish" if found else None


def _is_cubic(graph: Graph, line: _Line, x: str) -> bool:
    """Return whether a value is sqrt(2 / pi) * (x + 0.044715 * x**3)."""
    total = graph.maker(line.value)
    if total is None or total.operator != Binary("add") or not _are((line.gain, sqrt(2 / pi)), (line.shift, 0)):
        return False
    for one, other in (total.inputs, total.inputs[::-1]):
        cube = _line_of(graph, other)
        power = graph.maker(cube.value)
        if one == x and power is not None and _are((cube.gain, 0.044715), (cube.shift, 0)):
            return power.operator == Binary("pow") and power.inputs[0] == x and number(graph, power.inputs[1]) == 3
    return False


def _line_of(graph: Graph, value: str) -> _Line:
    """Return a value as a line of another, or of itself."""
    maker = graph.maker(value)
    line = _line(graph, maker) if maker is not None else None
    return line or _Line(value, 1.0, 0.0)


def _line(graph: Graph, node: Node) -> _Line | None:
    """Return what an `Affine` with single numbers does."""
    if not isinstance(node.operator, Affine):
        return None
    gain, shift = number(graph, node.inputs[1]), number(graph, node.inputs[2])
    return None if gain is None or shift is None else _Line(node.inputs[0], gain, shift)


def _are(*pairs: tuple[float, float]) -> bool:
    """Return whether numbers are what they should be, but for roundings of single precision."""
    return all(isclose(came, wanted, rel_tol=1e-4, abs_tol=1e-6) for came, wanted in pairs)
