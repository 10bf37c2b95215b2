"""Define what ops compute by plain loops, with which every other implementation is compared.

Codes are int32 of shape (N, channels, height, width) and come padded, so that a kernel knows neither zero points nor
borders. Sums are int32: integers modulo 2**32 form a ring, accumulators have at most 32 bits, so whatever a Program
proves or wraps is exact. Inside, images are the innermost axis: what one tap reads for a row of outputs of all images
is a single run of memory, and the loop over it becomes vector instructions.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from sim.ir.ops import Steps, out_size
from sim.jit.compiled_loop import compiled

__all__ = ["dense_conv", "depthwise_conv", "max_pool"]

BLOCK = 1024
"""Sums that stay in the first-level cache while all taps are added to them."""

Codes = NDArray[np.int32]
Loops = Callable[[Codes, Codes, int, int, Steps, int, Codes], None]


def dense_conv(codes: Codes, weights: NDArray[np.int64], stride: Steps, dilation: Steps) -> Codes:
    """Return sums over c, i, j of weights[o, c, i, j] * codes[n, c, y*sy + i*dy, x*sx + j*dx].

    Parameters
    ----------
    codes : int32 array, shape (N, C, H, W)
        Padded input.
    weights : int64 array, shape (O, C, kh, kw)
        What the weight codes mean (bipolar: -1 and +1).
    stride, dilation : (vertical, horizontal)
        (sy, sx) and (dy, dx).

    Returns
    -------
    int32 array, shape (N, O, Ho, Wo)
        Modulo 2**32.
    """
    return _conv(codes, weights, stride, dilation, _dense_loops)


def depthwise_conv(codes: Codes, weights: NDArray[np.int64], stride: Steps, dilation: Steps) -> Codes:
    """Return sums over i, j of weights[o, 0, i, j] * codes[n, o, y*sy + i*dy, x*sx + j*dx].

    Parameters and result are those of `dense_conv`, with weights of shape (O, 1, kh, kw) and O = C.
    """
    return _conv(codes, weights, stride, dilation, _depthwise_loops)


def max_pool(codes: Codes, kernel: tuple[int, int], stride: Steps) -> Codes:
    """Largest of codes[n, c, y*sy + i, x*sx + j] over the kernel (kh, kw).

    Parameters
    ----------
    codes : int32 array, shape (N, C, H, W)
        Input, padded with a number below every code.
    kernel : (kh, kw)
    stride : (sy, sx)

    Returns
    -------
    int32 array, shape (N, C, Ho, Wo)
    """
    images, channels, height, width = codes.shape
    size = out_size(height, 0, 0, kernel[0], stride[0]), out_size(width, 0, 0, kernel[1], stride[1])
    out = np.full((channels, size[0], size[1] * images), np.iinfo(np.int32).min, np.int32)
    step = _step(stride[1], width)
    _max_loops(_runs(codes, step), *kernel, stride[0], step, images, out)
    return _by_image(out, size[1], images)


def _conv(codes: Codes, weights: NDArray[np.int64], stride: Steps, dilation: Steps, loops: Loops) -> Codes:
    images, _, height, width = codes.shape
    outputs, _, *kernel = weights.shape
    size = (out_size(height, 0, 0, kernel[0], stride[0], dilation[0]),
            out_size(width, 0, 0, kernel[1], stride[1], dilation[1]))
    acc = np.zeros((outputs, size[0], size[1] * images), np.int32)
    step = _step(stride[1], width)
    loops(_runs(codes, step), weights.astype(np.int32), stride[0], step, dilation, images, acc)
    return _by_image(acc, size[1], images)


def _step(stride: int, width: int) -> int:
    """Columns between windows: a stride beyond the width leaves one window in a row, as the width does."""
    return min(stride, width)


def _runs(codes: Codes, stride: int) -> Codes:
    """Return runs[p, c, y, x*N + n] = codes[n, c, y, x*stride + p]; columns off the map are 0 and never read."""
    images, channels, height, width = codes.shape
    steps = -(-width // stride)
    wide = np.zeros((channels, height, steps * stride, images), np.int32)
    wide[:, :, :width] = codes.transpose(1, 2, 3, 0)
    by_phase = wide.reshape(channels, height, steps, stride, images).transpose(3, 0, 1, 2, 4)
    return np.ascontiguousarray(by_phase).reshape(stride, channels, height, steps * images)


def _by_image(maps: Codes, width: int, images: int) -> Codes:
    """Turn (channels, height, width * N) into (N, channels, height, width)."""
    return np.ascontiguousarray(maps.reshape(*maps.shape[:2], width, images).transpose(3, 0, 1, 2))


@compiled
def _dense_loops(runs: Codes, weights: Codes, stride: int, step: int, dilation: Steps, images: int,
                 acc: Codes) -> None:
    outputs, height, run = acc.shape
    _, channels, kernel_height, kernel_width = weights.shape
    for o in range(outputs):
        for y in range(height):
            for start in range(0, run, BLOCK):
                sums = acc[o, y, start : start + BLOCK]
                for c in range(channels):
                    for i in range(kernel_height):
                        for j in range(kernel_width):
                            weight = weights[o, c, i, j]
                            column = j * dilation[1]
                            first = column // step * images + start
                            row = runs[column % step, c, y * stride + i * dilation[0], first : first + len(sums)]
                            for k in range(len(sums)):
                                sums[k] += weight * row[k]


@compiled
def _depthwise_loops(runs: Codes, weights: Codes, stride: int, step: int, dilation: Steps, images: int,
                     acc: Codes) -> None:
    outputs, height, run = acc.shape
    _, _, kernel_height, kernel_width = weights.shape
    for o in range(outputs):
        for y in range(height):
            sums = acc[o, y]
            for i in range(kernel_height):
                for j in range(kernel_width):
                    weight = weights[o, 0, i, j]
                    column = j * dilation[1]
                    first = column // step * images
                    row = runs[column % step, o, y * stride + i * dilation[0], first : first + run]
                    for k in range(run):
                        sums[k] += weight * row[k]


@compiled
def _max_loops(runs: Codes, kernel_height: int, kernel_width: int, stride: int, step: int, images: int,
               out: Codes) -> None:
    channels, height, run = out.shape
    for c in range(channels):
        for y in range(height):
            largest = out[c, y]
            for i in range(kernel_height):
                for j in range(kernel_width):
                    first = j // step * images
                    row = runs[j % step, c, y * stride + i, first : first + run]
                    for k in range(run):
                        largest[k] = max(largest[k], row[k])
