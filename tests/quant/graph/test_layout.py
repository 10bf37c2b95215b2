"""Layouts follow what torch's views do to numbers, and find channels, rows and columns again."""

from collections.abc import Sequence
from math import prod

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from quant.graph.layout import ZERO, Layout, Picked, stored_shape


def values(layout: Layout, image: Tensor) -> Tensor:
    """Return the value with this layout if the map of its numbers is `image`."""
    numbers = torch.cat([image.flatten(), torch.zeros(1, dtype=image.dtype)])  # the last one is at place -1
    return numbers[torch.from_numpy(layout.places)]


def numbered(shape: Sequence[int]) -> Tensor:
    """Return a tensor whose numbers are all different, and none 0."""
    return torch.arange(1, prod(shape) + 1).reshape(tuple(shape))


def factors(size: int, generator: np.random.Generator) -> list[int]:
    """Return a random shape of 1 to 3 axes that holds `size` numbers."""
    found: list[int] = []
    for _ in range(int(generator.integers(0, 3))):
        left = size // prod(found)
        found.append(int(generator.choice([part for part in range(1, left + 1) if left % part == 0])))
    return [*found, size // prod(found)]


@pytest.mark.parametrize("seed", range(30))
def test_layouts_follow_random_chains_of_views(seed: int) -> None:
    """After any views, slices, pads and transposes the layout tells where each number of torch's value is stored."""
    generator = np.random.default_rng(seed)
    image = numbered((4, 3, 6))
    layout, value = Layout.in_order(image.shape), image
    for _ in range(6):
        kind = generator.choice(["reshape", "transpose", "take", "pad"])
        if kind == "reshape":
            shape = factors(value.numel(), generator)
            layout, value = layout.reshaped(shape), value.reshape(shape)
        elif kind == "transpose":
            order = [int(axis) for axis in generator.permutation(value.ndim)]
            layout, value = layout.transposed(order), value.permute(order)
        elif kind == "take":
            axis = int(generator.integers(value.ndim))
            indices = [int(index) for index in generator.integers(value.shape[axis], size=3)]
            layout, value = layout.taken(axis, indices), value.index_select(axis, torch.tensor(indices))
        else:
            pads = [(int(before), int(after)) for before, after in generator.integers(0, 2, (value.ndim, 2))]
            layout = layout.padded(pads)
            value = functional.pad(value, [amount for axis in reversed(pads) for amount in axis])
    assert torch.equal(values(layout, image), value)


def test_values_are_stored_as_maps() -> None:
    """A row is channels of one pixel, a sequence is a column of pixels, and more axes than three end as columns."""
    assert [stored_shape(shape) for shape in ((10,), (4, 7), (4, 7, 2), (4, 7, 2, 3))] == [
        (10, 1, 1), (4, 7, 1), (4, 7, 2), (4, 7, 6)]


def test_negative_pads_cut() -> None:
    """A pad of -1 takes a row away, as torch's does."""
    image = numbered((2, 3, 4))
    layout = Layout.in_order(image.shape).padded([(0, 0), (-1, 1), (2, -2)])
    assert torch.equal(values(layout, image), functional.pad(image, (2, -2, -1, 1)))


def test_a_part_with_zeros_around_it_is_found() -> None:
    """Channels in another order or of zeros, every second row, some columns and the pads around them are told."""
    layout = Layout.in_order((3, 6, 4)).taken(0, [2, 0]).taken(1, range(1, 6, 2)).taken(2, [2, 3])
    layout = layout.padded([(1, 0), (2, 0), (0, 1)])
    assert layout.picked() == Picked((ZERO, 2, 0), range(1, 6, 2), range(2, 4), (2, 0, 0, 1))


@pytest.mark.parametrize("layout", [
    Layout.in_order((3, 4, 4)).transposed((1, 0, 2)), Layout.in_order((4, 4, 4)).transposed((0, 2, 1)),
    Layout.in_order((2, 3, 4)).taken(1, [0, 2, 1]), Layout.in_order((2, 3, 4)).taken(1, [1, 1]),
    Layout.in_order((4, 2, 2)).reshaped((2, 4, 2)), Layout.in_order((1, 2, 2)).taken(0, [0]).padded([(0, 0)] * 3)
    .taken(1, [1, 0])])
def test_what_is_no_part_is_not_taken_for_one(layout: Layout) -> None:
    """Exchanged axes, rows in another order or twice, and rows made of channels are no part of the stored map."""
    assert layout.picked() is None


def test_tokens_are_pixels_of_channels() -> None:
    """The last axis of tokens is the channels, also after a shuffle, and the tokens are the pixels in any order."""
    tokens = Layout.in_order((6, 2, 2)).reshaped((6, 4)).transposed((1, 0))
    found = tokens.pointwise(1)
    assert found is not None
    assert (found.channels, found.pixels.tolist()) == (tuple(range(6)), [0, 1, 2, 3])
    shuffled = Layout.in_order((6, 2, 2)).reshaped((2, 3, 2, 2)).transposed((1, 0, 3, 2)).reshaped((6, 4))
    found = shuffled.pointwise(0)
    assert found is not None
    assert (found.channels, found.pixels.tolist()) == ((0, 3, 1, 4, 2, 5), [0, 2, 1, 3])
    assert tokens.pointwise(0) is None
    assert tokens.taken(0, [0, 1]).pointwise(1) is None  # not every pixel
    assert tokens.padded([(0, 0), (0, 1)]).pointwise(1) is None  # a channel of zeros


def test_layouts_are_rebuilt_from_channels_and_pixels() -> None:
    """What `pointwise` finds tells the layout that it was found in."""
    layout = Layout.in_order((6, 2, 3)).transposed((2, 0, 1)).taken(1, [3, 1, 0, 2, 5, 4])
    found = layout.pointwise(1)
    assert found is not None
    assert np.array_equal(Layout.by_channels(found, 1, layout.stored).places, layout.places)


def test_values_beside_each_other_are_stored_in_channels_beside_each_other() -> None:
    """Joining along any axis of the values is joining their maps along the channels."""
    one, other = numbered((2, 2, 3)), numbered((4, 2, 3)) + 100
    left, right = Layout.in_order(one.shape).transposed((1, 0, 2)), Layout.in_order(other.shape).transposed((1, 0, 2))
    joined = left.beside([right], 1)
    assert torch.equal(values(joined, torch.cat([one, other])),
                       torch.cat([one.permute(1, 0, 2), other.permute(1, 0, 2)], 1))


def test_one_value_is_seen_from_where_another_is_stored() -> None:
    """Two values of one shape add in the map of the first: the second's numbers are told for each of its places."""
    one, other = numbered((4, 2, 2)), numbered((4, 2, 2)) + 100
    first = Layout.in_order(one.shape).taken(0, [2, 0, 3, 1])
    second = Layout.in_order(other.shape).transposed((0, 2, 1))
    seen = second.seen_from(first)
    stored_sum = one + values(seen, other)
    assert torch.equal(values(first, stored_sum), values(first, one) + values(second, other))


def test_order_and_completeness_are_told() -> None:
    """A layout is in order only as stored, and whole if each number is there once."""
    layout = Layout.in_order((4, 2, 2))
    turned = layout.transposed((0, 2, 1))
    assert [each.is_in_order for each in (layout, layout.reshaped((16,)), turned)] == [True, True, False]
    assert [each.is_whole for each in (turned, layout.taken(0, [0, 1]), layout.taken(0, [0, 1, 2, 2]))] == [
        True, False, False]
