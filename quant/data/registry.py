"""Data sets by name: what a command line needs to know about images."""

from __future__ import annotations

from dataclasses import dataclass, replace
from os.path import isdir
from pathlib import Path

from quant.data.digits import digits
from quant.data.folder import check_same_classes, image_folder
from quant.data.glyphs import glyphs
from quant.data.images import Images
from sim.errors import InputError
from sim.io.bounds import shown, shown_path

__all__ = ["DATA", "DataSet", "load_data"]

DATA = ("digits", "glyphs")
"""Names of data sets that need no files."""
DIGITS_VALIDATION = 200
"""Images of the digits' training split that are kept for validation."""

MAX_SIZE = 4096
"""Largest height and width of images of a folder [pixels]."""


@dataclass(frozen=True)
class DataSet:
    """Images to train with, to choose settings by, and to judge with.

    Attributes
    ----------
    train, validation, test : Images
    held_out : Images or None
        Images of another kind than those of `train`, to be looked at last.
    classes, channels, size : int
        How many labels there are; channels, and height and width of an image [pixels].
    """

    train: Images
    validation: Images
    test: Images
    held_out: Images | None
    classes: int
    channels: int
    size: int


def load_data(name: str, *, size: int = 224, difficulty: float = 0.8, seed: int = 0) -> DataSet:
    """Return the data set of this name, or in this folder.

    A folder holds `train/<class>/` and `val/<class>/`; without `test/<class>/` the images of `val` are those to test
    with as well, as is usual for ImageNet.

    Parameters
    ----------
    name : str
        One of DATA, or the path of a folder.
    size : int, 1..4096
        Height and width of an image of a folder [pixels].
    difficulty, seed
        Of the glyphs (`quant.data.glyphs.glyphs`).

    Raises
    ------
    InputError
        If there is no such data set, or the folder is not as above.

    Examples
    --------
    >>> data = load_data("digits")
    >>> len(data.train), len(data.validation), len(data.test), data.classes, data.channels, data.size
    (1097, 200, 500, 10, 1, 8)
    """
    if name == "digits":
        return _digits()
    if name == "glyphs":
        drawn = glyphs(difficulty=difficulty, seed=seed)
        return DataSet(drawn.train, drawn.validation, drawn.test, drawn.held_out, drawn.classes, 1, 32)
    if not 1 <= size <= MAX_SIZE:
        raise InputError(f"size must be in 1..{MAX_SIZE} pixels, not {shown(size)}")
    if not isdir(name):
        raise InputError(f"no data '{shown_path(name)}': give one of {', '.join(DATA)}, or a folder with train/ and "
                         "val/")
    return _folder(Path(name), size)


def _digits() -> DataSet:
    train, test = digits()
    kept = len(train) - DIGITS_VALIDATION
    validation = replace(train, stored=train.stored[kept:], labels=train.labels[kept:])
    return DataSet(train.first(kept), validation, test, None, 10, 1, 8)


def _folder(root: Path, size: int) -> DataSet:
    resize = round(size * 8 / 7)  # 256 for 224
    train, validation = (image_folder(root, part, resize, size) for part in ("train", "val"))
    check_same_classes(train, validation, (str(root / "train"), str(root / "val")))
    test = validation
    if (root / "test").is_dir():
        test = image_folder(root, "test", resize, size)
        check_same_classes(train, test, (str(root / "train"), str(root / "test")))
    return DataSet(train, validation, test, None, len(train.classes), 3, size)
