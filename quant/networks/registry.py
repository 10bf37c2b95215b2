"""Networks by name."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from quant.networks.alexnet import AlexNet
from quant.networks.digits import DigitsNet
from quant.networks.efficientnet import EfficientNetLite0
from quant.networks.mobilenet import MobileNetV2
from quant.networks.mobilenet_v3 import MobileNetV3Small
from quant.networks.resnet import resnet18, resnet34
from quant.networks.small import (
    glyph_mobilenet,
    glyph_mobilenet_v3,
    resnet8,
    resnet20,
    resnet20_a,
    small_alexnet,
    small_mobilenet,
)
from sim.errors import InputError

__all__ = ["NETWORKS", "make_network"]

SMALL: dict[str, Callable[[int, int], nn.Module]] = {
    "resnet8": resnet8, "resnet20": resnet20, "resnet20_a": resnet20_a, "small_alexnet": small_alexnet,
    "small_mobilenet": small_mobilenet, "glyph_mobilenet": glyph_mobilenet,
    "glyph_mobilenet_v3": glyph_mobilenet_v3}
"""Networks for images of 32 x 32 with any number of channels."""
LARGE: dict[str, Callable[[int], nn.Module]] = {
    "resnet18": resnet18, "resnet34": resnet34, "alexnet": AlexNet, "mobilenet_v2": MobileNetV2,
    "mobilenet_v3_small": MobileNetV3Small, "efficientnet_lite0": EfficientNetLite0}
"""Networks for colour images of 224 x 224."""
NETWORKS = ("digits", *SMALL, *LARGE)


def make_network(name: str, classes: int, channels: int) -> nn.Module:
    """Return a network with random weights.

    Parameters
    ----------
    name : str
        One of NETWORKS.
    classes, channels : int
        Of the output and of the image.

    Raises
    ------
    InputError
        If there is no such network, or it is made for other images.

    Examples
    --------
    >>> import torch
    >>> make_network("resnet8", classes=48, channels=1).eval()(torch.zeros(1, 1, 32, 32)).shape
    torch.Size([1, 48])
    """
    if name in SMALL:
        return SMALL[name](classes, channels)
    if name not in NETWORKS:
        raise InputError(f"no network '{name}': give one of {', '.join(NETWORKS)}")
    needed, most = (3, None) if name in LARGE else (1, 10)
    if channels != needed or (most is not None and classes != most):
        outputs = f" and has {most} outputs" if most else ""
        raise InputError(f"network '{name}' reads images of {needed} channels{outputs}, "
                         f"not {channels} channels and {classes} classes")
    return LARGE[name](classes) if name in LARGE else DigitsNet()
