"""Images and labels in arrays, and in `.npz` files of them."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from quant.data.image_options import ImageOptions
from quant.data.split import Split
from sim.errors import InputError
from sim.io.bounds import listed, shown, shown_path
from sim.io.numpy_arrays import member_names, read_array, read_header
from sim.io.regular_file import open_regular

__all__ = ["PARTS", "read_archive", "read_archives", "split_of"]

PARTS = ("train", "val", "test")
NAMES = ("x_{}", "y_{}"), ("{}_images", "{}_labels")
"""How the two arrays of a part are called, as Keras and as MedMNIST call them."""
BARE_NAMES = ("x", "y"), ("images", "labels")
"""How they are called in a file of one part."""
MOST_BYTES = 1 << 33
"""Largest file, and most numbers in one of its arrays [bytes]."""
MOST_CLASSES = 100_000
MOST_CHANNELS = 4
"""By which the axis of the channels is told."""

Pair = tuple[str, str]


def read_archive(path: Path, options: ImageOptions) -> dict[str, Split]:
    """Read the parts of a data set from one `.npz` file.

    Parameters
    ----------
    path : Path
        Holds, for `train`, `val` and `test`, arrays `x_train` and `y_train` or `train_images` and `train_labels`, ...
    options : ImageOptions

    Returns
    -------
    dict of str to Split
        Those of PARTS that there are.

    Raises
    ------
    InputError
        If the file is missing, damaged, pickled or larger than 8 GiB, holds no training images, or images without
        labels, or either is not as `split_of` needs it.
    """
    pairs = {part: [(x.format(part), y.format(part)) for x, y in NAMES] for part in PARTS}
    found = _read(path, pairs, options)
    if "train" not in found:
        raise InputError(f"cannot read data '{shown_path(path)}': it must hold x_train and y_train, or train_images "
                         "and train_labels")
    return found


def read_archives(folder: Path, options: ImageOptions) -> dict[str, Split]:
    """Read the parts of a data set from `train.npz` and, if they exist, `val.npz` and `test.npz` in a folder.

    Each holds `x` and `y`, or `images` and `labels`; errors as for `read_archive`.
    """
    found: dict[str, Split] = {}
    for part in PARTS:
        path = folder / f"{part}.npz"
        if part != "train" and not path.exists():
            continue
        found |= _read(path, {part: [*BARE_NAMES]}, options)
        if part not in found:
            raise InputError(f"cannot read data '{shown_path(path)}': it must hold x and y, or images and labels")
    return found


def split_of(images: NDArray[Any], labels: NDArray[Any], options: ImageOptions) -> Split:
    """Return images and their labels as a part of a data set.

    Parameters
    ----------
    images : uint8 array, shape (n, H, W), (n, H, W, C) or (n, C, H, W)
        Pixels, of 1 to 4 channels.
    labels : integer array, shape (n,) or (n, 1)
        Classes, 0 to 99 999.
    options : ImageOptions
        Their normalisation.

    Raises
    ------
    InputError
        If they are no such arrays, have no images, or not as many of both.
    """
    _check(images.shape, images.dtype, labels.shape, labels.dtype)
    flat = labels.reshape(-1)
    wrong = flat[(flat < 0) | (flat >= MOST_CLASSES)]
    if len(wrong):
        raise InputError(f"labels must be in 0..{MOST_CLASSES - 1}, not {wrong[0]}")
    pixels = torch.from_numpy(np.ascontiguousarray(_channels_first(images)))
    channels = pixels.shape[1]
    return Split(pixels, torch.from_numpy(flat.astype(np.int64)), pixels=options.pixels(channels),
                 mirrored=options.mirrors(channels))


def _read(path: Path, pairs: Mapping[str, list[Pair]], options: ImageOptions) -> dict[str, Split]:
    """Return the parts whose arrays a file holds."""
    with open_regular(path, "data", MOST_BYTES) as file:
        try:
            with zipfile.ZipFile(file) as archive:
                members = member_names(archive)
                chosen = {part: _names(members, them) for part, them in pairs.items()}
                return {part: split_of(*_arrays(archive, members, names), options)
                        for part, names in chosen.items() if names is not None}
        except InputError as error:
            reason = str(error)
        except Exception as error:  # a damaged header can make NumPy's parser raise anything
            reason = f"it is no .npz file of arrays: {shown(' '.join(str(error).split()) or type(error).__name__)}"
    raise InputError(f"cannot read data '{shown_path(path)}': {reason}")


def _names(members: Mapping[str, str], pairs: list[Pair]) -> Pair | None:
    """Return the names under which a file holds the images and labels of a part, None if it does not."""
    for pair in pairs:
        held = [name for name in pair if name in members]
        if len(held) == 2:
            return pair
        if held:
            other = next(name for name in pair if name not in members)
            raise InputError(f"it holds '{held[0]}' without '{other}', beside {listed(sorted(members))}")
    return None


def _arrays(archive: zipfile.ZipFile, members: Mapping[str, str], names: Pair) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the images and labels of these names, after a look at both headers."""
    headers = []
    for name in names:
        with archive.open(members[name]) as stream:
            headers.append(read_header(stream))
    (shape, dtype), (label_shape, label_dtype) = headers
    _check(shape, dtype, label_shape, label_dtype)
    with archive.open(members[names[0]]) as images, archive.open(members[names[1]]) as labels:
        return read_array(images), read_array(labels)


def _check(shape: tuple[int, ...], dtype: np.dtype[Any], label_shape: tuple[int, ...],
           label_dtype: np.dtype[Any]) -> None:
    """Refuse arrays that cannot be images and labels by their shapes and types."""
    if dtype != np.uint8:
        raise InputError(f"images must be pixels, uint8, not {shown(dtype)}; they are normalised later")
    if len(shape) not in (3, 4) or 0 in shape:
        raise InputError("images must have shape (n, H, W), (n, H, W, C) or (n, C, H, W) without a 0, not "
                         f"{shown(shape)}")
    _channel_axis(shape)
    if label_dtype.kind not in "iu":
        raise InputError(f"labels must be whole numbers, not {shown(label_dtype)}")
    if label_shape not in ((shape[0],), (shape[0], 1)):
        raise InputError(f"labels must have shape ({shape[0]},), one for each image, not {shown(label_shape)}")
    if np.prod(shape, dtype=object) > MOST_BYTES:
        raise InputError(f"images have more than {MOST_BYTES:,} pixels: keep them in a folder")


def _channel_axis(shape: tuple[int, ...]) -> int | None:
    """Return the axis of the channels, the one of 1 to 4; None if there is no such axis because images are grey."""
    if len(shape) == 3:
        return None
    axes = [axis for axis in (1, 3) if shape[axis] <= MOST_CHANNELS]
    if len(axes) != 1:
        raise InputError(f"images must have 1 to {MOST_CHANNELS} channels on their first or their last axis alone, not "
                         f"shape {shown(shape)}")
    return axes[0]


def _channels_first(images: NDArray[Any]) -> NDArray[Any]:
    axis = _channel_axis(images.shape)
    return images[:, None] if axis is None else np.moveaxis(images, axis, 1)
