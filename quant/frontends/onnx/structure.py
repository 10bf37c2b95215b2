"""Whether a file's graphs can be followed: versions, names, attributes; values are made before they are read."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import onnx
from onnx import AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, TensorProto
from onnx.defs import OpSchema

from quant.frontends.onnx.tensors import check_tensor
from sim.errors import InputError
from sim.io.bounds import check_range, shown

__all__ = ["MAX_NODES", "MIN_OPSET", "STANDARD", "check_function", "check_model", "graphs_of", "leave_out_unread",
           "names_read", "opset_of", "place_of", "schema_of", "tensors_of"]

MIN_IR, MIN_OPSET = 3, 6
MAX_NODES = 20_000
"""Most nodes of a model, those of inner graphs included."""
STANDARD = ("", "ai.onnx")
"""Names of the domain of ONNX's own operators."""
OPTIONAL_OUTPUTS = frozenset({"BatchNormalization", "Dropout", "MaxPool"})
"""Operators whose outputs after the first are not computed here."""


@dataclass(frozen=True)
class Scope:
    """What names mean at one place of a model.

    Attributes
    ----------
    names : tuple of set of str
        Values that are known so far: of the outermost graph first.
    opset : int
        Version of ONNX's own operators.
    attributes : frozenset of str
        Of the function that the place is in, which attributes of its nodes may refer to.
    """

    names: tuple[set[str], ...]
    opset: int
    attributes: frozenset[str] = frozenset()

    def knows(self, name: str) -> bool:
        """Return whether a value is known."""
        return any(name in names for names in self.names)


def check_model(model: ModelProto) -> None:
    """Refuse a model that cannot be followed; its functions are left to `check_function`.

    Raises
    ------
    InputError
        With the first fault that is found.
    """
    check_range(model.ir_version, MIN_IR, onnx.IR_VERSION, "its IR version")
    graph = model.graph
    if not graph.node:
        raise InputError("it has no nodes")
    if not graph.output:
        raise InputError("it has no outputs")
    count = sum(len(inner.node) for inner in graphs_of(graph))
    if count > MAX_NODES:
        raise InputError(f"it must have at most {MAX_NODES:,} nodes, not {count:,}")
    known: set[str] = set()
    initialized = {tensor.name for tensor in graph.initializer}
    for name in (given.name for given in graph.input if given.name not in initialized):
        _add(known, name, "an input")
    _check_graph(graph, Scope((known,), opset_of(model.opset_import)))


def check_function(function: FunctionProto) -> None:
    """Refuse a function of a model whose nodes cannot be followed.

    Raises
    ------
    InputError
        With the first fault that is found.
    """
    known: set[str] = set()
    for name in function.input:
        _add(known, name, f"an input of function '{shown(function.name)}'")
    attributes = frozenset([*function.attribute, *(default.name for default in function.attribute_proto)])
    _check_nodes(function.node, Scope((known,), opset_of(function.opset_import), attributes))
    for name in function.output:
        if name not in known:
            raise InputError(f"output '{shown(name)}' of function '{shown(function.name)}' is made by no node")

def opset_of(imports: Iterable[onnx.OperatorSetIdProto]) -> int:
    """Return the version of ONNX's own operators that a model or a function uses.

    Raises
    ------
    InputError
        If it names none, two, or one that is not read.
    """
    versions = [entry.version for entry in imports if entry.domain in STANDARD]
    if len(versions) != 1:
        raise InputError(f"it must name one version of ONNX's operators, not {len(versions)}")
    check_range(versions[0], MIN_OPSET, onnx.defs.onnx_opset_version(), "its version of ONNX's operators (opset)")
    return versions[0]


def graphs_of(graph: GraphProto) -> Iterator[GraphProto]:
    """Yield a graph and all graphs inside its nodes."""
    pending = [graph]
    while pending:
        found = pending.pop()
        yield found
        pending += [inner for node in found.node for attribute in node.attribute
                    for inner in (attribute.g, *attribute.graphs) if inner.node or inner.output]


def names_read(graph: GraphProto) -> frozenset[str]:
    """Return the names that nodes of a graph, or of graphs inside it, read, and those of their outputs."""
    inside = list(graphs_of(graph))
    return frozenset([name for inner in inside for node in inner.node for name in node.input]
                     + [output.name for inner in inside for output in inner.output])


def leave_out_unread(graph: GraphProto, read: Container[str]) -> None:
    """Take away, in place, the names of optional outputs that nothing reads, such as the mask of a Dropout."""
    for inner in graphs_of(graph):
        for node in inner.node:
            if node.op_type in OPTIONAL_OUTPUTS:
                node.output[1:] = [name if name in read else "" for name in node.output[1:]]


