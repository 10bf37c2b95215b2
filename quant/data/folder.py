"""Folders of images, one for each class, as ImageNet is kept: `root/train/<class>/*.jpg`, `root/val/<class>/*.jpg`.

Images are read when they are asked for. What is done to them is what published checkpoints were trained with
(torchvision's ImageFolder, Resize, CenterCrop, RandomResizedCrop and Normalize). Unlike there, images are upright as
their EXIF data says, grey of 16 bits is scaled, and hidden files and folders are none.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import repeat
from math import exp, log, sqrt
from pathlib import Path
from random import Random

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from quant.data.image_options import ImageOptions
from quant.data.pictures import EXTENSIONS, read_picture
from quant.data.pixels import PIXEL_FORMAT, Pixels
from sim.errors import InputError
from sim.io.bounds import listed, shown_path
from sim.ir.formats import Format

__all__ = ["FolderImages", "check_same_classes", "image_folder", "random_box"]

HIDDEN = ("__MACOSX", "@eaDir", "$RECYCLE.BIN")
"""Folders that archivers and file servers leave behind, with copies of images; so are all that begin with a dot."""
ENLARGED = 8 / 7
"""Length of the short side before cutting in units of what is cut: 256 for 224."""
MOST_RESIZED = 1 << 22
"""Largest image that is resized whole [pixels]: of a long strip only the middle is."""
CROPPED_AREA, CROPPED_RATIO, CROP_TRIES = (0.08, 1.0), (3 / 4, 4 / 3), 10
"""Range of a random crop's share of the area and of its aspect ratio, and how many places are tried."""
Picture = NDArray[np.uint8]
Change = Callable[[Image.Image], Image.Image]


@dataclass(frozen=True)
class FolderImages:
    """Labelled images on disk; they satisfy `quant.data.images.Images`.

    Attributes
    ----------
    files : tuple of str
        Paths of the images.
    labels : int64 Tensor, shape (n,)
        Index of each image's class.
    classes : tuple of str
        Names of the classes' folders, in order.
    options : ImageOptions
        Their size and normalisation.
    """

    files: tuple[str, ...]
    labels: Tensor
    classes: tuple[str, ...]
    options: ImageOptions

    @property
    def pixels(self) -> Pixels:
        """What the codes mean."""
        return self.options.pixels(3)

    @property
    def format(self) -> Format:
        """Format of the codes."""
        return PIXEL_FORMAT

    @property
    def exponent(self) -> int:
        """Of no meaning: codes are pixels."""
        return 0

    def codes(self, which: Tensor | slice) -> Tensor:
        """Return the pixels of some images, resized and cut in the middle, uint8 of shape (n, 3, side, side).

        Raises
        ------
        InputError
            If an image cannot be read.
        """
        return self._read(torch.arange(len(self))[which].tolist(), repeat(self._middle))

    def values(self, which: Tensor | slice) -> Tensor:
        """Return the values of the same images, float32."""
        return self.pixels.values(self.codes(which))

    def drawn(self, which: Tensor, generator: torch.Generator) -> Tensor:
        """Return the same images, each cut at random and perhaps mirrored; those that keep their size are not cut."""
        seeds = torch.randint(2**62, (len(which),), generator=generator).tolist()
        changes = [partial(self._random, random=Random(seed)) for seed in seeds]
        return self.pixels.values(self._read(which.tolist(), changes))

    def __len__(self) -> int:
        return len(self.files)

    def _read(self, which: list[int], changes: Iterable[Change]) -> Tensor:
        """Return the codes of the changed images; decoding releases the interpreter, so threads share the work."""
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            found = list(pool.map(_pixels, [self.files[index] for index in which], changes))
        pixels = np.stack(found) if found else np.empty((0, self.options.side, self.options.side, 3), np.uint8)
        return torch.from_numpy(pixels).permute(0, 3, 1, 2)

    def _stays(self, image: Image.Image) -> bool:
        """Return whether an image has its size already, and no other is asked for on the way."""
        return self.options.resize is None and image.size == (self.options.side, self.options.side)

    def _middle(self, image: Image.Image) -> Image.Image:
        if self._stays(image):
            return image
        width, height = image.size
        short, side = min(width, height), self.options.side
        resize = self.options.resize or round(side * ENLARGED)
        size = int(resize * width / short), int(resize * height / short)
        left, top = (round((length - side) / 2.0) for length in size)
        right, bottom = left + side, top + side
        if size[0] * size[1] > MOST_RESIZED:
            across, down = width / size[0], height / size[1]
            return image.resize((side, side), Image.Resampling.BILINEAR,
                                (left * across, top * down, right * across, bottom * down))
        return image.resize(size, Image.Resampling.BILINEAR).crop((left, top, right, bottom))

    def _random(self, image: Image.Image, random: Random) -> Image.Image:
        if not self._stays(image):
            size = self.options.side, self.options.side
            image = image.crop(random_box(*image.size, random)).resize(size, Image.Resampling.BILINEAR)
        turned = self.options.mirrors(3) and random.random() < 0.5
        return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if turned else image


