"""Images that a quantized network reads, kept as the codes that the host gives."""

from __future__ import annotations

from functools import partial
from typing import cast

from torch import Tensor, fx

from quant.calibration.images import Data, read_images, read_values
from quant.calibration.stored import Stored, Which
from quant.data.pixels import Pixels
from quant.quantizers.base import ActivationQuantizer
from quant.quantizers.pixel import PixelActivation
from quant.trace.frontend import as_floats
from sim.errors import InputError

__all__ = ["HostImages", "input_pixels", "read_host_images"]


class HostImages:
    """All images of some data, a byte for each number.

    Parameters
    ----------
    codes : Stored
        Of the input's quantizer.

    Attributes
    ----------
    codes : Stored
    """

    def __init__(self, codes: Stored) -> None:
        self.codes = codes

    def __len__(self) -> int:
        return len(self.codes)

    def values(self, which: Which) -> Tensor:
        """Return the real inputs that the codes of some images stand for: what the network and its float model read."""
        quantizer = cast(ActivationQuantizer, self.codes.quantizer)
        return quantizer.read_from(self.codes.kept[which]).to(self.codes.kind)


def read_host_images(quantized: fx.GraphModule, data: Data) -> HostImages:
    """Read images for a quantized network, batch by batch.

    Parameters
    ----------
    quantized : fx.GraphModule
        From `quantize`.
    data : Tensor of shape (n, C, H, W), or iterable of batches
        As for `quantize`; uint8 if the network's input is pixels.

    Raises
    ------
    InputError
        If the network is no such graph, there are no batches, images of several shapes, or a batch is not of finite
        images.
    """
    quantizer = _input_quantizer(quantized)
    images, first = read_images(data, quantizer, partial(read_values, pixels=input_pixels(quantized)))
    return HostImages(images.of_kind(as_floats(first, quantized).dtype))


def input_pixels(quantized: fx.GraphModule) -> Pixels | None:
    """Return what the pixels of a quantized network's input mean, None if its input is not pixels."""
    quantizer = _input_quantizer(quantized)
    return quantizer.pixels if isinstance(quantizer, PixelActivation) else None


def _input_quantizer(quantized: fx.GraphModule) -> ActivationQuantizer:
    if not isinstance(quantized, fx.GraphModule):
        raise InputError(f"quantized must be what quantize returns, not {type(quantized).__name__}")
    for start in quantized.graph.find_nodes(op="placeholder"):
        for node in start.users:
            module = quantized.get_submodule(str(node.target)) if node.op == "call_module" else None
            if isinstance(module, ActivationQuantizer):
                return module
    raise InputError("quantized must be what quantize returns, but nothing quantizes its input")
