"""Data sets by name: what a command line needs to know about images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from os.path import isdir, isfile, join
from pathlib import Path

from quant.data.arrays import PARTS, read_archive, read_archives
from quant.data.datasets import images_of
from quant.data.digits import digits
from quant.data.folder import check_same_classes, image_folder
from quant.data.glyphs import glyphs
from quant.data.image_options import ImageOptions
from quant.data.images import Images
from sim.errors import InputError
from sim.io.bounds import listed, shown_path

__all__ = ["DATA", "DataSet", "data_set", "load_data"]

DATA = ("digits", "glyphs")
"""Names of data sets that need no files."""
DIGITS_VALIDATION = 200
"""Images of the digits' training split that are kept for validation."""


@dataclass(frozen=True)
class DataSet:
    """Images to train with, to choose settings by, and to judge with.

    Attributes
    ----------
    train, validation, test : Images
        Where there are no images to choose by, or none to judge with, the others take their place.
    held_out : Images or None
        Images of another kind than those of `train`, to be looked at last.
    classes, channels, size : int
        How many labels there are; channels, and the longer side of an image [pixels].
    """

    train: Images
    validation: Images
    test: Images
    held_out: Images | None
    classes: int
    channels: int
    size: int

    @property
    def test_is_validation(self) -> bool:
        """Return whether the same images are there to choose and to judge by."""
        return self.validation is self.test


def load_data(source: str | Path | Mapping[str, object] | DataSet, options: ImageOptions | None = None, *,
              difficulty: float = 0.8, seed: int = 0) -> DataSet:
    """Return the data set of this name, in this folder or in this file, or made of these parts.

    A folder holds `train/<class>/`, `val/<class>/` and `test/<class>/`, or `train.npz`, `val.npz` and `test.npz`; an
    `.npz` file holds all three parts (`quant.data.arrays`). The last or the last but one may be missing.

    Parameters
    ----------
    source : str, Path, mapping or DataSet
        One of DATA; the path of a folder or of an `.npz` file; the parts train, and val or test or both, each in a form
        that `quant.data.datasets.images_of` takes; or the data set itself.
    options : ImageOptions, optional
        How images of folders and files are read.
    difficulty, seed
        Of the glyphs (`quant.data.glyphs.glyphs`).

    Raises
    ------
    InputError
        If there is no such data set, the folder or file is not as above, or the options are for other data.

    Examples
    --------
    >>> data = load_data("digits")
    >>> len(data.train), len(data.validation), len(data.test), data.classes, data.channels, data.size
    (1097, 200, 500, 10, 1, 8)
    """
    chosen = options or ImageOptions()
    if isinstance(source, DataSet):
        _refuse(chosen, "a data set that is made", "size", "resize", "mean", "deviation", "mirrored")
        return source
    if isinstance(source, Mapping):
        _refuse(chosen, "images in memory", "size", "resize")
        _check_parts(source)
        return data_set({part: images_of(found, chosen) for part, found in source.items()})
    if not isinstance(source, str | Path):
        raise InputError("data must be a name, a path, a DataSet or a mapping with train, and val or test or both, not "
                         f"{type(source).__name__}")
    return _named(str(source), chosen, difficulty, seed)


def _named(name: str, chosen: ImageOptions, difficulty: float, seed: int) -> DataSet:
    """Return the data set of a name or a path."""
    if name in DATA:
        _refuse(chosen, f"'{name}'", "size", "resize", "mean", "deviation", "mirrored")
        return _digits() if name == "digits" else _glyphs(difficulty, seed)
    if isdir(name) and not isfile(join(name, "train.npz")):
        return _folder(Path(name), chosen)
    _refuse(chosen, "arrays", "size", "resize")
    if isdir(name):
        return data_set(read_archives(Path(name), chosen))
    if name.endswith(".npz"):
        return data_set(read_archive(Path(name), chosen))
    raise InputError(f"no data '{shown_path(name)}': give one of {', '.join(DATA)}, an .npz file, or a folder with "
                     "train/ and val/")


def data_set(parts: Mapping[str, Images]) -> DataSet:
    """Make a data set of its parts.

    Parameters
    ----------
    parts : mapping of str to Images
        `train`, and `val` or `test` or both.

    Raises
    ------
    InputError
        If a part is missing, is none of these, has no images, or its images have another shape than those of `train`.
    """
    _check_parts(parts)
    shapes = {}
    for part, images in parts.items():
        if not len(images):
            raise InputError(f"{part} has no images")
        shapes[part] = tuple(images.codes(slice(0, 1)).shape[1:])
        if shapes[part] != shapes["train"]:
            raise InputError(f"images of {part} must have the shape of those of train, {shapes['train']}, not "
                             f"{shapes[part]}")
    channels, height, width = shapes["train"]
    classes = max(int(images.labels.max()) for images in parts.values()) + 1
    choose, judge = (next(parts[part] for part in order if part in parts) for order in (PARTS[1:], PARTS[:0:-1]))
    return DataSet(parts["train"], choose, judge, None, classes, channels, max(height, width))


def _check_parts(parts: Mapping[str, object]) -> None:
    """Refuse parts of other names, and too few."""
    if not {*parts} <= {*PARTS} or "train" not in parts or len(parts) < 2:
        raise InputError("a data set must have the parts train, and val or test or both, not "
                         f"{listed(list(parts)) or 'none'}")


def _refuse(options: ImageOptions, what: str, *names: str) -> None:
    """Refuse options that have no meaning for some data."""
    given = [name for name in names if getattr(options, name) is not None]
    if given:
        raise InputError(f"{given[0]} has no meaning for {what}, whose images are taken as they are")


def _glyphs(difficulty: float, seed: int) -> DataSet:
    drawn = glyphs(difficulty=difficulty, seed=seed)
    return DataSet(drawn.train, drawn.validation, drawn.test, drawn.held_out, drawn.classes, 1, 32)


def _digits() -> DataSet:
    train, test = digits()
    kept = len(train) - DIGITS_VALIDATION
    validation = replace(train, stored=train.stored[kept:], labels=train.labels[kept:])
    return DataSet(train.first(kept), validation, test, None, 10, 1, 8)


def _folder(root: Path, options: ImageOptions) -> DataSet:
    parts = {part: image_folder(root, part, options) for part in PARTS if part != "test" or (root / part).is_dir()}
    for part in ("val", "test"):
        if part in parts:
            check_same_classes(parts["train"], parts[part], (str(root / "train"), str(root / part)))
    test = parts.get("test", parts["val"])
    return DataSet(parts["train"], parts["val"], test, None, len(parts["train"].classes), 3, options.side)
