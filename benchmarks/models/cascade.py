"""Find faces with three networks in turn, as MTCNN does (Zhang et al., 2016, arXiv 1604.02878).

The first network looks at cells of a pyramid of images, the second and the third at what the ones before have kept.
Networks are functions of pixels, so that they may be float networks or Programs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

__all__ = ["Faces", "find_faces", "matched", "overlaps"]

Network = Callable[[Tensor], Sequence[NDArray[np.float32]]]
"""From pixels, uint8, shape (n, 3, H, W), to outputs: the first corrects boxes, the last is of probabilities."""
Boxes = NDArray[np.float64]

SMALLEST_FACE, FACTOR = 40, 0.709
CELL, STRIDE = 12, 2
THRESHOLDS = (0.6, 0.7, 0.7)
SIZES = {"rnet": 24, "onet": 48}


@dataclass
class Faces:
    """What was found in a photo.

    Attributes
    ----------
    boxes : float64 array, shape (n, 5)
        Left, top, right, bottom [pixels] and probability.
    crops : dict of str to Tensor
        What the second and the third network have looked at.
    """

    boxes: Boxes
    crops: dict[str, Tensor] = field(default_factory=dict)


def find_faces(photo: Tensor, networks: Mapping[str, Network]) -> Faces:
    """Return the faces of a photo, uint8, shape (3, H, W), by `pnet`, `rnet` and `onet`."""
    boxes = [_cells(networks["pnet"](image), scale) for image, scale in _pyramid(photo)]
    found = Faces(_kept(np.concatenate(boxes), 0.7))
    for name, threshold in zip(("rnet", "onet"), THRESHOLDS[1:], strict=True):
        squares = _squares(found.boxes, photo.shape)
        if not len(squares):
            return Faces(np.zeros((0, 5)), found.crops)
        crops = torch.cat([_resized(photo[:, top:bottom, left:right], SIZES[name], SIZES[name])
                           for left, top, right, bottom in squares[:, :4].astype(int)])
        found.crops[name] = crops
        corrections, *_, probabilities = networks[name](crops)
        keep = probabilities[:, 1] > threshold
        corrected = _corrected(squares[keep], corrections[keep], probabilities[keep, 1])
        found.boxes = _kept(corrected, 0.7, of_smaller=name == "onet")
    return found


def matched(wanted: Boxes, found: Boxes, least: float = 0.7) -> int:
    """Return how many of the wanted boxes overlap one of the found, each taken once, by at least so much."""
    shares = overlaps(wanted, found)
    count = 0
    while shares.size and shares.max() >= least:
        row, column = np.unravel_index(shares.argmax(), shares.shape)
        shares = np.delete(np.delete(shares, row, 0), column, 1)
        count += 1
    return count


def overlaps(first: Boxes, second: Boxes, *, of_smaller: bool = False) -> Boxes:
    """Return what each two boxes share, as a part of both together or of the smaller one, shape (n, m)."""
    low, high = np.maximum(first[:, None, :2], second[:, :2]), np.minimum(first[:, None, 2:4], second[:, 2:4])
    shared = np.prod(np.clip(high - low, 0, None), axis=2)
    areas = [np.prod(boxes[:, 2:4] - boxes[:, :2], axis=1) for boxes in (first, second)]
    whole = (np.minimum(areas[0][:, None], areas[1]) if of_smaller else areas[0][:, None] + areas[1] - shared)
    return np.asarray(shared / np.maximum(whole, 1e-9))


def _pyramid(photo: Tensor) -> list[tuple[Tensor, float]]:
    """Return the photo at even sizes at which faces of all sizes fit into a cell, and their scales."""
    scale, images = CELL / SMALLEST_FACE, []
    height, width = photo.shape[1:]
    while min(height, width) * scale >= CELL:
        images.append((_resized(photo, *(2 * int(side * scale / 2 + 0.5) for side in (height, width))), scale))
        scale *= FACTOR
    return images


def _resized(image: Tensor, height: int, width: int) -> Tensor:
    """Return the means of areas as pixels, shape (1, 3, height, width)."""
    return functional.adaptive_avg_pool2d(image[None].float(), (height, width)).round().to(torch.uint8)


def _cells(outputs: Sequence[NDArray[np.float32]], scale: float) -> Boxes:
    """Return the boxes of the cells that are likely to hold a face."""
    corrections, probabilities = outputs[0][0], outputs[-1][0, 1]
    rows, columns = np.nonzero(probabilities >= THRESHOLDS[0])
    start = np.stack([columns, rows], 1) * STRIDE + 1
    cells = np.concatenate([start, start + CELL - 1], 1) / scale
    return _kept(_corrected(cells, corrections[:, rows, columns].T, probabilities[rows, columns]), 0.5)


def _corrected(boxes: Boxes, corrections: NDArray[np.float32], probabilities: NDArray[np.float32]) -> Boxes:
    size = np.tile(boxes[:, 2:4] - boxes[:, :2], 2)
    return np.concatenate([boxes[:, :4] + corrections * size, probabilities[:, None]], 1)


def _squares(boxes: Boxes, shape: tuple[int, ...]) -> Boxes:
    """Return squares around boxes, cut at the edges of the photo; those without area are left out."""
    centre, half = (boxes[:, :2] + boxes[:, 2:4]) / 2, (boxes[:, 2:4] - boxes[:, :2]).max(1, keepdims=True) / 2
    squares = np.concatenate([centre - half, centre + half], 1).round()
    squares = np.clip(squares, 0, [shape[2], shape[1], shape[2], shape[1]])
    return squares[np.all(squares[:, 2:] - squares[:, :2] >= 2, axis=1)]


def _kept(boxes: Boxes, most: float, *, of_smaller: bool = False) -> Boxes:
    """Return the likeliest boxes, each without those that share more than so much with it."""
    rest, kept = boxes[boxes[:, 4].argsort()[::-1]], []
    while len(rest):
        kept.append(rest[0])
        rest = rest[1:][overlaps(rest[:1], rest[1:], of_smaller=of_smaller)[0] <= most]
    return np.array(kept).reshape(-1, 5)
