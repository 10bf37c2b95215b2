"""The small MobileNet on rendered glyphs, strict powers of two against real steps."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import fx, nn

from benchmarks.real.measure import Files, measure
from benchmarks.real.post_training import PostTraining, quantized
from benchmarks.real.record import Clock
from quant.data.glyphs import Glyphs, glyphs
from quant.networks.registry import make_network
from quant.training.checkpoint import load_weights, save_weights
from quant.training.loop import train
from quant.training.recipe import Recipe

__all__ = ["run"]

NETWORK = "glyph_mobilenet"
CALIBRATION_IMAGES = 1024
EPOCHS = 12


def run(out: Path, how: PostTraining, *, seed: int) -> dict[str, Any]:
    """Return the record of one seed."""
    net = _float(out, seed)
    settings = {"network": NETWORK, "method": "post-training", "scheme": how.scheme, "bits": how.bits,
                "preset": how.preset, "unmirrored": not how.mirrored, "seed": seed}

    def make(files: Files, clock: Clock) -> fx.GraphModule:
        return quantized(net, _data().train.first(CALIBRATION_IMAGES), how, files, clock)

    return measure(out, settings, net, _data().test, make)


@cache
def _data() -> Glyphs:
    return glyphs()


def _float(out: Path, seed: int) -> nn.Module:
    """Return the float network of a seed, trained as for `benchmarks.accuracy`; a file keeps it."""
    torch.manual_seed(seed)
    net = make_network(NETWORK, classes=_data().classes, channels=1)
    kept = out / "weights" / f"{NETWORK}-float-seed={seed}.safetensors"
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        train(net, _data().train, Recipe(epochs=EPOCHS, rate=0.1, batch=128, decay=5e-4, shift=2, seed=seed))
        save_weights(net, kept)
    load_weights(net, kept)
    return net.eval()
