"""A U-Net that finds the ink of drawn pages, and a YOLO-like network that finds their words, trained here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.models.cascade import matched, overlaps
from benchmarks.models.case import Case, Values, onnx_session
from benchmarks.models.networks import UNet, Yolo
from benchmarks.models.text import Page, pages
from bitwright.cli.console import message
from quant.data.pixels import Pixels
from quant.training.checkpoint import load_weights, save_weights

__all__ = ["detection", "segmentation"]

PIXELS = Pixels((0.5,) * 3, (0.25,) * 3)
SIZE, TRAINING, CALIBRATION, TEST = 96, 600, 64, 100
BATCH, EPOCHS, RATE = 20, {"unet": 2, "yolo": 6}, 3e-3
STRIDES, WIDEST = (8, 16), 40
"""Pixels a cell of each output has along an axis; words wider than this belong to the coarser one."""
SURE, MOST_SHARED = 0.5, 0.4

Loss = Callable[[nn.Module, Tensor, list[Page]], Tensor]


def segmentation(folder: Path) -> Case:
    """Return the U-Net."""
    test = pages(TEST, SIZE, 1, held_out=True)
    ink = np.stack([page.ink for page in test])[:, None]

    def judge(wanted: Values, found: Values) -> dict[str, tuple[float | None, float]]:
        real, ours = wanted[0] > 0, found[0] > 0
        return {"IoU of ink": (_shared(real, ink), _shared(ours, ink)),
                "pixels on the same side": (None, float((real == ours).mean()))}

    return _case("unet", UNet(3), _ink_loss, folder, test, judge)


def detection(folder: Path) -> Case:
    """Return the YOLO-like network."""
    test = pages(TEST, SIZE, 1, held_out=True)
    words = [page.words for page in test]

    def judge(wanted: Values, found: Values) -> dict[str, tuple[float | None, float]]:
        boxes = [_decoded(values) for values in (wanted, found)]
        right = [sum(matched(truth, ours, 0.5) for truth, ours in zip(words, each, strict=True)) for each in boxes]
        same = sum(matched(real, ours) for real, ours in zip(*boxes, strict=True))
        count = sum(map(len, words))
        return {f"of {count} words found (IoU 0.5)": (right[0] / count, right[1] / count),
                "boxes": (float(sum(map(len, boxes[0]))), float(sum(map(len, boxes[1])))),
                "matched boxes (IoU 0.7)": (None, same / max(sum(map(len, boxes[0])), 1))}

    return _case("yolo", Yolo(3), _box_loss, folder, test, judge)


def _case(name: str, model: nn.Module, loss: Loss, folder: Path, test: list[Page],
          judge: Callable[[Values, Values], dict[str, tuple[float | None, float]]]) -> Case:
    """Return a network, trained unless its weights lie in the folder."""
    training, weights = pages(TRAINING, SIZE, 0), folder / f"{name}.weights.safetensors"
    if weights.exists():
        load_weights(model, weights)
    else:
        _train(name, model, loss, training)
        save_weights(model, weights)
    images = _images(test)
    session, nodes = onnx_session(model.eval(), PIXELS.values(images[:1]))
    return Case(name, f"trained here, {EPOCHS[name]} epochs of {TRAINING} drawn pages", model, session, nodes,
                _images(training[:CALIBRATION]), images, judge, pixels=PIXELS)


def _images(drawn: list[Page]) -> Tensor:
    return torch.from_numpy(np.stack([page.image for page in drawn]))


def _train(name: str, model: nn.Module, loss: Loss, training: list[Page]) -> None:
    torch.manual_seed(0)
    model.train()
    optimizer = torch.optim.Adam(model.parameters(), RATE)
    steps = EPOCHS[name] * TRAINING // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, steps)
    for epoch in range(EPOCHS[name]):
        order = torch.randperm(TRAINING, generator=torch.Generator().manual_seed(epoch))
        for which in order.split(BATCH):
            batch = [training[index] for index in which]
            found = loss(model, PIXELS.values(_images(batch)), batch)
            optimizer.zero_grad()
            found.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
        message(f"{name}: epoch {epoch + 1} of {EPOCHS[name]}, loss {float(found):.3f}")


def _ink_loss(model: nn.Module, images: Tensor, batch: list[Page]) -> Tensor:
    ink = torch.from_numpy(np.stack([page.ink for page in batch]))[:, None].float()
    return functional.binary_cross_entropy_with_logits(model(images), ink)


def _box_loss(model: nn.Module, images: Tensor, batch: list[Page]) -> Tensor:
    """Return the cross-entropy of objects and the squared errors of their boxes, over both outputs."""
    total = torch.zeros(())
    for level, output in enumerate(model(images)):
        target = torch.from_numpy(np.stack([_targets(page, level, output.shape[2]) for page in batch]))
        present = target[:, 0]
        total = total + functional.binary_cross_entropy_with_logits(output[:, 0], present, reduction="sum")
        total = total + 5 * ((output[:, 1:] - target[:, 1:]) ** 2 * present[:, None]).sum()
    return total / len(batch)


def _targets(page: Page, level: int, cells: int) -> NDArray[np.float32]:
    """Return what an output should be, shape (5, cells, cells): object, centre in the cell, logarithms of the size."""
    stride, target = STRIDES[level], np.zeros((5, cells, cells), np.float32)
    for left, top, right, bottom in page.words:
        if (right - left > WIDEST) != bool(level):
            continue
        centre = np.array([left + right, top + bottom]) / 2 / stride
        column, row = np.minimum(centre.astype(int), cells - 1)
        size = np.log(np.array([right - left, bottom - top]) / stride)
        target[:, row, column] = (1, *(centre - (column, row)), *size)
    return target


def _decoded(values: Values) -> list[NDArray[np.float64]]:
    """Return the boxes of each page, shape (n, 4), the surest of those that overlap."""
    pages_found = []
    for page in zip(*values, strict=True):
        boxes = np.concatenate([_level(output.astype(np.float64), STRIDES[level]) for level, output in enumerate(page)])
        rest, kept = boxes[boxes[:, 4].argsort()[::-1]], list[NDArray[np.float64]]()
        while len(rest):
            kept.append(rest[0, :4])
            rest = rest[1:][overlaps(rest[:1], rest[1:])[0] <= MOST_SHARED]
        pages_found.append(np.array(kept).reshape(-1, 4))
    return pages_found


def _level(output: NDArray[np.float64], stride: int) -> NDArray[np.float64]:
    sure = 1 / (1 + np.exp(-output[0]))
    rows, columns = np.nonzero(sure > SURE)
    centre = (output[1:3, rows, columns] + (columns, rows)) * stride
    half = np.exp(output[3:, rows, columns].clip(-4, 4)) * stride / 2
    return np.concatenate([centre - half, centre + half, sure[None, rows, columns]]).T


def _shared(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    return float((first & second).sum() / max((first | second).sum(), 1))
