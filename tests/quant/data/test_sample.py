"""Samples in which all classes have their share."""

import pytest
import torch
from torch import Tensor

from quant.data.sample import mixed_sample


def labels_of(sizes: list[int]) -> Tensor:
    return torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))


@pytest.mark.parametrize("sizes", [[1300] * 5, [1, 10, 100, 1000], [7], [0, 3, 0, 5], [1] * 50, [2, 2]])
@pytest.mark.parametrize("order", ["sorted", "reversed", "mixed"])
def test_every_beginning_has_all_classes_in_their_share(sizes: list[int], order: str) -> None:
    """Of the first k images drawn there is a share t of each class's images to half an image, in any order."""
    labels = labels_of(sizes)
    labels = {"sorted": labels, "reversed": labels.flip(0),
              "mixed": labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(1))]}[order]
    drawn = mixed_sample(labels, len(labels))
    assert torch.equal(drawn.sort().values, torch.arange(len(labels)))
    counts = torch.nn.functional.one_hot(labels[drawn], len(sizes)).cumsum(0).double()[:, torch.tensor(sizes) > 0]
    there = torch.tensor([size for size in sizes if size])
    least, most = ((counts - 0.5) / there).amax(1), ((counts + 0.5) / there).amin(1)
    assert bool((least <= most + 1e-6).all())


@pytest.mark.parametrize("count", [0, 1, 10, 99, 100, 500])
def test_a_sample_is_the_beginning_of_a_larger_one(count: int) -> None:
    """As many as asked for, or all; with the same seed each sample continues the smaller one."""
    labels = labels_of([40, 60])
    drawn = mixed_sample(labels, count)
    assert len(drawn) == min(count, 100)
    assert torch.equal(drawn, mixed_sample(labels, 1000)[:count])


def test_the_seed_says_which() -> None:
    """Equal seeds draw equal images, others others; within a class the choice is not that of the order kept."""
    labels = labels_of([500, 500])
    assert torch.equal(mixed_sample(labels, 50, seed=3), mixed_sample(labels, 50, seed=3))
    assert not torch.equal(mixed_sample(labels, 50, seed=3), mixed_sample(labels, 50, seed=4))
    assert float(mixed_sample(labels, 50).float().std()) > 200


def test_without_classes_the_sample_is_spread() -> None:
    """Equal labels throughout: any two halves of the data have at least a fifth of the sample each."""
    drawn = mixed_sample(torch.zeros(1000, dtype=torch.int64), 100)
    assert 20 <= int((drawn < 500).sum()) <= 80
