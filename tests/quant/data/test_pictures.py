"""Image files of every kind that people have."""

import io
import os
import re
import struct
import zlib
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from quant.data.pictures import FORMATS, MOST_PIXELS, read_picture
from sim.errors import InputError

LEVELS = (np.arange(64).reshape(8, 8) * 1040).astype(np.uint16)
"""Grey levels from black to 65520."""


def tiff(pixels: np.ndarray, bits: int, order: str = "<", white_is_zero: bool = False) -> bytes:
    """A grey TIFF of one strip, written by hand: Pillow writes neither 12 bits nor both orders of bytes."""
    height, width = pixels.shape
    if bits == 12:
        pairs = pixels.reshape(-1, 2).astype(np.uint32)
        whole = (pairs[:, 0] << 12) | pairs[:, 1]
        data = np.stack([whole >> 16, whole >> 8 & 255, whole & 255], 1).astype(np.uint8).tobytes()
    else:
        data = pixels.astype(f"{order}u2").tobytes()
    tags = {256: width, 257: height, 258: bits, 259: 1, 262: 0 if white_is_zero else 1, 273: 8, 277: 1, 278: height,
            279: len(data)}
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8 + len(data) + len(data) % 2)
    entries = b"".join(struct.pack(f"{order}HHII", tag, 4, 1, value) for tag, value in tags.items())
    return head + data + b"\0" * (len(data) % 2) + struct.pack(f"{order}H", len(tags)) + entries + bytes(4)


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def refused(path: Path, reason: str) -> AbstractContextManager[pytest.ExceptionInfo[InputError]]:
    """Expect that the file is refused by name, for a reason that matches."""
    return pytest.raises(InputError, match=f"^cannot read image '{re.escape(str(path))}': {reason}$")


