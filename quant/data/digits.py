"""The handwritten digits that scikit-learn carries: real images, no download.

1797 grey images of 8 x 8 pixels with values 0..16 (Alpaydin and Kaynak, "Optical Recognition of Handwritten Digits",
UCI Machine Learning Repository, 1998). The pixels are already integers, so they are codes as they are: five bits,
value = code / 16, nothing to quantize.
"""

from __future__ import annotations

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from quant.data.split import Split
from sim.ir.formats import Format

__all__ = ["DIGITS_EXPONENT", "DIGITS_FORMAT", "digits"]

DIGITS_FORMAT = Format(5, "unsigned")
"""Format of the pixel codes; 0..16 of its 0..31 occur."""
DIGITS_EXPONENT = -4
"""A pixel's value is code * 2**-4, in 0..1."""
TEST_IMAGES = 500
SPLIT_SEED = 0


def digits() -> tuple[Split, Split]:
    """Return the training and the test split, always the same: 1297 and 500 images, every digit in equal share.

    Examples
    --------
    >>> train, test = digits()
    >>> len(train), len(test), tuple(test.stored.shape)
    (1297, 500, (500, 1, 8, 8))
    """
    bunch = load_digits()
    halves = train_test_split(bunch.images, bunch.target, test_size=TEST_IMAGES, random_state=SPLIT_SEED,
                              stratify=bunch.target)
    codes = [torch.from_numpy(half.astype("int32"))[:, None] for half in halves[:2]]
    labels = [torch.from_numpy(half.astype("int64")) for half in halves[2:]]
    train, test = (Split(*pair, DIGITS_FORMAT, DIGITS_EXPONENT) for pair in zip(codes, labels, strict=True))
    return train, test
