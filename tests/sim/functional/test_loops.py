"""The loops against NumPy's int64 arithmetic on strided views."""

from itertools import product

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from sim.functional.loops import dense_conv, depthwise_conv, max_pool
from sim.ir.formats import Format, Kind
from sim.ir.ops import Steps


def windows(maps: np.ndarray, kernel: tuple[int, int], stride: Steps, dilation: Steps) -> np.ndarray:
    """Shape (N, C, Ho, Wo, kh, kw): what every output position sees."""
    reach = [step * (k - 1) + 1 for k, step in zip(kernel, dilation, strict=True)]
    seen = sliding_window_view(maps, reach, axis=(2, 3))
    return seen[:, :, ::stride[0], ::stride[1], ::dilation[0], ::dilation[1]]


def random_case(seed: int, weights: Format, codes: Format) -> tuple[np.ndarray, np.ndarray, Steps, Steps]:
    """Maps, weights of 3 x C, stride and dilation."""
    rng = np.random.default_rng(seed)
    kernel, (stride, dilation) = rng.integers(1, 5, 2), (tuple(rng.integers(1, 4, 2).tolist()) for _ in range(2))
    size = np.array(dilation) * (kernel - 1) + 1 + rng.integers(0, 6, 2)
    channels = int(rng.integers(1, 20))
    w = rng.integers(weights.low, weights.high + 1, (3, channels, *kernel))
    a = rng.integers(codes.low, codes.high + 1, (2, channels, *size)).astype(np.int32)
    return a, 2 * w - 1 if weights.kind == "bipolar" else w, stride, dilation


@pytest.mark.parametrize("kinds", [*product(("signed", "unsigned"), repeat=2), ("bipolar", "signed"),
                                   ("bipolar", "unsigned")])
def test_dense_equals_numpy(kinds: tuple[Kind, Kind]) -> None:
    """All pairs of bits, odd shapes, strides and dilations: the sums are NumPy's."""
    for bits_w, bits_a in product(range(1, 2 if kinds[0] == "bipolar" else 9), range(1, 9)):
        formats = Format(bits_w, kinds[0]), Format(bits_a, kinds[1])
        a, w, stride, dilation = random_case(8 * bits_w + bits_a, *formats)
        seen = windows(a.astype(np.int64), w.shape[2:], stride, dilation)
        np.testing.assert_array_equal(dense_conv(a, w, stride, dilation), np.einsum("nchwij,ocij->nohw", seen, w))


@pytest.mark.parametrize("kinds", [*product(("signed", "unsigned", "unit"), ("signed", "unsigned"))])
def test_depthwise_equals_numpy(kinds: tuple[Kind, Kind]) -> None:
    """Output channel o sees input channel o alone."""
    for bits_w, bits_a in product(range(1, 2 if kinds[0] == "unit" else 9), range(1, 9)):
        formats = Format(bits_w, kinds[0]), Format(bits_a, kinds[1])
        a, w, stride, dilation = random_case(8 * bits_w + bits_a, *formats)
        a, w = np.resize(a, (2, 3, *a.shape[2:])), w[:, :1].copy()
        seen = windows(a.astype(np.int64), w.shape[2:], stride, dilation)
        expected = np.einsum("nohwij,oij->nohw", seen, w[:, 0])
        np.testing.assert_array_equal(depthwise_conv(a, w, stride, dilation), expected)


@pytest.mark.parametrize("seed", range(40))
def test_max_pool_equals_numpy(seed: int) -> None:
    """Every output is the largest code in its window."""
    a, w, stride, _ = random_case(seed, Format(1, "unit"), Format(seed % 8 + 1, "signed"))
    seen = windows(a, w.shape[2:], stride, (1, 1))
    np.testing.assert_array_equal(max_pool(a, w.shape[2:], stride), seen.max(axis=(4, 5)))


def test_sums_beyond_32_bits_wrap_like_the_accumulator() -> None:
    """300 000 products of 127 * 255 overflow int32; what is left is the sum modulo 2**32, all that a wrap needs."""
    codes, weights = np.full((1, 300_000, 1, 1), 255, np.int32), np.full((1, 300_000, 1, 1), 127)
    total = 300_000 * 255 * 127
    assert total >= 2**32
    assert int(dense_conv(codes, weights, (1, 1), (1, 1))[0, 0, 0, 0]) == (total + 2**31) % 2**32 - 2**31
