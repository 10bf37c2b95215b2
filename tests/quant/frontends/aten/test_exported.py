"""What torch.export lists becomes a graph that computes what the model does, for any number of images."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from quant.frontends.aten.exported import graph_of_module
from quant.graph.graph import Graph
from quant.graph.interpret import run, shapes
from quant.graph.ops.operator import Unknown
from sim.errors import InputError


class Written(nn.Module):
    """A forward that is a function of the module's layers and of its input."""

    def __init__(self, forward: Callable[[Any, Tensor], Any], *layers: nn.Module) -> None:
        super().__init__()
        self.layers, self.written = nn.ModuleList(layers), forward
        self.gain = nn.Parameter(torch.rand(4, 1, 1) + 0.5)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.written(self, x)
        return found


def graph_of(model: nn.Module, batch: int = 3) -> Graph:
    return graph_of_module(model.eval(), (torch.randn(batch, 4, 8, 8),))


def changed_in_place(net: Any, x: Tensor) -> Tensor:
    y: Tensor = net.layers[0](x)
    y += net.layers[1](y).relu_()
    return y.mul_(2)


def without_autocast(net: Any, x: Tensor) -> Tensor:
    with torch.autocast("cpu", enabled=False):
        y = net.layers[0](x).relu()
        with torch.no_grad():
            z = net.layers[1](y).mean(2)
    return y + z[:, :, None, None] + x


def conv(outputs: int, kernel: int = 3, **options: object) -> nn.Conv2d:
    return nn.Conv2d(4, outputs, kernel, **options)  # type: ignore[arg-type]


