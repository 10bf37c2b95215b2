"""Graphs of models: what cannot be traced is refused with where and why, what nobody reads is left out."""

import re
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from quant.trace.naming import TAKEN
from quant.trace.tracer import trace
from sim.errors import InputError

Forward = Callable[["Written", Tensor], Tensor]


class Written(nn.Module):
    """A forward written as a function."""

    def __init__(self, forward: Forward) -> None:
        super().__init__()
        self.conv, self.relu, self.written = nn.Conv2d(3, 3, 3, padding=1), nn.ReLU(inplace=True), forward

    def forward(self, x: Tensor) -> Tensor:
        return self.written(self, x)


def asserting(model: Written, x: Tensor) -> Tensor:
    """Asks for the number of channels, as careful models do."""
    assert x.shape[1] == 3
    return x


def looping(model: Written, x: Tensor) -> Tensor:
    """Goes through the rows of a map."""
    return sum((x[:, :, row] for row in range(x.shape[2])), x)


def assigning(model: Written, x: Tensor) -> Tensor:
    """Changes a part of a tensor."""
    x[:, 0] = 0
    return x


def broken(model: Written, x: Tensor) -> Tensor:
    """Has a mistake of its own."""
    raise KeyError("scale")


REMEDY = ("forward must not branch on a tensor or its shape, loop over them or count with them: write the numbers "
          "out")

CANNOT: dict[str, Forward] = {
    "symbolically traced variables cannot be used as inputs to control flow": asserting,
    "'Proxy' object cannot be interpreted as an integer": looping,
    "'len' is not supported in symbolic tracing by default": lambda model, x: x if len(x) > 1 else 2 * x,
    "int() argument must be a string, a bytes-like object or a real number, not 'Proxy'":
        lambda model, x: functional.avg_pool2d(x, int(x.shape[2])),
    "Proxy object cannot be iterated": lambda model, x: torch.cat(list(x)),
    "'Proxy' object does not support item assignment": assigning,
}


@pytest.mark.parametrize(("reason", "forward"), CANNOT.items(), ids=CANNOT.keys())
def test_what_forward_may_not_do_is_said_with_its_line(reason: str, forward: Forward) -> None:
    """Torch's reason, the file and line of the user's code, and what to write instead, in one sentence."""
    with pytest.raises(InputError, match=(
            rf"^the model cannot be traced: {re.escape(reason)} \(test_tracer\.py, line \d+\); {re.escape(REMEDY)}$")):
        trace(Written(forward))


def test_sizes_of_new_tensors_cannot_be_traced() -> None:
    """So it is for a tensor as large as the batch, whatever torch's words."""
    text = rf"^the model cannot be traced: TypeError: zeros\(\).* \(test_tracer\.py, line \d+\); {re.escape(REMEDY)}$"
    with pytest.raises(InputError, match=text):
        trace(Written(lambda model, x: x + torch.zeros(x.shape[0], 3, 1, 1)))


def test_errors_of_forward_itself_are_named() -> None:
    """What is wrong in the model is told from what tracing cannot do."""
    text = r"^the model cannot be traced: KeyError: 'scale' \(test_tracer\.py, line \d+\)$"
    with pytest.raises(InputError, match=text):
        trace(Written(broken))


def test_layers_made_in_forward_are_refused_with_where() -> None:
    """A slice of a Sequential is a new module, which the model does not have."""
    class Sliced(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU(), nn.Conv2d(3, 3, 1))

        def forward(self, x: Tensor) -> Tensor:
            return self.layers[:2](x)

    text = (r"^the model cannot be traced: forward makes a layer \(test_tracer\.py, line \d+\), of which a slice of "
            r"an nn\.Sequential is one; make it in __init__$")
    with pytest.raises(InputError, match=text):
        trace(Sliced())


def scripted() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 3, 1), torch.jit.trace(nn.ReLU(), torch.rand(1, 3, 4, 4)))


def exported() -> nn.Module:
    """What torch.export leaves of a model: single operations."""
    graph = fx.Graph()
    graph.output(graph.call_function(torch.ops.aten.relu.default, (graph.placeholder("x"),)))
    return fx.GraphModule(nn.Module(), graph)


class OptimizedModule(nn.Module):
    """As torch.compile wraps a model."""

    def __init__(self) -> None:
        super().__init__()
        self._orig_mod = nn.ReLU()


OptimizedModule.__module__ = "torch._dynamo.eval_frame"

