"""Why the machine cannot compute an operator, whatever it reads."""

from __future__ import annotations

from quant.graph.graph import Graph, Node
from quant.graph.ops.answers import ArgMax, LogSoftmax, Softmax
from quant.graph.ops.einsum import Einsum
from quant.graph.ops.elementwise import COMPARISONS, Binary, PRelu, Where
from quant.graph.ops.linear import ConvTranspose, MatMul
from quant.graph.ops.operator import Unknown
from quant.graph.ops.quantization import BipolarQuantize, Dequantize, FakeQuantize, Quantize, Truncate
from quant.graph.ops.views import Resize

__all__ = ["reason_against"]

def reason_against(graph: Graph, node: Node) -> str | None:
    """Return why an operator has no counterpart on the machine, None if it may have one."""
    operator = node.operator
    reason = None
    if isinstance(operator, Unknown):
        return f"unsupported operator {operator.kind} {node.place}{operator.reason and f': {operator.reason}'}"
    if isinstance(operator, Binary) and any(name in graph.constants for name in node.inputs):
        reason = "joins numbers that differ from pixel to pixel; the machine multiplies and adds one for each channel"
    elif isinstance(operator, PRelu):
        reason = "has slopes that differ from pixel to pixel; the machine has one for each channel"
    elif isinstance(operator, Softmax | LogSoftmax | ArgMax):
        reason = "is computed by the host, and so only at the end"
    elif isinstance(operator, Where) or (isinstance(operator, Binary) and operator.kind in COMPARISONS):
        reason = "chooses by more than one value; a choice must be a function of one"
    elif isinstance(operator, Resize) and _is_smaller(graph, node, operator):
        reason = "does not divide sizes by whole numbers, or mixes more than two pixels along an axis"
    elif isinstance(operator, Resize) and operator.mode in ("nearest", "nearest-exact"):
        reason = "does not multiply sizes by whole numbers, which the machine cannot do yet"
    elif isinstance(operator, Resize) and operator.align_corners:
        reason = "has align_corners, whose weights differ from pixel to pixel; only align_corners=False is supported"
    elif isinstance(operator, Resize):
        reason = "mixes pixels of a larger map; only bilinear enlargement by factors of 1, 2 and 4 is supported"
    elif isinstance(operator, ConvTranspose):
        reason = "makes no map of rows and columns, or has weights that depend on the input"
    elif isinstance(operator, MatMul | Einsum):
        reason = "multiplies two matrices that depend on the input, which the machine cannot do yet"
    elif operator == Binary("pow"):
        reason = "takes powers whose exponents depend on the input, which the machine cannot do"
    elif isinstance(operator, Truncate):
        reason = "cuts bits off codes; the machine rounds to the nearest code, as a Quant may do instead"
    elif isinstance(operator, Quantize | Dequantize | FakeQuantize | BipolarQuantize):
        reason = "belongs to a network that is quantized already; give the float network"
    return reason and f"{operator.title} {node.place} {reason}"


def _is_smaller(graph: Graph, node: Node, resize: Resize) -> bool:
    before = graph.known_shapes.get(node.inputs[0], ())[1:]
    return bool(before) and all(size <= extent for size, extent in zip(resize.size, before, strict=True))