SPELLINGS: dict[str, tuple[Callable[[Any, Tensor], Any], tuple[nn.Module, ...]]] = {
    "views": (lambda net, x: x.view(x.size(0), -1) + x.reshape(x.shape[0], -1) + x.view(-1, 256) + x.flatten(1), ()),
    "a row of each map": (lambda net, x: x.flatten(2).unsqueeze(-1).squeeze(-1).unflatten(1, (2, -1)), ()),  # type: ignore[no-untyped-call]
    "in place": (changed_in_place, (conv(4), conv(4, 1))),
    "relu in place": (lambda net, x: net.layers[0](x), (nn.Sequential(conv(4), nn.BatchNorm2d(4), nn.ReLU(True)),)),
    "parts": (lambda net, x: torch.cat([*x.chunk(2, 1)[::-1], torch.split(x, [1, 3], 1)[1], x[:, ::2],
                                        x.narrow(1, 1, 2)], 1), ()),
    "places": (lambda net, x: x[:, 1] + x[:, :, 0, 0].sum(1, keepdim=True).unsqueeze(-1) + sum(x.unbind(1)), ()),
    "channels in another order": (lambda net, x: functional.channel_shuffle(x, 2) + x[:, [2, 0, 1, 3]] + x.flip(1), ()),
    "pixels and channels": (lambda net, x: functional.pixel_unshuffle(functional.pixel_shuffle(x, 2), 2), ()),
    "shuffled by hand": (lambda net, x: x.view(x.size(0), 2, 2, 8, 8).transpose(1, 2).contiguous().view(
        x.size(0), -1, 8, 8), ()),
    "ceil mode": (lambda net, x: functional.max_pool2d(x, 3, 2, 1, ceil_mode=True)
                  + functional.avg_pool2d(x, 3, 2, 1, ceil_mode=True)
                  + functional.avg_pool2d(x, 3, 2, 1, ceil_mode=True, count_include_pad=False), ()),
    "no window begins in the last pad": (lambda net, x: functional.avg_pool2d(x, 2, 3, 1, ceil_mode=True), ()),
    "averages": (lambda net, x: x.mean(3).mean(2) + x.mean((2, 3), keepdim=True).squeeze() + x.amax((2, 3))
                 + x.max(3)[0].sum(-1), ()),
    "cells": (lambda net, x: functional.adaptive_avg_pool2d(x, (3, 2)) + functional.adaptive_max_pool2d(x, (3, 2)), ()),
    "constants": (lambda net, x: (1 - x * 2) / net.gain + net.gain.view(1, -1, 1, 1).exp() - x.sub(x, alpha=2), ()),
    "ends": (lambda net, x: x.clamp_min(0).clamp(max=0.5) + functional.hardtanh(x, -2, 3) + functional.relu6(x), ()),
    "functions": (lambda net, x: functional.hardswish(x) * functional.hardsigmoid(x) + functional.silu(x)
                  + functional.gelu(x) + functional.gelu(x, approximate="tanh") + functional.leaky_relu(x, 0.1)
                  + functional.mish(x) + torch.sigmoid(x) + x**2 - torch.maximum(x, -x), ()),
    "slopes of channels": (lambda net, x: net.layers[0](x), (nn.PReLU(4, init=0.3),)),
    "same": (lambda net, x: net.layers[0](x), (nn.Conv2d(4, 6, (2, 4), padding="same", dilation=(1, 2)),)),
    "valid": (lambda net, x: functional.conv2d(x, net.layers[0].weight, padding="valid"), (conv(6),)),
    "choices": (lambda net, x: torch.where(x > 0, x, 0.0) + torch.where(x <= 0.5, 0.1 * x, x) - x * (x < 0)
                + x.masked_fill(~((x >= 0.5) | (x == 0)) & (x != 1), 2.0) + functional.threshold(x, 0.5, -1.0)
                + functional.rrelu(x, training=net.training), ()),
    "truths": (lambda net, x: ((x > 0) + (x > 1)).float() + (x > 0).float() + (x > 1) * 2.0 + (x > 0).to(x.dtype)
               + torch.logical_not(x.relu()) + torch.logical_and(x.relu(), x - 1) * 3.0 + x.bool().float()
               + torch.where((x < 0) | (x > 1), x, 0.5) + (x != 0).type_as(x) + (x > 0).sum(1, keepdim=True)
               + ~(x > 0) * 1.0, ()),
    "between two": (lambda net, x: torch.lerp(x, x * x, 0.25) + torch.lerp(
        torch.tensor(2.0), x, torch.tensor(0.5)), ()),
    "named axes": (lambda net, x: torch.einsum("bchw,cd->bdhw", x, net.layers[0].weight.flatten(1))
                   + torch.einsum("bchw,bc->bchw", x, torch.einsum("bchw->bc", x)), (conv(4, 1),)),
    "products with vectors": (lambda net, x: x.mean((2, 3)).mv(net.gain.flatten())[:, None]
                              + (x.mean((2, 3)) @ net.gain.flatten())[:, None]
                              + torch.tensordot(x, net.gain.flatten(), dims=([1], [0])).mean(2), ()),
    "learnt shares": (lambda net, x: x * (net.gain.relu() / (net.gain.relu().sum() + 1e-4)).flatten()[0]
                      + x * net.gain.flatten().softmax(0)[1], ()),
    "windows": (lambda net, x: functional.unfold(x, 3, stride=2, padding=1).view(x.size(0), 4, 9, 16).mean(2)
                + x.unfold(2, 2, 2).unfold(3, 2, 2).mean((-1, -2)).flatten(2), ()),
    "scaled down": (lambda net, x: functional.interpolate(x, scale_factor=0.5) + functional.interpolate(
        x, 4, mode="nearest-exact") + functional.interpolate(x, (4, 4), mode="area"), ()),
    "norms with statistics": (lambda net, x: net.layers[0](x), (nn.InstanceNorm2d(4, track_running_stats=True),)),
    "transposed convolution": (lambda net, x: net.layers[0](x), (nn.ConvTranspose2d(4, 3, 3, 2, 1, 1),)),
    "axes moved and rolled": (lambda net, x: x.movedim(1, -1).movedim((3, 1), (1, 3)).roll((1, -2), (1, 3)), ()),
    "stacks": (lambda net, x: torch.stack([x, x * 2, x + 1]).mean(0) + torch.stack([x, x * 3], 1).sum(1)
               + torch.stack([x, -x]).amax(0), ()),
    "lengths": (lambda net, x: functional.normalize(x) + x / x.norm(dim=1, keepdim=True).expand(-1, 4, -1, -1), ()),
    "rounded": (lambda net, x: x.round() + functional.softplus(x), ()),
    "a constant for each image": (lambda net, x: torch.full((x.size(0), 4, 8, 8), 0.5) + x, ()),
    "without autocast": (without_autocast, (conv(4, padding=1), nn.Flatten(2))),
    "scaled": (lambda net, x: functional.interpolate(x, scale_factor=2)
               + functional.interpolate(x, (16, 16), mode="bilinear"), ()),
    "tokens": (lambda net, x: net.layers[0](x.flatten(2).transpose(1, 2)).mean(1), (nn.Linear(4, 6),)),
    "channels last": (lambda net, x: net.layers[0](x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2), (nn.Linear(4, 6),)),
    "sequences": (lambda net, x: functional.max_pool1d(net.layers[0](x.flatten(2)), 3), (nn.Conv1d(4, 5, 5, 2, 1),)),
    "a row's BatchNorm": (lambda net, x: net.layers[0](x.mean((2, 3))), (nn.Sequential(nn.Linear(4, 6),
                                                                                      nn.BatchNorm1d(6)),)),
    "a product with a matrix": (lambda net, x: x.flatten(1) @ net.layers[0].weight.t(), (nn.Linear(256, 4),)),
    "answers": (lambda net, x: functional.softmax(x.mean((2, 3)), -1) + functional.log_softmax(x.mean((2, 3)), 1)
                + x.mean((2, 3)).argmax(1, keepdim=True), ()),
    "pads": (lambda net, x: functional.pad(functional.pad(x, (1, 2, 0, 1)), (1, 1, 1, 1), mode="reflect"), ()),
    "zero channels": (lambda net, x: torch.cat([functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 2, 2)),
                                               torch.zeros_like(x[:, :, ::2, ::2])], 1), ()),
    "what changes nothing": (lambda net, x: functional.dropout(x.contiguous().clone().float().detach().to(x.dtype),
                                                               training=net.training), ()),
    "stacked": (lambda net, x: torch.stack([x, x + 1], 1).flatten(1, 2), ()),
    "branches on shapes": (lambda net, x: x.relu() if x.shape[-1] % 2 == 0 and not net.training else x, ()),
    "parametrized weights": (lambda net, x: net.layers[0](x),
                             (nn.utils.parametrizations.weight_norm(nn.Conv2d(4, 4, 1)),)),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_the_graph_computes_what_the_model_does(spelling: str) -> None:
    """Each way to write a network gives the model's own values, on more images than it was exported with."""
    torch.manual_seed(0)
    forward, layers = SPELLINGS[spelling]
    model = Written(forward, *layers)
    graph = graph_of(model)
    x = torch.randn(5, 4, 8, 8)
    (output,) = graph.outputs
    expected = model(x)
    torch.testing.assert_close(run(graph, {graph.inputs[0].name: x})[output], expected)
    assert shapes(graph)[output] == expected.shape[1:]


