"""PP-OCR's text direction classifier and text detector, from rapidocr-onnxruntime, on drawn text."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import find_objects, label

from benchmarks.models.cascade import matched
from benchmarks.models.case import Case, Values, onnx_session
from benchmarks.models.text import lines, pages
from bitwright.codesign.model_files import load_model
from quant.data.pixels import Pixels

__all__ = ["detector", "direction"]

PIXELS = Pixels((0.5,) * 3, (0.5,) * 3)
SOURCE = "rapidocr-onnxruntime 1.4.4, ONNX"
LINE, PAGE = (48, 192), 160
"""Height and width of a line, size of a page [pixels]."""
CALIBRATION, TEST, PAGES = 64, 200, 24
INK, SMALLEST = 0.3, 16
"""Probability from which a pixel is text, and pixels of the smallest box."""


def direction(package: Path) -> Case:
    """Return the classifier that says whether a line of text stands on its head; every second one does."""
    path = package / "rapidocr_onnxruntime" / "models" / "ch_ppocr_mobile_v2.0_cls_infer.onnx"
    images = {held_out: lines(count, *LINE, seed=int(held_out), held_out=held_out)
              for held_out, count in ((False, CALIBRATION), (True, TEST))}
    for upright in images.values():
        upright[1::2] = upright[1::2].flip(2, 3)
    turned = np.arange(TEST) % 2

    def judge(wanted: Values, found: Values) -> dict[str, tuple[float | None, float]]:
        real, ours = (values[0].argmax(1) for values in (wanted, found))
        return {"direction right": (float((real == turned).mean()), float((ours == turned).mean())),
                "same answer": (None, float((real == ours).mean())),
                "mean distance of probabilities": (None, float(np.abs(wanted[0] - found[0]).mean()))}

    session, nodes = onnx_session(path)
    return Case("ppocr_direction", SOURCE, load_model(path, (3, *LINE)), session, nodes, images[False], images[True],
                judge, pixels=PIXELS)


def detector(package: Path) -> Case:
    """Return the detector, which says of each pixel whether it is text."""
    path = package / "rapidocr_onnxruntime" / "models" / "ch_PP-OCRv4_det_infer.onnx"
    images = [torch.from_numpy(np.stack([page.image for page in pages(PAGES, PAGE, seed, held_out=seed > 0)]))
              for seed in (0, 1)]

    def judge(wanted: Values, found: Values) -> dict[str, tuple[float | None, float]]:
        boxes = [[_boxes(page[0]) for page in values[0]] for values in (wanted, found)]
        both = sum(matched(real, ours) for real, ours in zip(*boxes, strict=True))
        real, ours = (sum(map(len, each)) for each in boxes)
        same = (wanted[0] > INK) == (found[0] > INK)
        return {"boxes": (float(real), float(ours)), "matched boxes (IoU 0.7)": (None, both / max(real, 1)),
                "pixels on the same side": (None, float(same.mean()))}

    session, nodes = onnx_session(path)
    return Case("ppocr_detector", SOURCE, load_model(path, (3, PAGE, PAGE)), session, nodes, images[0], images[1],
                judge, pixels=PIXELS)


def _boxes(probabilities: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the upright boxes around connected text, shape (n, 4)."""
    found = [place for place in find_objects(label(probabilities > INK)[0]) if place is not None]
    boxes = np.array([(place[1].start, place[0].start, place[1].stop, place[0].stop) for place in found], np.float64)
    boxes = boxes.reshape(-1, 4)
    return boxes[np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) >= SMALLEST]
