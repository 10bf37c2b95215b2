"""`OnnxGraph`: the nodes and constants of an ONNX graph while it is built; every name is given once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

__all__ = ["OnnxGraph"]


class OnnxGraph:
    """Nodes in the order of execution, the constants that they read, and declarations of values.

    Parameters
    ----------
    reserved : iterable of str
        Names of values that only `add` gives, when it is asked for exactly these.
    """

    def __init__(self, reserved: Iterable[str]) -> None:
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []
        self.declared: list[ValueInfoProto] = []
        self._values, self._nodes = {*reserved}, set[str]()

    def fresh(self, wanted: str) -> str:
        """Return `wanted` as the name of a value, with a number behind it if another value has this name."""
        return _claim(wanted, self._values)

    def add(self, kind: str, inputs: Sequence[str], output: str, doc: str = "", domain: str = "",
            **attributes: Any) -> str:
        """Append a node that is named after its output, and return the name of the output.

        Parameters
        ----------
        kind : str
            The operator.
        inputs : sequence of str
        output : str
            A name of `fresh`, or one that is reserved.
        doc : str
            A sentence for readers.
        domain : str
            Of the operator; empty for ONNX's own.
        attributes
            Of the operator.
        """
        name = _claim(f"{output}/{kind}", self._nodes)
        node = helper.make_node(kind, inputs, [output], name=name, domain=domain, **attributes)
        if doc:
            node.doc_string = doc
        self.nodes.append(node)
        return output

    def then(self, kind: str, inputs: Sequence[str], wanted: str, doc: str = "", **attributes: Any) -> str:
        """Append a node whose output has a `fresh` name, and return that name."""
        return self.add(kind, inputs, self.fresh(wanted), doc, **attributes)

    def declare(self, name: str, kind: int, shape: Sequence[int | str]) -> str:
        """Tell the type and shape of a value that shape inference cannot find, and return its name."""
        self.declared.append(helper.make_tensor_value_info(name, kind, shape))
        return name

    def constant(self, wanted: str, value: NDArray[np.generic] | np.generic) -> str:
        """Add a constant, and return its name, which is a `fresh` one."""
        name = self.fresh(wanted)
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name


def _claim(wanted: str, taken: set[str]) -> str:
    """Return the first of `wanted`, `wanted_2`, `wanted_3`, ... that is not taken, and take it."""
    name, number = wanted, 1
    while name in taken:
        number += 1
        name = f"{wanted}_{number}"
    taken.add(name)
    return name