def test_layers_keep_their_paths_and_places() -> None:
    """Constants have the paths of parameters, nodes those of torch's layers, and functions the place they stand at."""
    model = nn.Sequential(nn.Sequential(conv(4), nn.ReLU()), Written(lambda net, x: x.relu(), nn.Identity()))
    graph = graph_of(model)
    assert [(node.name, node.place) for node in graph.nodes] == [
        ("0.0", "at '0.0'"), ("0.1", "at '0.1'"), ("", "at '1'")]
    assert set(graph.constants) == {"0.0.weight", "0.0.bias"}


@pytest.mark.parametrize("change", [
    lambda net, x: x.int().float(), lambda net, x: x.to(torch.uint8) * 1.0, lambda net, x: (x * 4).long() / 4])
def test_numbers_do_not_become_integers(change: Callable[[Any, Tensor], Any]) -> None:
    """They would lose what is behind the point, and a Program computes on with their codes."""
    (reason,) = [node.operator.reason for node in graph_of(Written(change)).nodes if isinstance(node.operator, Unknown)]
    assert reason.startswith("it makes torch.")
    assert reason.endswith(" of what the network computes; use round or floor")


def test_everything_without_a_counterpart_is_noted() -> None:
    """Unknown operators and mixed batches stay in the graph with their reasons, and what follows is read too."""
    model = Written(lambda net, x: functional.layer_norm(x, (8, 8)).relu().cumsum(1).view(-1, 8).relu())
    unknown = [(node.operator.kind, node.operator.reason) for node in graph_of(model).nodes
               if isinstance(node.operator, Unknown)]
    assert unknown == [("layer_norm", "it needs sums over each image's own values, which the machine does not have"),
                       ("cumsum", ""), ("view", "it mixes the images of a batch")]


def test_reading_a_view_after_a_change_in_place_is_refused() -> None:
    """A view of what is changed later would hold the old numbers."""
    def forward(net: Any, x: Tensor) -> Tensor:
        y: Tensor = net.layers[0](x)
        row = y.flatten(1)
        y.relu_()
        return row

    graph = graph_of(Written(lambda net, x: forward(net, x).relu(), conv(4)))
    (unknown,) = [node.operator for node in graph.nodes if isinstance(node.operator, Unknown)]
    assert unknown.reason == ("it reads a value that relu_ at the top of the model (node 'relu_') has changed in place "
                              "through a view")


def test_models_that_cannot_be_exported_say_why() -> None:
    """A forward that raises is refused with its own reason, and one that trains when it runs with what it changes."""
    def fail(net: Written, x: Tensor) -> Tensor:
        raise ValueError("no images today")

    with pytest.raises(InputError, match=r"^the model cannot be exported: ValueError: no images today$"):
        graph_of(Written(fail))
    unknown = next(node.operator for node in graph_of(Counter()).nodes if isinstance(node.operator, Unknown))
    assert unknown.reason == "it changes 'seen'; a model must only compute"


class Counter(nn.Module):
    """Counts how often it runs."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: Tensor
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.seen += 1
        return x * self.seen
