"""EfficientNet-Lite0 on 1000 photographs, one of each class: half to calibrate, half to judge, and swapped."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import fx

from benchmarks.real.measure import Files, measure
from benchmarks.real.pictures import Pictures, load_pictures
from benchmarks.real.post_training import PostTraining, quantized
from benchmarks.real.published import efficientnet_lite0
from benchmarks.real.record import Clock
from sim.errors import InputError

__all__ = ["HALVES", "Photographs", "run"]

HALVES = ("first", "second")
"""The half that calibrates: pictures of even or of odd number."""


@dataclass(frozen=True)
class Photographs:
    """Which pictures calibrate and which judge.

    Attributes
    ----------
    half : str
        One of HALVES.
    images : int
        Pictures in each half that are used, the first ones.
    calibrate : int
        Pictures of the half that calibrate, spread over it.
    """

    half: str
    images: int
    calibrate: int

    def split(self, pictures: Pictures) -> tuple[Pictures, Pictures]:
        """Return the pictures to calibrate with and those to judge by.

        Raises
        ------
        InputError
            If there are fewer pictures, or more of them are to calibrate than a half has.
        """
        if not 1 <= self.calibrate <= self.images:
            raise InputError(f"pictures to calibrate with must be in 1..{self.images}, not {self.calibrate}")
        if len(pictures) < 2 * self.images:
            raise InputError(f"halves of {self.images} need {2 * self.images} pictures, not {len(pictures)}")
        halves = [pictures.some(torch.arange(start, 2 * self.images, 2)) for start in (0, 1)]
        mine, others = halves if self.half == "first" else reversed(halves)
        return mine.some(torch.arange(self.calibrate) * self.images // self.calibrate), others


def run(weights: Path, photos: Path, out: Path, how: PostTraining, which: Photographs) -> dict[str, Any]:
    """Return the record of one configuration on one half."""
    net = efficientnet_lite0(weights)
    calibration, test = which.split(load_pictures(photos))

    def make(files: Files, clock: Clock) -> fx.GraphModule:
        return quantized(net, calibration, how, files, clock)

    settings = {"network": "efficientnet_lite0", "method": "post-training", "scheme": how.scheme, "bits": how.bits,
                "preset": how.preset, "half": which.half, "images": which.images, "calibrate": which.calibrate}
    if how.signed_bits is not None:
        settings["signed_bits"] = how.signed_bits
    return measure(out, settings, net, test, make)
