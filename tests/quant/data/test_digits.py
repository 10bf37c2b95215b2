"""The digits."""

import torch

from quant.data.digits import DIGITS_FORMAT, digits
from quant.data.split import Split


def test_splits_are_disjoint_and_complete(splits: tuple[Split, Split]) -> None:
    """1297 + 500 images, none of the 1797 missing, hence none in both."""
    from sklearn.datasets import load_digits

    codes = torch.cat([split.stored for split in splits])
    everything = torch.from_numpy(load_digits().images)[:, None].int()
    assert [len(split) for split in splits] == [1297, 500]
    assert sorted(codes.flatten(1).tolist()) == sorted(everything.flatten(1).tolist())


def test_split_is_always_the_same(splits: tuple[Split, Split]) -> None:
    """Asking twice gives the same images in the same order."""
    again = digits()
    assert all(torch.equal(a.stored, b.stored) and torch.equal(a.labels, b.labels)
               for a, b in zip(splits, again, strict=True))


def test_every_digit_has_its_share(splits: tuple[Split, Split]) -> None:
    """The share of each digit in the test split differs by less than an image and a half from that in the whole."""
    train, test = splits
    counts = torch.bincount(torch.cat([train.labels, test.labels])) * 500 / 1797
    assert float((torch.bincount(test.labels) - counts).abs().max()) < 1.5


def test_images_are_the_codes_by_sixteen(splits: tuple[Split, Split]) -> None:
    """Pixel codes are 0..16, legal in the five-bit format, and images are exactly code / 16."""
    for split in splits:
        assert int(split.stored.min()) == 0
        assert int(split.stored.max()) == 16 <= DIGITS_FORMAT.high
        assert torch.equal(split.images * 16, split.stored.float())
