"""An image file as red, green and blue of 8 bits, whatever kind of image it is."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
from PIL import ExifTags, Image, TiffImagePlugin, UnidentifiedImageError

from sim.errors import InputError
from sim.io.bounds import shown, shown_path
from sim.io.regular_file import MIB, open_regular

__all__ = ["EXTENSIONS", "read_picture"]

EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
"""Endings of files that are images; others are passed over."""
FORMATS = ("JPEG", "PNG", "PPM", "BMP", "TIFF", "WEBP", "GIF")
"""What a file may be, whatever its ending says. Pillow reads more, some of it by other programs."""
MOST_BYTES = 1024 * MIB
MOST_PIXELS = 1 << 26
"""Largest image that is read [pixels]: a small file may unpack to a thousand times its size."""
BITS, PHOTOMETRIC = 258, 262
"""Tags of TIFF: bits of a pixel, and whether 0 is white."""
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90}
"""What undoes an orientation of EXIF."""


def read_picture(file: str) -> Image.Image:
    """Return the first image in a file, upright as its EXIF data says, in mode RGB.

    Grey levels of 16 bits are scaled to 8; what is transparent is shown as if it were not.

    Raises
    ------
    InputError
        If the file cannot be read, is none of FORMATS, is damaged, has more than MOST_PIXELS pixels, or has pixels
        whose range the file does not tell: floats and 32-bit integers.
    """
    with open_regular(file, "image", MOST_BYTES) as stream:
        try:
            with Image.open(stream, formats=FORMATS) as image:
                if image.width * image.height > MOST_PIXELS:
                    raise Image.DecompressionBombError
                image.load()
                return _upright(image, _rgb(image))
        except InputError as error:
            reason = str(error)
        except UnidentifiedImageError:
            reason = f"it is none of {', '.join(FORMATS)}"
        except Image.DecompressionBombError:
            reason = f"it has more than {MOST_PIXELS:,} pixels"
        except Exception as error:  # a damaged file can make Pillow raise anything
            reason = shown(" ".join(str(error).split()) or type(error).__name__)
    raise InputError(f"cannot read image '{shown_path(file)}': {reason}")


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM")):
        most, inverted = _range(image)
        levels = (np.asarray(image).astype(np.int64) * 255 + most // 2) // most
        return Image.fromarray((255 - levels if inverted else levels).clip(0, 255).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        kind = "32-bit integers" if image.mode == "I" else "floats"
        raise InputError(f"its pixels are {kind}, whose range the file does not tell; save it with 8 or 16 bits")
    if image.mode in ("P", "PA", "La", "RGBa"):
        return image.convert("RGBA").convert("RGB")
    return image.convert("RGB")


def _range(image: Image.Image) -> tuple[int, bool]:
    """Return the largest level of a grey image of up to 16 bits, and whether that is black."""
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return 65535, False
    (bits,) = image.tag_v2.get(BITS, (16,))
    return 2**bits - 1, image.tag_v2.get(PHOTOMETRIC) == 0


def _upright(original: Image.Image, image: Image.Image) -> Image.Image:
    """Return `image` turned as the EXIF data of `original` says; data that cannot be understood says nothing."""
    with suppress(Exception):
        orientation = original.getexif().get(ExifTags.Base.Orientation)
        if orientation in UPRIGHT:
            return image.transpose(UPRIGHT[orientation])
    return image