OTHERS: dict[str, Callable[[], object]] = {
    "the model must be a torch.nn.Module, not function": lambda: asserting,
    "the model must be a torch.nn.Module, not the class ReLU; call it to make one": lambda: nn.ReLU,
    "the model must be a torch.nn.Module, not OrderedDict; load weights into a module by its load_state_dict":
        lambda: nn.ReLU().state_dict(),
    "the model must be a torch.nn.Module, not ExportedProgram; save it by torch.export.save, and bitwright.load_model "
    "reads the file": lambda: torch.export.export(nn.Conv2d(3, 3, 1), (torch.ones(2, 3, 4, 4),)),
    "the model must be a torch.nn.Module, not str; bitwright.load_model reads a file": lambda: "model.onnx",
    "TopLevelTracedModule at '1' is made by torch.jit; give the model that was scripted or traced": scripted,
    "the model is a DataParallel around a model; give the model inside (module)":
        lambda: nn.DataParallel(nn.Conv2d(3, 3, 1)),
    "the model is made by torch.export, which leaves no layers; give the model that was exported": exported,
    "OptimizedModule at '0' is compiled by torch.compile; give the model that was compiled (_orig_mod)":
        lambda: nn.Sequential(OptimizedModule()),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(("text", "make"), OTHERS.items(), ids=OTHERS.keys())
def test_what_other_tools_made_of_a_model_is_refused_as_such(text: str, make: Callable[[], nn.Module]) -> None:
    """The message says which tool it was and what to give instead."""
    with pytest.raises(InputError, match=f"^{re.escape(text)}$"):
        trace(make())


def kept(forward: Forward) -> list[str]:
    """Names of the calls that are left."""
    return [node.name for node in trace(Written(forward)).graph.nodes if node.op.startswith("call")]


def after(unread: Forward) -> Forward:
    """Something whose value nobody reads, then a convolution."""
    def forward(model: Written, x: Tensor) -> Tensor:
        unread(model, x)
        return model.conv(x)
    return forward


@pytest.mark.parametrize("unread", [
    lambda model, x: torch.sigmoid(x), lambda model, x: model.conv(x).mean(), lambda model, x: x.size(0),
    lambda model, x: x.view(x.size(0), -1)])
def test_what_nobody_reads_is_left_out(unread: Forward) -> None:
    """A chain of calls without a reader, supported or not, is no part of the graph."""
    assert kept(after(unread)) == ["conv" if "conv" not in kept(unread) else "conv_1"]


def test_arguments_that_nobody_reads_are_left_out() -> None:
    """A forward that takes more than it uses, as wrappers do, reads one tensor."""
    class Taking(Written):
        def forward(self, x: Tensor, mask: Tensor | None = None, *more: Tensor, **named: Tensor) -> Tensor:
            return self.conv(x)

    graph = trace(Taking(looping))
    assert [node.name for node in graph.graph.nodes] == ["x", "conv", "output"]
    assert graph(torch.zeros(1, 3, 4, 4)).shape == (1, 3, 4, 4)


def test_arguments_with_a_default_keep_it() -> None:
    """A forward that decides by options, in order or by name, is traced as it runs on the images alone."""
    class Optional(Written):
        def forward(self, x: Tensor, mask: Tensor | None = None, plain: bool = False, *more: Tensor,
                    deep: bool = True, **named: Tensor) -> Tensor:
            x = self.conv(x) if plain else self.relu(self.conv(x))
            return self.relu(x) if deep and mask is None else x

    graph = trace(Optional(looping))
    assert [node.name for node in graph.graph.nodes] == ["x", "conv", "relu", "relu_1", "output"]


@pytest.mark.parametrize(("unread", "name"), [
    (lambda model, x: x.add_(1), "add_"), (lambda model, x: torch.sigmoid_(x), "sigmoid_"),
    (lambda model, x: model.relu(x), "relu"), (lambda model, x: functional.hardtanh(x, 0.0, 6.0, True), "hardtanh"),
    (lambda model, x: functional.silu(x, inplace=True), "silu"), (lambda model, x: torch.exp(x, out=x), "exp"),
    (lambda model, x: torch._assert(x.sum() > 0, "positive"), "_assert")])
def test_what_changes_something_else_is_kept(unread: Forward, name: str) -> None:
    """A call in place matters to later readers of its operand."""
    assert name in kept(after(unread))


def named(name: str) -> nn.Module:
    model = nn.Sequential()
    model.add_module(name, nn.Conv2d(3, 3, 1))
    return model


@pytest.mark.parametrize("name", ["a b", "1x1", "größe", "self", "torch", "getattr", "_constant0", "a/b", "it's"])
def test_odd_names_are_no_obstacle(name: str) -> None:
    """The graph computes what the model does, whatever its layer is called."""
    model, x = named(name), torch.rand(1, 3, 4, 4)
    assert torch.equal(trace(model)(x), model(x))


NAMES = {
    "class": "the name 'class' means something else in Python; rename what has it",
    "None": "the name 'None' means something else in Python; rename what has it",
    'a"b': "the name 'a\"b' cannot be written in torch.fx's code; rename what has it",
    "µ": "the name 'µ' cannot be written in torch.fx's code; rename what has it",
    "a\nb": "the name 'a\\nb' must be printable, and has '\\n'; rename what has it",
    "a\\b": "the name 'a\\b' must have no backslash; rename what has it",
}


@pytest.mark.parametrize(("name", "text"), NAMES.items())
def test_names_that_a_graph_cannot_have_are_refused(name: str, text: str) -> None:
    """Torch's generated code would be no Python, or Python with another meaning."""
    with pytest.raises(InputError, match=f"^{re.escape(text)}$"):
        trace(named(name))


@pytest.mark.parametrize("name", sorted(TAKEN))
def test_names_that_a_graph_itself_has_are_refused(name: str) -> None:
    """A layer would be hidden by what a GraphModule calls so."""
    with pytest.raises(InputError, match=f"^the name '{name}' means something else in torch.fx; rename what has it$"):
        trace(named(name))


def test_names_inside_a_block_are_free() -> None:
    """Only the outermost layers share their names with the graph."""
    model, x = nn.Sequential(named("graph"), named("meta")), torch.rand(1, 3, 4, 4)
    assert torch.equal(trace(model)(x), model(x))


@pytest.mark.parametrize("forward", [
    lambda model, x: model.conv(input=x), lambda model, x: torch.add(input=model.conv(x), other=x),
    lambda model, x: torch.flatten(input=x, start_dim=1), lambda model, x: model.conv(x).add(other=x)])
def test_operands_by_keyword_are_operands(forward: Forward) -> None:
    """The graph has them by position, and computes the same."""
    model, x = Written(forward), torch.rand(2, 3, 4, 4)
    graph = trace(model)
    assert torch.equal(graph(x), model(x))
    assert not any(isinstance(value, fx.Node) for node in graph.graph.nodes for value in node.kwargs.values())
