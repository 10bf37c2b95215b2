"""Images that a quantized network reads, kept as the codes that the host gives."""

from __future__ import annotations

from typing import cast

from torch import fx

from quant.calibration.images import Data, read_images
from quant.calibration.stored import Stored, StoredInputs, Which, each_stored
from quant.quantizers.base import ActivationQuantizer
from quant.stages.frontend import as_floats
from quant.trace.inputs import Inputs, Read
from sim.errors import InputError

__all__ = ["HostImages", "input_quantizers", "read_host_images"]


class HostImages:
    """All images of some data, a byte for each number.

    Parameters
    ----------
    codes : Stored or StoredInputs
        Of the inputs' quantizers.

    Attributes
    ----------
    codes : Stored or StoredInputs
    """

    def __init__(self, codes: Stored | StoredInputs) -> None:
        self.codes = codes

    def __len__(self) -> int:
        return len(self.codes)

    def values(self, which: Which) -> Read:
        """Return the real inputs that the codes of some images stand for: what the network and its float model read."""
        found = [cast(ActivationQuantizer, codes.quantizer).read_from(codes.kept[which]).to(codes.kind)
                 for codes in each_stored(self.codes)]
        return found[0] if len(found) == 1 else Inputs(found)


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
    images, first = read_images(data, input_quantizers(quantized))
    return HostImages(images.of_kind(as_floats(first, quantized).dtype))


def input_quantizers(quantized: fx.GraphModule) -> dict[str, ActivationQuantizer]:
    """Return the quantizers of a quantized network's inputs, by the inputs' names and in their order.

    Raises
    ------
    InputError
        If the network is no such graph.
    """
    if not isinstance(quantized, fx.GraphModule):
        raise InputError(f"quantized must be what quantize returns, not {type(quantized).__name__}")
    found = {}
    for start in quantized.graph.find_nodes(op="placeholder"):
        for node in start.users:
            module = quantized.get_submodule(str(node.target)) if node.op == "call_module" else None
            if isinstance(module, ActivationQuantizer):
                found[str(start.target)] = module
        if str(start.target) not in found:
            raise InputError("quantized must be what quantize returns, but nothing quantizes its input")
    return found