GREY = {
    "png": (saved(Image.fromarray(LEVELS), "PNG"), LEVELS / 65535),
    "tiff, small end first": (tiff(LEVELS, 16), LEVELS / 65535),
    "tiff, big end first": (tiff(LEVELS, 16, ">"), LEVELS / 65535),
    "tiff, packed": (saved(Image.fromarray(LEVELS), "TIFF", compression="tiff_lzw"), LEVELS / 65535),
    "tiff, white is 0": (tiff(LEVELS, 16, white_is_zero=True), 1 - LEVELS / 65535),
    "tiff of 12 bits": (tiff(LEVELS // 16, 12), (LEVELS // 16) / 4095),
    "pgm": (b"P5 8 8 65535\n" + LEVELS.astype(">u2").tobytes(), LEVELS / 65535),
    "pgm up to 1000": (b"P5 8 8 1000\n" + (LEVELS // 66).astype(">u2").tobytes(), (LEVELS // 66) / 1000),
}


@pytest.mark.parametrize("kind", GREY)
def test_grey_of_more_than_8_bits_is_scaled(tmp_path: Path, kind: str) -> None:
    """A level is the same share of white as in the file, to the nearest of 256."""
    content, shares = GREY[kind]
    (tmp_path / "a.png").write_bytes(content)
    pixels = np.asarray(read_picture(str(tmp_path / "a.png")))
    assert pixels.shape == (8, 8, 3)
    assert abs(pixels - 255 * shares[..., None]).max() <= 0.51


@pytest.mark.parametrize(("dtype", "what"), [(np.int32, "32-bit integers"), (np.float32, "floats")])
def test_pixels_of_unknown_range_are_refused(tmp_path: Path, dtype: type, what: str) -> None:
    """Nothing tells whether 1.0 is white or nearly black: the file is named instead of guessed at."""
    path = tmp_path / "a.tif"
    Image.fromarray(LEVELS.astype(dtype)).save(path)
    with refused(path, f"its pixels are {what}, whose range the file does not tell; save it with 8 or 16 bits"):
        read_picture(str(path))


COLOURED = Image.new("RGBA", (4, 4), (204, 102, 51, 90))
MODES = [(mode, kind) for mode, kinds in {
    "RGB": "PNG JPEG BMP TIFF WEBP PPM GIF", "RGBA": "PNG TIFF WEBP", "P": "PNG BMP TIFF GIF", "PA": "TIFF",
    "CMYK": "TIFF JPEG", "YCbCr": "TIFF JPEG", "LAB": "TIFF"}.items() for kind in kinds.split()]


@pytest.mark.parametrize(("mode", "kind"), MODES)
def test_colours_survive_every_mode(tmp_path: Path, mode: str, kind: str) -> None:
    """Palettes, inks, luminance and alpha: the colour is the same within what the encoding loses; alpha is dropped."""
    image = COLOURED if mode == "RGBA" else COLOURED.convert("RGB").convert(mode)
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    (tmp_path / "a.png").write_bytes(saved(image, kind, **options))
    pixels = np.asarray(read_picture(str(tmp_path / "a.png")))
    assert pixels.shape == (4, 4, 3)
    assert abs(pixels.astype(int) - (204, 102, 51)).max() <= 2


@pytest.mark.parametrize("options", [{"transparency": 0}, {"transparency": bytes(range(0, 250, 50))}])
def test_a_transparent_palette_keeps_its_colours(tmp_path: Path, options: dict[str, object]) -> None:
    """One transparent colour or an alpha for each: both are dropped, without a warning."""
    image = Image.new("P", (4, 4))
    image.putpalette([204, 102, 51, 1, 2, 3])
    image.save(tmp_path / "a.png", **options)
    assert np.asarray(read_picture(str(tmp_path / "a.png")))[0, 0].tolist() == [204, 102, 51]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_are_upright(tmp_path: Path, kind: str, orientation: int) -> None:
    """However a camera was held, the light corner comes out where EXIF says it belongs."""
    stored = np.zeros((32, 64, 3), np.uint8)
    stored[:16, :32] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(stored).save(tmp_path / "a", kind, exif=exif)
    upright = np.asarray(read_picture(str(tmp_path / "a")))
    turned, mirrored = orientation >= 5, {1: (0, 0), 2: (0, 1), 3: (1, 1), 4: (1, 0), 5: (0, 0), 6: (0, 1), 7: (1, 1),
                                         8: (1, 0)}[orientation]
    assert upright.shape == ((64, 32, 3) if turned else (32, 64, 3))
    height, width = upright.shape[:2]
    down, right = mirrored
    assert upright[(height - 1) * down, (width - 1) * right].min() > 200
    assert sum(int(upright[y, x].min() > 200) for y in (0, -1) for x in (0, -1)) == 1


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_is_none_turns_nothing(tmp_path: Path, orientation: int) -> None:
    """Values outside 1..8 occur in old cameras' files."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", (8, 4)).save(tmp_path / "a", "JPEG", exif=exif)
    assert read_picture(str(tmp_path / "a")).size == (8, 4)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_of_several_frames_the_first_is_read(tmp_path: Path, kind: str) -> None:
    """An animation or a document of pages stands for its first."""
    frames = [Image.new("RGB", (8, 8), colour) for colour in ((250, 0, 0), (0, 0, 250))]
    frames[0].save(tmp_path / "a", kind, save_all=True, append_images=frames[1:])
    red, _, blue = np.asarray(read_picture(str(tmp_path / "a")))[0, 0]
    assert red > 240
    assert blue < 10


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width: int, height: int, data: bytes) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@pytest.mark.parametrize(("width", "height"), [(8193, 8192), (100_000, 100_000), (2**31 - 1, 1)])
def test_a_bomb_is_refused_by_its_size(tmp_path: Path, width: int, height: int) -> None:
    """A file that says it has more pixels than are read is refused before anything is unpacked."""
    path = tmp_path / "a.png"
    path.write_bytes(png(width, height, zlib.compress(b"")))
    with refused(path, f"it has more than {MOST_PIXELS:,} pixels"):
        read_picture(str(path))


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 4\n%%EndComments\n"


@pytest.mark.parametrize("content", [b"", b"no image", EPS, b"\x89PNG\r\n\x1a\n", b"GIF89a", b"II*\0\x08\0\0\0"])
def test_what_is_no_image_is_named(tmp_path: Path, content: bytes) -> None:
    """Empty files, text, bare beginnings, and kinds that Pillow would hand to another program."""
    path = tmp_path / "a.png"
    path.write_bytes(content)
    with refused(path, f"it is none of {', '.join(FORMATS)}" if content in (b"", b"no image", EPS) else ".+"):
        read_picture(str(path))


WHOLE = {kind: saved(Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 24, 3), np.uint8)), kind)
         for kind in FORMATS}


@pytest.mark.parametrize("kind", FORMATS)
def test_a_damaged_image_is_an_image_or_one_sentence(tmp_path: Path, kind: str) -> None:
    """Cut short or with bytes changed anywhere, a file is read or refused by name, whatever Pillow raises."""
    rng, path = np.random.default_rng(1), tmp_path / "a"
    content, messages = np.frombuffer(WHOLE[kind], np.uint8), []
    for _ in range(150):
        damaged = content.copy()
        damaged[rng.integers(0, min(len(damaged), 400), 3)] = rng.integers(0, 256, 3)
        path.write_bytes(damaged[: rng.integers(1, len(damaged) + 1)].tobytes())
        try:
            assert read_picture(str(path)).mode == "RGB"
        except InputError as error:
            messages.append(str(error))
    assert messages
    for text in messages:
        assert re.match(f"^cannot read image '{re.escape(str(path))}': .+$", text)
        assert text.isprintable()


def test_a_rational_where_an_integer_belongs(tmp_path: Path) -> None:
    """A TIFF that makes Pillow raise TypeError is refused by name."""
    content = bytearray(tiff(LEVELS, 16))
    at = content.index(struct.pack("<HH", 257, 4))
    content[at:at + 12] = struct.pack("<HHII", 257, 5, 1, 8)
    (tmp_path / "a.tif").write_bytes(content)
    with refused(tmp_path / "a.tif", ".+"):
        read_picture(str(tmp_path / "a.tif"))


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    """What became a pipe after the folder was listed is refused."""
    os.mkfifo(tmp_path / "a.png")
    with refused(tmp_path / "a.png", "it is not a regular file"):
        read_picture(str(tmp_path / "a.png"))
