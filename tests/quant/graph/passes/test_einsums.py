"""Sums of products along named axes become layers that the machine has."""

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor

from quant.graph.ops.einsum import read_equation
from quant.graph.passes.drop_identities import drop_identities
from quant.graph.passes.einsums import spell_einsums
from sim.errors import InputError

MATRIX, VECTOR, CUBE = torch.randn(4, 5), torch.randn(4), torch.randn(4, 2, 3)


def einsum(equation: str, *constants: Tensor) -> tuple[object, list[str | Tensor]]:
    return read_equation(equation, (True, *(False for _ in constants))), ["x", *constants]


@pytest.mark.parametrize(("equation", "constant", "shape", "left"), [
    ("bi,io->bo", MATRIX, (4,), ["Linear"]),
    ("bi,oi->bo", MATRIX.t(), (4,), ["Linear"]),
    ("bi,io", MATRIX, (4,), ["Linear"]),
    ("bi,i->b", VECTOR, (4,), ["Linear", "Reshape"]),
    ("bti,io->bto", MATRIX, (3, 4), ["Linear"]),
    ("bchw,cd->bdhw", MATRIX, (4, 2, 3), ["Transpose", "Linear", "Transpose"]),
    ("bi,ijk->bkj", CUBE, (4,), ["Linear", "Reshape", "Transpose"]),
    ("bchw,chw->b", CUBE, (4, 2, 3), ["Reshape", "Linear", "Reshape"]),
    ("bchw,c->bchw", VECTOR, (4, 2, 3), ["mul"]),
    ("bchw,hc->bcw", torch.randn(2, 4), (4, 2, 3), ["mul", "Reduce"]),
    ("bi,iok->bo", CUBE, (4,), ["Linear"]),
    ("bihw,io->bo", MATRIX, (4, 2, 3), ["Transpose", "Linear", "Reduce"]),
])
def test_constants_become_weights(graph_of: Callable[..., object], kept: Callable[..., list[str]], equation: str,
                                  constant: Tensor, shape: tuple[int, ...], left: Sequence[str]) -> None:
    """Axes of both that the result has not are a linear layer's; where all are left it is a product."""
    graph = graph_of(shape, ("y", *einsum(equation, constant)))
    assert kept(graph, spell_einsums, drop_identities) == left


@pytest.mark.parametrize(("equation", "left"), [
    ("bchw->bc", ["Reduce"]), ("bchw->bhwc", ["Transpose"]), ("bchw->bwc", ["Reduce", "Transpose"])])
def test_one_value_is_summed_and_turned(graph_of: Callable[..., object], kept: Callable[..., list[str]],
                                        equation: str, left: list[str]) -> None:
    """Without a second operand."""
    graph = graph_of((4, 2, 3), ("y", *einsum(equation)))
    assert kept(graph, spell_einsums, drop_identities) == left


def test_two_values_become_a_product_where_axes_match(graph_of: Callable[..., object],
                                                      kept: Callable[..., list[str]]) -> None:
    """As squeeze-and-excite does; products of matrices stay."""
    pooled = ("p", *einsum("bchw->bc"))
    gate = ("y", read_equation("bc,bchw->bchw", (True, True)), ["p", "x"])
    assert kept(graph_of((4, 2, 3), pooled, gate), spell_einsums, drop_identities) == ["Reduce", "Reshape", "mul"]
    matrices = ("y", read_equation("bchw,bchv->bcwv", (True, True)), ["x", "x"])
    assert kept(graph_of((4, 2, 3), matrices), spell_einsums) == ["Einsum"]


@pytest.mark.parametrize(("equation", "batched", "text"), [
    ("b...,c->b", (True, False), r"'b\.\.\.,c->b' must name every axis by a letter"),
    ("bii->b", (True,), "'bii->b' must name the axes of each operand once"),
    ("bi,io,ok->bk", (True, False), "'bi,io,ok->bk' must name the axes of each operand once"),
    ("bi,io->ob", (True, False), "it mixes the images of a batch"),
    ("bi,bo->bo", (True, False), "it mixes the images of a batch"),
    ("bi,ib->b", (True, True), "it mixes the images of a batch")])
def test_images_stay_apart(equation: str, batched: tuple[bool, ...], text: str) -> None:
    """Whatever would sum over the batch, or move it, is refused; so are spellings that are not read."""
    with pytest.raises(InputError, match=f"^{text}$"):
        read_equation(equation, batched)
