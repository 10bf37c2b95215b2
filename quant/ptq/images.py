"""Images to reconstruct with: batches are read one by one, and reduced before the next one is read."""

from __future__ import annotations

from torch import Tensor, fx, nn

from quant.calibration.host_images import input_quantizers
from quant.calibration.images import Data, batches, readers
from quant.frontends.read_model import read_model
from quant.gains import gains_as_weights
from quant.ptq.downscale import downscaled
from quant.quantizers.strict import has_power_of_two_steps
from quant.stages.frontend import as_floats
from quant.trace.inputs import Read, joined
from sim.errors import InputError

__all__ = ["read_for_reconstruction"]

CALIBRATION = 32, 1024
"""Fewest and most images: with fewer a unit learns them by heart, more change nothing and fill the memory."""


def read_for_reconstruction(quantized: fx.GraphModule, model: nn.Module, data: Data,
                            downscale: int) -> tuple[fx.GraphModule, Read]:
    """Return the graph of the float model, and all images as real values in its precision, at the lower resolution.

    Parameters
    ----------
    quantized : fx.GraphModule
        If its input is pixels, images may be uint8.
    model : nn.Module
    data : Tensor of shape (n, C, H, W), or iterable of batches
    downscale : int, at least 1

    Raises
    ------
    InputError
        As `quant.ptq.reconstruct.reconstruct` does.
    """
    reads = readers(input_quantizers(quantized))
    exact: fx.GraphModule | None = None
    parts: list[Read] = []
    count = 0
    for batch in batches(data, reads):
        count += len(batch)
        if count > CALIBRATION[1]:
            break
        if exact is None:
            exact = read_model(model, batch)
            if has_power_of_two_steps(quantized):
                gains_as_weights(exact)
        parts.append(downscaled(as_floats(batch, exact), downscale, *(() if parts else (exact, quantized))))
    if exact is None or not CALIBRATION[0] <= count <= CALIBRATION[1]:
        raise InputError(f"reconstruction takes {CALIBRATION[0]}..{CALIBRATION[1]} images, not {count}"
                         f"{'' if isinstance(data, Tensor) or count < CALIBRATION[0] else ' or more'}")
    return exact, joined(parts)
