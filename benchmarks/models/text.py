"""Drawn text: lines for networks that read or turn them, and pages with the places of all words."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from quant.data.atlas import HELD_OUT_FONTS, TRAINING_FONTS

__all__ = ["Page", "lines", "pages"]

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.,:-&%"
BLUR = 6.0
"""Deviation of the noise of pixels."""


@dataclass(frozen=True)
class Page:
    """A drawn page.

    Attributes
    ----------
    image : uint8 array, shape (3, H, W)
    ink : bool array, shape (H, W)
        Where there is text.
    words : float64 array, shape (n, 4)
        Left, top, right and bottom of every word [pixels].
    """

    image: NDArray[np.uint8]
    ink: NDArray[np.bool_]
    words: NDArray[np.float64]


def lines(count: int, height: int, width: int, seed: int, *, held_out: bool = False) -> Tensor:
    """Return lines of text that fill their images, uint8, shape (n, 3, height, width), upright."""
    rng, drawn = np.random.default_rng(seed), []
    for _ in range(count):
        font = _font(rng, int(height * rng.uniform(0.55, 0.75)), held_out)
        text = _word(rng, 3, 8)
        while font.getlength(text) < 0.8 * width:
            text += " " + _word(rng, 2, 8)
        canvas, colour = _paper(rng, height, width)
        _, top, _, bottom = font.getbbox(text)
        ImageDraw.Draw(canvas).text((4, (height - top - bottom) / 2), text, fill=colour, font=font)
        drawn.append(_noisy(rng, canvas))
    return torch.from_numpy(np.stack(drawn))


def pages(count: int, size: int, seed: int, *, held_out: bool = False) -> list[Page]:
    """Return pages of some lines of words each, of one size."""
    rng = np.random.default_rng(seed)
    return [_page(rng, size, held_out) for _ in range(count)]


def _page(rng: np.random.Generator, size: int, held_out: bool) -> Page:
    canvas, colour = _paper(rng, size, size)
    mask = Image.new("L", (size, size))
    words, top = list[tuple[float, ...]](), rng.uniform(2, size / 4)
    while True:
        points = int(rng.uniform(size / 9, size / 5))
        font, left = _font(rng, points, held_out), rng.uniform(2, size / 6)
        if top + 1.3 * points > size:
            break
        while True:
            word = _word(rng, 2, 6)
            box = font.getbbox(word)
            if left + box[2] > size - 2:
                break
            for drawing, fill in ((ImageDraw.Draw(canvas), colour), (ImageDraw.Draw(mask), 255)):
                drawing.text((left, top), word, fill=fill, font=font)
            words.append((left + box[0], top + box[1], left + box[2], top + box[3]))
            left += box[2] + points * rng.uniform(0.4, 1.2)
        top += points * rng.uniform(1.4, 2.2)
    return Page(_noisy(rng, canvas), np.asarray(mask) > 127, np.array(words).reshape(-1, 4))


def _font(rng: np.random.Generator, points: int, held_out: bool) -> ImageFont.FreeTypeFont:
    fonts = HELD_OUT_FONTS if held_out else TRAINING_FONTS
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    return ImageFont.truetype(folder / f"{fonts[rng.integers(len(fonts))]}.ttf", points)


def _word(rng: np.random.Generator, least: int, most: int) -> str:
    return "".join(LETTERS[place] for place in rng.integers(len(LETTERS), size=rng.integers(least, most + 1)))


def _paper(rng: np.random.Generator, height: int, width: int) -> tuple[Image.Image, tuple[int, ...]]:
    """Return a page whose brightness changes slowly, and a colour that is far from it."""
    bright = rng.uniform(150, 240, 3) if rng.random() < 0.7 else rng.uniform(10, 90, 3)
    slope = rng.uniform(-25, 25, 2)
    place = np.add.outer(np.linspace(-1, 1, height) * slope[0], np.linspace(-1, 1, width) * slope[1])
    colour = np.where(bright > 128, rng.uniform(0, 70, 3), rng.uniform(180, 255, 3))
    paper = (place[..., None] + bright).clip(0, 255).astype(np.uint8)
    return Image.fromarray(paper), tuple(int(each) for each in colour)


def _noisy(rng: np.random.Generator, canvas: Image.Image) -> NDArray[np.uint8]:
    image = np.asarray(canvas, np.float64) + rng.normal(0, BLUR * rng.random(), (canvas.height, canvas.width, 3))
    return np.ascontiguousarray(image.round().clip(0, 255).astype(np.uint8).transpose(2, 0, 1))
