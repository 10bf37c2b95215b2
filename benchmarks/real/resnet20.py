"""ResNet-20 on JPEG copies of CIFAR-10: fine-tuned in float, then quantized without training.

The public weights were trained on the original images, so the float network learns the copies first, and all that
follows is compared with it. The last epoch counts: nothing is chosen by the images that judge.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx, nn

from benchmarks.real.measure import Files, measure
from benchmarks.real.pictures import Pictures, load_pictures
from benchmarks.real.post_training import PostTraining, quantized
from benchmarks.real.published import resnet20
from benchmarks.real.record import Clock
from quant.data.sample import mixed_sample
from quant.training.checkpoint import save_weights
from quant.training.history import Epoch
from quant.training.loop import train
from quant.training.recipe import Recipe

__all__ = ["BATCH", "Cifar", "fine_tune", "load_cifar", "run_post_training", "told"]

SHIFT = 4
CALIBRATION_IMAGES = 1024
FLOAT = {"rate": 0.02, "decay": 5e-4}
BATCH = 128


@dataclass(frozen=True)
class Cifar:
    """The two files of pictures.

    Attributes
    ----------
    train, test : Pictures
    """

    train: Pictures
    test: Pictures

    @property
    def calibration(self) -> Pictures:
        """Pictures for training, the same share of every class."""
        return self.train.some(mixed_sample(self.train.labels, CALIBRATION_IMAGES))

    @property
    def drawn(self) -> Tensor:
        """The same pictures as training sees them, mirrored and shifted: what BatchNorms' statistics are of."""
        which = mixed_sample(self.train.labels, CALIBRATION_IMAGES)
        return self.train.drawn(which, torch.Generator().manual_seed(0))


def load_cifar(train_file: Path, test_file: Path) -> Cifar:
    """Read both files."""
    return Cifar(load_pictures(train_file, shift=SHIFT), load_pictures(test_file))


def fine_tune(weights: Path, data: Cifar, out: Path, epochs: int, *, half: bool = False) -> nn.Module:
    """Return the float network after it has learnt the copies; a file in `out` keeps it."""
    name = f"resnet20-float-epochs={epochs}{'-bfloat16' if half else ''}.safetensors"
    kept = out / "weights" / name
    if kept.exists():
        return resnet20(kept)
    net, checkpoint = resnet20(weights), out / "unfinished" / name
    for path in (kept, checkpoint):
        path.parent.mkdir(parents=True, exist_ok=True)
    train(net, data.train, Recipe(epochs=epochs, batch=BATCH, shift=0, warmup=0.02, **FLOAT), checkpoint=checkpoint,
          half=half, progress=told)
    save_weights(net, kept)
    checkpoint.unlink()
    return net


def run_post_training(net: nn.Module, data: Cifar, out: Path, how: PostTraining) -> dict[str, Any]:
    """Return the record of a network that was quantized without training."""
    settings = {"network": "resnet20", "method": "post-training", "scheme": how.scheme, "bits": how.bits,
                "preset": how.preset}

    def make(files: Files, clock: Clock) -> fx.GraphModule:
        return quantized(net, data.calibration, how, files, clock)

    return measure(out, settings, net, data.test, make)


def told(epoch: Epoch, clock: Clock | None = None) -> None:
    """Say on stderr what an epoch came to, and keep the seconds so far."""
    print(f"epoch {epoch.epoch}: loss {epoch.loss:.4f}, {100 * epoch.train_accuracy:.2f} % of the training pictures "
          f"right, {epoch.seconds:.0f} s", file=sys.stderr, flush=True)
    if clock is not None:
        clock.tick()
