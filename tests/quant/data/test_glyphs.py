"""Rendered characters."""

import re

import pytest
import torch

from quant.data import glyphs as module
from quant.data.atlas import CHARACTERS, HELD_OUT_FONTS, SIZE, TRAINING_FONTS, atlas
from quant.data.glyphs import GLYPHS_EXPONENT, GLYPHS_FORMAT, Glyphs, glyphs

FEW = {"train": 480, "validation": 96, "test": 100, "held_out": 48}


@pytest.fixture(scope="module")
def few() -> Glyphs:
    return glyphs(**FEW)


def test_splits_have_their_sizes_format_and_balance(few: Glyphs) -> None:
    """Codes are bytes of the format, 32 x 32; of 48 characters the most frequent appears once more than the rarest."""
    for name, count in FEW.items():
        split = getattr(few, name)
        assert (len(split), split.stored.shape, split.stored.dtype) == (count, (count, 1, 32, 32), torch.int8)
        assert (split.format, split.exponent) == (GLYPHS_FORMAT, GLYPHS_EXPONENT)
        frequencies = torch.bincount(split.labels, minlength=few.classes)
        assert len(frequencies) == 48 == few.classes
        assert int(frequencies.max() - frequencies.min()) == int(count % 48 > 0)
        assert split.labels[:-1].ne(split.labels[1:]).any()
        assert torch.equal(split.images * 64, split.stored.float())


def test_the_seed_decides_and_splits_are_independent(few: Glyphs) -> None:
    """The same arguments give the same images, another seed others; no image is in two splits or twice in one."""
    again, other = glyphs(**FEW), glyphs(**FEW, seed=1)
    for name in FEW:
        assert torch.equal(getattr(few, name).stored, getattr(again, name).stored)
        assert torch.equal(getattr(few, name).labels, getattr(again, name).labels)
    images = [getattr(data, name).stored.flatten(1) for data in (few, other) for name in FEW]
    assert len(torch.unique(torch.cat(images), dim=0)) == 2 * sum(FEW.values())


def test_held_out_fonts_are_others() -> None:
    """16 fonts train and 5 test; no character has the same shape in a font of both."""
    assert (len(TRAINING_FONTS), len(HELD_OUT_FONTS), set(TRAINING_FONTS) & set(HELD_OUT_FONTS)) == (16, 5, set())
    apart = (atlas(TRAINING_FONTS)[:, None] - atlas(HELD_OUT_FONTS)[None]).abs().amax((-1, -2))
    assert float(apart.min()) > 0.005


def test_without_difficulty_a_character_is_its_own_shape() -> None:
    """At difficulty 0 what is left is a uniform character on a uniform grey: correlating with the atlas names it."""
    data = glyphs(train=192, validation=1, test=1, held_out=192, difficulty=0.0)
    sampled = torch.arange(32) * SIZE // 32
    for split, fonts in ((data.train, TRAINING_FONTS), (data.held_out, HELD_OUT_FONTS)):
        shapes = (atlas(fonts)[..., sampled, :][..., sampled] > 0).float().flatten(2)
        shapes = shapes - shapes.mean(-1, keepdim=True)
        shapes = shapes / shapes.norm(dim=-1, keepdim=True)
        images = split.images.flatten(1)
        likeness = torch.einsum("np,fcp->ncf", images - images.mean(1, keepdim=True), shapes).abs().amax(-1)
        assert float((likeness.argmax(1) == split.labels).float().mean()) > 0.9


def test_difficulty_makes_characters_harder_to_tell() -> None:
    """Fewer images are nearest to the mean of their own character, the higher the difficulty."""
    right = []
    for difficulty in (0.0, 0.5, 1.0):
        split = glyphs(train=960, validation=1, test=1, held_out=1, difficulty=difficulty).train
        shapes = (split.images - split.images.mean((2, 3), keepdim=True)).abs().flatten(1)
        shapes = shapes / shapes.norm(dim=1, keepdim=True)
        means = torch.stack([shapes[:480][split.labels[:480] == label].mean(0) for label in range(48)])
        nearest = torch.cdist(shapes[480:], means).argmin(1)
        right.append(float((nearest == split.labels[480:]).float().mean()))
    assert right[0] > right[1] + 0.1 > right[2] + 0.2


def test_a_field_is_the_signed_distance_to_the_outline() -> None:
    """Across the stem of an upright I it rises by one width of the canvas per width, from outside to inside."""
    field = atlas(("DejaVuSans",))[0, CHARACTERS.index("I"), SIZE // 2]
    assert float(field[0]) < -0.4
    assert float(field.max()) > 0.02
    edge = int((field > 0).nonzero()[0])
    slopes = field[5:edge].diff() * SIZE
    assert float(slopes.mean()) == pytest.approx(1.0, abs=0.02)
    assert float((slopes - 1).abs().max()) < 0.2


def test_large_splits_are_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    """What was drawn once is read the next time, equal in every byte; another argument is drawn anew."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(module, "CHUNK", 96)
    drawings = []
    drawn = module._drawn
    monkeypatch.setattr(module, "_drawn", lambda *arguments: drawings.append(arguments) or drawn(*arguments))
    small = {"train": 100, "validation": 1, "test": 1, "held_out": 1}
    first, second = glyphs(**small), glyphs(**small)
    assert [arguments[0] for arguments in drawings] == [100, 1, 1, 1, 1, 1, 1]
    assert torch.equal(first.train.stored, second.train.stored)
    assert torch.equal(first.train.labels, second.train.labels)
    for other in ({"difficulty": 0.7}, {"seed": 1}, {"train": 101}):
        drawings.clear()
        glyphs(**{**small, **other})
        assert len(drawings) == 4


@pytest.mark.parametrize(("wrong", "message"), [
    ({"train": 0}, "train must be at least 1 image, not 0"),
    ({"held_out": -1}, "held_out must be at least 1 image, not -1"),
    ({"difficulty": -0.1}, "difficulty must be in 0..2, not -0.1"),
    ({"difficulty": 2.1}, "difficulty must be in 0..2, not 2.1"),
    ({"difficulty": float("nan")}, "difficulty must be in 0..2, not nan"),
    ({"seed": -1}, "seed must be in 0..4294967295, not -1")])
def test_arguments_out_of_range_are_refused(wrong: dict[str, float], message: str) -> None:
    """Before anything is drawn."""
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        glyphs(**wrong)
