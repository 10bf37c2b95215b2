"""Parts of a graph that run by themselves."""

import torch

from quant.networks.registry import make_network
from quant.stages.stages import stages
from quant.trace.segment import Segment
from quant.trace.tracer import trace


def test_a_segment_runs_what_lies_between() -> None:
    """Between two tensors lie their own nodes, in order; they give what the whole network has there."""
    model = make_network("resnet8", 10, 1).eval()
    graph, images = trace(model), torch.randn(2, 1, 32, 32)
    (start,) = graph.graph.find_nodes(op="placeholder")
    found = {stage.name: stage.end for stage in stages(graph)}
    with torch.no_grad():
        known = Segment(graph, [start], [found["conv1"]]).run({start: images})
        segment = Segment(graph, known, [found["layer1.0.conv2"]])
        result = segment.run(known)
        whole = Segment(graph, [start], [found["layer1.0.conv2"]]).run({start: images})
    assert [str(node.target) for node in segment.nodes if node.op == "call_module"] == [
        "layer1.0.conv1", "layer1.0.bn1", "layer1.0.relu", "layer1.0.conv2", "layer1.0.bn2", "layer1.0.relu"]
    assert list(result) == [found["layer1.0.conv2"]]
    assert torch.equal(result[found["layer1.0.conv2"]], whole[found["layer1.0.conv2"]])
