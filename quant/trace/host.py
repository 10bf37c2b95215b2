"""What a network ends with that the host computes from the machine's outputs: softmax, argmax and their like."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional

from quant.trace.outputs import tensors_of

__all__ = ["Host", "HostPart", "cut_host", "host_part"]

MODULES = (nn.Softmax, nn.Softmax2d, nn.LogSoftmax, nn.Softmin, nn.Sigmoid, nn.LogSigmoid, nn.Tanh)
FUNCTIONS = {function: name for name, functions in {
    "softmax": (torch.softmax, functional.softmax, "softmax"),
    "log_softmax": (torch.log_softmax, functional.log_softmax, "log_softmax"),
    "sigmoid": (torch.sigmoid, functional.sigmoid, "sigmoid"), "logsigmoid": (functional.logsigmoid,),
    "tanh": (torch.tanh, functional.tanh, "tanh"), "exp": (torch.exp, "exp"),
    "argmax": (torch.argmax, "argmax"), "argmin": (torch.argmin, "argmin"), "max": (torch.max, "max"),
    "topk": (torch.topk, "topk"), "sort": (torch.sort, "sort"), "argsort": (torch.argsort, "argsort"),
}.items() for function in functions}
VIEWS = {operator.getitem: "getitem", "permute": "permute", torch.permute: "permute", "transpose": "transpose",
         torch.transpose: "transpose", "unsqueeze": "unsqueeze", torch.unsqueeze: "unsqueeze"}
"""Of what another operator of the host makes, or of an output by itself."""


class Host(nn.Module):
    """An operator of the host, which reads an output of the machine or of another such operator.

    Parameters
    ----------
    operator : str
        Its name in reports, such as "softmax".
    compute : callable
        From Tensors to a Tensor or several.
    reason : str
        Why the machine cannot compute it; empty for answers such as softmax, which are the host's anyway.
    """

    def __init__(self, operator: str, compute: Callable[..., Any], reason: str = "") -> None:
        super().__init__()
        self.operator, self.compute, self.reason = operator, compute, reason

    def extra_repr(self) -> str:
        return self.operator

    def forward(self, *args: Any) -> Any:
        return self.compute(*args)


class HostPart:
    """What the host computes.

    Parameters
    ----------
    operators : tuple of str
        Names of its operators in the order in which they run.
    module : fx.GraphModule
        Computes what the model returns from what the machine puts out.
    """

    def __init__(self, operators: tuple[str, ...], module: fx.GraphModule) -> None:
        self.operators, self.module = operators, module

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why the machine cannot compute some of it."""
        return tuple(module.reason for module in self.module.modules() if isinstance(module, Host) and module.reason)

    def __call__(self, returned: Any) -> Any:
        """Return what the model does, from what its graph without these operators has returned."""
        return self.module.forward(*tensors_of(returned))


def host_part(graph: nn.Module) -> HostPart | None:
    """Return what the host computes of a graph's outputs, None if that is nothing."""
    found = getattr(graph, "meta", {}).get("host")
    return found if isinstance(found, HostPart) else None


def cut_host(graph: fx.GraphModule) -> None:
    """Let a graph return what operators of the host read at its end, in place; `host_part` then gives these."""
    (output,) = graph.graph.find_nodes(op="output")
    tail: dict[fx.Node, str] = {}
    for node in reversed(graph.graph.nodes):
        name = _name(graph, node)
        if name is not None and node.users and all(user is output or user in tail for user in node.users):
            tail[node] = name
    if not tail:
        return
    rest = fx.Graph()
    nodes = [node for node in graph.graph.nodes if node in tail]
    given = dict.fromkeys(read for node in (*nodes, output) for read in node.all_input_nodes if read not in tail)
    values = {read: rest.placeholder(f"output_{place}") for place, read in enumerate(given)}
    for node in (*nodes, output):
        values[node] = rest.node_copy(node, values.__getitem__)
    operators = tuple(tail[node] for node in nodes if tail[node] not in VIEWS.values())
    graph.meta["host"] = HostPart(operators or tuple(tail[node] for node in nodes), fx.GraphModule(graph, rest))
    output.args = (next(iter(given)) if len(given) == 1 else tuple(given),)
    for node in reversed(nodes):
        graph.graph.erase_node(node)


def _name(graph: fx.GraphModule, node: fx.Node) -> str | None:
    """Return the name of an operator that the host can compute."""
    if node.op == "call_module":
        module = graph.get_submodule(str(node.target))
        if isinstance(module, Host):
            return module.operator
        return type(module).__name__.lower() if type(module) in MODULES else None
    if node.op in ("call_function", "call_method"):
        return FUNCTIONS.get(node.target) or VIEWS.get(node.target)
    return None
