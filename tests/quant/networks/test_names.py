"""Names and shapes of parameters: what lets a published checkpoint load."""

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import nn

from quant.networks import AlexNet, MobileNetV2, resnet18, resnet34

Names = Iterator[tuple[str, tuple[int, ...]]]


def weighted(path: str, *shape: int, bias: bool = True) -> Names:
    yield f"{path}.weight", shape
    if bias:
        yield f"{path}.bias", shape[:1]


def norm(path: str, channels: int) -> Names:
    for name in ("weight", "bias", "running_mean", "running_var"):
        yield f"{path}.{name}", (channels,)
    yield f"{path}.num_batches_tracked", ()


def resnet(blocks: tuple[int, ...]) -> Names:
    """layer<g>.<b>.conv<i>, bn<i>; the first block of groups 2 to 4 has downsample.0 and .1."""
    yield from weighted("conv1", 64, 3, 7, 7, bias=False)
    yield from norm("bn1", 64)
    channels = 64
    for group, count in enumerate(blocks, 1):
        width = 32 << group
        for block in range(count):
            path = f"layer{group}.{block}"
            yield from weighted(f"{path}.conv1", width, channels, 3, 3, bias=False)
            yield from norm(f"{path}.bn1", width)
            yield from weighted(f"{path}.conv2", width, width, 3, 3, bias=False)
            yield from norm(f"{path}.bn2", width)
            if width != channels:
                yield from weighted(f"{path}.downsample.0", width, channels, 1, 1, bias=False)
                yield from norm(f"{path}.downsample.1", width)
            channels = width
    yield from weighted("fc", 1000, 512)


def alexnet() -> Names:
    """features.<i> and classifier.<i>, counted through ReLUs, pools and dropouts."""
    for index, outputs, inputs, kernel in ((0, 64, 3, 11), (3, 192, 64, 5), (6, 384, 192, 3), (8, 256, 384, 3),
                                           (10, 256, 256, 3)):
        yield from weighted(f"features.{index}", outputs, inputs, kernel, kernel)
    for index, outputs, inputs in ((1, 4096, 9216), (4, 4096, 4096), (6, 1000, 4096)):
        yield from weighted(f"classifier.{index}", outputs, inputs)


def mobilenet() -> Names:
    """features.<i>.conv.<j>: pairs of convolution and norm inside .0 and .1 but for the projection, which has none."""
    def pair(path: str, outputs: int, inputs: int, kernel: int) -> Names:
        yield from weighted(f"{path}.0", outputs, inputs, kernel, kernel, bias=False)
        yield from norm(f"{path}.1", outputs)

    widths = [16, 24, 24, 32, 32, 32, 64, 64, 64, 64, 96, 96, 96, 160, 160, 160, 320]
    yield from pair("features.0", 32, 3, 3)
    channels = 32
    for index, width in enumerate(widths, 1):
        path, inside, step = f"features.{index}.conv", channels * (6 if index > 1 else 1), int(index > 1)
        if index > 1:
            yield from pair(f"{path}.0", inside, channels, 1)
        yield from pair(f"{path}.{step}", inside, 1, 3)
        yield from weighted(f"{path}.{step + 1}", width, inside, 1, 1, bias=False)
        yield from norm(f"{path}.{step + 2}", width)
        channels = width
    yield from pair("features.18", 1280, 320, 1)
    yield from weighted("classifier.1", 1000, 1280)


NETWORKS = {
    "resnet18": (resnet18, resnet((2, 2, 2, 2)), 11_689_512, 122),
    "resnet34": (resnet34, resnet((3, 4, 6, 3)), 21_797_672, 218),
    "alexnet": (AlexNet, alexnet(), 61_100_840, 16),
    "mobilenet_v2": (MobileNetV2, mobilenet(), 3_504_872, 314),
}


@pytest.mark.parametrize(("make", "names", "parameters", "entries"), NETWORKS.values(), ids=NETWORKS.keys())
def test_state_has_the_names_shapes_and_order_of_published_checkpoints(
        make: Callable[[], nn.Module], names: Names, parameters: int, entries: int) -> None:
    """Entry by entry; the numbers of parameters and of entries are those of torchvision."""
    with torch.device("meta"):
        model = make()
    state = [(name, tuple(tensor.shape)) for name, tensor in model.state_dict().items()]
    assert state == list(names)
    assert len(state) == entries
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters
