"""What is emitted computes what the model does, whatever spelling it is written in, or is refused by its reasons."""

import pickle
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from quant.emit.emit import emit
from quant.frontends.aten.exported import graph_of_module
from quant.graph.graph import Graph, Input, Node
from quant.graph.ops.elementwise import Binary
from quant.graph.ops.linear import Linear
from quant.graph.passes.normalise import normalise
from quant.graph.reasons import NEIGHBOURS
from quant.layers.selection import Selection
from quant.trace.host import Host
from sim.errors import InputError


class Written(nn.Module):
    """A network whose forward is a function of its layers and the image."""

    def __init__(self, forward: Callable[..., Any], **layers: nn.Module | nn.Parameter) -> None:
        super().__init__()
        for name, layer in layers.items():
            setattr(self, name, layer)
        self.written = forward

    def forward(self, x: Tensor) -> Any:
        return self.written(self, x)


def conv(inputs: int = 3, outputs: int = 4, kernel: int = 3, **options: Any) -> nn.Conv2d:
    """A convolution that keeps the size of maps."""
    return nn.Conv2d(inputs, outputs, kernel, **{"padding": kernel // 2, **options})


def row(forward: Callable[[Tensor], Tensor], features: int) -> nn.Module:
    """A network that makes a row of a map of 4 x 8 x 8, and classifies it."""
    return Written(lambda self, x: self.fc(forward(torch.relu(self.conv(x)))), conv=conv(), fc=nn.Linear(features, 3))


def on_map(forward: Callable[..., Any], **layers: nn.Module | nn.Parameter) -> nn.Module:
    """A network that does something to a map of 4 x 8 x 8 without negative numbers."""
    return Written(lambda self, x: forward(self, torch.relu(self.first(x))), first=conv(), **layers)


def parameter(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.randn(shape) + 1)


def shuffled(y: Tensor) -> Tensor:
    return y.view(y.size(0), 2, 2, 8, 8).transpose(1, 2).reshape(y.size(0), 4, 8, 8)


def shortcut(self: Written, y: Tensor) -> Tensor:
    """A residual block whose shortcut has a smaller map and more channels, filled up by zeros."""
    return self.c(torch.relu(self.b(y) + functional.pad(y[:, :, ::2, ::2], (0, 0, 0, 0, 2, 2))))


def pyramid(self: Written, y: Tensor) -> Tensor:
    """Max pools of max pools, beside each other."""
    a = self.pool(y)
    b = self.pool(a)
    return self.c(torch.cat([y, a, b, self.pool(b)], 1))


def halves(self: Written, y: Tensor) -> Tensor:
    a, b = y.chunk(2, 1)
    return self.c(torch.cat([b, self.b(a)], 1))


def tokens(y: Tensor) -> Tensor:
    return y.flatten(2).transpose(1, 2)


MEAN, DEVIATION = (torch.tensor(numbers).view(1, 3, 1, 1) for numbers in ([0.4, 0.5, 0.6], [0.2, 0.3, 0.4]))

MAPS: dict[str, Callable[[], nn.Module]] = {
    "view with size": lambda: row(lambda y: y.view(y.size(0), -1), 256),
    "reshape with shape": lambda: row(lambda y: y.reshape(y.shape[0], -1), 256),
    "view with a number": lambda: row(lambda y: y.view(-1, 256), 256),
    "mean, squeeze": lambda: row(lambda y: y.mean((2, 3), keepdim=True).squeeze(), 4),
    "mean of mean": lambda: row(lambda y: y.mean(3).mean(2), 4),
    "mean of columns": lambda: row(lambda y: y.mean(3).flatten(1), 32),
    "sum": lambda: row(lambda y: y.sum((2, 3)), 4),
    "flatten(2), mean": lambda: row(lambda y: y.flatten(2).mean(2), 4),
    "avg_pool2d of the size": lambda: row(lambda y: functional.avg_pool2d(y, y.size(3)).view(y.size(0), -1), 4),
    "adaptive averages that overlap": lambda: row(lambda y: functional.adaptive_avg_pool2d(y, 7).flatten(1), 196),
    "adaptive maxima that overlap": lambda: row(lambda y: functional.adaptive_max_pool2d(y, (7, 7)).flatten(1), 196),
    "adaptive maximum": lambda: row(lambda y: functional.adaptive_max_pool2d(y, 2).flatten(1), 16),
    "mean of one channel": lambda: on_map(lambda self, y: self.h(self.a(y).mean((2, 3))), a=conv(4, 1),
                                          h=nn.Linear(1, 3)),
    "amax": lambda: row(lambda y: y.amax((2, 3)), 4),
    "index after a pool": lambda: row(lambda y: functional.adaptive_avg_pool2d(y, 1)[:, :, 0, 0], 4),
    "adaptive average to more cells": lambda: row(lambda y: functional.adaptive_avg_pool2d(y, 9).flatten(1), 324),
    "adaptive average of unequal cells": lambda: nn.Sequential(
        conv(), nn.ReLU(), nn.AdaptiveAvgPool2d((5, 3)), nn.Flatten(), nn.Dropout(), nn.Linear(60, 3)),
    "row of a padded map": lambda: row(lambda y: functional.pad(y, (0, 1, 2, 0)).flatten(1), 360),
    "row of a map padded and cut": lambda: row(lambda y: functional.pad(y, (1, 1, 1, 1))[:, :, 2:, 2:].flatten(1), 256),
    "part of a row": lambda: row(lambda y: y.flatten(1)[:, 10:100], 90),
    "numbers of a row twice": lambda: row(lambda y: torch.cat([y.flatten(1)[:, 30:], y.flatten(1)[:, ::3]], 1), 312),
    "channels last row": lambda: row(lambda y: y.permute(0, 2, 3, 1).flatten(1), 256),
    "BatchNorm1d": lambda: nn.Sequential(conv(), nn.ReLU(), nn.Flatten(), nn.BatchNorm1d(256), nn.Linear(256, 6),
                                         nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3)),
    "branches": lambda: on_map(lambda self, y: self.c(torch.cat([self.a(y), torch.relu(self.b(y))], 1)),
                               a=conv(4, 3), b=conv(4, 5), c=conv(8, 2)),
    "channel shuffle": lambda: on_map(lambda self, y: self.c(shuffled(y)), c=conv(4, 2)),
    "shuffle, depthwise, groups": lambda: on_map(lambda self, y: self.g(self.d(shuffled(y))),
                                                 d=conv(4, 8, groups=4), g=conv(8, 2, groups=2)),
    "shuffle, BatchNorm, pool": lambda: on_map(lambda self, y: self.c(self.p(self.n(shuffled(y)))),
                                               n=nn.BatchNorm2d(4), p=nn.MaxPool2d(2), c=conv(4, 2)),
    "shuffle and shortcut": lambda: on_map(lambda self, y: self.c(self.b(y) + shuffled(y)), b=conv(4, 4), c=conv(4, 2)),
    "chunk": lambda: on_map(halves, b=conv(2, 2), c=conv(4, 2)),
    "split": lambda: on_map(lambda self, y: self.c(torch.cat([torch.relu(p) for p in y.split(1, 1)], 1)), c=conv(4, 2)),
    "slice": lambda: on_map(lambda self, y: self.c(y[:, 1:3, 2:, :-1]), c=conv(2, 2)),
    "option A": lambda: on_map(shortcut, b=conv(4, 8, stride=2), c=conv(8, 2)),
    "F.pad": lambda: on_map(lambda self, y: self.c(functional.pad(y, (1, 2, 0, 1))), c=conv(4, 2, padding=0)),
    "F.pad that cuts": lambda: on_map(lambda self, y: self.c(functional.pad(y, (-1, 2, 0, -1))), c=conv(4, 2)),
    "padding same": lambda: nn.Sequential(nn.Conv2d(3, 4, (2, 5), padding="same", dilation=(3, 3)), nn.ReLU(),
                                          conv(4, 2)),
    "strides where an axis does not step": lambda: nn.Sequential(nn.Conv2d(3, 4, (3, 8), stride=(2, 1)), nn.ReLU(),
                                                                 conv(4, 2)),
    "unequal strides": lambda: nn.Sequential(conv(stride=(2, 1)), nn.ReLU(), nn.MaxPool2d((2, 3)),
                                             nn.AvgPool2d(2, (1, 2), 1), conv(4, 2)),
    "unequal dilations": lambda: nn.Sequential(conv(), nn.ReLU(), conv(4, 2, dilation=(1, 2))),
    "unequal cells": lambda: nn.Sequential(conv(), nn.ReLU(), nn.AdaptiveAvgPool2d((2, 4)), conv(4, 2),
                                           nn.AdaptiveMaxPool2d((2, 1))),
    "ceil_mode": lambda: nn.Sequential(conv(), nn.ReLU(), nn.MaxPool2d(3, 2, ceil_mode=True), conv(4, 2)),
    "zeros around a maximum": lambda: on_map(lambda self, y: self.c(functional.max_pool2d(
        functional.pad(y - 1, (0, 1, 0, 1)), 2)), c=conv(4, 2)),
    "zeros around an average": lambda: on_map(lambda self, y: self.c(functional.avg_pool2d(
        functional.pad(y, (0, 1, 0, 1)), 3, 2)), c=conv(4, 2)),
    "pads that do not count, of none": lambda: nn.Sequential(
        conv(), nn.AvgPool2d(2, count_include_pad=False, divisor_override=3), conv(4, 2)),
    "pyramid": lambda: on_map(pyramid, pool=nn.MaxPool2d(5, 1, 2), c=conv(16, 2)),
    "space to depth": lambda: on_map(lambda self, y: self.c(functional.pixel_unshuffle(y, 2)), c=conv(16, 2)),
    "focus": lambda: Written(lambda self, x: self.c(torch.cat(
        [x[..., ::2, ::2], x[..., 1::2, ::2], x[..., ::2, 1::2], x[..., 1::2, 1::2]], 1)), c=conv(12, 2)),
    "turned maps": lambda: on_map(lambda self, y: self.d(self.c(y.transpose(2, 3))).transpose(2, 3),
                                  c=nn.Conv2d(4, 2, (1, 3)), d=nn.AvgPool2d((1, 2), 1)),
    "Hardtanh": lambda: nn.Sequential(conv(), nn.Hardtanh(0, 6), conv(4, 2), nn.Hardtanh(-1, 1), conv(2, 2)),
    "clamp": lambda: Written(lambda self, x: self.b(torch.clamp(self.a(x), 0, 6)), a=conv(), b=conv(4, 2)),
    "Hardsigmoid": lambda: nn.Sequential(conv(), nn.Hardsigmoid(), conv(4, 2)),
    "relu6 gate": lambda: Written(lambda self, x: self.b(functional.relu6(self.a(x) + 3) / 6), a=conv(), b=conv(4, 2)),
    "normalisation": lambda: Written(lambda self, x: self.a((x - MEAN) / DEVIATION), a=conv()),
    "constants": lambda: on_map(lambda self, y: self.b(1 - torch.relu(y * 2 + 1) / 3), b=conv(4, 2)),
    "layer scale": lambda: on_map(lambda self, y: self.c(y + self.g * self.b(y)), b=conv(4, 4), c=conv(4, 2),
                                  g=parameter(4, 1, 1)),
    "difference": lambda: on_map(lambda self, y: self.c(torch.relu(self.a(y) - y)), a=conv(4, 4), c=conv(4, 2)),
    "shared layer": lambda: Written(lambda self, x: self.a(torch.relu(self.a(x))), a=conv(3, 3)),
    "linear layers of pixels": lambda: on_map(lambda self, y: self.b(torch.relu(self.fc(y.permute(0, 2, 3, 1))).permute(
        0, 3, 1, 2)), fc=nn.Linear(4, 6), b=conv(6, 2)),
    "linear layers of tokens": lambda: on_map(lambda self, y: self.h(torch.relu(self.fc(tokens(y))).mean(1)),
                                              fc=nn.Linear(4, 6), h=nn.Linear(6, 2)),
    "first token": lambda: on_map(lambda self, y: self.h(torch.relu(self.fc(tokens(y)))[:, 0]), fc=nn.Linear(4, 6),
                                  h=nn.Linear(6, 2)),
    "gain of tokens": lambda: on_map(lambda self, y: self.h((torch.relu(self.fc(tokens(y))) * self.g).mean(1)),
                                     fc=nn.Linear(4, 6), g=parameter(6), h=nn.Linear(6, 2)),
    "matrix product": lambda: on_map(lambda self, y: y.flatten(1) @ self.w + self.b, w=parameter(256, 3),
                                     b=parameter(3)),
    "mean of channels": lambda: on_map(lambda self, y: self.b(y.mean(1, keepdim=True)), b=conv(1, 2)),
    "two outputs": lambda: on_map(lambda self, y: (self.a(y), self.b(y).mean((2, 3))), a=conv(4, 3), b=conv(4, 2)),
}
OTHERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "rows": (lambda: nn.Sequential(nn.Linear(16, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 4)), (16,)),
    "residual rows": (lambda: Written(lambda self, x: self.b(torch.relu(self.a(x) + x)), a=nn.Linear(6, 6),
                                      b=nn.Linear(6, 2)), (6,)),
    "rows beside each other": (lambda: Written(lambda self, x: self.b(torch.cat([torch.relu(self.a(x)), x], 1)),
                                               a=nn.Linear(6, 4), b=nn.Linear(10, 2)), (6,)),
    "parts of rows": (lambda: Written(lambda self, x: self.b(torch.relu(self.a(x[:, 1:4]))), a=nn.Linear(3, 4),
                                      b=nn.Linear(4, 2)), (6,)),
    "Conv1d": (lambda: nn.Sequential(nn.Conv1d(10, 8, 3, padding=1), nn.BatchNorm1d(8), nn.ReLU(), nn.MaxPool1d(2),
                                     nn.Conv1d(8, 4, 5, stride=2), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(),
                                     nn.Linear(4, 3)), (10, 31)),
    "sequences out": (lambda: nn.Sequential(nn.Conv1d(5, 4, 3, padding=2, dilation=2), nn.ReLU(), nn.Conv1d(4, 2, 3)),
                      (5, 12)),
    "Conv2d of one row, Conv1d": (lambda: nn.Sequential(nn.Conv2d(3, 4, (1, 3)), nn.ReLU(), nn.Flatten(2),
                                                        nn.Conv1d(4, 2, 3, padding=1)), (3, 1, 12)),
    "Conv1d, Conv2d of one row": (lambda: Written(lambda self, x: self.b(torch.relu(self.a(x)).unsqueeze(2)),
                                                  a=nn.Conv1d(3, 4, 3), b=nn.Conv2d(4, 2, (1, 3), stride=(1, 2))),
                                  (3, 12)),
}
ANSWERS: dict[str, tuple[Callable[[Tensor], Tensor], list[str]]] = {
    "softmax": (lambda y: y.softmax(1), ["softmax"]),
    "log_softmax": (lambda y: functional.log_softmax(y, dim=1), ["logsoftmax"]),
    "argmax": (lambda y: y.argmax(1), ["argmax"]),
    "scaled sigmoid": (lambda y: torch.sigmoid(y) * 2 - 1, ["sigmoid", "affine"]),
}


def emitted(model: nn.Module, *shape: int) -> fx.GraphModule:
    """Emit a model, and check that it computes the same on two batches."""
    graph = graph_of_module(model.eval(), (torch.randn(5, *shape),))
    normalise(graph)
    made = emit(graph)
    for images in (2, 3):
        x = torch.randn(images, *shape)
        with torch.no_grad():
            expected, found = model(x), made(x)
        several = isinstance(expected, tuple)
        for one, other in zip(expected if several else [expected], found if several else [found], strict=True):
            torch.testing.assert_close(other, one, rtol=1e-4, atol=1e-5)
    return made


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize("part", range(6))
def test_spellings_of_maps_compute_the_same(part: int) -> None:
    """Networks on maps, in whatever way they are written, become layers of the machine, and none of the host."""
    torch.manual_seed(part)
    for name in list(MAPS)[part::6]:
        made = emitted(MAPS[name](), 3, 8, 8)
        assert not [module for module in made.modules() if isinstance(module, Host)], name


def test_rows_and_sequences_compute_the_same() -> None:
    """Networks on rows are of pixels of one, those on sequences are columns of pixels."""
    torch.manual_seed(0)
    for make, shape in OTHERS.values():
        emitted(make(), *shape)


def test_answers_at_the_end_are_the_hosts() -> None:
    """They are named, and computed on what the machine gives; the module can be pickled with them."""
    torch.manual_seed(0)
    for answer, operators in ANSWERS.values():
        made = emitted(on_map(lambda self, y, answer=answer: answer(self.fc(y.flatten(1))), fc=nn.Linear(256, 3)),
                       3, 8, 8)
        assert [module.operator for module in made.modules() if isinstance(module, Host)] == operators
        x = torch.randn(2, 3, 8, 8)
        assert torch.equal(pickle.loads(pickle.dumps(made))(x), made(x))


def test_other_orders_of_outputs_are_the_hosts() -> None:
    """Predictions that come pixel by pixel, and those of maps of two sizes one after the other."""
    torch.manual_seed(0)
    pixels = on_map(lambda self, y: self.a(y).permute(0, 2, 3, 1).reshape(y.size(0), -1, 3), a=conv(4, 3))
    scales = on_map(lambda self, y: torch.sigmoid(torch.cat([self.a(y).flatten(2), self.b(y).flatten(2)], 2)),
                    a=conv(4, 3), b=conv(4, 3, stride=2))
    for model, operators in ((pixels, ["view"]), (scales, ["view", "view", "concat", "sigmoid"])):
        made = emitted(model, 3, 8, 8)
        assert [module.operator for module in made.modules() if isinstance(module, Host)] == operators


def test_layers_keep_the_paths_of_their_weights() -> None:
    """Also where they are called twice, or their weights come from a function."""
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList([conv(3, 3), conv(3, 3)])
            self.weight = parameter(2, 3, 1, 1)

        def forward(self, x: Tensor) -> Tensor:
            x = self.layers[1](self.layers[0](self.layers[1](x)))
            return functional.conv2d(x, self.weight)

    made = emitted(nn.Sequential(Block(), nn.ReLU()), 3, 8, 8)
    paths = [name for name, module in made.named_modules() if isinstance(module, nn.Conv2d)]
    assert sorted(paths) == ["0", "0.layers.0", "0.layers.1", "0.layers.1_1"]


def test_names_that_a_module_cannot_have_are_changed() -> None:
    """Names of files and of other tools' nodes are as free as their authors."""
    weight = torch.eye(2)
    names = ["/features/features.0/Conv", "class", "graph", "a b", "x" * 300, "self", 'say "so"']
    nodes = [Node(Linear(), (f"v{place - 1}" if place else "x", "matrix"), f"v{place}", f"node '{name}'", name)
             for place, name in enumerate(names)]
    made = emit(Graph([Input("x", (2,))], [nodes[-1].output], nodes, {"matrix": weight}))
    assert sorted(name for name, module in made.named_modules() if isinstance(module, nn.Linear)) == [
        "a b", "class_", "features.features.0.Conv", "graph_", "say__so_", "self_", "x" * 20]
    assert torch.equal(made(weight), weight)


def test_inputs_have_names_to_which_others_can_be_added() -> None:
    """TensorFlow names values after all that was fused; inputs that only differ far behind stay different."""
    names = ["a;" * 150 + "1", "a;" * 150 + "2", "class"]
    nodes = [Node(Binary("add"), (names[0], names[1]), "b", "node 'b'", "b"),
             Node(Binary("add"), ("b", names[2]), "y", "node 'y'", "y")]
    made = emit(Graph([Input(name, (2, 3, 3)) for name in names], ["y"], nodes, {}))
    found = [str(node.target) for node in made.graph.find_nodes(op="placeholder")]
    assert found == ["a_" * 50, "a_" * 50 + "_1", "input_class"]
    images = torch.rand(3, 1, 2, 3, 3)
    assert torch.equal(made(*images), images[0] + images[1] + images[2])


def test_one_part_is_picked_once() -> None:
    """Two readers of the same channels share the tensor that holds them."""
    made = emitted(on_map(lambda self, y: self.a(y[:, :2]) + self.b(y[:, :2]), a=conv(2, 2), b=conv(2, 2)), 3, 8, 8)
    assert len([module for module in made.modules() if isinstance(module, Selection)]) == 1


TOP = "at the top of the model"
MOVES = "the machine does not move numbers between channels, rows and columns"
ROWS = "which is not stored as channels; flatten images to rows first, or have the channels there"
MATRICES = "multiplies two matrices that depend on the input, which the machine cannot do yet"
SPREAD = ("the machine adds and multiplies tensors of one shape, or one of them with a value per channel or with one "
          "channel")
CELLS = "only cells of one size are supported"
ENDS = "has a lower end of 2 above its upper one, 1, so that all of its values are the same"
UNEVEN = "does not divide sizes by whole numbers, or mixes more than two pixels along an axis"
ELSEWHERE = "reads a value whose axes were reshaped, exchanged, or joined other than along channels"
BETWEEN = "mixes pixels of a larger map; only bilinear enlargement by factors of 1, 2 and 4 is supported"
CORNERS = "has align_corners, whose weights differ from pixel to pixel; only align_corners=False is supported"
CHANNELS = "compares channels; the machine compares the pixels of one channel"
CHOICE = "chooses by more than one value; a choice must be a function of one"
EACH = "the machine multiplies and adds one for each channel"
COUNT = ("the machine divides by one number everywhere: count the padding (count_include_pad=True) and have no "
         "ceil_mode")
REFUSED: dict[str, tuple[Callable[[], nn.Module], list[str]]] = {
    "matrices": (lambda: on_map(lambda self, y: self.c((y.flatten(2) @ y.flatten(2).transpose(1, 2))[..., None]),
                                c=conv(4, 2)),
                 [f"MatMul {TOP} (node 'matmul') {MATRICES}"]),
    "powers": (lambda: on_map(lambda self, y: self.c(y.abs() ** y), c=conv(4, 2)),
               [f"unsupported operator pow {TOP} (node 'pow_1')"]),
    "slopes of pixels": (
        lambda: on_map(lambda self, y: self.c(torch.maximum(y, y * self.p)), p=parameter(1, 4, 8, 8), c=conv(4, 2)),
        [f"mul {TOP} (node 'mul') joins numbers that differ from pixel to pixel; {EACH}"]),
    "neighbours mixed": (lambda: nn.Sequential(conv(), nn.Upsample(None, 2, "bicubic"), conv(4, 2)),
                         [f"Resize at '1' {BETWEEN}"]),
    "corners aligned": (lambda: nn.Sequential(conv(), nn.Upsample(None, 2, "bilinear", True), conv(4, 2)),
                        [f"Resize at '1' {CORNERS}"]),
    "part of a pixel": (lambda: nn.Sequential(conv(), nn.Upsample(12), conv(4, 2)),
                        ["Resize at '1' does not multiply sizes by whole numbers, which the machine cannot do yet"]),
    "maxima over channels": (lambda: on_map(lambda self, y: self.c(y.amax(1, keepdim=True)), c=conv(1, 2)),
                             [f"Reduce {TOP} (node 'amax') {CHANNELS}"]),
    "softmax inside": (lambda: on_map(lambda self, y: self.c(y.softmax(1)), c=conv(4, 2)),
                       [f"Softmax {TOP} (node 'softmax') is computed by the host, and so only at the end"]),
    "means of rows": (lambda: on_map(lambda self, y: self.c(y + y.mean(3, keepdim=True)), c=conv(4, 2)),
                      [f"add {TOP} (node 'add') joins shapes (4, 8, 8) and (4, 8, 1) per image; {SPREAD}"]),
    "borders that do not count": (
        lambda: nn.Sequential(conv(), nn.AvgPool2d(3, 2, 1, count_include_pad=False), conv(4, 2)),
        [f"AveragePool at '1' divides by 4 to 9 numbers, fewer at the border; {COUNT}"]),
    "dilated maxima": (lambda: nn.Sequential(conv(), nn.MaxPool2d(2, dilation=2), conv(4, 2)),
                       ["MaxPool at '1' has dilation (2, 2); only 1 is supported"]),
    "sums over neighbours": (lambda: nn.Sequential(conv(), nn.LocalResponseNorm(3), conv(4, 2)),
                             [f"unsupported operator avg_pool3d at '1': {NEIGHBOURS}"]),
    "reflected borders": (lambda: nn.Sequential(conv(), conv(4, 2, padding_mode="reflect")),
                          ["Pad at '1' pads by reflect; the machine pads by zeros"]),
    "mixing tokens": (lambda: on_map(lambda self, y: self.fc(y.flatten(2)), fc=nn.Linear(64, 8)),
                      [f"Linear at 'fc' takes axis 2 of a value of shape (4, 64) for channels, {ROWS}"]),
    "places of pixels": (lambda: on_map(lambda self, y: self.c(y + self.p), p=parameter(1, 4, 8, 8), c=conv(4, 2)),
                         [f"add {TOP} (node 'add') joins numbers that differ from pixel to pixel; {EACH}"]),
    "convolutions in space": (lambda: Written(lambda self, x: self.c(x[:, None]), c=nn.Conv3d(1, 2, 3)),
                              ["Conv at 'c' slides along 3 axes; the machine has rows and columns"]),
    "cells of different sizes": (lambda: nn.Sequential(conv(), nn.AdaptiveMaxPool2d(3), conv(4, 2)),
                                 [f"AdaptivePool at '1' makes 3 x 3 maxima of 8 x 8; {CELLS}"]),
    "uneven places": (lambda: nn.Sequential(conv(), nn.Upsample(3), conv(4, 2)),
                      [f"Resize at '1' {UNEVEN}"]),
    "choices by two values": (lambda: on_map(lambda self, y: self.c(torch.where(y.flip(1) > y, y, 0.0)),
                                             c=conv(4, 2)),
                              [f"gt {TOP} (node 'gt') {CHOICE}", f"Where {TOP} (node 'where') {CHOICE}"]),
    "ends in the wrong order": (lambda: Written(lambda self, x: self.c(x.clamp(2, 1)), c=conv()),
                                [f"Clip {TOP} (node 'clamp') {ENDS}"]),
    "rows joined": (lambda: on_map(lambda self, y: self.c(torch.cat([y, y], 2)), c=conv(4, 2)),
                    [f"Conv at 'c' {ELSEWHERE}; {MOVES}"]),
    "several": (lambda: nn.Sequential(conv(), nn.Upsample(None, 2, "bicubic"), nn.GELU(), conv(4, 2),
                                      nn.Softmax(1), conv(2, 2)),
                [f"Resize at '1' {BETWEEN}",
                 "Softmax at '4' is computed by the host, and so only at the end"]),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_counterpart_is_refused_by_all_its_reasons(name: str) -> None:
    """Each has its place; what only reads a refused value is no reason of its own."""
    make, reasons = REFUSED[name]
    graph = graph_of_module(make().eval(), (torch.randn(5, 3, 8, 8),))
    normalise(graph)
    text = reasons[0] if len(reasons) == 1 else "\n  ".join([
        f"the model cannot be taken, for {len(reasons)} reasons:", *reasons])
    with pytest.raises(InputError, match=f"^{re.escape(text)}$"):
        emit(graph)


def test_inputs_with_other_axes_are_refused() -> None:
    """An image has one to three axes."""
    graph = Graph([Input("x", (1, 2, 2, 2))], ["x"])
    text = "an image of input 'x' must have 1 to 3 axes, such as (C, H, W), not shape (1, 2, 2, 2)"
    with pytest.raises(InputError, match=f"^{re.escape(text)}$"):
        emit(graph)
