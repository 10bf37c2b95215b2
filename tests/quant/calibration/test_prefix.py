"""Values of nodes, computed once and as far as needed, and kept as codes where there are such."""

from collections.abc import Callable
from copy import deepcopy

import torch
from torch import Tensor, fx, nn

from quant.calibration.prefix import Prefix, pieces
from quant.data.split import Split
from quant.networks.registry import make_network
from quant.quantizers.base import Quantizer
from quant.stages.stages import stages
from quant.trace.shapes import Shapes
from quant.trace.tracer import trace

Quantize = Callable[[nn.Module, Tensor, str, int], fx.GraphModule]

IMAGES = torch.randint(-8, 8, (150, 1, 32, 32), generator=torch.Generator().manual_seed(0)) / 4


def network() -> nn.Module:
    torch.manual_seed(0)
    return make_network("resnet8", 10, 1).eval()


def outputs_of_quantizers(graph: fx.GraphModule, images: Tensor) -> dict[str, Tensor]:
    """Run a copy of a graph and return what each of its quantizers puts out, by its path."""
    found: dict[str, Tensor] = {}
    copy = deepcopy(graph)
    for name, module in copy.named_modules():
        if isinstance(module, Quantizer):
            module.register_forward_hook(lambda _, __, output, name=name: found.update({name: output}))
    with torch.no_grad():
        copy(images)
    return found


def test_values_are_those_of_the_whole_network() -> None:
    """Stage after stage, in pieces, gives what one forward pass gives; nothing stays that nobody reads any more."""
    graph = trace(network())
    prefix = Prefix(graph, IMAGES)
    with torch.no_grad():
        expected = graph(IMAGES)
    for stage in stages(graph):
        found = prefix.of([stage.end])[stage.end]
        assert len(found) == 150
        assert len(prefix.kept) <= 3
    assert torch.allclose(found.values(), expected, atol=1e-5)


def test_stored_tensors_are_kept_as_bytes_and_lose_nothing(
        float_net: nn.Module, splits: tuple[Split, Split], as_digits: Quantize) -> None:
    """For every kind of quantizer, the values that come back are those that it put out, to the bit."""
    images = splits[0].images[:10]
    for scheme in ("qil", "lsq", "uniform", "power_of_two"):
        graph = as_digits(float_net, images, scheme, 4)
        expected = outputs_of_quantizers(graph, images)
        prefix = Prefix(graph, images)
        for stage in stages(graph):
            found = prefix.of([stage.end])[stage.end]
            if stage.quantizer is not None:
                assert found.kept.dtype in (torch.uint8, torch.int8)
                assert torch.equal(found.values(), expected[stage.quantizer])
                assert torch.equal(found.values(torch.tensor([5, 2])), expected[stage.quantizer][[5, 2]])
                assert torch.equal(found.values(slice(3, 9)), expected[stage.quantizer][3:9])


def test_large_tensors_take_fewer_images_together() -> None:
    """All images come, in order, and the largest tensor of a piece has at most 2**22 elements."""
    graph = trace(nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU()))
    assert [(part.start, part.stop) for part in pieces(graph.graph.nodes, 300)] == [
        (0, 128), (128, 256), (256, 300)]
    Shapes(graph).run(torch.zeros(2, 1, 512, 512))
    assert [(part.start, part.stop) for part in pieces(graph.graph.nodes, 6)] == [(0, 4), (4, 6)]
