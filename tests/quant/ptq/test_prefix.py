"""Values of nodes, computed once and as far as needed."""

import torch

from quant.networks.registry import make_network
from quant.ptq.prefix import Prefix, between, run_nodes
from quant.trace.stages import stages
from quant.trace.tracer import trace


def test_values_are_those_of_the_whole_network() -> None:
    """Stage after stage, in pieces, gives what one forward pass gives; nothing stays that nobody reads any more."""
    torch.manual_seed(0)
    model = make_network("resnet8", 10, 1).eval()
    graph, images = trace(model), torch.randn(150, 1, 32, 32)
    prefix = Prefix(graph, images)
    with torch.no_grad():
        expected = model(images)
    for stage in stages(graph):
        found = prefix.of([stage.end])[stage.end]
        assert len(found) == 150
        assert len(prefix.values) <= 3
    assert torch.allclose(found, expected, atol=1e-5)


def test_only_what_is_missing_runs() -> None:
    """Between two tensors lie their own nodes, in order, and they can run from there."""
    model = make_network("resnet8", 10, 1).eval()
    graph, images = trace(model), torch.randn(2, 1, 32, 32)
    found = {stage.name: stage.end for stage in stages(graph)}
    prefix = Prefix(graph, images)
    known = prefix.of([found["conv1"]])
    nodes = between(graph, known, [found["layer1.0.conv2"]])
    assert [str(node.target) for node in nodes if node.op == "call_module"] == [
        "layer1.0.conv1", "layer1.0.bn1", "layer1.0.relu", "layer1.0.conv2", "layer1.0.bn2", "layer1.0.relu"]
    with torch.no_grad():
        first = run_nodes(graph, nodes, known)[found["layer1.0.conv2"]]
    assert torch.equal(first, prefix.of([found["layer1.0.conv2"]])[found["layer1.0.conv2"]])
