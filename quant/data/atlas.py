"""Distance fields of characters in the fonts that matplotlib carries.

A field holds, for every point, the signed distance to the outline. Adding to it makes strokes thicker, a sigmoid of it
draws the character with edges as soft as wanted, and it can be sampled anywhere: warps cost nothing extra.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import matplotlib
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import distance_transform_edt
from torch import Tensor
from torch.nn import functional

__all__ = ["CHARACTERS", "HELD_OUT_FONTS", "TRAINING_FONTS", "atlas"]

CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabdefghnqrt23456789&@#"
"""The classes. Pairs that differ in size alone, such as c and C or 0 and O, are left out."""
HELD_OUT_FONTS = ("DejaVuSansMono-Oblique", "DejaVuSerif", "STIXGeneralBolIta", "cmss10", "cmtt10")
"""Fonts that no training image shows."""
TRAINING_FONTS = (
    "DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSans-BoldOblique", "DejaVuSansMono",
    "DejaVuSansMono-Bold", "DejaVuSansMono-BoldOblique", "DejaVuSerif-Bold", "DejaVuSerif-Italic",
    "DejaVuSerif-BoldItalic", "STIXGeneral", "STIXGeneralBol", "STIXGeneralItalic", "cmr10", "cmb10", "cmti10")
POINTS, CANVAS, SIZE = 96, 128, 48
"""Size of the type, of the canvas it is drawn on, and of the field that is kept [pixels]."""


@cache
def atlas(fonts: tuple[str, ...]) -> Tensor:
    """Return the fields of all characters in these fonts.

    Returns
    -------
    float32 Tensor, shape (fonts, characters, SIZE, SIZE)
        Distance to the outline in widths of the canvas, positive inside.
    """
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    fields = [[_field(ImageFont.truetype(folder / f"{name}.ttf", POINTS), character) for character in CHARACTERS]
              for name in fonts]
    return functional.interpolate(torch.from_numpy(np.array(fields, np.float32)), size=(SIZE, SIZE), mode="area")


def _field(font: ImageFont.FreeTypeFont, character: str) -> NDArray[np.float64]:
    """Return the field on the canvas, the character's box in the middle."""
    left, top, right, bottom = font.getbbox(character)
    canvas = Image.new("L", (CANVAS, CANVAS))
    place = (CANVAS - left - right) / 2, (CANVAS - top - bottom) / 2
    ImageDraw.Draw(canvas).text(place, character, fill=255, font=font)
    inside = np.asarray(canvas) > 127
    distance: NDArray[np.float64] = distance_transform_edt(inside) - distance_transform_edt(~inside)
    return distance / CANVAS
