"""Maps that are scaled by whole factors need no operator of their own."""

from collections.abc import Callable

import pytest

from quant.graph.ops.views import Resize, ResizeMode
from quant.graph.passes.resizes import spell_resizes
from quant.graph.passes.spreads import spell_spreads


@pytest.mark.parametrize("mode", ["nearest", "nearest-exact", "bilinear"])
def test_the_same_size_changes_nothing(graph_of: Callable[..., object], kept: Callable[..., list[str]],
                                       mode: ResizeMode) -> None:
    """Whatever the mode."""
    assert kept(graph_of((2, 6, 4), ("y", Resize((6, 4), mode), ["x"])), spell_resizes) == []


@pytest.mark.parametrize(("mode", "size", "left"), [
    ("nearest", (6, 4), ["Slice", "Slice"]), ("nearest", (4, 12), ["Slice"]),
    ("nearest-exact", (3, 3), ["Slice", "Slice"]),
    ("bilinear", (4, 4), ["Slice", "Slice"]), ("bilinear", (6, 6), ["AveragePool"]),
    ("bilinear", (3, 3), ["Slice", "Slice", "AveragePool"]), ("bilinear", (6, 4), ["Slice", "AveragePool"]),
    ("bilinear", (6, 12), ["AveragePool"])])
def test_smaller_maps_take_pixels_or_means_of_two(graph_of: Callable[..., object], kept: Callable[..., list[str]],
                                                  mode: ResizeMode, size: tuple[int, int], left: list[str]) -> None:
    """By even and odd factors, along one axis or both."""
    assert kept(graph_of((2, 12, 12), ("y", Resize(size, mode), ["x"])), spell_resizes) == left


@pytest.mark.parametrize("resize", [
    Resize((5, 5), "nearest"), Resize((6, 6), "bicubic"), Resize((6, 6), "bilinear", align_corners=True),
    Resize((24, 24), "nearest"), Resize((12, 12), "bicubic")])
def test_others_stay(graph_of: Callable[..., object], kept: Callable[..., list[str]], resize: Resize) -> None:
    """Larger maps, uneven places, more than two neighbours."""
    assert kept(graph_of((2, 12, 12), ("y", resize, ["x"])), spell_resizes) == ["Resize"]


@pytest.mark.parametrize("mode", ["nearest", "bilinear", "bicubic"])
@pytest.mark.parametrize(("size", "left"), [
    ((5, 7), ["AveragePool", "AveragePool"]), ((1, 20), ["AveragePool"])])
def test_one_pixel_covers_a_map(graph_of: Callable[..., object], kept: Callable[..., list[str]], mode: ResizeMode,
                                size: tuple[int, int], left: list[str]) -> None:
    """Whichever way it is enlarged, all pixels are that one: sums along each axis over it and zeros."""
    assert kept(graph_of((2, 1, 1), ("y", Resize(size, mode), ["x"])), spell_spreads) == left


@pytest.mark.parametrize(("resize", "left"), [
    (Resize((4, 4), "nearest"), "Spread"), (Resize((2, 4), "bilinear"), "Bilinear"),
    (Resize((2, 8), "bilinear"), "Bilinear"), (Resize((6, 6), "bilinear"), "Resize"),
    (Resize((4, 4), "bilinear", align_corners=True), "Resize"), (Resize((3, 4), "bilinear"), "Resize")])
def test_larger_maps_have_an_operator_of_their_own(graph_of: Callable[..., object], kept: Callable[..., list[str]],
                                                   resize: Resize, left: str) -> None:
    """Repeated pixels, and pixels between by factors of 1, 2 and 4; others stay."""
    assert kept(graph_of((2, 2, 2), ("y", resize, ["x"])), spell_spreads) == [left]
