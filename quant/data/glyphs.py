"""Rendered characters: images without a download, as hard as wanted, as many as wanted.

48 characters in 16 fonts, warped, on uneven backgrounds, with clutter behind them and noise over them; five more fonts
only test. At difficulty 0.8 a small residual network reaches about 95 %, and quantization has something to lose.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from quant.data.atlas import CHARACTERS, HELD_OUT_FONTS, TRAINING_FONTS, atlas
from quant.data.split import Split
from quant.data.tensor_cache import kept
from sim.errors import InputError
from sim.ir.formats import Format

__all__ = ["GLYPHS_EXPONENT", "GLYPHS_FORMAT", "Glyphs", "glyphs"]

GLYPHS_FORMAT = Format(8, "signed")
"""A code is a pixel of 0..255 less 128, so that the zeros of padding are mid grey."""
GLYPHS_EXPONENT = -6
"""The value of a code is code * 2**-6, in -2..2."""
SIZE = 32
"""Height and width of an image [pixels]."""
CHUNK = 2000
"""Images that are drawn together."""
MAX_DIFFICULTY = 2.0
SOURCES = tuple(Path(__file__).with_name(name) for name in ("atlas.py", "glyphs.py"))
PACKAGES = ("torch", "numpy", "scipy", "pillow", "matplotlib")
"""What the pixels depend on, beside the arguments."""


@dataclass(frozen=True)
class Glyphs:
    """Images of the same kind, drawn independently; `held_out` shows fonts that the others lack."""

    train: Split
    validation: Split
    test: Split
    held_out: Split

    @property
    def classes(self) -> int:
        """How many characters there are."""
        return len(CHARACTERS)


def glyphs(train: int = 20_000, validation: int = 2_000, test: int = 10_000, held_out: int = 5_000,
           difficulty: float = 0.8, seed: int = 0) -> Glyphs:
    """Draw the splits, each from a seed of its own: the same arguments give the same images.

    Pixels may differ in the last bit between versions of torch and FreeType. Splits of 2000 images or more are kept in
    the user's cache.

    Parameters
    ----------
    train, validation, test, held_out : int, at least 1
        Images in each split; characters are as equally frequent as the count allows.
    difficulty : float, 0..2
        Factor on warps, clutter and noise.
    seed : int, 0..2**32 - 1

    Raises
    ------
    InputError
        If a count, the difficulty or the seed is out of range.

    Examples
    --------
    >>> data = glyphs(train=96, validation=48, test=48, held_out=48)
    >>> tuple(data.train.stored.shape), data.classes, int(data.train.labels.bincount().max())
    ((96, 1, 32, 32), 48, 2)
    """
    counts = {"train": train, "validation": validation, "test": test, "held_out": held_out}
    for name, count in counts.items():
        if count < 1:
            raise InputError(f"{name} must be at least 1 image, not {count}")
    if not 0 <= difficulty <= MAX_DIFFICULTY:
        raise InputError(f"difficulty must be in 0..{MAX_DIFFICULTY:g}, not {difficulty}")
    if not 0 <= seed < 2**32:
        raise InputError(f"seed must be in 0..{2**32 - 1}, not {seed}")
    fonts = {name: HELD_OUT_FONTS if name == "held_out" else TRAINING_FONTS for name in counts}
    return Glyphs(**{name: _split(count, fonts[name], difficulty, 4 * seed + number)
                     for number, (name, count) in enumerate(counts.items())})


def _split(count: int, fonts: tuple[str, ...], difficulty: float, seed: int) -> Split:
    """Return a split, read from the user's cache if it was drawn before and drawing takes longer."""
    def draw() -> dict[str, Tensor]:
        return _drawn(count, fonts, difficulty, torch.Generator().manual_seed(seed))

    what = repr((count, fonts, float(difficulty), seed))
    tensors = draw() if count < CHUNK else kept(what, SOURCES, PACKAGES, draw)
    return Split(tensors["codes"], tensors["labels"], GLYPHS_FORMAT, GLYPHS_EXPONENT)


def _drawn(count: int, fonts: tuple[str, ...], difficulty: float, generator: torch.Generator) -> dict[str, Tensor]:
    labels = (torch.arange(count) % len(CHARACTERS))[torch.randperm(count, generator=generator)]
    painter = _Painter(atlas(fonts), difficulty, generator)
    return {"codes": torch.cat([painter.paint(part) for part in labels.split(CHUNK)]), "labels": labels}


