"""A graph that is changed says of its nodes what a look at all of them says."""

import random
from collections.abc import Mapping

import pytest
import torch
from torch import Tensor

from quant.graph import interpret
from quant.graph.graph import Graph, Input, Node
from quant.graph.interpret import shapes
from quant.graph.ops.elementwise import Binary, Clip
from quant.graph.ops.linear import Affine, BatchNorm, Conv
from quant.graph.ops.operator import Operator
from quant.graph.passes.normalise import normalise


def node(output: str, *inputs: str, operator: Operator | None = None) -> Node:
    """Return a sum, or a node with another operator."""
    return Node(operator or Binary("add"), inputs, output, f"at '{output}'")


def check(graph: Graph) -> None:
    """Compare what the graph finds at once with what its nodes say."""
    nodes, names = graph.nodes, [each.output for each in graph.nodes]
    assert len(names) == len({*names})
    for place, each in enumerate(nodes):
        made_later = {*names[place:]}
        assert not made_later & {*each.inputs}
        assert graph.maker(each.output) is each
    for value in [*names, *(given.name for given in graph.inputs)]:
        readers = [each for each in nodes if value in each.inputs]
        assert sorted(each.output for each in graph.readers(value)) == sorted(each.output for each in readers)
        assert graph.is_output(value) == (value in graph.outputs)
        reads = sum(each.inputs.count(value) for each in nodes) + graph.outputs.count(value)
        assert [graph.reads_alone(each, value) for each in readers] == [reads == 1] * len(readers)
        assert graph.fresh(value) not in {*names, *(given.name for given in graph.inputs)}


def change(graph: Graph, rng: random.Random) -> None:
    """Change a graph in one of the ways in which passes do."""
    one = rng.choice(graph.nodes)
    way = rng.randrange(4)
    if way == 0:  # a node is taken out, and its operand read in its place
        graph.remove(one)
        graph.redirect(one.output, one.inputs[0])
    elif way == 1:  # one node becomes two
        name = graph.fresh(one.output)
        graph.replace([one], [node(name, *one.inputs), node(one.output, name, one.inputs[-1])])
    elif way == 2:  # two nodes become one
        before = graph.maker(one.inputs[0])
        if before is not None and graph.reads_alone(one, before.output):
            graph.replace([before, one], [node(one.output, *before.inputs)])
    else:
        graph.add(node(graph.fresh("new"), *rng.choices([given.name for given in graph.inputs], k=2)), before=one)


@pytest.mark.parametrize("seed", range(20))
def test_makers_readers_and_the_order_are_right_after_any_changes(seed: int) -> None:
    """Whatever is put in, taken out, replaced and redirected, all is found that is there and nothing else."""
    rng = random.Random(seed)
    names = ["x", "y", *(f"v{number}" for number in range(8))]
    nodes = [node(names[place], rng.choice(names[:place]), rng.choice(names[:place])) for place in range(2, 10)]
    graph = Graph([Input("x", (2,)), Input("y", (2,))], rng.choices(names, k=3), nodes)
    for _ in range(30):
        if not graph.nodes:
            break
        change(graph, rng)
        check(graph)
    graph.drop_unread()
    check(graph)
    assert all(graph.readers(each.output) or graph.is_output(each.output) for each in graph.nodes)


def test_an_input_may_get_another_name_and_shape() -> None:
    """What read it reads it by its new name, and shapes follow it."""
    graph = Graph([Input("x", (2,)), Input("y", (3,))], ["sum"], [node("sum", "x", "x")])
    assert shapes(graph)["x"] == (2,)
    graph.replace_input("x", Input("z", (5,)))
    assert [(given.name, given.shape) for given in graph.inputs] == [("z", (5,)), ("y", (3,))]
    assert graph.nodes[0].inputs == ("z", "z")
    assert shapes(graph)["z"] == (5,)


def test_shapes_of_what_was_replaced_are_found_again() -> None:
    """A value may have another shape by the same name, as a folded average's cells have."""
    graph = Graph([Input("x", (1, 4, 4))], ["y"], [node("y", "x", operator=Conv((2, 2), (1, 1), ((0, 0), (0, 0)))),],
                  {"weight": torch.zeros(1, 1, 2, 2)})
    graph.replace(graph.nodes, [node("y", "x", "weight", operator=Conv((2, 2), (1, 1), ((0, 0), (0, 0))))])
    assert shapes(graph)["y"] == (1, 2, 2)
    graph.replace(graph.nodes, [node("y", "x", "weight", operator=Conv((1, 1), (1, 1), ((0, 0), (0, 0))))])
    assert shapes(graph)["y"] == (1, 3, 3)


def deep(blocks: int) -> Graph:
    """Return a network of many blocks with whatever most passes look for."""
    graph = Graph([Input("x", (2, 4, 4))], [f"sum{blocks - 1}"],
                  constants={"weight": torch.ones(2, 2, 1, 1), "two": torch.ones(2), "six": torch.tensor(6.0)})
    before = "x"
    for block in range(blocks):
        conv = Conv((1, 1), (1, 1), ((0, 0), (0, 0)))
        graph.add(node(f"conv{block}", before, "weight", operator=conv))
        graph.add(node(f"norm{block}", f"conv{block}", *["two"] * 4, operator=BatchNorm(0.0)))
        graph.add(node(f"affine{block}", f"norm{block}", "six", "six", operator=Affine(1)))
        graph.add(node(f"clip{block}", f"affine{block}", operator=Clip(0.0)))
        graph.add(node(f"half{block}", f"clip{block}", "six", operator=Binary("mul")))
        graph.add(node(f"sum{block}", f"half{block}", before))
        before = f"sum{block}"
    return graph


def test_work_grows_with_the_network_and_not_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shapes of a network of four times the depth are found in four times the steps, however many passes ask."""
    counts, compute = [], interpret.compute
    for blocks in (5, 20):
        asked: list[Node] = []

        def noted(graph: Graph, one: Node, values: Mapping[str, Tensor], asked: list[Node] = asked) -> Tensor:
            asked.append(one)
            return compute(graph, one, values)

        monkeypatch.setattr(interpret, "compute", noted)
        normalise(deep(blocks))
        counts.append(len(asked))
    assert 5 * 6 <= counts[0] <= 3 * 5 * 6
    assert counts[1] == 4 * counts[0]