def image_folder(root: str | Path, part: str, options: ImageOptions) -> FolderImages:
    """Return the images in `root/part/<class>/`, of any depth, in the order of their names.

    Parameters
    ----------
    root : str or Path
    part : str
        `train`, `val` or whatever the folder is called.
    options : ImageOptions

    Raises
    ------
    InputError
        If there is no such folder, no folder of a class in it, a class has no image, a folder cannot be read, or what
        is called like an image is no file.
    """
    place = Path(root) / part
    kept = f"images are kept as {shown_path(place)}/<class>/<image>.jpg"
    if not os.path.isdir(place):
        raise InputError(f"no folder {shown_path(place)}: {kept}")
    try:
        classes = sorted(entry.name for entry in place.iterdir() if not _hidden(entry.name) and entry.is_dir())
        found = [_files(place / name) for name in classes]
    except OSError as error:
        raise InputError(f"cannot read folder '{shown_path(error.filename)}': {error.strerror}") from None
    if not classes:
        raise InputError(f"{shown_path(place)} has no folders: {kept}")
    empty = [name for name, files in zip(classes, found, strict=True) if not files]
    if empty:
        raise InputError(f"{shown_path(place)}: no image in {listed(empty)}, that is, no file with one of the endings "
                         f"{', '.join(EXTENSIONS)}")
    labels = torch.tensor([label for label, files in enumerate(found) for _ in files])
    return FolderImages(tuple(file for files in found for file in files), labels, tuple(classes), options)


def check_same_classes(first: FolderImages, second: FolderImages, names: tuple[str, str]) -> None:
    """Refuse two parts of a data set whose classes differ: their labels would mean different things."""
    for one, other, lacking in ((first, second, names[1]), (second, first, names[0])):
        lost = sorted(set(one.classes) - set(other.classes))
        if lost:
            raise InputError(f"{names[0]} and {names[1]} must have the same classes: {lacking} misses {listed(lost)}")


def random_box(width: int, height: int, random: Random) -> tuple[int, int, int, int]:
    """Return the left, top, right and bottom of a random part of an image.

    As in torchvision's RandomResizedCrop (Szegedy et al., CVPR 2015, arXiv 1409.4842, section 6): 8..100 % of the area,
    width over height between 3/4 and 4/3; where no such place is found, the largest one in the middle.
    """
    for _ in range(CROP_TRIES):
        area = width * height * random.uniform(*CROPPED_AREA)
        ratio = exp(random.uniform(log(CROPPED_RATIO[0]), log(CROPPED_RATIO[1])))
        wide, high = round(sqrt(area * ratio)), round(sqrt(area / ratio))
        if 0 < wide <= width and 0 < high <= height:
            left, top = random.randint(0, width - wide), random.randint(0, height - high)
            return left, top, left + wide, top + high
    wide = min(width, max(round(height * CROPPED_RATIO[1]), 1))
    high = min(height, max(round(width / CROPPED_RATIO[0]), 1))
    left, top = (width - wide) // 2, (height - high) // 2
    return left, top, left + wide, top + high


def _hidden(name: str) -> bool:
    return name.startswith(".") or name in HIDDEN


def _files(folder: Path) -> list[str]:
    """Return the paths of the images below `folder`; links are followed, and a folder that is met again is passed over.

    Raises
    ------
    InputError
        If what is called like an image is no file: a link to nowhere, a pipe.
    OSError
        If a folder cannot be read.
    """
    found, met, pending = [], set(), [str(folder)]
    while pending:
        place = pending.pop()
        status = os.stat(place)
        if (status.st_dev, status.st_ino) in met:
            continue
        met.add((status.st_dev, status.st_ino))
        with os.scandir(place) as entries:
            shown = sorted((entry for entry in entries if not _hidden(entry.name)), key=lambda entry: entry.name)
        for entry in shown:
            is_folder, is_file = _kind(entry)
            if is_folder:
                pending.append(entry.path)
            elif entry.name.lower().endswith(EXTENSIONS):
                if not is_file:
                    raise InputError(f"image '{shown_path(entry.path)}' is not a regular file")
                found.append(entry.path)
    return sorted(found)


def _kind(entry: os.DirEntry[str]) -> tuple[bool, bool]:
    """Return whether the entry is, or links to, a folder or a file; a link to nowhere or to itself is neither."""
    if entry.is_symlink():
        return os.path.isdir(entry.path), os.path.isfile(entry.path)
    return entry.is_dir(), entry.is_file()


def _pixels(file: str, change: Change) -> Picture:
    """Return a changed image, uint8 of shape (height, width, 3)."""
    return np.asarray(change(read_picture(file)))