class _Painter:
    """Draws images; every random number comes from one generator, scales are for difficulty 1."""

    def __init__(self, fields: Tensor, difficulty: float, generator: torch.Generator) -> None:
        self.fields, self.difficulty, self.generator = fields, difficulty, generator
        axis = (torch.arange(SIZE) + 0.5) * (2 / SIZE) - 1
        self.y, self.x = torch.meshgrid(axis, axis, indexing="ij")

    def paint(self, labels: Tensor) -> Tensor:
        """Return the codes of images of these characters, int8 of shape (n, 1, SIZE, SIZE)."""
        count, hard = len(labels), self.difficulty
        glyph = self._drawn(labels, self._grid(count, hard))
        contrast = self._uniform(count, 0.30, 0.80) / (1 + 0.35 * (hard - 1))
        sign = self._sign(count, 0.5)
        behind = 0.55 * hard * contrast * (self._distractor(count) + self._line(count))
        behind = sign * self._sign(count, 0.65) * behind * (1 - glyph)
        image = self._background(count) + behind + sign * contrast * (glyph - 0.35)
        grain = 0.03 + 0.09 * hard * self._uniform(count, 0, 1)
        image = image + grain * torch.randn(image.shape, generator=self.generator)
        pixels = (image.clamp(0, 1) * 255).round()
        return (pixels - 128).to(torch.int8)[:, None]

    def _drawn(self, labels: Tensor, grid: Tensor) -> Tensor:
        """Return how much of each pixel a character covers, in a random font, stroke and softness."""
        count = len(labels)
        font = torch.randint(len(self.fields), (count,), generator=self.generator)
        field = functional.grid_sample(self.fields[font, labels][:, None], grid, padding_mode="border",
                                       align_corners=False)[:, 0]
        stroke = self.difficulty * self._uniform(count, -0.02, 0.02)
        softness = 0.008 + 0.022 * self.difficulty * self._uniform(count, 0, 1)
        return torch.sigmoid((field + stroke) / softness)

    def _grid(self, count: int, hard: float) -> Tensor:
        """Return where the pixels of warped images lie on the canvas, shape (n, SIZE, SIZE, 2)."""
        angle, shear, scale, aspect, *rest = (hard * size * self._normal(count)
                                              for size in (0.16, 0.12, 0.12, 0.12, 0.10, 0.10, 0.10, 0.10))
        right, down, tilt_x, tilt_y = rest
        x, y = 0.92 * self.x, 0.92 * self.y
        depth = (1 + tilt_x * x + tilt_y * y).clamp(min=0.2)
        x, y = x / depth, y / depth
        x, y = x * torch.exp(-scale - aspect / 2) + shear * y, y * torch.exp(-scale + aspect / 2)
        grid = torch.stack([angle.cos() * x - angle.sin() * y - right, angle.sin() * x + angle.cos() * y - down], -1)
        waves = 0.045 * hard * torch.randn(count, 2, 4, 4, generator=self.generator)
        waves = functional.interpolate(waves, size=(SIZE, SIZE), mode="bicubic", align_corners=False)
        return grid + waves.permute(0, 2, 3, 1)

    def _distractor(self, count: int) -> Tensor:
        """Return another character, half outside the image and warped more."""
        labels = torch.randint(len(CHARACTERS), (count,), generator=self.generator)
        direction, distance = self._uniform(count, 0, 2 * torch.pi), self._uniform(count, 1.15, 1.5)
        place = torch.stack([direction.cos() * distance, direction.sin() * distance], -1)
        return self._uniform(count, 0, 1.1) * self._drawn(labels, self._grid(count, 1.5) - place)

    def _line(self, count: int) -> Tensor:
        """Return a straight line across every other image."""
        angle, offset = self._uniform(count, 0, torch.pi), self._uniform(count, -0.8, 0.8)
        distance = (angle.cos() * self.x + angle.sin() * self.y - offset).abs()
        there = (self._uniform(count, 0, 1) < 0.5).float()
        return there * self._uniform(count, 0, 0.9) * torch.sigmoid((self._uniform(count, 0.03, 0.1) - distance) / 0.03)

    def _background(self, count: int) -> Tensor:
        """Return a grey that changes slowly over the image."""
        image = 0.5 + 0.15 * self._normal(count)
        for cells, size in ((3, 0.12), (9, 0.08)):
            field = size * self.difficulty * torch.randn(count, 1, cells, cells, generator=self.generator)
            image = image + functional.interpolate(field, size=(SIZE, SIZE), mode="bilinear", align_corners=False)[:, 0]
        return image

    def _normal(self, count: int) -> Tensor:
        return torch.randn(count, 1, 1, generator=self.generator)

    def _uniform(self, count: int, low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(count, 1, 1, generator=self.generator)

    def _sign(self, count: int, share: float) -> Tensor:
        """Return 1 with this probability, else -1."""
        return torch.where(self._uniform(count, 0, 1) < share, 1.0, -1.0)
