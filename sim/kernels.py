"""The loops that define what a record computes, in the plainest form that is still quick: the oracle of all others.

Codes are int32, sums int64 and exact. Maps come padded, so that a kernel knows neither zero points nor borders.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sim.compiled import compiled

__all__ = ["dense_conv", "depthwise_conv", "max_pool"]


@compiled
def dense_conv(codes: NDArray[np.int32], weights: NDArray[np.int64], stride: int, dilation: int,
               acc: NDArray[np.int64]) -> None:
    """Add to acc[n, o, y, x] the sum over c, i, j of weights[o, c, i, j] * codes[n, c, y*stride + i*dilation, ...].

    Parameters
    ----------
    codes : int32 array, shape (N, C, H, W)
        Padded input.
    weights : int64 array, shape (O, C, kh, kw)
        What the weight codes mean (bipolar: -1 and +1).
    stride, dilation : int
    acc : int64 array, shape (N, O, Ho, Wo)
        Added to.
    """
    images, outputs, height, width = acc.shape
    _, channels, kernel_height, kernel_width = weights.shape
    for n in range(images):
        for o in range(outputs):
            for c in range(channels):
                for i in range(kernel_height):
                    for j in range(kernel_width):
                        weight = weights[o, c, i, j]
                        for y in range(height):
                            for x in range(width):
                                code = codes[n, c, y * stride + i * dilation, x * stride + j * dilation]
                                acc[n, o, y, x] += weight * code


@compiled
def depthwise_conv(codes: NDArray[np.int32], weights: NDArray[np.int64], stride: int, dilation: int,
                   acc: NDArray[np.int64]) -> None:
    """Add to acc[n, o, y, x] the sum over i, j of weights[o, 0, i, j] * codes[n, o, y*stride + i*dilation, ...].

    Parameters are those of `dense_conv`, with weights of shape (O, 1, kh, kw) and O = C.
    """
    images, outputs, height, width = acc.shape
    _, _, kernel_height, kernel_width = weights.shape
    for n in range(images):
        for o in range(outputs):
            for i in range(kernel_height):
                for j in range(kernel_width):
                    weight = weights[o, 0, i, j]
                    for y in range(height):
                        for x in range(width):
                            code = codes[n, o, y * stride + i * dilation, x * stride + j * dilation]
                            acc[n, o, y, x] += weight * code


@compiled
def max_pool(codes: NDArray[np.int32], kernel_height: int, kernel_width: int, stride: int,
             out: NDArray[np.int32]) -> None:
    """Write to out[n, c, y, x] the largest of codes[n, c, y*stride + i, x*stride + j].

    Parameters
    ----------
    codes : int32 array, shape (N, C, H, W)
        Input, padded with a number below every code.
    kernel_height, kernel_width, stride : int
    out : int32 array, shape (N, C, Ho, Wo)
        Written.
    """
    images, channels, height, width = out.shape
    for n in range(images):
        for c in range(channels):
            for y in range(height):
                for x in range(width):
                    largest = codes[n, c, y * stride, x * stride]
                    for i in range(kernel_height):
                        for j in range(kernel_width):
                            largest = max(largest, codes[n, c, y * stride + i, x * stride + j])
                    out[n, c, y, x] = largest
