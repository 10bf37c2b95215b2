"""Data sets as users name them, bring them, or make them by code of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os.path import exists
from pathlib import Path

from bitwright.codesign.user_code import call, is_place, load_object, running
from quant.data.image_options import ImageOptions
from quant.data.registry import DataSet
from quant.data.registry import load_data as load

__all__ = ["load_data"]


def load_data(source: str | Path | Mapping[str, object] | DataSet, *, size: int | None = None,
              resize: int | None = None, mean: Sequence[float] | None = None, deviation: Sequence[float] | None = None,
              mirrored: bool | None = None) -> DataSet:
    """Read a data set, or make one of parts in memory.

    Parameters
    ----------
    source : str, Path, mapping or DataSet
        `digits` or `glyphs`; the path of a folder or of an `.npz` file (`quant.data.registry`); the parts `train`, and
        `val` or `test` or both: each a data set of PyTorch whose items are an image and its class, a DataLoader of one,
        or a pair of arrays, pixels and classes; or the user's own code as `file.py:name` or `module:name`: any of
        these, or a function without arguments that returns it.
    size, resize : int, optional
        To what the images of folders are cut and, before, resized; 224 and 8/7 of it [pixels].
    mean, deviation : sequence of float, optional
        Normalisation of pixels of 0..1, a number for each channel or one for all; by default those of ImageNet, and
        0.5 for other than three channels.
    mirrored : bool, optional
        Mirror half of the training images; by default those in colour.

    Returns
    -------
    DataSet
        With `train`, `validation` and `test`, whose `values` are what a network reads.

    Raises
    ------
    InputError
        If there is no such data, an option has no meaning for it, or the user's code fails.
    """
    options = ImageOptions(size, resize, mean, deviation, mirrored)
    if not isinstance(source, str) or not is_place(source) or exists(source):
        return load(source, options)
    found = load_object(source)
    if callable(found) and not isinstance(found, DataSet):
        found = call(found, source, {})
    with running(f"'{source}'"):
        return load(found, options)
