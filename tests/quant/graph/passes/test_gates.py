"""Activations are recognised however they are written out, and nothing else is taken for one."""

from math import pi, sqrt

import pytest

from quant.graph.ops.elementwise import Binary, Clip, HardSigmoid, Unary
from quant.graph.passes.constants_to_affine import constants_to_affine
from quant.graph.passes.fold_affine import merge_affine
from quant.graph.passes.gates import recognise_gates, recognise_hard_sigmoids

PASSES = (constants_to_affine, merge_affine, recognise_hard_sigmoids, recognise_gates)
RELU6 = ("shifted", Binary("add"), ["x", 3.0]), ("clipped", Clip(0.0, 6.0), ["shifted"])


@pytest.mark.parametrize("steps", [
    (*RELU6, ("y", Binary("div"), ["clipped", 6.0])),
    (*RELU6, ("y", Binary("mul"), ["clipped", 1 / 6])),
    (("scaled", Binary("div"), ["x", 6.0]), ("shifted", Binary("add"), ["scaled", 0.5]),
     ("c", Clip(0.0, 1.0), ["shifted"]), ("y", Binary("mul"), ["c", 1.0])),
])
def test_hard_sigmoids_are_recognised(graph_of, kept, steps) -> None:
    """relu6(x + 3) / 6 and clip(x / 6 + 0.5, 0, 1) are one function."""
    graph = graph_of((3, 4), *steps)
    assert kept(graph, *PASSES) == ["HardSigmoid"]
    operator = graph.nodes[0].operator
    assert isinstance(operator, HardSigmoid)
    assert (operator.alpha, operator.beta) == pytest.approx((1 / 6, 0.5))


@pytest.mark.parametrize("steps", [
    (*RELU6, ("gate", Binary("div"), ["clipped", 6.0]), ("y", Binary("mul"), ["x", "gate"])),
    (*RELU6, ("gate", Binary("div"), ["clipped", 6.0]), ("y", Binary("mul"), ["gate", "x"])),
    (*RELU6, ("product", Binary("mul"), ["x", "clipped"]), ("y", Binary("div"), ["product", 6.0])),
    (*RELU6, ("product", Binary("mul"), ["clipped", "x"]), ("y", Binary("mul"), ["product", 1 / 6])),
    (*RELU6, ("sixth", Binary("div"), ["x", 6.0]), ("y", Binary("mul"), ["sixth", "clipped"])),
    (("gate", HardSigmoid(), ["x"]), ("y", Binary("mul"), ["x", "gate"])),
])
def test_hard_swishes_are_recognised(graph_of, kept, steps) -> None:
    """x * relu6(x + 3) / 6 is hardswish wherever the division stands."""
    assert kept(graph_of((3, 4), *steps), *PASSES) == ["hardswish"]


def test_silu_and_mish_are_recognised(graph_of, kept) -> None:
    """x * sigmoid(x), and x * tanh(softplus(x))."""
    silu = ("gate", Unary("sigmoid"), ["x"]), ("y", Binary("mul"), ["x", "gate"])
    assert kept(graph_of((3, 4), *silu), *PASSES) == ["silu"]
    mish = ("plus", Unary("softplus"), ["x"]), ("gate", Unary("tanh"), ["plus"]), ("y", Binary("mul"), ["gate", "x"])
    assert kept(graph_of((3, 4), *mish), *PASSES) == ["mish"]


@pytest.mark.parametrize("order", [0, 1, 2])
def test_gelu_is_recognised(graph_of, kept, order: int) -> None:
    """x * (1 + erf(x / sqrt(2))) / 2 is GELU wherever the half stands."""
    erf = (("root", Binary("div"), ["x", sqrt(2)]), ("erf", Unary("erf"), ["root"]),
           ("one", Binary("add"), ["erf", 1.0]))
    rest = [(("product", Binary("mul"), ["x", "one"]), ("y", Binary("mul"), ["product", 0.5])),
            (("half", Binary("mul"), ["x", 0.5]), ("y", Binary("mul"), ["half", "one"])),
            (("half", Binary("mul"), ["one", 0.5]), ("y", Binary("mul"), ["half", "x"]))]
    assert kept(graph_of((3, 4), *erf, *rest[order]), *PASSES) == ["gelu"]


def test_the_approximation_of_gelu_is_recognised(graph_of, kept) -> None:
    """With tanh of a cubic."""
    steps = (("cube", Binary("pow"), ["x", 3.0]), ("small", Binary("mul"), ["cube", 0.044715]),
             ("sum", Binary("add"), ["x", "small"]), ("scaled", Binary("mul"), ["sum", sqrt(2 / pi)]),
             ("tanh", Unary("tanh"), ["scaled"]), ("one", Binary("add"), ["tanh", 1.0]),
             ("half", Binary("mul"), ["x", 0.5]), ("y", Binary("mul"), ["half", "one"]))
    assert kept(graph_of((3, 4), *steps), *PASSES) == ["gelu_tanh"]


@pytest.mark.parametrize("steps", [
    (*RELU6, ("gate", Binary("div"), ["clipped", 5.0]), ("y", Binary("mul"), ["x", "gate"])),
    (("gate", Unary("sigmoid"), ["x"]), ("more", Binary("add"), ["gate", 1.0]), ("y", Binary("mul"), ["x", "more"])),
    (("other", Clip(-1.0, 1.0), ["x"]), ("gate", Unary("sigmoid"), ["other"]), ("y", Binary("mul"), ["x", "gate"])),
    (("erf", Unary("erf"), ["x"]), ("one", Binary("add"), ["erf", 1.0]), ("y", Binary("mul"), ["x", "one"])),
])
def test_products_that_are_no_activation_stay(graph_of, kept, steps) -> None:
    """Other constants or another operand make another function."""
    assert kept(graph_of((3, 4), *steps), *PASSES)[-1] == "mul"


def test_gates_that_others_read_stay_for_them(graph_of, kept) -> None:
    """The sigmoid that is an output too is computed beside the SiLU."""
    steps = ("gate", Unary("sigmoid"), ["x"]), ("y", Binary("mul"), ["x", "gate"])
    assert sorted(kept(graph_of((3, 4), *steps, outputs=["y", "gate"]), *PASSES)) == ["sigmoid", "silu"]