def tensors_of(model: ModelProto) -> Iterator[TensorProto]:
    """Yield every tensor of a model's graphs."""
    for graph in graphs_of(model.graph):
        yield from graph.initializer
        for node in graph.node:
            for attribute in node.attribute:
                if attribute.HasField("t"):
                    yield attribute.t
                yield from attribute.tensors


def place_of(node: NodeProto) -> str:
    """Return what messages call a node.

    >>> place_of(onnx.helper.make_node("Relu", ["x"], ["y"]))
    "node 'y'"
    """
    return f"node '{shown(node.name or next(filter(None, node.output), node.op_type))}'"


def schema_of(node: NodeProto, opset: int) -> OpSchema | None:
    """Return what ONNX says about a node's operator, None if it is none of ONNX's own."""
    try:
        return onnx.defs.get_schema(node.op_type, opset, "") if node.domain in STANDARD else None
    except onnx.defs.SchemaError:
        return None


def _check_graph(graph: GraphProto, scope: Scope) -> None:
    """Check a graph whose inputs, if it has any of its own, are in the last set of the scope's names."""
    if graph.sparse_initializer:
        raise InputError("it has sparse tensors, which are not read")
    known = scope.names[-1]
    for tensor in graph.initializer:
        _add(known, tensor.name, "a tensor")
        check_tensor(tensor)
    made = {name for node in graph.node for name in node.output}
    _check_nodes(graph.node, scope, made)
    for given in graph.output:
        if not scope.knows(given.name):
            raise InputError(f"output '{shown(given.name)}' is made by no node")


def _check_nodes(nodes: Sequence[NodeProto], scope: Scope, made: Iterable[str] = ()) -> None:
    """Check nodes in their order, and add what they make to the last set of the scope's names."""
    for node in nodes:
        place = place_of(node)
        for name in node.input:
            if name and not scope.knows(name):
                reason = ("is made after it: the nodes have no order, or form a circle" if name in made
                          else "is made by no node")
                raise InputError(f"{place} reads '{shown(name)}', which {reason}")
        if node.domain not in STANDARD and not node.domain.isprintable():
            raise InputError(f"{place} is of domain '{shown(node.domain)}'")
        _check_attributes(node, scope, place)
        _check_counts(node, scope.opset, place)
        for name in filter(None, node.output):
            _add(scope.names[-1], name, f"an output of {place}")


def _check_counts(node: NodeProto, opset: int, place: str) -> None:
    """Check how many inputs and outputs a node has, and the types of its attributes."""
    schema = schema_of(node, opset)
    if schema is None:
        return
    counts = ("inputs", len(node.input), schema.min_input, schema.max_input), (
        "outputs", len(node.output), schema.min_output, schema.max_output)
    for what, count, low, high in counts:
        if not low <= count <= high:
            limit = f"{low}..{high}" if low < high else f"{low}"
            raise InputError(f"{place}: {shown(node.op_type)} must have {limit} {what}, not {count}")
    for name, attribute in schema.attributes.items():
        given = next((one for one in node.attribute if one.name == name), None)
        if given is None and attribute.required:
            raise InputError(f"{place}: {shown(node.op_type)} needs attribute '{name}'")
        wanted: Any = attribute.type  # an enumeration of C++
        if given is not None and not given.ref_attr_name and given.type != wanted.value:
            raise InputError(f"{place}: attribute '{name}' must be of type {wanted.name}, not "
                             f"{AttributeProto.AttributeType.Name(given.type)}")


def _check_attributes(node: NodeProto, scope: Scope, place: str) -> None:
    """Check the names, tensors and graphs of a node's attributes."""
    names: set[str] = set()
    for attribute in node.attribute:
        _add(names, attribute.name, f"{place}: an attribute")
        reference = attribute.ref_attr_name
        if reference and reference not in scope.attributes:
            raise InputError(f"{place}: attribute '{shown(attribute.name)}' refers to '{shown(reference)}', which no "
                             "function has")
        if attribute.HasField("sparse_tensor") or attribute.sparse_tensors:
            raise InputError(f"{place} has sparse tensors, which are not read")
        for tensor in (*([attribute.t] if attribute.HasField("t") else ()), *attribute.tensors):
            check_tensor(tensor)
        for graph in (*([attribute.g] if attribute.HasField("g") else ()), *attribute.graphs):
            inner: set[str] = set()
            for given in graph.input:
                _add(inner, given.name, f"an input of a graph inside {place}")
            _check_graph(graph, Scope((*scope.names, inner), scope.opset, scope.attributes))


def _add(names: set[str], name: str, what: str) -> None:
    """Add a name that must be new; `what` says whose it is, as a sentence begins."""
    if not name:
        raise InputError(f"{what} has no name")
    if name in names:
        raise InputError(f"{what} has a name that is used before: '{shown(name)}'")
    names.add(name)
