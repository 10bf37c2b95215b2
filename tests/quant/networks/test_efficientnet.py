"""EfficientNet-Lite0 has the layers of the published network and pads maps as TensorFlow does."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from quant.networks import EfficientNetLite0

LAYERS = (  # blocks, kernel, stride of the first, channels in and out, of published checkpoints
    (1, 3, 1, 32, 16), (2, 3, 2, 16, 24), (2, 5, 2, 24, 40), (3, 3, 2, 40, 80), (3, 5, 1, 80, 112), (4, 5, 2, 112, 192),
    (1, 3, 1, 192, 320))


def same(images, conv):
    """Pad as TensorFlow does for `same`, from the sizes alone, and convolve."""
    (kernel, _), (stride, _), size = conv.kernel_size, conv.stride, images.shape[2]
    missing = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    less, more = missing // 2, missing - missing // 2
    padded = functional.pad(images, (less, more, less, more))
    return functional.conv2d(padded, conv.weight, stride=stride, groups=conv.groups)


def test_layers_are_those_of_the_published_network() -> None:
    """Kernels, strides and channels of all 49 convolutions, and 4 652 008 parameters."""
    with torch.device("meta"):
        model = EfficientNetLite0()
    convs = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
    expected = [(3, 32, 3, 2, 1)]
    for blocks, kernel, first, channels, width in LAYERS:
        for block in range(blocks):
            inside = channels * (1 if width == 16 else 6)
            expected += [(channels, inside, 1, 1, 1)] * (inside != channels)
            expected += [(inside, inside, kernel, 1 if block else first, inside), (inside, width, 1, 1, 1)]
            channels = width
    expected.append((320, 1280, 1, 1, 1))
    assert [(conv.in_channels, conv.out_channels, conv.kernel_size[0], conv.stride[0], conv.groups)
            for conv in convs] == expected
    assert len(convs) == 49
    assert sum(parameter.numel() for parameter in model.parameters()) == 4_652_008


@pytest.mark.parametrize("path", ["stem", "blocks.1.depthwise", "blocks.3.depthwise", "blocks.9.depthwise"])
def test_convolutions_pad_as_tensorflow_does(path: str) -> None:
    """A strided one with more at the bottom and right, any other alike on all sides."""
    torch.manual_seed(0)
    layer = EfficientNetLite0().eval().get_submodule(path)
    conv, norm = layer.get_submodule("conv"), layer.get_submodule("norm")
    images = torch.randn(1, conv.in_channels, 8, 8)
    expected = functional.relu6(norm(same(images, conv)))
    assert torch.equal(layer(images), expected)
