"""Maps that are scaled by whole factors need no operator of their own."""

from collections.abc import Callable

import pytest

from quant.graph.ops.views import Resize, ResizeMode
from quant.graph.passes.resizes import spell_resizes


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
